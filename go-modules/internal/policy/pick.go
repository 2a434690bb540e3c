package policy

import (
	"math/bits"
	"slices"
)

// sample bounds how many pieces are compared with each other to find the rarest.
const sample = 128

// Pick chooses up to n blocks to ask a peer for, and records them as owed by it. The order of the
// result is the order in which to ask.
func (p *Picker) Pick(id PeerID, n int) []Block {
	pr := p.peer(id)
	if pr == nil || pr.wanted == 0 || n <= 0 {
		return nil
	}
	var picked []Block
	if pr.begun > 0 && p.unasked > 0 {
		for _, o := range p.open {
			if len(picked) < n && o.owner == id && !o.early {
				picked = p.take(picked, o, id, pr, n)
			}
		}
	}
	for len(picked) < n && p.mayBegin(pr) {
		piece, turn := p.choose(id, pr)
		if piece < 0 {
			break
		}
		o := p.begin(piece, id, pr)
		o.stray = !turn
		picked = p.take(picked, o, id, pr, n)
		if !turn {
			break // one at a time, as long as others may know better
		}
	}
	if len(picked) < n && p.unasked > 0 {
		for _, o := range p.open {
			if len(picked) < n && o.unrequested > 0 && o.owner != id && pr.has.has(o.piece) && p.mayHelp(o, id) {
				picked = p.take(picked, o, id, pr, n)
			}
		}
	}
	if p.ending() && p.due(pr) == 0 {
		picked = p.again(id, pr, n)
	}
	return picked
}

// ending tells whether all there is to ask for has been asked for. In a topology that happens all
// the time, until the last pieces have come in sight.
func (p *Picker) ending() bool {
	return p.unasked == 0 && p.reach == 0 && (len(p.stripes) == 0 || p.missing == len(p.open))
}

// take moves unrequested blocks of an open piece to the picked ones.
func (p *Picker) take(picked []Block, o *opened, id PeerID, pr *peer, n int) []Block {
	for i := range o.blocks {
		if len(picked) >= n || o.unrequested == 0 {
			break
		}
		b := &o.blocks[i]
		if b.received || b.by[0] != NoPeer || b.by[1] != NoPeer {
			continue
		}
		b.by[0] = id
		o.note(id)
		o.unrequested--
		p.unasked--
		blk := Block{o.piece, i}
		pr.owes = append(pr.owes, blk)
		picked = append(picked, blk)
	}
	return picked
}

// note records that a peer was asked for blocks of a piece.
func (o *opened) note(id PeerID) {
	if !slices.Contains(o.asked, id) {
		o.asked = append(o.asked, id)
	}
}

// mayBegin tells whether a peer may be asked for a new piece. With a topology no parent may use up
// the open pieces that the others need.
func (p *Picker) mayBegin(pr *peer) bool {
	if len(p.open) >= p.cfg.MaxOpen || p.reach == 0 {
		return false
	}
	k := len(p.stripes)
	return k == 0 || pr.begun < max(1, p.cfg.MaxOpen/k)
}

// choose finds the piece to begin with a peer, or -1, and tells whether it is the peer's turn to be
// asked for it.
func (p *Picker) choose(id PeerID, pr *peer) (piece int, turn bool) {
	c := choice{best: -1, left: sample}
	if len(p.stripes) == 0 {
		p.anywhere(&c, pr)
		return c.best, true
	}
	c.left = 1
	for s := range p.stripes {
		switch {
		case p.stripes[s].feeder != id:
		case id == p.origin:
			c.only = !p.untried(pr, s)
			p.scan(&c, pr, s, 0, p.cfg.Pieces)
		default:
			if c.best < 0 {
				c.best = p.newest(pr, s)
			}
		}
	}
	if c.best >= 0 {
		return c.best, true
	}
	if (p.slow(pr) && !p.starving()) || p.due(pr) > 0 {
		return -1, false
	}
	if id == p.origin {
		if p.starving() {
			return p.reached(pr), false
		}
		return -1, false
	}
	for s := range p.stripes {
		if allowed := p.allowed(&p.stripes[s]); c.best < 0 && allowed > 0 && p.straying(s) < allowed {
			c.left = 1
			p.scan(&c, pr, s, 0, p.cfg.Pieces)
		}
	}
	return c.best, false
}

// reached finds a piece to ask the origin for when nothing comes: any that the stripes have come as far as among our neighbours,
// or else one of the next. One far ahead would not only come too early: whoever is fed by us takes it that all before it is there,
// and asks ahead for what follows it (see upcoming). It is a random one, for those who starve together are to ask for different ones.
func (p *Picker) reached(pr *peer) int {
	front := -1
	for s := range p.stripes {
		front = max(front, p.stripes[s].front)
	}
	first := p.low << 6
	c := choice{best: -1, left: 1}
	for _, to := range []int{front + 1, max(front, first) + lookahead*len(p.stripes), p.cfg.Pieces} {
		start := first + p.cfg.Rand.IntN(max(1, to-first))
		p.scan(&c, pr, -1, start, to)
		p.scan(&c, pr, -1, 0, min(start, to))
		if c.best >= 0 {
			break
		}
	}
	return c.best
}

// choice is the search for the rarest piece among the first that are looked at; of equals it takes
// the first.
type choice struct {
	best  int
	avail uint16
	left  int  // how many more are looked at
	only  bool // nobody else has it to give
}

