package announce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// serve starts an HTTP server that answers every request with handler.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

const empty = "d8:intervali5e5:peers0:e"

func TestAnnounceSendsEverything(t *testing.T) {
	var got *http.Request
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		fmt.Fprint(w, empty)
	})
	request := Request{IP: "2001:db8::1", Port: 10000, Uploaded: 1, Downloaded: 2, Left: 3, Event: Started, NumWant: 7}
	request.Away, request.Origin = 11500, true
	for i := range request.Infohash {
		request.Infohash[i], request.PeerID[i] = byte(i*13), byte(255-i)
	}
	request.Infohash[0], request.Infohash[1] = ' ', '+'
	if _, err := client(t, server.URL+"/announce?passkey=p", "secret").Announce(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"info_hash": string(request.Infohash[:]), "peer_id": string(request.PeerID[:]), "port": "10000", "uploaded": "1", "downloaded": "2",
		"left": "3", "compact": "1", "ip": "2001:db8::1", "event": "started", "numwant": "7", "passkey": "p", "away": "11500",
		"origin": "1",
	} {
		if v := got.URL.Query().Get(key); v != want {
			t.Errorf("%s is %q, want %q", key, v, want)
		}
	}
	if strings.Contains(got.URL.RawQuery, "+") {
		t.Errorf("query %s holds a plus for a space", got.URL.RawQuery)
	}
	if h := got.Header.Get("Authorization"); h != "Bearer secret" {
		t.Errorf("Authorization is %q", h)
	}
}

func TestAnnounceLeavesDefaultsToTracker(t *testing.T) {
	var keys []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for _, key := range []string{"event", "ip", "numwant", "away", "origin"} {
			if r.URL.Query().Has(key) {
				keys = append(keys, key)
			}
		}
		fmt.Fprint(w, empty)
	})
	if _, err := client(t, server.URL, "").Announce(t.Context(), Request{Port: 1}); err != nil {
		t.Fatal(err)
	}
	if len(keys) > 0 {
		t.Errorf("sent %v without need", keys)
	}
}

func TestNotATracker(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    []string
	}{
		{"page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>\x07") }, []string{"is not a BitTorrent tracker", "200 OK", `"<html>"`, "check the tracker's address"}},
		{"not found", http.NotFound, []string{"is not a BitTorrent tracker", "404 Not Found", `"404 page not found"`}},
		{"answer with a wrong status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); fmt.Fprint(w, empty) }, []string{"503 Service Unavailable"}},
		{"nothing", func(http.ResponseWriter, *http.Request) {}, []string{`with ""`, "EOF"}},
		{"too much", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxBody+1)) }, []string{"more than 1048576 bytes"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := serve(t, tt.handler)
			_, err := client(t, server.URL+"/announce?token=secret", "").Announce(t.Context(), Request{Port: 1})
			var not *NotTracker
			if !errors.As(err, &not) {
				t.Fatalf("error %v, want a NotTracker", err)
			}
			for _, want := range append(tt.want, server.URL+"/announce ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q shows the token", err)
			}
		})
	}
}

func TestFailureReason(t *testing.T) {
	for _, status := range []int{200, 400, 403} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, "d14:failure reason6:closede")
		})
		_, err := client(t, server.URL, "").Announce(t.Context(), Request{Port: 1})
		var f Failure
		if !errors.As(err, &f) || f.Reason != "closed" {
			t.Errorf("status %d: error %v, want the failure reason", status, err)
		}
		if want := "Tracker " + server.URL + "/announce refused: closed"; err.Error() != want {
			t.Errorf("message %q, want %q", err, want)
		}
	}
}

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func TestUnreachable(t *testing.T) {
	base := closedPort(t)
	_, err := client(t, "http://"+base+"/announce?token=secret", "").Announce(t.Context(), Request{Port: 1})
	var unreachable *Unreachable
	if !errors.As(err, &unreachable) {
		t.Fatalf("error %v, want an Unreachable", err)
	}
	for _, want := range []string{"Tracker http://" + base + "/announce is not reachable", "connection refused", "firewall"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("%q shows the token", err)
	}
}

func TestConnectionCut(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	_, err := client(t, server.URL, "").Announce(t.Context(), Request{Port: 1})
	var unreachable *Unreachable
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("error %v, want an Unreachable by EOF", err)
	}
}

func TestContextEndsAnnounce(t *testing.T) {
	asked := make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err := client(t, server.URL, "").Announce(ctx, Request{Port: 1})
	var unreachable *Unreachable
	if !errors.Is(err, context.Canceled) || errors.As(err, &unreachable) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestRedirectsAreBounded(t *testing.T) {
	asked := 0
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "/announce", http.StatusFound)
	})
	_, err := client(t, server.URL, "").Announce(t.Context(), Request{Port: 1})
	if err == nil || !strings.Contains(err.Error(), "redirected more than 3 times") || asked != 4 {
		t.Errorf("error %v after %d requests", err, asked)
	}
}

func TestLocalAddress(t *testing.T) {
	var from string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from = r.RemoteAddr
		fmt.Fprint(w, empty)
	})
	c, err := New(server.URL, "", netip.MustParseAddr("127.0.0.9"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Announce(t.Context(), Request{Port: 1}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(from, "127.0.0.9:") {
		t.Errorf("connected from %s", from)
	}
}

// The tracker's address cannot be reached from the local one, so only a proxy could answer.
func TestNoProxyFromEnvironment(t *testing.T) {
	proxied := false
	proxy := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		proxied = true
		fmt.Fprint(w, empty)
	})
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	c, err := New("192.0.2.1:8998", "", netip.MustParseAddr("127.0.0.9"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = c.Announce(ctx, Request{Port: 1})
	if err == nil || proxied {
		t.Errorf("error %v, proxied %v", err, proxied)
	}
}

func TestScrapeAsks(t *testing.T) {
	one, two := [20]byte{1}, [20]byte{2}
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/scrape" || len(r.URL.Query()["info_hash"]) != 2 {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, "d5:filesd20:%sd8:completei1e10:downloadedi2e10:incompletei3eeee", one[:])
	})
	counts, err := client(t, server.URL, "").Scrape(t.Context(), one, two)
	if err != nil {
		t.Fatal(err)
	}
	if len(counts) != 1 || counts[one] != (Counts{Complete: 1, Downloaded: 2, Incomplete: 3}) {
		t.Errorf("counts %v", counts)
	}
}
