package tracker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"corvus.murder/internal/announce"
	"github.com/anacrolix/torrent/bencode"
)

var samplePath = fmt.Sprintf("/torrents/%x", sample.Infohash)

// reason is the failure reason of a bencoded answer, empty when it is no failure.
func reason(t *testing.T, body []byte) string {
	t.Helper()
	var failure failureReply
	if err := bencode.Unmarshal(body, &failure); err != nil {
		t.Fatalf("answer %q: %v", body, err)
	}
	return failure.Reason
}

func TestFailureReasonsOverHTTP(t *testing.T) {
	r := registered(t, Config{})
	for _, tt := range []struct{ target, want string }{
		{"/announce?" + announceQuery("left"), "Parameter left is missing"},
		{"/announce?" + announceQuery("info_hash=aaaaaaaaaaaaaaaaaaaa"), "Torrent " + strings.Repeat("61", 20) + " is not registered with this tracker"},
		{"/scrape?info_hash=x", "Parameter info_hash has 1 bytes; it must have 20"},
	} {
		w := r.ask("GET", tt.target, "")
		if got := reason(t, w.Body.Bytes()); w.Code != 200 || !strings.HasPrefix(got, tt.want) {
			t.Errorf("GET %s: status %d, reason %q, want %q", tt.target, w.Code, got, tt.want)
		}
	}
}

func TestAllow(t *testing.T) {
	r := registered(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/32")}})
	const want = "Address 10.9.9.9 may not use this tracker; add its network to the tracker's option allow"
	for _, target := range []string{"/announce?" + announceQuery(), "/scrape"} {
		w := r.ask("GET", target, "")
		if got := reason(t, w.Body.Bytes()); w.Code != 200 || got != want {
			t.Errorf("GET %s: status %d, reason %q", target, w.Code, got)
		}
	}
	for _, target := range []string{"/", "/status.json", "/nothing"} {
		w := r.ask("GET", target, "")
		if w.Code != 403 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("GET %s: status %d, body %q", target, w.Code, w.Body)
		}
	}
	if w := r.ask("PUT", samplePath, "{}"); w.Code != 403 {
		t.Errorf("PUT: status %d", w.Code)
	}
	for address, want := range map[string]bool{"10.1.255.255": true, "10.2.0.0": false, "2001:db8::5": true, "2001:db9::": false} {
		if r.allowed(netip.MustParseAddr(address)) != want {
			t.Errorf("allowed(%s) is not %v", address, want)
		}
	}
	if !registered(t, Config{}).allowed(netip.MustParseAddr("192.0.2.1")) {
		t.Error("without networks everybody must be allowed")
	}
}

func TestToken(t *testing.T) {
	r := registered(t, Config{Token: "secret"})
	const want = "Token is missing or wrong; give the token of the tracker"
	for _, tt := range []struct {
		query  string
		header []string
		ok     bool
	}{
		{"", nil, false},
		{"&token=secret", nil, true},
		{"&token=secre", nil, false},
		{"", []string{"Authorization", "Bearer secret"}, true},
		{"", []string{"Authorization", "bearer secret"}, true},
		{"", []string{"Authorization", "Bearer wrong"}, false},
		{"", []string{"Authorization", "Basic secret"}, false},
	} {
		w := r.ask("GET", "/announce?"+announceQuery()+tt.query, "", tt.header...)
		if got := reason(t, w.Body.Bytes()); (got == "") != tt.ok || !tt.ok && got != want {
			t.Errorf("announce with %q %v: reason %q", tt.query, tt.header, got)
		}
		w = r.ask("DELETE", samplePath+"?"+tt.query, "{}", tt.header...)
		if (w.Code == 204) != tt.ok || !tt.ok && (w.Code != 401 || !strings.Contains(w.Body.String(), want)) {
			t.Errorf("DELETE with %q %v: status %d, %s", tt.query, tt.header, w.Code, w.Body)
		}
		if err := r.register(sample); err != nil {
			t.Fatal(err)
		}
	}
	infohash := fmt.Sprintf("%x", sample.Infohash)
	for _, target := range []string{"/", "/status.json"} {
		w := r.ask("GET", target, "")
		if body := w.Body.String(); w.Code != 200 || strings.Contains(body, "secret") || strings.Contains(body, infohash) || !strings.Contains(body, sample.Name) {
			t.Errorf("GET %s: status %d, or it shows token or infohash: %s", target, w.Code, body)
		}
		if w := r.ask("GET", target, "", "Authorization", "Bearer secret"); !strings.Contains(w.Body.String(), infohash) {
			t.Errorf("GET %s with the token shows no infohash: %s", target, w.Body)
		}
	}
	if got := reason(t, r.ask("GET", "/scrape", "").Body.Bytes()); got != want {
		t.Errorf("scrape without the token: reason %q", got)
	}
	if got := reason(t, r.ask("GET", "/scrape?token=secret", "").Body.Bytes()); got != "" {
		t.Errorf("scrape with the token: reason %q", got)
	}
}

