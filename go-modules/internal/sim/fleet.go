package sim

import (
	"time"

	"corvus.murder/internal/policy"
	"corvus.murder/internal/tracker/topology"
)

// soonest is how soon the tracker may be asked again by who lacks a feeder.
const soonest = time.Second

// settling is how long those whom the tracker is about to name count as present, as in the engine.
const settling = 2 * time.Second

// announce sends an announce; the answer comes a round trip later.
func (w *world) announce(n *node) {
	w.at(w.now+2*int64(w.cfg.Latency), event{kind: evAnnounce, node: n})
}

// announced is the tracker's decision and the peer's acting on it.
func (w *world) announced(n *node) {
	if !n.here {
		return
	}
	first := !n.ranked
	if first {
		n.ranked = true
		n.rank = w.ranks.Take()
		for len(w.byRank) <= n.rank {
			w.byRank = append(w.byRank, nil)
		}
		w.byRank[n.rank] = n
		w.joined = append(w.joined, n)
	}
	if n.lost {
		n.lost = false
	} else {
		w.at(w.now+int64(w.cfg.Announce), event{kind: evAnnounce, node: n})
	}
	if n.complete {
		return
	}
	n.seen = max(n.seen, w.ranks.Size())
	for _, other := range w.chosen(n, first) {
		if n.connectedTo(other) == nil && !n.dialing[other.rank] {
			n.dialing[other.rank] = true
			w.at(w.now+4*int64(w.cfg.Latency), event{kind: evConnect, node: n, other: other})
		}
	}
	w.arrange(n)
}

// chosen are the peers that the tracker names.
func (w *world) chosen(n *node, first bool) []*node {
	var list []*node
	if w.cfg.Mesh == 0 {
		shape := topology.Shape{Stripes: w.shape.Stripes, Peers: w.ranks.Size()}
		present := func(r int) bool { return w.ranks.Present(r) && !w.byRank[r].away }
		ranks := shape.Neighbours(n.rank, present)
		if n.outside() {
			ranks = append(ranks, shape.Outside(n.aside(), present, aside(w.joined))...)
		}
		for _, r := range ranks {
			if r == topology.Seeder {
				list = append(list, w.seeder)
			} else {
				list = append(list, w.byRank[r])
			}
		}
		return list
	}
	if !first && len(n.conns) >= w.cfg.Mesh/2 {
		return nil
	}
	list = append(list, w.seeder)
	for _, i := range w.rng.Perm(len(w.joined)) {
		if w.joined[i] != n && len(list) < w.cfg.Mesh {
			list = append(list, w.joined[i])
		}
	}
	return list
}

func (n *node) connectedTo(other *node) *conn {
	for _, c := range n.conns {
		if c.peer == other {
			return c
		}
	}
	return nil
}

// connect makes a connection; both ends tell each other what they have, which takes a latency.
func (w *world) connect(n, other *node) {
	delete(n.dialing, other.rank)
	if !n.here || !other.here || n.connectedTo(other) != nil {
		return
	}
	a := &conn{serial: w.conns, me: n, peer: other, place: -1, depth: w.cfg.MinDepth, gotBlock: w.now}
	b := &conn{serial: w.conns + 1, me: other, peer: n, place: -1, depth: w.cfg.MinDepth, gotBlock: w.now, back: a}
	a.back = b
	w.conns += 2
	for _, c := range []*conn{a, b} {
		c.me.conns = append(c.me.conns, c)
		c.id = policy.PeerID(len(c.me.byID))
		c.me.byID = append(c.me.byID, c)
		c.me.seen = max(c.me.seen, c.peer.rank+1)
	}
	for _, c := range []*conn{a, b} {
		if !c.me.complete {
			w.greeted(c)
		}
	}
}

