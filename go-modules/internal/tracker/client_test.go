package tracker

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corvus.murder/internal/announce"
	"github.com/anacrolix/torrent/bencode"
)

// request is the n-th announce of many different peers of sample.
func request(n int, left int64, event announce.Event) announce.Request {
	a := peer(n, left, event)
	return announce.Request{
		Infohash: a.infohash, PeerID: a.peer.ID, IP: a.peer.Addr.Addr().String(), Port: int(a.peer.Addr.Port()), Left: left, Event: event,
	}
}

func TestClientAndTracker(t *testing.T) {
	r := newRig(t, Config{Token: "secret"})
	c := start(t, r, "secret")
	ctx := t.Context()
	var failure announce.Failure

	_, err := c.Announce(ctx, request(1, 0, announce.Started))
	if !errors.As(err, &failure) || !strings.Contains(failure.Reason, "is not registered with this tracker") {
		t.Errorf("announce before registration: %v", err)
	}
	if err := c.Register(ctx, sample); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Announce(ctx, request(1, 0, announce.Started)); err != nil {
		t.Fatal(err)
	}
	six := request(2, 9, announce.Started)
	six.IP = "2001:db8::2"
	if _, err := c.Announce(ctx, six); err != nil {
		t.Fatal(err)
	}
	got, err := c.Announce(ctx, request(3, 9, announce.Started))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:10000"), netip.MustParseAddrPort("[2001:db8::2]:10000")}
	if !slices.Equal(got.Peers, want) || got.Interval != 5*time.Second || got.MinInterval != 2*time.Second || got.Complete != 1 || got.Incomplete != 2 {
		t.Errorf("response %+v, want peers %v", got, want)
	}
	nobody := request(3, 9, announce.None)
	nobody.NumWant = -1
	if got, err := c.Announce(ctx, nobody); err != nil || len(got.Peers) != 0 {
		t.Errorf("asked for no peers, got %v, %v", got.Peers, err)
	}
	seen := request(4, 9, announce.Started)
	seen.IP = ""
	if _, err := c.Announce(ctx, seen); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.swarm(t).Peers, func(p PeerStatus) bool { return p.Address == "127.0.0.1:10000" }) {
		t.Errorf("the source of the connection is not among %v", r.swarm(t).Peers)
	}
	if err := c.Withdraw(ctx, sample.Infohash, "the deploy is over"); err != nil {
		t.Fatal(err)
	}
	_, err = c.Announce(ctx, request(3, 9, announce.None))
	if !errors.As(err, &failure) || failure.Reason != fmt.Sprintf("Torrent %x was withdrawn: the deploy is over", sample.Infohash) {
		t.Errorf("announce after the withdrawal: %v", err)
	}
	if err := c.Withdraw(ctx, [20]byte{1}, ""); !errors.As(err, &failure) || !strings.Contains(failure.Reason, "is not registered") {
		t.Errorf("withdrawal of a stranger: %v", err)
	}
}

