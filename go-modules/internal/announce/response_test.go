package announce

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func addrs(list ...string) []netip.AddrPort {
	var peers []netip.AddrPort
	for _, s := range list {
		peers = append(peers, netip.MustParseAddrPort(s))
	}
	return peers
}

func TestParseAnnounce(t *testing.T) {
	const six = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x1f\x90"
	for _, tt := range []struct {
		name, body string
		want       Response
	}{
		{"no peers", "d8:intervali5e5:peers0:e", Response{Interval: 5 * time.Second}},
		{"compact", "d8:completei1e10:incompletei2e8:intervali5e12:min intervali2e5:peers12:\x7f\x00\x00\x01\x27\x10\x0a\x00\x00\x02\x27\x11e",
			Response{Interval: 5 * time.Second, MinInterval: 2 * time.Second, Complete: 1, Incomplete: 2, Peers: addrs("127.0.0.1:10000", "10.0.0.2:10001")}},
		{"compact with peers6", "d8:intervali5e5:peers6:\x7f\x00\x00\x01\x27\x106:peers618:" + six + "e",
			Response{Interval: 5 * time.Second, Peers: addrs("127.0.0.1:10000", "[2001:db8::7]:8080")}},
		{"dictionaries of both families", "d8:intervali5e5:peersld2:ip9:127.0.0.17:peer id20:aaaaaaaaaaaaaaaaaaaa4:porti10000eed2:ip11:2001:db8::74:porti8080eeee",
			Response{Interval: 5 * time.Second, Peers: addrs("127.0.0.1:10000", "[2001:db8::7]:8080")}},
		{"mapped IPv4 is IPv4", "d8:intervali5e5:peersld2:ip16:::ffff:127.0.0.14:porti1eeee", Response{Interval: 5 * time.Second, Peers: addrs("127.0.0.1:1")}},
		{"nobody can connect to these", "d8:intervali5e5:peersld2:ip7:0.0.0.04:porti1eed2:ip9:224.0.0.14:porti1eed2:ip9:127.0.0.14:porti0eed2:ip9:127.0.0.14:porti70000eed2:ip9:localhost4:porti1eeee",
			Response{Interval: 5 * time.Second}},
		{"unknown keys and a newline behind", "d8:intervali5e4:newsd1:al1:beee\n", Response{Interval: 5 * time.Second}},
		{"interval bounded below", "d8:intervali-7e12:min intervali9ee", Response{Interval: time.Second, MinInterval: time.Second}},
		{"interval bounded above", "d8:intervali9223372036854775807ee", Response{Interval: 24 * time.Hour}},
		{"negative numbers", "d8:completei-1e10:incompletei-2e8:intervali5ee", Response{Interval: 5 * time.Second}},
		{"warning", "d8:intervali5e15:warning message7:old \x1b[me", Response{Interval: 5 * time.Second, Warning: "old  [m"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseAnnounce([]byte(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Peers, tt.want.Peers) {
				t.Errorf("peers %v, want %v", got.Peers, tt.want.Peers)
			}
			got.Peers, tt.want.Peers = nil, nil
			if got.Interval != tt.want.Interval || got.MinInterval != tt.want.MinInterval || got.Complete != tt.want.Complete ||
				got.Incomplete != tt.want.Incomplete || got.Warning != tt.want.Warning {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestParseAnnounceRefused(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"empty", "", "EOF"},
		{"page", "<html>", "syntax error"},
		{"no dictionary", "i5e", "can't unmarshal"},
		{"no interval", "d5:peers0:e", "answer has no interval"},
		{"cut", "d8:intervali5e5:peers12:\x7f\x00", "EOF"},
		{"odd peers", "d8:intervali5e5:peers7:1234567e", "7 bytes are no multiple of 6"},
		{"odd peers6", "d8:intervali5e6:peers66:123456e", "6 bytes are no multiple of 18"},
		{"peers are a number", "d8:intervali5e5:peersi5ee", "can't unmarshal"},
		{"nested too deep", "d8:intervali5e1:x" + strings.Repeat("l", 1000) + strings.Repeat("e", 1001), "nesting depth"},
		{"huge string", "d8:intervali5e5:peers99999999999:", "exceeds limit"},
		{"huge number", "d8:intervali99999999999999999999ee", "out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseAnnounce([]byte(tt.body)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestFailureReasonIsPrintable(t *testing.T) {
	for reason, want := range map[string]string{
		"not registered":          "not registered",
		"a\x00b\x1b[2Jc\xff":      "a b [2Jc?",
		"":                        "no reason given",
		strings.Repeat("x", 1000): strings.Repeat("x", maxReason),
	} {
		if got := failure(reason).Reason; got != want {
			t.Errorf("failure(%q) = %q, want %q", reason, got, want)
		}
	}
	_, err := parseAnnounce([]byte("d14:failure reason6:closede"))
	var f Failure
	if !errors.As(err, &f) || f.Reason != "closed" {
		t.Errorf("error %v, want the failure reason", err)
	}
}

func TestCompactRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.SampledFrom([]int{compact4, compact6}).Draw(t, "width")
		var peers []netip.AddrPort
		var wire []byte
		for range rapid.IntRange(0, 20).Draw(t, "peers") {
			raw := rapid.SliceOfN(rapid.Byte(), width-2, width-2).Draw(t, "address")
			raw[0] = 0x20 // neither unspecified nor multicast nor mapped
			addr, _ := netip.AddrFromSlice(raw)
			peer := netip.AddrPortFrom(addr, rapid.Uint16Range(1, 65535).Draw(t, "port"))
			peers = append(peers, peer)
			wire = AppendCompact(wire, peer)
		}
		got, err := parseCompact(wire, width)
		if err != nil || !slices.Equal(got, peers) {
			t.Fatalf("got %v, %v, want %v", got, err, peers)
		}
	})
}

func FuzzParseAnnounce(f *testing.F) {
	f.Add([]byte("d8:completei1e8:intervali5e5:peers6:\x7f\x00\x00\x01\x27\x10e"))
	f.Add([]byte("d8:intervali5e5:peersld2:ip9:127.0.0.14:porti1eee6:peers618:aaaaaaaaaaaaaaaaaae"))
	f.Add([]byte("d14:failure reason6:closede"))
	f.Add([]byte("d5:filesd20:aaaaaaaaaaaaaaaaaaaad8:completei1eeee"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := parseScrape(body); err != nil && err.Error() == "" {
			t.Error("scrape error without a text")
		}
		r, err := parseAnnounce(body)
		if err != nil {
			return
		}
		if r.Interval < minInterval || r.Interval > maxInterval || r.MinInterval < 0 || r.MinInterval > r.Interval {
			t.Errorf("intervals %v and %v", r.Interval, r.MinInterval)
		}
		for _, p := range r.Peers {
			if !p.IsValid() || p.Port() == 0 || p.Addr().Is4In6() || p.Addr().IsUnspecified() {
				t.Errorf("peer %v", p)
			}
		}
	})
}
