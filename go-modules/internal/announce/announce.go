// Package announce is a client of HTTP trackers: it tells a tracker that a peer is there and learns
// of other peers (BEP 3, compact form of BEP 23, IPv6 of BEP 7), asks for the numbers of a swarm
// (scrape, BEP 48), and registers torrents with this project's own tracker. It works with any HTTP
// tracker; the types that both ends of the wire share live here, so that the tracker reads what this
// client writes.
//
// It imports no internal package.
package announce

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Event says why a peer announces (BEP 3, key "event").
type Event string

// The events of BEP 3. None is the announce that repeats at the tracker's interval.
const (
	None      Event = ""
	Started   Event = "started"
	Completed Event = "completed"
	Stopped   Event = "stopped"
)

// Request is one announce of one peer for one torrent.
type Request struct {
	Infohash [20]byte
	PeerID   [20]byte
	// IP is the address other peers shall use, an IP literal; empty means the address the tracker sees.
	IP string
	// Port is where the peer accepts connections.
	Port int
	// Uploaded and Downloaded are bytes since the peer's Started event, Left the bytes still to get.
	Uploaded, Downloaded, Left int64
	Event                      Event
	// NumWant is how many peers are wanted; 0 leaves it to the tracker, a negative number means none.
	NumWant int
	// Away tells this project's tracker that the peer stays out of the trees, for it is too slow for them, and how many KiB a second came to
	// it when it left them; 0: it is in them.
	Away int
	// Origin tells this project's tracker that the peer is the seeder of the artifact, not one that came with all of it.
	Origin bool
}

// NoRank is the rank of a peer without a place in the trees.
const NoRank = -1

// Response is the tracker's answer to an announce.
type Response struct {
	// Interval is the time until the next announce, between a second and a day whatever the tracker
	// said. MinInterval is the least time between two announces, 0 when the tracker named none.
	Interval, MinInterval time.Duration
	// Complete and Incomplete are the numbers of seeders and leechers, 0 when not told.
	Complete, Incomplete int
	// Peers are the peers to connect to, IPv4 and IPv6, without entries nobody can connect to.
	Peers []netip.AddrPort
	// Finished is set by this project's tracker when every peer that it expects has completed: nobody
	// needs to be seeded any more.
	Finished bool
	// Stripes is the number of trees that this project's tracker lays over a swarm, 0 where there are none.
	// Rank is the peer's own place in them, NoRank for the seeder; Size is the number of ranks in use.
	Stripes, Rank, Size int
	// Warning is the tracker's "warning message", empty when there was none.
	Warning string
}

// Counts are the numbers of one swarm, as a scrape tells them (BEP 48).
type Counts struct {
	Complete   int `bencode:"complete"`   // seeders
	Downloaded int `bencode:"downloaded"` // peers that ever completed
	Incomplete int `bencode:"incomplete"` // leechers
}

// Torrent is what a seeder tells this project's tracker when it registers a torrent.
type Torrent struct {
	Infohash    [20]byte `json:"-"`
	Name        string   `json:"name"`
	Size        int64    `json:"size"`         // bytes
	PieceLength int64    `json:"piece_length"` // bytes
	Pieces      int64    `json:"pieces"`
}

const maxName = 1024

// Validate joins every fault of the description.
func (t Torrent) Validate() error {
	var faults []error
	if t.Name == "" || len(t.Name) > maxName {
		faults = append(faults, fmt.Errorf("name has %d bytes; it must have 1 to %d", len(t.Name), maxName))
	}
	if t.Size < 0 {
		faults = append(faults, fmt.Errorf("size is %d; it must not be negative", t.Size))
	}
	if t.PieceLength <= 0 {
		faults = append(faults, fmt.Errorf("piece_length is %d; it must be positive", t.PieceLength))
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	want := t.Size / t.PieceLength
	if t.Size%t.PieceLength != 0 {
		want++
	}
	if t.Pieces != want {
		return fmt.Errorf("pieces is %d; %d bytes in pieces of %d bytes make %d", t.Pieces, t.Size, t.PieceLength, want)
	}
	return nil
}
