package announce

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ErrNoRegistration says that a tracker answers, but knows nothing of registering torrents: it is not
// this project's tracker. A seeder can go on and announce there.
var ErrNoRegistration = errors.New("does not register torrents")

// ErrNoScrape says that the announce URL names no scrape URL by the rule of BEP 48.
var ErrNoScrape = errors.New("has no scrape URL")

// Failure is a tracker's own refusal: the "failure reason" of BEP 3, or the error of a registration.
// Its text is printable and short, whatever the tracker sent.
type Failure struct {
	Reason string
}

func (f Failure) Error() string { return f.Reason }

// Unreachable says that no answer came from the tracker's address.
type Unreachable struct {
	URL string // without query, which may hold a secret
	Err error
}

func (u *Unreachable) Error() string {
	return fmt.Sprintf("Tracker %s is not reachable (%v); check that it runs, that host and port are right "+
		"and that no firewall is in the way", u.URL, u.Err)
}

func (u *Unreachable) Unwrap() error { return u.Err }

// NotTracker says that something answered, but not as a tracker does.
type NotTracker struct {
	URL    string // without query, which may hold a secret
	Status string // HTTP status line, such as "404 Not Found"
	Body   string // its first bytes, printable
	Err    error  // what is wrong with the body, nil when the status says it all
}

func (n *NotTracker) Error() string {
	detail := ""
	if n.Err != nil {
		detail = fmt.Sprintf(" (%v)", n.Err)
	}
	return fmt.Sprintf("%s is not a BitTorrent tracker: it answered HTTP %s with %q%s; check the tracker's address and port",
		n.URL, n.Status, n.Body, detail)
}

func (n *NotTracker) Unwrap() error { return n.Err }

// printable makes foreign text fit for a terminal, a log and a JSON line.
func printable(s string, limit int) string {
	short := s[:min(len(s), limit)]
	short = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(short, "?"))
	return strings.TrimSpace(short)
}
