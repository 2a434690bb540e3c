package announce

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/anacrolix/torrent/bencode"
)

const (
	minInterval = time.Second
	maxInterval = 24 * time.Hour
	maxStripes  = 1 << 10
	maxSize     = 1 << 20
)

// reply is an announce response on the wire. Peers come as a string (compact) or a list of
// dictionaries, so they are read in a second step.
type reply struct {
	Failure     *string       `bencode:"failure reason"`
	Warning     string        `bencode:"warning message"`
	Interval    *int64        `bencode:"interval"`
	MinInterval int64         `bencode:"min interval"`
	Complete    int           `bencode:"complete"`
	Incomplete  int           `bencode:"incomplete"`
	Finished    int           `bencode:"finished"`
	Rank        int           `bencode:"rank"`
	Size        int           `bencode:"size"`
	Stripes     int           `bencode:"stripes"`
	Peers       bencode.Bytes `bencode:"peers"`
	Peers6      bencode.Bytes `bencode:"peers6"`
}

func parseAnnounce(body []byte) (Response, error) {
	var r reply
	if err := decode(body, &r); err != nil {
		return Response{}, err
	}
	if r.Failure != nil {
		return Response{}, failure(*r.Failure)
	}
	if r.Interval == nil {
		return Response{}, errors.New("answer has no interval")
	}
	v4, err := parsePeers(r.Peers, compact4)
	if err != nil {
		return Response{}, fmt.Errorf("read peers: %w", err)
	}
	v6, err := parsePeers(r.Peers6, compact6)
	if err != nil {
		return Response{}, fmt.Errorf("read peers6: %w", err)
	}
	response := Response{
		Interval:   seconds(*r.Interval),
		Complete:   max(r.Complete, 0),
		Incomplete: max(r.Incomplete, 0),
		Finished:   r.Finished == 1,
		Rank:       NoRank,
		Peers:      append(v4, v6...),
		Warning:    printable(r.Warning, maxReason),
	}
	if r.Stripes > 0 && r.Stripes <= maxStripes && r.Rank >= 0 && r.Rank <= r.Size && r.Size <= maxSize {
		response.Stripes, response.Rank, response.Size = r.Stripes, r.Rank-1, r.Size
	}
	if r.MinInterval > 0 {
		response.MinInterval = min(seconds(r.MinInterval), response.Interval)
	}
	return response, nil
}

// decode reads one bencoded value. Bytes behind it are let pass: some trackers end with a newline.
func decode(body []byte, v any) error {
	err := bencode.Unmarshal(body, v)
	var trailing bencode.ErrUnusedTrailingBytes
	if errors.As(err, &trailing) {
		return nil
	}
	return err
}

func failure(reason string) Failure {
	reason = printable(reason, maxReason)
	if reason == "" {
		reason = "no reason given"
	}
	return Failure{Reason: reason}
}

// seconds bounds the number first: it is foreign and may not fit into a Duration.
func seconds(n int64) time.Duration {
	n = min(max(n, int64(minInterval/time.Second)), int64(maxInterval/time.Second))
	return time.Duration(n) * time.Second
}

// parsePeers reads a list of peers in either form; width is that of one compact peer.
func parsePeers(raw bencode.Bytes, width int) ([]netip.AddrPort, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if raw[0] == 'l' {
		return parseDictionaries(raw)
	}
	var compact []byte
	if err := decode(raw, &compact); err != nil {
		return nil, err
	}
	return parseCompact(compact, width)
}

func parseDictionaries(raw bencode.Bytes) ([]netip.AddrPort, error) {
	var entries []struct {
		IP   string `bencode:"ip"`
		Port int64  `bencode:"port"`
	}
	if err := decode(raw, &entries); err != nil {
		return nil, err
	}
	var peers []netip.AddrPort
	for _, e := range entries {
		// BEP 3 allows a host name; one that a tracker sends is not worth a lookup each.
		addr, err := netip.ParseAddr(e.IP)
		if err != nil || e.Port < 1 || e.Port > 65535 {
			continue
		}
		peers = appendPeer(peers, addr, uint16(e.Port))
	}
	return peers, nil
}

func appendPeer(peers []netip.AddrPort, addr netip.Addr, port uint16) []netip.AddrPort {
	addr = addr.Unmap()
	if port == 0 || addr.IsUnspecified() || addr.IsMulticast() {
		return peers
	}
	return append(peers, netip.AddrPortFrom(addr, port))
}
