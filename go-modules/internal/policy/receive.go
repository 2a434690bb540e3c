package policy

import "slices"

// Receipt is what became of a block that a peer sent.
type Receipt struct {
	// Wanted: the block was missing; its data must be kept. A block that comes late, from a peer
	// that was released meanwhile, is as good as any; one of a piece that its sender was never asked for is not:
	// whoever could put made-up blocks among those of others would spoil every piece, and nobody would know who it was.
	Wanted bool
	// Cancel names the other peer that still owes the same block, or NoPeer.
	Cancel PeerID
	// Whole: this was the last block of its piece, which must now be verified.
	Whole bool
}

// Received records that a peer sent a block.
func (p *Picker) Received(id PeerID, blk Block) Receipt {
	r := Receipt{Cancel: NoPeer}
	pr := p.peer(id)
	if pr == nil {
		return r
	}
	pr.silent = false
	p.weigh(pr)
	o := p.byPiece[blk.Piece]
	if o == nil || blk.Index < 0 || blk.Index >= len(o.blocks) {
		return r
	}
	p.PeerHas(id, blk.Piece) // its have message may be on the way
	b := &o.blocks[blk.Index]
	owed := pr.drop(blk)
	if b.received || (!owed && (p.single[blk.Piece] || !slices.Contains(o.asked, id))) {
		return r
	}
	if b.by[0] == NoPeer {
		o.unrequested--
		p.unasked--
	}
	for _, other := range b.by {
		if other != id && other != NoPeer {
			r.Cancel = other
			p.peer(other).drop(blk)
		}
	}
	b.received = true
	b.by = [2]PeerID{NoPeer, NoPeer}
	o.unreceived--
	if !slices.Contains(o.senders, id) {
		o.senders = append(o.senders, id)
	}
	if !p.slow(pr) {
		p.doubt(pr, false)
	}
	p.flowing = true
	if k := len(p.stripes); k == 0 {
		p.quiet = 0
	} else {
		st := &p.stripes[blk.Piece%k]
		st.got++
		if !pr.origin || st.feeder == id {
			p.quiet = 0 // else it is only there because nothing else comes, and goes on until something does
		}
	}
	r.Wanted, r.Whole = true, o.unreceived == 0
	return r
}

// drop takes a block out of what a peer owes, and tells whether it was there.
func (pr *peer) drop(blk Block) bool {
	i := slices.Index(pr.owes, blk) // usually the first: peers answer in order
	if i < 0 {
		return false
	}
	pr.owes = slices.Delete(pr.owes, i, i+1)
	return true
}

// Senders names the peers that sent blocks of an open piece.
func (p *Picker) Senders(piece int) []PeerID {
	if o := p.byPiece[piece]; o != nil {
		return slices.Clone(o.senders)
	}
	return nil
}

// Verified records the outcome of hashing a whole piece. A piece that failed is missing again; if
// several peers had sent parts of it, it is fetched from one peer only from now on.
func (p *Picker) Verified(piece int, ok bool) {
	o := p.byPiece[piece]
	if o == nil {
		return
	}
	p.close(o)
	if !ok {
		p.refresh(piece)
		if len(o.senders) > 1 {
			p.single[piece] = true
		}
		return
	}
	p.have.add(piece)
	p.missing--
	p.got++
	if k := len(p.stripes); k > 0 {
		p.stripes[piece%k].missing--
	}
	delete(p.single, piece)
	for _, pr := range p.order {
		if pr.has.has(piece) {
			pr.wanted--
		}
	}
}

// close ends the work on a piece.
func (p *Picker) close(o *opened) {
	delete(p.byPiece, o.piece)
	i := slices.Index(p.open, o)
	p.open = slices.Delete(p.open, i, i+1)
	p.spare = append(p.spare, o)
	p.unasked -= o.unrequested
	if owner := p.peer(o.owner); owner != nil {
		owner.begun--
	}
}

// refresh makes a piece one that nobody has begun.
func (p *Picker) refresh(piece int) {
	p.fresh.add(piece)
	p.low = min(p.low, piece>>6)
	if p.avail[piece] > 0 {
		p.reach++
	}
}

// reset makes an open piece as new.
func (p *Picker) reset(o *opened) {
	for i := range o.blocks {
		b := &o.blocks[i]
		for _, id := range b.by {
			if pr := p.peer(id); pr != nil {
				pr.drop(Block{o.piece, i})
			}
		}
		*b = blockState{by: [2]PeerID{NoPeer, NoPeer}}
	}
	p.unasked += len(o.blocks) - o.unrequested
	o.unrequested, o.unreceived = len(o.blocks), len(o.blocks)
	o.senders = o.senders[:0]
}

// Release frees everything that a peer owes, so that others can be asked: it choked us, it is too
// slow, or it is gone.
func (p *Picker) Release(id PeerID) {
	pr := p.peer(id)
	if pr == nil {
		return
	}
	p.revoke(id, -1)
	for _, blk := range pr.owes {
		p.unowe(id, blk)
	}
	pr.owes, pr.begun = pr.owes[:0], 0
	for _, o := range p.open {
		if o.owner == id {
			o.owner = NoPeer
		}
	}
}

// withdraw is Release of a peer that would still send what it was asked for: all of that is taken back.
func (p *Picker) withdraw(pr *peer) {
	p.revoke(pr.id, -1)
	for _, blk := range pr.owes {
		p.revoked = append(p.revoked, Request{pr.id, blk})
	}
	p.Release(pr.id)
}

// FellSilent says that a peer has owed blocks for long and sends none. What it was asked for is freed and taken back: when it
// goes on it would send what has come from others by then.
func (p *Picker) FellSilent(id PeerID) {
	if pr := p.peer(id); pr != nil {
		p.withdraw(pr)
		pr.silent = true
		p.doubt(pr, true)
	}
}

// Silent tells whether a peer has sent nothing since it fell silent. Asked for one block it shows that it goes on as well as
// when asked for many.
func (p *Picker) Silent(id PeerID) bool {
	pr := p.peer(id)
	return pr != nil && pr.silent
}

// Rejected frees one block that a peer will not send (BEP 6 reject).
func (p *Picker) Rejected(id PeerID, blk Block) {
	pr := p.peer(id)
	if pr == nil || !pr.drop(blk) {
		return
	}
	p.unowe(id, blk)
	if pr.has.has(blk.Piece) {
		p.doubt(pr, true)
	}
	if o := p.byPiece[blk.Piece]; o != nil && o.early && o.owner == id {
		p.unbegin(o)
	}
}

// unowe takes a peer out of the record of who owes a block.
func (p *Picker) unowe(id PeerID, blk Block) {
	o := p.byPiece[blk.Piece]
	if o == nil {
		return
	}
	b := &o.blocks[blk.Index]
	switch id {
	case b.by[0]:
		b.by[0], b.by[1] = b.by[1], NoPeer
	case b.by[1]:
		b.by[1] = NoPeer
	default:
		return
	}
	if !b.received && b.by[0] == NoPeer {
		o.unrequested++
		p.unasked++
	}
}
