package policy

import (
	"math/bits"
	"slices"
)

// ahead is how many pieces of a stripe are asked of its feeder before it has them. Such a request waits with the
// feeder and is answered the moment the piece is verified there. Otherwise each edge of a tree would add
// the way of a have message and of a request, both behind the data in full links: with 11 peers on links of
// 100 Mbit/s that is 25 ms for each edge.
const ahead = 3

// overdueAfter is how many ticks a piece that was asked for early is left to its feeder at least: several times as long
// as what is asked for ahead lasts (see lead), for what the feeder has begun to send would come twice.
const overdueAfter = 8

// several is how many others have a piece of the last stripe that is missing here when its feeder is no longer left it.
const several = 3

// Request is a block that was asked of a peer.
type Request struct {
	Peer  PeerID
	Block Block
}

// Ahead chooses blocks of pieces that a peer is about to get: the next ones of the stripes that it feeds, which
// flow in the order of the torrent. They count as owed by it, but not in Owes before it has them. It is for
// peers that keep requests for what they do not have yet.
func (p *Picker) Ahead(id PeerID, n int) []Block {
	pr := p.peer(id)
	if pr == nil || pr.silent || id == p.origin || p.starving() {
		return nil
	}
	var picked []Block
	for s := range p.stripes {
		if p.stripes[s].feeder != id {
			continue
		}
		for early := p.asked(s, id); early < p.lead(n) && len(p.open) < p.cfg.MaxOpen; early++ {
			piece := p.upcoming(pr, s, p.late(&p.stripes[s]))
			if piece < 0 {
				break
			}
			o := p.begin(piece, id, pr)
			o.early = true
			picked = p.take(picked, o, id, pr, len(picked)+len(o.blocks))
		}
	}
	return picked
}

// lead is how many pieces of a stripe may be asked for early: at most half of those that may be open.
func (p *Picker) lead(blocks int) int {
	return max(1, min(max(ahead, blocks/p.cfg.Blocks(0)), p.cfg.MaxOpen/len(p.stripes)/2))
}

// asked counts the pieces of a stripe that a peer was asked for early.
func (p *Picker) asked(s int, id PeerID) int {
	n := 0
	for _, o := range p.open {
		if o.early && o.owner == id && o.piece%len(p.stripes) == s {
			n++
		}
	}
	return n
}

// upcoming returns the first piece of a stripe after the last one that a peer has which is not begun and not common, or -1. only:
// and that nobody has.
func (p *Picker) upcoming(pr *peer, s int, only bool) int {
	from := pr.fronts[s] + 1
	for w := from >> 6; w < len(p.fresh); w++ {
		word := p.fresh[w] & p.mask(s, w)
		if w == from>>6 {
			word &= ^uint64(0) << (from & 63)
		}
		for ; word != 0; word &= word - 1 {
			if piece := w<<6 + bits.TrailingZeros64(word); !(only && p.spread(piece)) && !p.common(piece) {
				return piece
			}
		}
	}
	return -1
}

// common tells that others could give us a piece at once while its feeder still waits for it: of several pieces that are missing all are of its
// stripe, the end of which is in sight, and several peers have it. Below a host that was too slow for the trees a stripe comes late, and then
// fills half of our link, while the uplinks of all who are complete have nothing to send: everything has been asked of the feeder. If only one or
// two have it, the stripe is about to end everywhere, and to ask others would only be out of turn.
func (p *Picker) common(piece int) bool {
	st := &p.stripes[piece%len(p.stripes)]
	return p.missing == st.missing && st.missing > slack && p.inSight(st) && p.usable[piece] >= several
}

// free takes back what was asked for early long ago if it is late and others have it by now, what others could give us at once, and everything
// when nothing comes at all: peers may even wait for each other.
func (p *Picker) free() {
	for i := len(p.open) - 1; i >= 0; i-- {
		o := p.open[i]
		o.age++
		if !o.early {
			continue
		}
		overdue := o.age >= overdueAfter && p.spread(o.piece) && p.late(&p.stripes[o.piece%len(p.stripes)])
		if overdue || (o.age > 1 && p.common(o.piece)) || p.starving() {
			p.unbegin(o)
		}
	}
}

// Revoked returns the requests that have been taken back since the last call. The peers are to be told.
func (p *Picker) Revoked() []Request {
	revoked := p.revoked
	p.revoked = nil
	return revoked
}

// revoke takes back what a peer was asked for early of a stripe; s -1 means of all.
func (p *Picker) revoke(id PeerID, s int) {
	for i := len(p.open) - 1; i >= 0; i-- {
		if o := p.open[i]; o.early && o.owner == id && (s < 0 || o.piece%len(p.stripes) == s) {
			p.unbegin(o)
		}
	}
}

// unbegin takes back all requests for a piece that was asked for early. Without any block of it, nobody has begun it.
func (p *Picker) unbegin(o *opened) {
	id := o.owner
	pr := p.peer(id)
	for i := range o.blocks {
		blk := Block{o.piece, i}
		if pr.drop(blk) {
			p.unowe(id, blk)
			p.revoked = append(p.revoked, Request{id, blk})
		}
	}
	if o.unreceived < len(o.blocks) || o.unrequested < len(o.blocks) {
		o.owner, o.early = NoPeer, false
		pr.begun--
		return
	}
	p.close(o)
	p.refresh(o.piece)
	p.former[o.piece] = slices.Clone(o.asked)
}