// greeted takes the handshake of a peer.
func (w *world) greeted(c *conn) {
	p := c.me.picker
	p.AddPeer(c.id)
	p.SetChoked(c.id, false)
	if c.peer == w.seeder {
		p.SetOrigin(c.id)
	}
	for i := range w.cfg.Pieces {
		if c.peer.complete || c.peer.picker.Have(i) {
			p.PeerHas(c.id, i)
		}
	}
	p.Met(c.id)
	w.arrange(c.me)
	w.askAll(c.me, 0)
}

// arrange finds a host's parents among the peers it is connected to. Those that it is connecting to count as
// present, so that at the beginning not everybody takes the seeder for its parent.
func (w *world) arrange(n *node) {
	if w.cfg.Mesh > 0 || n.complete {
		return
	}
	ids, away := map[int]policy.PeerID{}, map[int]bool{}
	var peers []*node
	for _, c := range n.conns {
		peers = append(peers, c.peer)
		ids[c.peer.rank], away[c.peer.rank] = c.id, c.peer.away
	}
	connected := func(r int) bool { _, ok := ids[r]; return ok && !away[r] }
	here := func(r int) bool { return connected(r) || n.dialing[r] }
	shape := topology.Shape{Stripes: w.shape.Stripes, Peers: n.seen}
	outside := aside(peers)
	if n.outside() {
		soon := w.now-n.stepped < int64(settling)
		there := func(r int) bool { return here(r) || (soon && !away[r]) }
		for s, r := range shape.Outside(n.aside(), there, outside) {
			if id, ok := ids[r]; ok && r != topology.Seeder {
				n.picker.SetParents(s, shape.Level(s, r)+1, id)
			}
		}
		w.revoke(n)
		return
	}
	view := topology.View{Present: here, Connected: connected, Early: true, Aside: len(outside) > 0}
	for s, ranks := range shape.Choices(n.rank, view) {
		var known []policy.PeerID
		for _, r := range ranks {
			known = append(known, ids[r])
		}
		n.picker.SetParents(s, shape.Level(s, n.rank), known...)
	}
	w.revoke(n)
	if len(outside) > 0 && !n.lost {
		for _, feeders := range shape.Feeders(n.rank, func(r int) bool { return !away[r] }) {
			if !here(feeders[0]) {
				n.lost = true
				w.at(w.now+int64(soonest), event{kind: evMissing, node: n})
				return
			}
		}
	}
}

// leave makes a host fall silent.
func (w *world) leave(n *node) {
	n.here = false
	for _, c := range n.conns {
		w.hush(c)
		w.hush(c.back)
	}
	w.at(w.now+int64(w.cfg.Detect), event{kind: evGone, node: n})
}

// hush drops what a connection would send.
func (w *world) hush(c *conn) {
	c.extras, c.held, c.until = nil, nil, 0
	if len(c.queue) > 0 {
		c.queue, c.extra = c.queue[:0], 0
		w.fallSilent(c)
	}
}

// gone is when peers and tracker notice that a host has left.
func (w *world) gone(n *node) {
	if n.ranked {
		w.ranks.Free(n.rank)
		w.byRank[n.rank] = nil
		for i, other := range w.joined {
			if other == n {
				w.joined[i] = w.joined[len(w.joined)-1]
				w.joined = w.joined[:len(w.joined)-1]
				break
			}
		}
	}
	for _, c := range n.conns {
		p := c.peer
		if !p.here {
			continue
		}
		p.conns = without(p.conns, c.back)
		if p.complete {
			continue
		}
		p.picker.RemovePeer(c.back.id)
		w.arrange(p)
		w.askAll(p, 0)
	}
	n.conns = nil
}

// aside is what a host that stays out of the trees tells of itself.
func (n *node) aside() topology.Aside {
	return topology.Aside{Rank: n.rank, Rate: int(n.picker.Before(8))}
}

// aside are those of some hosts who stay out of the trees.
func aside(nodes []*node) (found []topology.Aside) {
	for _, n := range nodes {
		if n.away && !n.complete {
			found = append(found, n.aside())
		}
	}
	return found
}