// anywhere looks at all stripes, from a random place on, so that equals are taken in random order.
func (p *Picker) anywhere(c *choice, pr *peer) {
	if pr.top < 0 {
		return
	}
	first := p.low << 6
	start := first + p.cfg.Rand.IntN(max(1, pr.top+1-first))
	p.scan(c, pr, -1, start, p.cfg.Pieces)
	p.scan(c, pr, -1, 0, start)
}

// scan looks at the pieces of a stripe (-1: of all) from one index to before another which the
// peer has and which are not begun.
func (p *Picker) scan(c *choice, pr *peer, s, from, to int) {
	for p.low < len(p.fresh) && p.fresh[p.low] == 0 {
		p.low++
	}
	from, to = max(from, p.low<<6), min(to, pr.top+1)
	for w := from >> 6; w<<6 < to && c.left > 0; w++ {
		word := p.fresh[w] & pr.has[w]
		if word == 0 {
			continue
		}
		base := w << 6
		if base < from {
			word &= ^uint64(0) << (from - base)
		}
		if to-base < 64 {
			word &= 1<<(to-base) - 1
		}
		if s >= 0 {
			word &= p.mask(s, w)
		}
		for ; word != 0 && c.left > 0; word &= word - 1 {
			c.consider(p, base+bits.TrailingZeros64(word))
		}
	}
}

// mask has the bits of a stripe's pieces in a word of a bitset.
func (p *Picker) mask(s, w int) uint64 {
	k := len(p.stripes)
	return p.comb << ((s - (w<<6)%k + k) % k)
}

// newest returns the last piece of a stripe that a peer has and that is not begun, or -1.
func (p *Picker) newest(pr *peer, s int) int {
	for w := pr.top >> 6; w >= p.low; w-- {
		if word := p.fresh[w] & pr.has[w]; word != 0 {
			if word &= p.mask(s, w); word != 0 {
				return w<<6 + 63 - bits.LeadingZeros64(word)
			}
		}
	}
	return -1
}

func (c *choice) consider(p *Picker, piece int) {
	if c.only && p.given(piece) {
		return
	}
	c.left--
	if avail := p.avail[piece]; c.best < 0 || avail < c.avail {
		c.best, c.avail = piece, avail
	}
}

// begin opens a piece that a peer has.
func (p *Picker) begin(piece int, id PeerID, pr *peer) *opened {
	n := p.cfg.Blocks(piece)
	o := &opened{}
	if last := len(p.spare) - 1; last >= 0 {
		o, p.spare = p.spare[last], p.spare[:last]
	}
	*o = opened{
		piece: piece, owner: id, unrequested: n, unreceived: n,
		blocks: o.blocks[:0], senders: o.senders[:0], asked: append(o.asked[:0], p.former[piece]...),
	}
	delete(p.former, piece)
	for range n {
		o.blocks = append(o.blocks, blockState{by: [2]PeerID{NoPeer, NoPeer}})
	}
	p.open = append(p.open, o)
	p.byPiece[piece] = o
	p.fresh.remove(piece)
	if p.avail[piece] > 0 {
		p.reach--
	}
	p.unasked += n
	pr.begun++
	return o
}

// mayHelp tells whether a peer may be asked for blocks of a piece that another one began.
func (p *Picker) mayHelp(o *opened, id PeerID) bool {
	if !p.mayServe(o, id) {
		return false
	}
	if !p.single[o.piece] {
		return true
	}
	if o.owner != NoPeer {
		return false
	}
	if len(o.senders) > 0 {
		// Its only source left in the middle: what that one sent cannot be mixed with another's.
		p.reset(o)
	}
	o.owner = id
	p.peer(id).begun++
	return true
}

// again asks an idle peer for blocks that one other peer owes.
func (p *Picker) again(id PeerID, pr *peer, n int) []Block {
	k := len(p.stripes)
	spared := id == p.origin && k > 0 && !p.starving() // but for what it feeds us
	var picked []Block
	for _, owing := range p.order {
		if owing == pr || (k > 0 && !p.slow(owing) && !p.starving()) {
			continue
		}
		for i := len(owing.owes) - 1; i >= 0 && len(picked) < n; i-- {
			blk := owing.owes[i]
			o := p.byPiece[blk.Piece]
			if !pr.has.has(o.piece) || p.single[o.piece] || o.early || (spared && p.stripes[o.piece%k].feeder != id) {
				continue
			}
			if !sooner(pr.rate, len(picked)+1, owing.rate, i+1) {
				break
			}
			b := &o.blocks[blk.Index]
			if b.by[0] == owing.id && b.by[1] == NoPeer {
				b.by[1] = id
				o.note(id)
				picked = append(picked, blk)
			}
		}
	}
	pr.owes = append(pr.owes, picked...)
	return picked
}

// sooner tells whether a block comes much sooner as number mine of a peer with one rate than as
// number theirs of a peer with the other. A rate that was never measured counts as that of the other
// peer; if neither was, nothing is known and asking is right.
func sooner(rate float64, mine int, other float64, theirs int) bool {
	if other == unknown {
		return true
	}
	if rate == unknown {
		rate = other
	}
	return float64(theirs)*rate > 2*float64(mine)*other || (other == 0 && rate == 0)
}
