package policy

import "slices"

// compare changes the feeders of stripes that have fallen behind.
func (p *Picker) compare() {
	if p.stepsAside() {
		return
	}
	least, got := p.cfg.Pieces, 0
	for s := range p.stripes {
		st := &p.stripes[s]
		least = min(least, st.missing)
		got = max(got, st.total-st.missing)
	}
	for s := range p.stripes {
		st := &p.stripes[s]
		st.lag = st.missing - least
		st.limit = max(st.tolerance(), min(st.limit, st.lag+slack))
		switch {
		case p.lost(s, got):
			p.leaves(s)
			if !p.advance(s) {
				p.substitute(s)
			}
		case p.homesick(s):
			st.next = 0
			p.advance(s)
		default:
			continue
		}
		st.behind = 0
		st.limit = st.lag + slack // the new one gets time to prove itself
	}
}

// lost tells that a stripe needs another feeder. got is how many pieces came of the best stripe.
func (p *Picker) lost(s, got int) bool {
	st := &p.stripes[s]
	f := p.peer(st.feeder)
	if f == nil {
		return p.starving() || (st.fed >= longMemory && st.lag > st.limit) // before, its parents may be about to connect
	}
	if p.drags(s) || (st.fed >= longMemory && p.straggles(f)) {
		return true
	}
	if st.lag <= st.limit || st.lag < got/tolerable {
		st.behind = 0
		return false
	}
	if st.next < len(st.parents) && st.parents[st.next] == p.origin && st.lag <= originSlack*st.limit {
		return false
	}
	st.behind++
	if p.fails(s, f) {
		if !p.still(s) && st.behind < unsure {
			return false
		}
		return st.behind >= st.level // whoever is next to the cause acts first
	}
	return st.behind >= hopeless && st.lag > got/tolerable && (p.still(s) || p.elsewhere(s, f))
}

// still tells that hardly anything comes of a stripe while another one flows. Its feeder may have none itself: backups of several
// that are gone may wait for each other.
func (p *Picker) still(s int) bool { return p.stripes[s].flow*slowBy < p.strongest() }

// elsewhere tells whether anybody but the origin has so much more of a stripe than its feeder that changing over to others
// would make up for a third of what is missing. If nobody has, and the stripe flows, it comes late from its root on, to everybody alike.
func (p *Picker) elsewhere(s int, f *peer) bool {
	st := &p.stripes[s]
	return 3*(st.front-f.fronts[s]) > st.lag*len(p.stripes)
}

// drags tells that a feeder has much of what we wait for and sends hardly anything of it. Then there is no doubt about
// the cause, and no reason to wait until much is missing.
func (p *Picker) drags(s int) bool {
	st := &p.stripes[s]
	return st.waits >= memory && st.lag > slack && p.still(s)
}

// fails tells that a stripe comes late through its feeder's fault: the feeder has it and sends it slowly; or it gets
// pieces much more slowly than we do. When only this stripe comes late to itself, the cause is
// farther up, and whoever is nearest to it does something about it.
func (p *Picker) fails(s int, f *peer) bool {
	st := &p.stripes[s]
	if st.waits >= memory {
		return st.flow*lame < p.strongest()
	}
	return st.fed >= memory && f.id != p.origin && f.count < p.cfg.Pieces && 2*f.pace < p.pace
}

// strongest is the flow of the stripe that flows best.
func (p *Picker) strongest() float64 {
	best := 0.0
	for s := range p.stripes {
		best = max(best, p.stripes[s].flow)
	}
	return best
}

// substitute makes a peer feed a stripe that nobody named has fed well: any that is not slow and has
// about as much of what comes next as the best; or the origin, if nobody has.
func (p *Picker) substitute(s int) {
	st := &p.stripes[s]
	coming := make([]int, len(p.order))
	for i, pr := range p.order {
		if !pr.origin && pr.id != st.feeder && !pr.choked && !p.slow(pr) && !p.straggles(pr) {
			coming[i] = p.coming(s, pr)
		}
	}
	most, ties, chosen := slices.Max(append(coming, 0)), 0, st.feeder
	for i, n := range coming {
		if n > 0 && 2*n >= most {
			ties++
			if p.cfg.Rand.IntN(ties) == 0 {
				chosen = p.order[i].id
			}
		}
	}
	if ties == 0 && p.peer(p.origin) != nil && p.starving() {
		chosen = p.origin
	}
	p.feed(s, chosen)
}

// coming counts the next pieces of a stripe that a peer has, as far as lookahead.
func (p *Picker) coming(s int, pr *peer) int {
	k, n := len(p.stripes), 0
	first := p.low << 6
	for i := first + (s-first%k+k)%k; i <= pr.top && n < lookahead; i += k {
		if p.fresh.has(i) && pr.has.has(i) {
			n++
		}
	}
	return n
}
