package policy

// The origin is asked only for what nobody else has to give, for its link is full with one copy of the torrent. That somebody
// has a piece is not enough: a foreign client may choke us, or send a hundredth of what the origin could, or nothing at all. So
// there are three counts: avail is how many have a piece, usable how many of these are no origin and serve us, and quick how
// many of these are not known to be slow.

// SetChoked says whether a peer chokes us. Whoever has not said anything yet does (BEP 3).
func (p *Picker) SetChoked(id PeerID, choked bool) {
	if pr := p.peer(id); pr != nil {
		pr.choked = choked
		p.weigh(pr)
	}
}

// doubt says whether a peer is known to be slow, or to refuse what it has. One that is asked again after a while, to see whether
// it still is, remains so until it has sent something in time.
func (p *Picker) doubt(pr *peer, doubted bool) {
	pr.doubted = doubted
	p.weigh(pr)
}

// weigh counts the pieces of a peer where they belong.
func (p *Picker) weigh(pr *peer) {
	usable := !pr.choked && !pr.silent && !pr.origin
	pr.tally(p.usable, &pr.usable, usable)
	pr.tally(p.quick, &pr.quick, usable && !pr.doubted)
}

// tally adds the pieces of a peer to a count in which they are not, or takes them out of one in which they are.
func (pr *peer) tally(count []uint16, counted *bool, counts bool) {
	if counts == *counted {
		return
	}
	*counted = counts
	pr.has.each(func(i int) {
		if counts {
			count[i]++
		} else {
			count[i]--
		}
	})
}

// spread tells whether any peer but an origin has a piece and serves us.
func (p *Picker) spread(piece int) bool { return p.usable[piece] > 0 }

// given tells whether any of these may be expected to send it as soon as the origin would.
func (p *Picker) given(piece int) bool { return p.quick[piece] > 0 }

// untried tells that a peer has fed a stripe for a while and has never owed us anything for long enough to be measured. If that
// is the origin, others have all that it could send, and as long as nothing is known of it, none of them is known to be slow.
func (p *Picker) untried(pr *peer, s int) bool {
	return pr.rate == unknown && p.stripes[s].fed >= longMemory
}