func TestClientWithWrongToken(t *testing.T) {
	c := start(t, registered(t, Config{Token: "secret"}), "guess")
	var failure announce.Failure
	for what, err := range map[string]error{
		"announce": func() error { _, err := c.Announce(t.Context(), request(1, 0, announce.None)); return err }(),
		"register": c.Register(t.Context(), sample),
		"withdraw": c.Withdraw(t.Context(), sample.Infohash, ""),
	} {
		if !errors.As(err, &failure) || !strings.Contains(failure.Reason, "Token is missing or wrong") || strings.Contains(err.Error(), "guess") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The contract of an answer: whatever form and family are asked for, announce and scrape tell the same.
func TestFormsTellTheSame(t *testing.T) {
	for _, source := range []string{"10.9.9.9", "2001:db8::99"} {
		for _, form := range []string{"compact=1", "compact=0", "compact=0&no_peer_id=1", ""} {
			t.Run(source+" "+form, func(t *testing.T) {
				r := registered(t, Config{})
				r.mustDecide(t, peer(1, 0, announce.Started))
				six := peer(2, 5, announce.Started)
				six.peer.Addr = netip.MustParseAddrPort("[2001:db8::2]:10002")
				r.mustDecide(t, six)
				r.mustDecide(t, peer(3, 0, announce.Completed))

				w := httptest.NewRecorder()
				ask := httptest.NewRequest("GET", "/announce?"+announceQuery()+"&"+form, nil)
				ask.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(source), 4000).String()
				r.Handler().ServeHTTP(w, ask)
				checkForm(t, w.Body.Bytes(), form)

				self := netip.AddrPortFrom(netip.MustParseAddr(source), 10000).String()
				if !slices.ContainsFunc(r.swarm(t).Peers, func(p PeerStatus) bool { return p.Address == self }) {
					t.Errorf("%s is not in the swarm", self)
				}
				checkScrapes(t, r)
			})
		}
	}
}

// checkForm reads an answer strictly by its form: three peers, one of them IPv6, and four in all.
func checkForm(t *testing.T, body []byte, form string) {
	t.Helper()
	var raw struct {
		Complete   int    `bencode:"complete"`
		Incomplete int    `bencode:"incomplete"`
		Peers      any    `bencode:"peers"`
		Peers6     string `bencode:"peers6"`
	}
	if err := bencode.Unmarshal(body, &raw); err != nil {
		t.Fatalf("answer %q: %v", body, err)
	}
	if raw.Complete != 2 || raw.Incomplete != 2 {
		t.Errorf("%d complete, %d incomplete; want 2 and 2", raw.Complete, raw.Incomplete)
	}
	var got []string
	if list, ok := raw.Peers.([]any); ok != strings.Contains(form, "compact=0") {
		t.Fatalf("peers are a list: %v", ok)
	} else if !ok {
		v4 := raw.Peers.(string)
		for ; len(v4) >= 6; v4 = v4[6:] {
			got = append(got, netip.AddrPortFrom(netip.AddrFrom4([4]byte([]byte(v4[:4]))), uint16(v4[4])<<8|uint16(v4[5])).String())
		}
		v6 := raw.Peers6
		for ; len(v6) >= 18; v6 = v6[18:] {
			got = append(got, netip.AddrPortFrom(netip.AddrFrom16([16]byte([]byte(v6[:16]))), uint16(v6[16])<<8|uint16(v6[17])).String())
		}
	} else {
		for _, one := range list {
			dict := one.(map[string]any)
			got = append(got, netip.AddrPortFrom(netip.MustParseAddr(dict["ip"].(string)), uint16(dict["port"].(int64))).String())
			if _, has := dict["peer id"]; has == strings.Contains(form, "no_peer_id=1") {
				t.Errorf("peer ID is there: %v", has)
			}
		}
	}
	slices.Sort(got)
	if want := []string{"10.0.0.1:10000", "10.0.0.3:10000", "[2001:db8::2]:10002"}; !slices.Equal(got, want) {
		t.Errorf("peers %v, want %v", got, want)
	}
}

func checkScrapes(t *testing.T, r *rig) {
	t.Helper()
	want := announce.Counts{Complete: 2, Downloaded: 1, Incomplete: 2}
	c := start(t, r, "")
	one, err := c.Scrape(t.Context(), sample.Infohash, [20]byte{1})
	if err != nil || len(one) != 1 || one[sample.Infohash] != want {
		t.Errorf("scrape of one: %v, %v", one, err)
	}
	all, err := c.Scrape(t.Context())
	if err != nil || len(all) != 1 || all[sample.Infohash] != want {
		t.Errorf("scrape of all: %v, %v", all, err)
	}
	none, err := c.Scrape(t.Context(), [20]byte{1})
	if err != nil || len(none) != 0 {
		t.Errorf("scrape of a stranger: %v, %v", none, err)
	}
}

func TestFiveHundredPeersAtOnce(t *testing.T) {
	const peers, width = 500, 64
	r := newRig(t, Config{StateDir: t.TempDir()})
	r.period = time.Millisecond
	c := start(t, r, "")
	if err := c.Register(t.Context(), sample); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, width)
	for n := range peers {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			events := []announce.Event{announce.Started, announce.None, announce.Completed}
			if n%2 == 1 {
				events = append(events, announce.Stopped)
			}
			for i, event := range events {
				q := request(n, max(2-int64(i), 0), event)
				q.Uploaded = int64(min(i, 2)) * 10
				got, err := c.Announce(t.Context(), q)
				if err != nil {
					t.Errorf("peer %d, %s: %v", n, event, err)
					return
				}
				self := netip.AddrPortFrom(netip.MustParseAddr(q.IP), uint16(q.Port))
				if len(got.Peers) > defaultWant || slices.Contains(got.Peers, self) {
					t.Errorf("peer %d got %d peers, or itself", n, len(got.Peers))
				}
			}
			_ = r.Status()
		})
	}
	wg.Wait()
	got := r.swarm(t)
	if got.Seeders != peers/2 || got.Leechers != 0 || got.Completed != peers || got.Uploaded != peers*20 || len(got.Peers) != peers/2 {
		t.Errorf("%d seeders, %d leechers, %d completed, %d bytes, %d peers", got.Seeders, got.Leechers, got.Completed, got.Uploaded, len(got.Peers))
	}
}
