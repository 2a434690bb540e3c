package policy

import (
	"math/bits"
	"slices"
)

// compare changes the feeders of stripes that have fallen behind.
func (p *Picker) compare() {
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
		if p.lost(s, got) {
			st.behind = 0
			st.limit = st.lag + slack // the new one gets time to prove itself
			if !p.advance(st) {
				p.substitute(s)
			}
		}
	}
}

// lost tells that a stripe needs another feeder. got is how many pieces came of the best stripe.
func (p *Picker) lost(s, got int) bool {
	st := &p.stripes[s]
	f := p.peer(st.feeder)
	if f == nil {
		return p.starving() // before, its parents may be about to connect
	}
	if st.lag <= st.limit || st.lag < got/tolerable {
		st.behind = 0
		return false
	}
	st.behind++
	if st.next < len(st.parents) && st.parents[st.next] == p.origin && st.lag <= originSlack*st.limit {
		return false
	}
	// Whoever is next to the cause acts first.
	return st.behind >= hopeless || (st.behind >= st.level && p.fails(s, f))
}

// fails tells that a stripe cannot catch up with its feeder, and that it is the feeder's fault: it is slow; or
// it has nothing more for us, but not because the same stripe comes late to itself. For then
// the cause is farther up, and whoever is nearest to it does something about it.
func (p *Picker) fails(s int, pr *peer) bool {
	if p.coming(s, pr) >= slack {
		return pr.rate != unknown && pr.rate*lame < p.best
	}
	most := 0
	for other := range p.stripes {
		most = max(most, p.stripe(other, pr))
	}
	return most-p.stripe(s, pr) <= slack
}

// stripe counts the pieces of a stripe that a peer has.
func (p *Picker) stripe(s int, pr *peer) int {
	n := 0
	for w, word := range pr.has {
		if word != 0 {
			n += bits.OnesCount64(word & p.mask(s, w))
		}
	}
	return n
}

// substitute makes a peer feed a stripe that nobody named has fed well: any that is not slow and has
// about as much of what comes next as the best; or the origin, if nobody has.
func (p *Picker) substitute(s int) {
	st := &p.stripes[s]
	coming := make([]int, len(p.order))
	for i, pr := range p.order {
		if pr.id != p.origin && pr.id != st.feeder && !p.slow(pr) {
			coming[i] = p.coming(s, pr)
		}
	}
	most, ties := slices.Max(append(coming, 0)), 0
	for i, n := range coming {
		if n > 0 && 2*n >= most {
			ties++
			if p.cfg.Rand.IntN(ties) == 0 {
				st.feeder = p.order[i].id
			}
		}
	}
	if ties == 0 && p.peer(p.origin) != nil && p.starving() {
		st.feeder = p.origin
	}
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
