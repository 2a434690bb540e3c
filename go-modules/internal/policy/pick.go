package policy

// Pick chooses up to n blocks to ask a peer for, and records them as owed by it. The order of the
// result is the order in which to ask.
func (p *Picker) Pick(id PeerID, n int) []Block {
	pr := p.peers[id]
	if pr == nil || p.missing == 0 || n <= 0 {
		return nil
	}
	var picked []Block
	for _, o := range p.open {
		if len(picked) < n && o.owner == id {
			picked = p.take(picked, o, id, pr, n)
		}
	}
	for len(picked) < n && len(p.open) < p.cfg.MaxOpen {
		o := p.begin(id, pr)
		if o == nil {
			break
		}
		picked = p.take(picked, o, id, pr, n)
	}
	for _, o := range p.open {
		if len(picked) < n && o.owner != id && pr.has[o.piece] && p.mayHelp(o, id) {
			picked = p.take(picked, o, id, pr, n)
		}
	}
	if len(picked) == 0 && len(pr.owes) == 0 && p.allRequested() {
		picked = p.again(id, pr, n)
	}
	return picked
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
		o.unrequested--
		blk := Block{o.piece, i}
		pr.owes[blk] = struct{}{}
		picked = append(picked, blk)
	}
	return picked
}

// begin opens the rarest missing piece that the peer has, random among equals.
func (p *Picker) begin(id PeerID, pr *peer) *opened {
	best, ties := -1, 0
	for i, has := range pr.has {
		if !has || p.have[i] || p.byPiece[i] != nil {
			continue
		}
		switch {
		case best < 0 || p.avail[i] < p.avail[best]:
			best, ties = i, 1
		case p.avail[i] == p.avail[best]:
			ties++
			if p.cfg.Rand.IntN(ties) == 0 {
				best = i
			}
		}
	}
	if best < 0 {
		return nil
	}
	n := p.cfg.Blocks(best)
	o := &opened{
		piece:       best,
		owner:       id,
		blocks:      make([]blockState, n),
		unrequested: n,
		unreceived:  n,
		senders:     make(map[PeerID]struct{}),
	}
	for i := range o.blocks {
		o.blocks[i].by = [2]PeerID{NoPeer, NoPeer}
	}
	p.open = append(p.open, o)
	p.byPiece[best] = o
	return o
}

// mayHelp tells whether a peer may be asked for blocks of a piece that another one began.
func (p *Picker) mayHelp(o *opened, id PeerID) bool {
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
	return true
}

// reset makes an open piece as new.
func (p *Picker) reset(o *opened) {
	for i := range o.blocks {
		b := &o.blocks[i]
		for _, id := range b.by {
			if pr := p.peers[id]; pr != nil {
				delete(pr.owes, Block{o.piece, i})
			}
		}
		*b = blockState{by: [2]PeerID{NoPeer, NoPeer}}
	}
	o.unrequested, o.unreceived = len(o.blocks), len(o.blocks)
	clear(o.senders)
}

// allRequested tells whether every block of every missing piece was received or asked for, or
// cannot be asked for because no peer has it.
func (p *Picker) allRequested() bool {
	for _, o := range p.open {
		if o.unrequested > 0 {
			return false
		}
	}
	if len(p.open) >= p.cfg.MaxOpen {
		return false
	}
	for i, have := range p.have {
		if !have && p.byPiece[i] == nil && p.avail[i] > 0 {
			return false
		}
	}
	return true
}

// again asks an idle peer for blocks that one other peer owes.
func (p *Picker) again(id PeerID, pr *peer, n int) []Block {
	var picked []Block
	for _, o := range p.open {
		if !pr.has[o.piece] || p.single[o.piece] {
			continue
		}
		for i := range o.blocks {
			b := &o.blocks[i]
			if len(picked) >= n {
				return picked
			}
			if b.received || b.by[0] == NoPeer || b.by[1] != NoPeer || b.by[0] == id {
				continue
			}
			b.by[1] = id
			blk := Block{o.piece, i}
			pr.owes[blk] = struct{}{}
			picked = append(picked, blk)
		}
	}
	return picked
}

// Receipt is what became of a block that a peer sent.
type Receipt struct {
	// Wanted: the block was missing; its data must be kept. A block that comes late, from a peer
	// that was released meanwhile, is as good as any.
	Wanted bool
	// Cancel names the other peer that still owes the same block, or NoPeer.
	Cancel PeerID
	// Whole: this was the last block of its piece, which must now be verified.
	Whole bool
}

// Received records that a peer sent a block.
func (p *Picker) Received(id PeerID, blk Block) Receipt {
	r := Receipt{Cancel: NoPeer}
	o, pr := p.byPiece[blk.Piece], p.peers[id]
	if o == nil || pr == nil || blk.Index < 0 || blk.Index >= len(o.blocks) {
		return r
	}
	b := &o.blocks[blk.Index]
	_, owed := pr.owes[blk]
	if b.received || (!owed && p.single[blk.Piece]) {
		return r
	}
	delete(pr.owes, blk)
	if b.by[0] == NoPeer {
		o.unrequested--
	}
	for _, other := range b.by {
		if other != id && other != NoPeer {
			r.Cancel = other
			delete(p.peers[other].owes, blk)
		}
	}
	b.received = true
	b.by = [2]PeerID{NoPeer, NoPeer}
	o.unreceived--
	o.senders[id] = struct{}{}
	r.Wanted, r.Whole = true, o.unreceived == 0
	return r
}

// Senders names the peers that sent blocks of an open piece.
func (p *Picker) Senders(piece int) []PeerID {
	o := p.byPiece[piece]
	if o == nil {
		return nil
	}
	ids := make([]PeerID, 0, len(o.senders))
	for id := range o.senders {
		ids = append(ids, id)
	}
	return ids
}

// Verified records the outcome of hashing a whole piece. A piece that failed is missing again; if
// several peers had sent parts of it, it is fetched from one peer only from now on.
func (p *Picker) Verified(piece int, ok bool) {
	o := p.byPiece[piece]
	if o == nil {
		return
	}
	delete(p.byPiece, piece)
	for i := range p.open {
		if p.open[i] == o {
			p.open = append(p.open[:i], p.open[i+1:]...)
			break
		}
	}
	if ok {
		p.have[piece] = true
		p.missing--
		delete(p.single, piece)
	} else if len(o.senders) > 1 {
		p.single[piece] = true
	}
}

// Release frees everything that a peer owes, so that others can be asked: it choked us, it is too
// slow, or it is gone.
func (p *Picker) Release(id PeerID) {
	pr := p.peers[id]
	if pr == nil {
		return
	}
	for blk := range pr.owes {
		p.unowe(id, blk)
	}
	clear(pr.owes)
	for _, o := range p.open {
		if o.owner == id {
			o.owner = NoPeer
		}
	}
}

// Rejected frees one block that a peer will not send (BEP 6 reject).
func (p *Picker) Rejected(id PeerID, blk Block) {
	pr := p.peers[id]
	if pr == nil {
		return
	}
	if _, owed := pr.owes[blk]; owed {
		delete(pr.owes, blk)
		p.unowe(id, blk)
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
	}
}
