package tracker

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"corvus.murder/internal/announce"
)

var from = netip.MustParseAddr("10.9.9.9")

func TestParseAnnounce(t *testing.T) {
	base := announcement{infohash: sample.Infohash, want: 50, compact: true, withIDs: true}
	base.peer = Peer{Addr: netip.MustParseAddrPort("10.9.9.9:10000"), Left: 1000}
	copy(base.peer.ID[:], strings.Repeat("p", 20))
	for _, tt := range []struct {
		change string
		edit   func(*announcement)
	}{
		{"unknown=x", func(*announcement) {}},
		{"event=", func(*announcement) {}},
		{"event=started", func(a *announcement) { a.event = announce.Started }},
		{"event=completed", func(a *announcement) { a.event = announce.Completed }},
		{"event=stopped", func(a *announcement) { a.event = announce.Stopped }},
		{"event=paused", func(*announcement) {}},
		{"numwant=0", func(a *announcement) { a.want = 0 }},
		{"away=11500", func(a *announcement) { a.peer.Away = 11500 }},
		{"origin=1", func(a *announcement) { a.peer.Origin = true }},
		{"numwant=7", func(a *announcement) { a.want = 7 }},
		{"numwant=-1", func(*announcement) {}},
		{"numwant=100000", func(a *announcement) { a.want = 200 }},
		{"compact=0", func(a *announcement) { a.compact = false }},
		{"no_peer_id=1", func(a *announcement) { a.withIDs = false }},
		{"ip=", func(*announcement) {}},
		{"ip=192.0.2.1", func(a *announcement) { a.peer.Addr = netip.MustParseAddrPort("192.0.2.1:10000") }},
		{"ip=2001:db8::1", func(a *announcement) { a.peer.Addr = netip.MustParseAddrPort("[2001:db8::1]:10000") }},
		{"ip=::ffff:192.0.2.1", func(a *announcement) { a.peer.Addr = netip.MustParseAddrPort("192.0.2.1:10000") }},
		{"port=65535", func(a *announcement) { a.peer.Addr = netip.AddrPortFrom(from, 65535) }},
		{"left=0", func(a *announcement) { a.peer.Left = 0 }},
		{"uploaded", func(*announcement) {}},
		{"uploaded=5", func(a *announcement) { a.peer.Uploaded = 5 }},
		{"downloaded=6", func(a *announcement) { a.peer.Downloaded = 6 }},
	} {
		want := base
		tt.edit(&want)
		got, err := parseAnnounce(announceQuery(tt.change), from)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.change, got, err, want)
		}
	}
}

func TestParseAnnounceRefused(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{announceQuery("info_hash"), "Parameter info_hash is missing"},
		{announceQuery("info_hash=short"), "Parameter info_hash has 5 bytes; it must have 20"},
		{announceQuery() + "&info_hash=x", "Parameter info_hash is given 2 times; give it once"},
		{announceQuery("peer_id"), "Parameter peer_id is missing"},
		{announceQuery("peer_id=" + strings.Repeat("p", 21)), "Parameter peer_id has 21 bytes; it must have 20"},
		{announceQuery("port"), "Parameter port is missing"},
		{announceQuery("port=0"), `Parameter port is "0"; it must be a number from 1 to 65535`},
		{announceQuery("port=65536"), `Parameter port is "65536"; it must be a number from 1 to 65535`},
		{announceQuery("port=ssh"), `Parameter port is "ssh"; it must be a number from 1 to 65535`},
		{announceQuery("port="), `Parameter port is ""; it must be a number from 1 to 65535`},
		{announceQuery("left"), "Parameter left is missing"},
		{announceQuery("left=-1"), `Parameter left is "-1"; it must be a number from 0 to 1152921504606846976`},
		{announceQuery("left=99999999999999999999"), `Parameter left is "99999999999999999999"; it must be a number`},
		{announceQuery("uploaded=x"), `Parameter uploaded is "x"; it must be a number`},
		{announceQuery("downloaded=1.5"), `Parameter downloaded is "1.5"; it must be a number`},
		{announceQuery("numwant=many"), `Parameter numwant is "many"; it must be a number from -1 to`},
		{announceQuery("compact=2"), `Parameter compact is "2"; it must be a number from 0 to 1`},
		{announceQuery("no_peer_id=yes"), `Parameter no_peer_id is "yes"; it must be a number from 0 to 1`},
		{announceQuery("event=begun"), `Parameter event is "begun"; it must be started, completed, stopped or missing`},
		{announceQuery() + "&port=1", "Parameter port is given 2 times; give it once"},
		{announceQuery("ip=host.example"), `Parameter ip is "host.example"; it must be the IP address of a host, or missing`},
		{announceQuery("ip=0.0.0.0"), `Parameter ip is "0.0.0.0"`},
		{announceQuery("ip=::"), `Parameter ip is "::"`},
		{announceQuery("ip=224.0.0.1"), `Parameter ip is "224.0.0.1"`},
		{announceQuery("ip=255.255.255.255"), `Parameter ip is "255.255.255.255"`},
		{announceQuery("ip=fe80::1%eth0"), `Parameter ip is "fe80::1%eth0"`},
		{announceQuery("port=" + strings.Repeat("9", 100)), `Parameter port is "` + strings.Repeat("9", 40) + `";`},
		{"info_hash=%zz", "Query is not well-formed: invalid URL escape"},
		{"info_hash=\xff%zz", "Query is not well-formed"},
		{"a;b", "Query is not well-formed"},
		{announceQuery("x=" + strings.Repeat("y", maxQuery)), "bytes; it may have 4096"},
	} {
		_, err := parseAnnounce(tt.query, from)
		var failure announce.Failure
		if !errors.As(err, &failure) {
			t.Errorf("%s: error %v is not for the peer", tt.query, err)
			continue
		}
		if !strings.Contains(failure.Reason, tt.want) {
			t.Errorf("%s: reason %q, want %q", tt.query, failure.Reason, tt.want)
		}
	}
}

func TestParseScrapeRefused(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"info_hash=short", "Parameter info_hash has 5 bytes; it must have 20"},
		{"info_hash=%zz", "Query is not well-formed"},
		{strings.Repeat("info_hash=12345678901234567890&", 101), "Scrape names 101 infohashes; name 100 at most, or none for all"},
		{strings.Repeat("x", maxHeader+1), "Query has 16385 bytes; it may have 16384"},
	} {
		if _, err := parseScrape(tt.query); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40s: error %v, want %q", tt.query, err, tt.want)
		}
	}
}

func FuzzParseAnnounce(f *testing.F) {
	f.Add(announceQuery())
	f.Add(announceQuery("ip=2001:db8::1", "event=stopped", "numwant=-1", "compact=0"))
	f.Add("info_hash=%zz;&&=")
	f.Fuzz(func(t *testing.T, query string) {
		_, _ = parseScrape(query)
		a, err := parseAnnounce(query, from)
		if err != nil {
			var failure announce.Failure
			if !errors.As(err, &failure) || failure.Reason == "" {
				t.Errorf("error %v is not for the peer", err)
			}
			return
		}
		p := a.peer
		if !p.Addr.IsValid() || p.Addr.Port() == 0 || p.Addr.Addr().Is4In6() || p.Addr.Addr().IsUnspecified() || p.Addr.Addr().Zone() != "" ||
			!within(maxBytes, p.Left, p.Uploaded, p.Downloaded) || !within(maxWant, int64(a.want)) {
			t.Errorf("accepted %+v", a)
		}
	})
}
