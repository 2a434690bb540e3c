package tracker

import (
	"bytes"
	"net/netip"
	"time"

	"corvus.murder/internal/announce"
)

// Peer is one peer of a swarm, as its last announce described it.
type Peer struct {
	ID   [20]byte
	Addr netip.AddrPort
	// Left, Uploaded and Downloaded are bytes; Left 0 makes it a seeder.
	Left, Uploaded, Downloaded int64
	// Away: it stays out of the trees, for it is too slow for them, and so many KiB a second came to it when it left them; 0: it is in them.
	Away int
	// Origin: it is the seeder of the artifact, not a peer that came with all of it.
	Origin bool
	// Seen is when it announced last.
	Seen time.Time

	rank     int           // its place in the trees, or noRank
	interval time.Duration // what it was told
	deadline time.Time     // when it counts as silent
}

// Seeder reports whether the peer has everything.
func (p *Peer) Seeder() bool { return p.Left == 0 }

// ours reports whether it is a peer of this program, which follows the topology.
func (p *Peer) ours() bool { return bytes.HasPrefix(p.ID[:], ownPrefix) }

// torrent is one registration and its swarm.
type torrent struct {
	info       announce.Torrent
	registered time.Time
	withdrawn  time.Time // zero while it may be announced
	reason     string    // of the withdrawal
	kept       int64     // bytes of its .torrent here
	expect     int       // peers that will come, 0 when unknown
	over       bool      // its deploy has left
	swarm      swarm
}

// session is what one peer ID has reported of itself. It outlives the peer, so that one that fell
// silent and came back, or announces over IPv4 and IPv6, is not counted twice.
type session struct {
	Uploaded   int64 `json:"uploaded"`
	Downloaded int64 `json:"downloaded"`
	Completed  bool  `json:"completed,omitempty"`
}

// maxTotal keeps sums of numbers that peers made up from wrapping around.
const maxTotal = 1 << 61

// swarm is everything known of the peers of one torrent. A peer is known by its address: a program
// that starts anew on the same port takes the place of the one before.
type swarm struct {
	trees    trees
	peers    []*Peer
	index    map[netip.AddrPort]int
	sessions map[identity]session

	seeders              int
	completed            int   // peers that did, or came with everything, since the last registration
	uploaded, downloaded int64 // bytes, by all sessions
}

func newSwarm(trees trees) swarm {
	return swarm{trees: trees, index: map[netip.AddrPort]int{}, sessions: map[identity]session{}}
}

// record takes in one accepted announce. maxSessions bounds what is remembered of peers that are
// gone; beyond it new ones add nothing to the totals.
func (w *swarm) record(a announcement, now time.Time, maxSessions int) {
	w.account(a, maxSessions)
	rank := noRank
	i, known := w.index[a.peer.Addr]
	same := known && w.peers[i].ID == a.peer.ID
	if a.event == announce.Stopped && !same {
		return // the farewell of a program whose port another one has by now
	}
	if same && a.event != announce.Stopped {
		rank = w.peers[i].rank
		w.peers[i].rank = noRank // which it keeps
	}
	w.remove(a.peer.Addr)
	if a.event == announce.Stopped {
		return
	}
	p := a.peer
	p.Seen = now
	w.trees.enter(&p, rank)
	w.add(&p)
	p.grant(now, interval(len(w.peers), p.Seeder()))
}

// grant tells a peer its interval and gives it so long until it counts as silent.
func (p *Peer) grant(now time.Time, interval time.Duration) {
	p.interval = interval
	p.deadline = now.Add(interval * 5 / 2)
}

func (w *swarm) account(a announcement, maxSessions int) {
	before, known := w.sessions[a.peer.ID]
	if !known && len(w.sessions) >= maxSessions {
		return
	}
	if a.event == announce.Started {
		before.Uploaded, before.Downloaded = 0, 0
	}
	w.uploaded = min(w.uploaded+max(a.peer.Uploaded-before.Uploaded, 0), maxTotal)
	w.downloaded = min(w.downloaded+max(a.peer.Downloaded-before.Downloaded, 0), maxTotal)
	after := session{Uploaded: a.peer.Uploaded, Downloaded: a.peer.Downloaded, Completed: before.Completed}
	// Whoever has everything when it starts says nothing of having completed (BEP 3), and yet is one of those that are expected; so is
	// one that needs no daemon for that, and only takes its leave.
	whole := !known && (a.event == announce.Started || a.event == announce.Stopped) && a.peer.ours() && !a.peer.Origin
	if (whole || a.event == announce.Completed) && a.peer.Seeder() && !before.Completed {
		w.completed++
		after.Completed = true
	}
	w.sessions[a.peer.ID] = after
}

func (w *swarm) add(p *Peer) {
	w.index[p.Addr] = len(w.peers)
	w.peers = append(w.peers, p)
	if p.Seeder() {
		w.seeders++
	}
}

// remove drops a peer, if there is one, and moves the last one into its place.
func (w *swarm) remove(addr netip.AddrPort) {
	i, ok := w.index[addr]
	if !ok {
		return
	}
	if w.peers[i].Seeder() {
		w.seeders--
	}
	w.trees.leave(w.peers[i])
	last := len(w.peers) - 1
	w.peers[i] = w.peers[last]
	w.index[w.peers[i].Addr] = i
	w.peers[last] = nil
	w.peers = w.peers[:last]
	delete(w.index, addr)
}

// expire drops the peers that fell silent and says how many they were.
func (w *swarm) expire(now time.Time) int {
	n := 0
	for i := len(w.peers) - 1; i >= 0; i-- {
		if now.After(w.peers[i].deadline) {
			w.remove(w.peers[i].Addr)
			n++
		}
	}
	return n
}

// disband forgets the peers and keeps the totals.
func (w *swarm) disband() {
	for _, p := range w.peers {
		w.trees.leave(p)
	}
	w.peers, w.seeders = nil, 0
	clear(w.index)
	clear(w.sessions)
}
