package tracker

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"corvus.murder/internal/announce"
)

const most = 1 << 20

// client serves the rig on loopback and returns a client of it.
func (r *rig) client(t *testing.T, token string) *announce.Client {
	t.Helper()
	server := httptest.NewServer(r.Handler())
	t.Cleanup(server.Close)
	c, err := announce.New(server.URL, token, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// files are the names in the state directory.
func (r *rig) files(t *testing.T) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(r.cfg.StateDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestMetainfoIsKeptUntilItsTorrentIsWithdrawn(t *testing.T) {
	cfg := Config{StateDir: t.TempDir()}
	r := registered(t, cfg)
	c := r.client(t, "")
	gives := func(c *announce.Client, want string) {
		t.Helper()
		if got, err := c.Metainfo(t.Context(), sample.Infohash, most); err != nil || string(got) != want {
			t.Errorf("got %.20q of %d bytes, %v; want %.20q", got, len(got), err, want)
		}
	}
	refuses := func(c *announce.Client, want string) {
		t.Helper()
		if _, err := c.Metainfo(t.Context(), sample.Infohash, most); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	refuses(c, "was not given the .torrent")
	large := strings.Repeat("d4:info", 100_000)
	for _, metainfo := range []string{"d4:infodee", large} { // a seeder that starts again
		if err := c.Deposit(t.Context(), sample.Infohash, []byte(metainfo)); err != nil {
			t.Fatal(err)
		}
		gives(c, metainfo)
	}
	again := newRig(t, cfg) // a tracker that starts again
	if again.torrents[sample.Infohash].kept == 0 {
		t.Error("what is kept is not counted after a restart")
	}
	c = again.client(t, "")
	gives(c, large)
	if err := c.Withdraw(t.Context(), sample.Infohash, "over"); err != nil {
		t.Fatal(err)
	}
	refuses(c, "was withdrawn: over")
	if err := c.Deposit(t.Context(), sample.Infohash, []byte("d4:infodee")); err == nil || !strings.Contains(err.Error(), "was withdrawn: over") {
		t.Errorf("Deposit after withdrawal: %v", err)
	}
	if left := again.files(t); len(left) != 1 || left[0] != torrentsFile {
		t.Errorf("left after withdrawal: %v", left)
	}
}

func TestMetainfoTakesToken(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir(), Token: "secret"})
	if err := r.client(t, "secret").Deposit(t.Context(), sample.Infohash, []byte("d4:infodee")); err != nil {
		t.Fatal(err)
	}
	const want = "Token is missing or wrong; give the token of the tracker"
	for _, token := range []string{"", "wrong"} {
		c := r.client(t, token)
		if _, err := c.Metainfo(t.Context(), sample.Infohash, most); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Metainfo with token %q: %v", token, err)
		}
		if err := c.Deposit(t.Context(), sample.Infohash, []byte("x")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Deposit with token %q: %v", token, err)
		}
	}
	c := registered(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}).client(t, "")
	if _, err := c.Metainfo(t.Context(), sample.Infohash, most); err == nil || !strings.Contains(err.Error(), "may not use this tracker") {
		t.Errorf("Metainfo from elsewhere: %v", err)
	}
}

func TestMetainfoRefused(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	other := strings.Replace(samplePath, "/torrents/", "/torrents/ff", 1)[:len(samplePath)]
	for name, tt := range map[string]struct {
		method, path string
		length       int64
		status       int
		want         string
	}{
		"bad infohash":    {"GET", "/torrents/abc", 0, 400, "is not 40 hex digits"},
		"not registered":  {"GET", other, 0, 404, "is not registered with this tracker; start its seeder first"},
		"put unknown":     {"PUT", other, 3, 404, "is not registered with this tracker; start its seeder first"},
		"unknown length":  {"PUT", samplePath, -1, 411, "Length of the .torrent is missing"},
		"too large":       {"PUT", samplePath, maxMetainfo + 1, 413, "it may have 134217728"},
		"another method":  {"POST", samplePath, 3, 405, ""},
		"nothing kept":    {"GET", samplePath, 0, 404, "was not given the .torrent"},
		"more than there": {"PUT", samplePath, 1000, 500, "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			request := httptest.NewRequest(tt.method, tt.path+"/torrent.gz", strings.NewReader("abc"))
			request.ContentLength = tt.length
			w := httptest.NewRecorder()
			r.Handler().ServeHTTP(w, request)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("status %d %s, want %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if left := r.files(t); len(left) != 1 {
				t.Errorf("left: %v", left)
			}
		})
	}
	if w := registered(t, Config{}).ask("PUT", samplePath+"/torrent.gz", "abc"); w.Code != 501 {
		t.Errorf("without a state directory: status %d", w.Code)
	}
}

// TestMetainfoThatEndsTooSoon has a seeder vanish while it sends: what was kept before stays.
func TestMetainfoThatEndsTooSoon(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	c := r.client(t, "")
	if err := c.Deposit(t.Context(), sample.Infohash, []byte("d4:infodee")); err != nil {
		t.Fatal(err)
	}
	begun := errors.New("vanished")
	err := r.deposit(sample.Infohash, 1000, func(f *os.File) error {
		_, err := io.CopyN(f, strings.NewReader(strings.Repeat("x", 500)), 500)
		return errors.Join(err, begun)
	})
	if !errors.Is(err, begun) {
		t.Errorf("deposit: %v", err)
	}
	if got, err := c.Metainfo(t.Context(), sample.Infohash, most); err != nil || !bytes.Equal(got, []byte("d4:infodee")) {
		t.Errorf("got %q, %v", got, err)
	}
	if left := r.files(t); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

func TestMetainfoHasABound(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	second := sample
	second.Infohash = [20]byte{1}
	if err := r.register(second); err != nil {
		t.Fatal(err)
	}
	r.torrents[second.Infohash].kept = maxKept - 2
	var refused refusal
	if err := r.reserve(sample.Infohash, 3); !errors.As(err, &refused) || refused.status != http.StatusInsufficientStorage {
		t.Errorf("beyond the bound: %v", err)
	}
	for range 2 { // its own earlier bytes do not count
		if err := r.reserve(sample.Infohash, 2); err != nil {
			t.Errorf("up to the bound: %v", err)
		}
	}
}

func TestMetainfoOfNoUseIsRemoved(t *testing.T) {
	cfg := Config{StateDir: t.TempDir()}
	r := registered(t, cfg)
	if err := r.client(t, "").Deposit(t.Context(), sample.Infohash, []byte("d4:infodee")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1234.torrent.gz.new", strings.Repeat("ab", 20) + ".torrent.gz", "x.torrent.gz"} {
		if err := os.WriteFile(r.path(name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := newRig(t, cfg)
	if left := again.files(t); len(left) != 2 {
		t.Errorf("left of a tracker that was killed: %v", left)
	}
}
