package tracker

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"corvus.murder/internal/announce"
)

const (
	defaultWant   = 50
	maxWant       = 200
	maxQuery      = 4 << 10 // bytes of an announce's query
	maxBytes      = 1 << 60 // of uploaded, downloaded and left: beyond any artifact
	maxInfohashes = 100     // of one scrape
)

// announcement is one announce as it was asked, well-formed but not yet judged.
type announcement struct {
	infohash [20]byte
	peer     Peer
	event    announce.Event
	want     int
	compact  bool // peers in compact form (BEP 23)
	withIDs  bool // dictionary peers hold the peer ID
}

// refuse makes an error whose text is for the peer; other errors stay in the log.
func refuse(format string, args ...any) error {
	return announce.Failure{Reason: fmt.Sprintf(format, args...)}
}

// parseAnnounce reads the query of an announce that came from source.
func parseAnnounce(rawQuery string, source netip.Addr) (announcement, error) {
	f, err := parseFields(rawQuery, maxQuery)
	if err != nil {
		return announcement{}, err
	}
	a := announcement{
		infohash: f.identity("info_hash"),
		event:    f.event(),
		want:     int(min(f.number("numwant", defaultWant, -1, maxBytes), maxWant)),
		compact:  f.number("compact", 1, 0, 1) == 1,
		withIDs:  f.number("no_peer_id", 0, 0, 1) == 0,
	}
	if a.want < 0 { // what some clients send for "as many as you like"
		a.want = defaultWant
	}
	port := f.required("port", 1, 65535)
	a.peer = Peer{
		ID:         f.identity("peer_id"),
		Addr:       netip.AddrPortFrom(f.ip(source), uint16(port)),
		Left:       f.required("left", 0, maxBytes),
		Uploaded:   f.number("uploaded", 0, 0, maxBytes),
		Downloaded: f.number("downloaded", 0, 0, maxBytes),
	}
	a.peer.Away = int(f.number("away", 0, 0, 1<<31-1))
	a.peer.Origin = f.number("origin", 0, 0, 1) == 1
	if f.err != nil {
		return announcement{}, f.err
	}
	return a, nil
}

// parseScrape reads the infohashes of a scrape; none means all.
func parseScrape(rawQuery string) ([][20]byte, error) {
	f, err := parseFields(rawQuery, maxHeader)
	if err != nil {
		return nil, err
	}
	values := f.values["info_hash"]
	if len(values) > maxInfohashes {
		return nil, refuse("Scrape names %d infohashes; name %d at most, or none for all", len(values), maxInfohashes)
	}
	infohashes := make([][20]byte, len(values))
	for i, v := range values {
		if len(v) != 20 {
			return nil, refuse("Parameter info_hash has %d bytes; it must have 20", len(v))
		}
		copy(infohashes[i][:], v)
	}
	return infohashes, nil
}

// fields reads the parameters of a query one by one and keeps the first fault.
type fields struct {
	values url.Values
	err    error
}

func parseFields(rawQuery string, limit int) (*fields, error) {
	if len(rawQuery) > limit {
		return nil, refuse("Query has %d bytes; it may have %d", len(rawQuery), limit)
	}
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, refuse("Query is not well-formed: %s", strings.ToValidUTF8(err.Error(), "?"))
	}
	return &fields{values: values}, nil
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = refuse(format, args...)
	}
}

// one returns a parameter that must not be given twice.
func (f *fields) one(key string) (value string, given bool) {
	values := f.values[key]
	if len(values) > 1 {
		f.fail("Parameter %s is given %d times; give it once", key, len(values))
	}
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func (f *fields) identity(key string) (id [20]byte) {
	value, given := f.one(key)
	switch {
	case !given:
		f.fail("Parameter %s is missing", key)
	case len(value) != len(id):
		f.fail("Parameter %s has %d bytes; it must have %d", key, len(value), len(id))
	}
	copy(id[:], value)
	return id
}

func (f *fields) required(key string, least, most int64) int64 {
	if _, given := f.one(key); !given {
		f.fail("Parameter %s is missing", key)
	}
	return f.number(key, least, least, most)
}

func (f *fields) number(key string, missing, least, most int64) int64 {
	value, given := f.one(key)
	if !given {
		return missing
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > most {
		f.fail("Parameter %s is %.40q; it must be a number from %d to %d", key, value, least, most)
		return missing
	}
	return n
}

func (f *fields) event() announce.Event {
	value, _ := f.one("event")
	switch event := announce.Event(value); event {
	case announce.None, announce.Started, announce.Completed, announce.Stopped:
		return event
	case "paused": // BEP 21: a peer that wants no more; its "left" says what it has
		return announce.None
	}
	f.fail("Parameter event is %.40q; it must be started, completed, stopped or missing", value)
	return announce.None
}

// ip is the address other peers shall use. A peer may name it, because the tracker sees only the
// near side of a NAT; names of hosts are not looked up.
func (f *fields) ip(source netip.Addr) netip.Addr {
	value, given := f.one("ip")
	if !given || value == "" {
		return source
	}
	addr, err := netip.ParseAddr(value)
	addr = addr.Unmap()
	if err != nil || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || addr == broadcast {
		f.fail("Parameter ip is %.60q; it must be the IP address of a host, or missing", value)
		return source
	}
	return addr
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