func TestRegistrationOverHTTP(t *testing.T) {
	body := `{"name":"artifact","size":1000,"piece_length":16,"pieces":63}`
	r := newRig(t, Config{})
	r.limits.torrents = 1
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "/torrents/abc", body, 400, "Infohash \\\"abc\\\" is not 40 hex digits"},
		{"PUT", samplePath, "", 400, "Body is not the JSON that was expected: EOF"},
		{"PUT", samplePath, `{"size":"big"}`, 400, "Body is not the JSON that was expected"},
		{"PUT", samplePath, `{"name":"` + strings.Repeat("x", maxBody) + `"}`, 413, "Body has more than 65536 bytes"},
		{"PUT", samplePath, `{"name":"artifact","size":1000,"piece_length":16,"pieces":62}`, 400, "pieces is 62; 1000 bytes in pieces of 16 bytes make 63"},
		{"DELETE", samplePath, `{}`, 404, "is not registered with this tracker"},
		{"PUT", samplePath, body, 204, ""},
		{"PUT", samplePath, body, 204, ""},
		{"PUT", samplePath, `{"name":"other","size":1000,"piece_length":16,"pieces":63}`, 409, `is registered as \"artifact\" of 1000 bytes`},
		{"PUT", "/torrents/" + strings.Repeat("12", 20), body, 507, "Tracker holds 1 torrents, which is the most it takes; withdraw one first"},
		{"DELETE", samplePath, `{"reason":"` + strings.Repeat("x", announce.MaxReason+1) + `"}`, 400, "Reason has 401 bytes; it may have 400"},
		{"DELETE", samplePath, `{"reason":"over"}`, 204, ""},
		{"PUT", samplePath, body, 204, ""},
		{"DELETE", samplePath, `{}`, 204, ""},
		{"PUT", "/torrents/" + strings.Repeat("12", 20), body, 204, ""},
		{"DELETE", samplePath, `{}`, 404, "is not registered"},
		{"POST", samplePath, body, 405, ""},
		{"POST", "/announce", "", 405, ""},
		{"GET", "/favicon.ico", "", 404, ""},
	} {
		w := r.ask(tt.method, tt.path, tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s %.40s: status %d %s, want %d %s", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status, tt.want)
		}
		if got := w.Header().Get("Server"); got != announce.ServerHeader {
			t.Errorf("%s %s: Server is %q", tt.method, tt.path, got)
		}
	}
}

func TestEmptyAnnounceExplainsItself(t *testing.T) {
	w := registered(t, Config{Token: "secret"}).ask("GET", "/announce", "")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "announce URL of a BitTorrent tracker") || !strings.Contains(w.Body.String(), "/status.json") {
		t.Errorf("status %d, body %q", w.Code, w.Body)
	}
}

func TestStatus(t *testing.T) {
	r := newRig(t, Config{Expect: 12})
	evil := announce.Torrent{Infohash: sample.Infohash, Name: `<script>alert("x")</script>`, Size: 1000, PieceLength: 16, Pieces: 63}
	if w := r.ask("GET", "/", ""); !strings.Contains(w.Body.String(), "No torrent is registered") {
		t.Errorf("page without torrents: %s", w.Body)
	}
	if err := r.register(evil); err != nil {
		t.Fatal(err)
	}
	r.mustDecide(t, peer(1, 0, announce.Started))
	leecher := peer(2, 250, announce.None)
	leecher.peer.Uploaded, leecher.peer.Downloaded = 3<<20, 750
	r.mustDecide(t, leecher)

	w := r.ask("GET", "/", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("status %d, header %v", w.Code, w.Header())
	}
	page := w.Body.String()
	for _, want := range []string{
		"&lt;script&gt;alert(", fmt.Sprintf("%x", sample.Infohash), "1 seeders, 1 leechers, 0 completed", "12 peers expected",
		"<td>10.0.0.2:10000</td><td>25.0 %</td><td>3.0 MiB</td><td>750 B</td><td>0s ago</td>", `http-equiv="refresh"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("page lacks %s:\n%s", want, page)
		}
	}
	if strings.Contains(page, "<script") {
		t.Errorf("page holds a script:\n%s", page)
	}
	if err := r.withdraw(sample.Infohash, "<b>over</b>"); err != nil {
		t.Fatal(err)
	}
	if page := r.ask("GET", "/", "").Body.String(); !strings.Contains(page, "withdrawn: &lt;b&gt;over") {
		t.Errorf("page does not tell of the withdrawal:\n%s", page)
	}
}

func TestStatusJSON(t *testing.T) {
	r := registered(t, Config{Expect: 12})
	leecher := peer(2, 250, announce.None)
	leecher.peer.Uploaded, leecher.peer.Downloaded = 5, 750
	r.mustDecide(t, leecher)
	var status Status
	if err := json.Unmarshal(r.ask("GET", "/status.json", "").Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if status.Expect != 12 || status.Announces != 1 || status.Uploaded != 5 || len(status.Torrents) != 1 || len(status.Torrents[0].Peers) != 1 {
		t.Fatalf("status %+v", status)
	}
	want := PeerStatus{ID: "32" + strings.Repeat("0", 38), Address: "10.0.0.2:10000", Left: 250, LeftPercent: 25, Uploaded: 5, Downloaded: 750, LastSeen: r.clock.Now()}
	if got := status.Torrents[0].Peers[0]; got != want {
		t.Errorf("peer %+v, want %+v", got, want)
	}
}

func TestPageShowsAThousandPeers(t *testing.T) {
	r := registered(t, Config{})
	for n := range shownPeers + 3 {
		r.mustDecide(t, peer(n, 1, announce.Started))
	}
	page := r.ask("GET", "/", "").Body.String()
	if rows := strings.Count(page, "<tr><td>"); rows != shownPeers || !strings.Contains(page, "3 more peers are in status.json") {
		t.Errorf("page has %d rows", rows)
	}
}

func TestReadable(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 56 << 20: "56.0 MiB", 500 << 30: "500.0 GiB", 1 << 60: "1.0 EiB"} {
		if got := readable(n); got != want {
			t.Errorf("readable(%d) = %s, want %s", n, got, want)
		}
	}
}
