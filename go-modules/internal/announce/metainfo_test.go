package announce

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// packed is data as the tracker keeps it.
func packed(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDepositAndMetainfo(t *testing.T) {
	var kept []byte
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if want := "/torrents/abcd" + strings.Repeat("0", 36) + "/torrent.gz"; r.URL.Path != want || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked for %s with %v, want %s", r.URL.Path, r.Header, want)
		}
		w.Header().Set("Server", ServerHeader)
		if r.Method == http.MethodPut {
			kept, _ = io.ReadAll(r.Body)
			if r.ContentLength != int64(len(kept)) {
				t.Errorf("announced %d bytes and sent %d", r.ContentLength, len(kept))
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(kept)
	})
	c := client(t, server.URL, "secret")
	data := bytes.Repeat([]byte("4:pathl3:usr3:lib"), 10_000)
	if err := c.Deposit(t.Context(), sample.Infohash, data); err != nil {
		t.Fatal(err)
	}
	if len(kept) == 0 || len(kept) > len(data)/10 {
		t.Errorf("%d bytes were sent as %d", len(data), len(kept))
	}
	got, err := c.Metainfo(t.Context(), sample.Infohash, int64(len(data)))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("got %d bytes of %d: %v", len(got), len(data), err)
	}
}

func TestMetainfoRefused(t *testing.T) {
	whole := packed(t, make([]byte, 1000))
	for name, tt := range map[string]struct {
		server string
		status int
		body   string
		want   string
	}{
		"another server":   {"nginx", 200, string(whole), "does not register torrents: it answered HTTP 200 OK"},
		"another tracker":  {"opentracker", 404, "", "does not register torrents: it answered HTTP 404 Not Found"},
		"with a reason":    {ServerHeader, 404, `{"error":"Torrent is not registered"}`, "refused: Torrent is not registered"},
		"without a reason": {ServerHeader, 500, "oh", `answered HTTP 500 Internal Server Error with "oh"`},
		"not compressed":   {ServerHeader, 200, "d4:infodee", "did not come whole"},
		"cut off":          {ServerHeader, 200, string(whole[:len(whole)-5]), "did not come whole"},
		"a byte too many":  {ServerHeader, 200, string(packed(t, make([]byte, 1001))), "it has more than 1000 bytes"},
		"a bomb":           {ServerHeader, 200, string(packed(t, make([]byte, 500_000))), "it has more than 1000 bytes"},
		"large on the way": {ServerHeader, 200, string(whole[:10]) + strings.Repeat("x", 5000), "did not come whole"},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Server", tt.server)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, tt.body)
			})
			c := client(t, server.URL, "")
			_, err := c.Metainfo(t.Context(), sample.Infohash, 1000)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if foreign := tt.server != ServerHeader; errors.Is(err, ErrNoRegistration) != foreign {
				t.Errorf("error %v: is ErrNoRegistration %v", err, !foreign)
			}
			if tt.status == 200 {
				return
			}
			if err := c.Deposit(t.Context(), sample.Infohash, []byte("d4:infodee")); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Deposit: error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestMetainfoUnreachableOrInterrupted(t *testing.T) {
	var unreachable *Unreachable
	c := client(t, closedPort(t), "")
	if _, err := c.Metainfo(t.Context(), sample.Infohash, 1000); !errors.As(err, &unreachable) {
		t.Errorf("Metainfo: error %v, want an Unreachable", err)
	}
	if err := c.Deposit(t.Context(), sample.Infohash, []byte("d4:infodee")); !errors.As(err, &unreachable) {
		t.Errorf("Deposit: error %v, want an Unreachable", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("somebody has pressed Ctrl-C")
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", ServerHeader)
		_, _ = w.Write(packed(t, make([]byte, 1000))[:12])
		_ = http.NewResponseController(w).Flush()
		cancel(over)
		<-r.Context().Done()
	})
	if _, err := client(t, server.URL, "").Metainfo(ctx, sample.Infohash, 1000); !errors.Is(err, over) {
		t.Errorf("error %v, want %v", err, over)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add(packed(f, []byte("d4:infodee")))
	f.Add(packed(f, make([]byte, 5000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 4096
		plain, err := unpack(bytes.NewReader(data), most)
		if err == nil && len(plain) > most || err != nil && plain != nil {
			t.Errorf("%d bytes and %v", len(plain), err)
		}
	})
}
