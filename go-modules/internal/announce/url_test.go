package announce

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestBases(t *testing.T) {
	for _, tt := range []struct{ base, want string }{
		{"tracker:8998", "http://tracker:8998/announce"},
		{"10.0.0.1:8998", "http://10.0.0.1:8998/announce"},
		{"[::1]:8998", "http://[::1]:8998/announce"},
		{"http://tracker:8998", "http://tracker:8998/announce"},
		{"http://tracker:8998/", "http://tracker:8998/announce"},
		{"http://tracker/announce", "http://tracker/announce"},
		{"https://tracker/x/announce.php?passkey=ab%20c#top", "https://tracker/x/announce.php?passkey=ab%20c"},
	} {
		u, err := parseBase(tt.base)
		if err != nil {
			t.Errorf("parseBase(%q): %v", tt.base, err)
			continue
		}
		if u.String() != tt.want {
			t.Errorf("parseBase(%q) = %s, want %s", tt.base, u, tt.want)
		}
	}
}

func TestBasesRefused(t *testing.T) {
	for _, tt := range []struct{ base, want string }{
		{"", `Tracker "" is not an address with a port`},
		{"tracker", `Tracker "tracker" is not an address with a port; write it as host:port`},
		{"::1", `is not an address with a port; write it as host:port, [IPv6]:port`},
		{":8998", `names no host`},
		{"tracker:0", `has the port "0", which is not 1 to 65535`},
		{"tracker:65536", `has the port "65536"`},
		{"tracker:", `has the port ""`},
		{"tracker:http", `is not a valid URL`},
		{"udp://tracker:80", `has the scheme "udp", but only http and https are supported`},
		{"http://me:secret@tracker/announce", `Tracker at tracker holds a user name`},
		{"http://trac ker/announce?token=secret", `Tracker "http://trac ker/announce" is not a valid URL`},
	} {
		_, err := New(tt.base, "", netip.Addr{})
		if err == nil {
			t.Errorf("New(%q) gave no error", tt.base)
			continue
		}
		if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%q): %v, want %s", tt.base, err, tt.want)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("New(%q) shows a secret: %v", tt.base, err)
		}
	}
}

func TestURLHidesQuery(t *testing.T) {
	if got := client(t, "http://tracker:1/announce?token=secret", "").URL(); got != "http://tracker:1/announce" {
		t.Errorf("URL() = %s", got)
	}
}

// The examples are those of BEP 48.
func TestScrapeURL(t *testing.T) {
	for _, tt := range []struct{ announce, want string }{
		{"http://example.com/announce", "http://example.com/scrape"},
		{"http://example.com/x/announce", "http://example.com/x/scrape"},
		{"http://example.com/announce.php", "http://example.com/scrape.php"},
		{"http://example.com/announce?x2%0644", "http://example.com/scrape?x2%0644"},
		{"http://example.com/a", ""},
		{"http://example.com/x/announce/y", ""},
	} {
		u, err := url.Parse(tt.announce)
		if err != nil {
			t.Fatal(err)
		}
		got, err := scrapeURL(u)
		if tt.want == "" {
			if !errors.Is(err, ErrNoScrape) {
				t.Errorf("scrapeURL(%s) = %v, %v, want ErrNoScrape", tt.announce, got, err)
			}
			continue
		}
		if err != nil || got.String() != tt.want {
			t.Errorf("scrapeURL(%s) = %v, %v, want %s", tt.announce, got, err, tt.want)
		}
	}
}
