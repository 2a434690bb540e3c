package announce

import (
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
)

const forms = `write it as host:port, [IPv6]:port or http://host:port/announce`

// parseBase turns what an operator writes for a tracker into its announce URL.
func parseBase(base string) (*url.URL, error) {
	shown, _, _ := strings.Cut(base, "?")
	raw := base
	if !strings.Contains(base, "://") {
		if _, _, err := net.SplitHostPort(base); err != nil {
			return nil, fmt.Errorf("Tracker %q is not an address with a port; %s", shown, forms)
		}
		raw = "http://" + base
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("Tracker %q is not a valid URL; %s", shown, forms)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("Tracker %q has the scheme %q, but only http and https are supported; %s", shown, u.Scheme, forms)
	case u.User != nil:
		return nil, fmt.Errorf("Tracker at %s holds a user name, which is not supported; use the option token", u.Host)
	case u.Hostname() == "":
		return nil, fmt.Errorf("Tracker %q names no host; %s", shown, forms)
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return nil, fmt.Errorf("Tracker %q has the port %q, which is not 1 to 65535; %s", shown, port, forms)
		}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/announce"
	}
	u.Fragment = ""
	return u, nil
}

// scrapeURL follows BEP 48: the last element of the path must begin with "announce".
func scrapeURL(announce *url.URL) (*url.URL, error) {
	dir, last := path.Split(announce.Path)
	rest, ok := strings.CutPrefix(last, "announce")
	if !ok {
		return nil, fmt.Errorf("Tracker at %s %w: the last part of its path %s does not begin with announce", announce.Host, ErrNoScrape, announce.Path)
	}
	u := *announce
	u.Path, u.RawPath = dir+"scrape"+rest, ""
	return &u, nil
}

// sibling is the URL of a resource beside the announce URL, with its query.
func sibling(announce *url.URL, elem ...string) *url.URL {
	u := *announce
	u.Path, u.RawPath = path.Join(append([]string{path.Dir(u.Path)}, elem...)...), ""
	return &u
}

// query collects parameters behind those that the announce URL holds already.
type query struct {
	strings.Builder
}

func newQuery(u *url.URL) *query {
	q := &query{}
	q.WriteString(u.RawQuery)
	return q
}

// add escapes a space as %20: trackers such as opentracker take "+" for a plus.
func (q *query) add(key, value string) {
	if q.Len() > 0 {
		q.WriteByte('&')
	}
	q.WriteString(key)
	q.WriteByte('=')
	q.WriteString(strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
}

func (q *query) addInt(key string, value int64) { q.add(key, strconv.FormatInt(value, 10)) }
