package policy

import "slices"

const (
	// awayTicks is for how many ticks a peer that is too slow for the trees stays out of them at least, at first and at the most. Each
	// time it leaves them again, it is twice as long.
	awayTicks     = 4
	mostAwayTicks = 64
	// drowned is for how many ticks feeders must have owed us blocks without a break.
	drowned = 2
	// lull is for how many ticks nothing must come, and for how many times longer than usual, until that counts as standing still. For longMemory
	// ticks after it nobody is judged too slow.
	lull = 2
	// outrunBy is how many times faster than we a feeder must get pieces for that to say anything about our link. What we are short of it, as a
	// share, adds up from tick to tick, and at certain it is our link: with half of the others' that takes three ticks, with three
	// quarters five. Less could be anything.
	outrunBy = 1.05
	certain  = 1
	// uneven is how many times as fast as another a stripe flows if it may not be our link that slows both down; such a tick counts for half.
	uneven = 1.5
	// forgotten is the share of what adds up that a root forgets in a tick in which nothing can be said. Others forget everything.
	forgotten = 0.1
	// keepsUpBy is how many times faster than we the fastest of our neighbours may get pieces if we keep up, for that differs all the time.
	keepsUpBy = 1.15
)

// Away tells whether this peer stays out of the trees because it is too slow for them. The others should know, and do as if it
// were not there.
func (p *Picker) Away() bool { return p.away }

// Before is how many pieces a second came when we left the trees, if there are so many ticks in one.
func (p *Picker) Before(ticks float64) float64 { return p.before * ticks }

// stepsAside tells whether this peer is to stay out of the trees, because it is too slow for them. In them it holds up its children, and
// takes what the other children of its parents need as soon as these feed its own. So it leaves, and all do as if it were gone, for which
// the trees have backups with room. SetParents then names others to feed it, who have something to spare. It is back when it keeps up with
// the others, or nothing comes.
func (p *Picker) stepsAside() bool {
	switch {
	case p.away && (p.starving() || (p.atLeast == 0 && p.keepsUp())):
		p.away = false
		p.depart()
	case p.away:
		p.atLeast = max(0, p.atLeast-1)
	case p.calm >= longMemory && p.drowning() && !p.starving():
		p.lastAway = min(max(awayTicks, 2*p.lastAway), mostAwayTicks)
		p.away, p.atLeast, p.short, p.before = true, p.lastAway, 0, p.trend
		p.depart()
	}
	return p.away
}

// Paused says that this host had no time for a while: what has come, and to whom, tells nothing of its link then.
func (p *Picker) Paused() { p.calm = 0 }

// depart takes everything back from our feeders. Others are to be named.
func (p *Picker) depart() {
	for s := range p.stripes {
		p.recall(p.stripes[s].feeder)
		p.feed(s, NoPeer)
		p.stripes[s].parents = nil
	}
}

// drowning tells that it is our own link that is slow: feeders have had for a while what we have asked them for and have not got, and get pieces
// faster themselves than we do. One that gets them several times as fast as we get all together is enough, for the half that others bring
// would come. A root shares the origin's uplink, from which more comes or less than from others, so that its other stripe looks for feeders again and
// again, of which nothing can be said for some ticks.
func (p *Picker) drowning() bool {
	for s := range p.stripes {
		st := &p.stripes[s]
		if f := p.peer(st.feeder); f != nil && f.id != p.origin && st.waits >= drowned && st.theirs >= slowBy*st.ours && st.theirs >= slack {
			return true
		}
	}
	switch times, weight := p.outrun(); {
	case weight > 0 && times >= outrunBy:
		p.short += weight * (1 - outrunBy/times)
	case weight == 0 && p.isRoot():
		p.short -= forgotten * p.short
	default:
		p.short = 0
	}
	return p.short >= certain
}

// outrun is how many times faster than we the fastest of our feeders gets pieces, and what that weighs; 0 if it says nothing about our link. It
// does if all feeders owe us something without a break, more so if they bring about as much: connections do not share a slow link equally, but a
// feeder may also be slow itself, and is left then. One that feeds all stripes may have much to do. The origin gets no pieces, and must have
// fed us for longer; a few pieces more or less say nothing.
func (p *Picker) outrun() (times, weight float64) {
	other := NoPeer
	weight = 1
	for s := range p.stripes {
		st := &p.stripes[s]
		f := p.peer(st.feeder)
		switch {
		case f == nil || f.id == other || st.waits < drowned || (f.id == p.origin && st.fed < longMemory):
			return 0, 0
		case f.id != p.origin && (st.theirs-st.ours)*float64(min(st.fed, longMemory)) < slack && st.theirs >= outrunBy*st.ours:
			return 0, 0
		case f.id != p.origin:
			other = f.id
			times = max(times, st.theirs/max(st.ours, 1.0/longMemory))
		}
		if st.flow*uneven < p.strongest() {
			weight = 0.5
		}
	}
	if other == NoPeer || (weight < 1 && times*p.trend < slack) {
		return 0, 0
	}
	return times, weight
}

// isRoot tells whether the origin feeds us.
func (p *Picker) isRoot() bool {
	return p.origin != NoPeer && slices.ContainsFunc(p.stripes, func(st stripe) bool { return st.feeder == p.origin })
}

// longFed tells that all stripes have had their feeders for so many ticks.
func (p *Picker) longFed(ticks int) bool {
	return !slices.ContainsFunc(p.stripes, func(st stripe) bool { return st.fed < ticks })
}

// keepsUp tells that we get pieces about as fast as anybody.
func (p *Picker) keepsUp() bool { return p.longFed(longMemory) && p.trend*keepsUpBy >= p.top }

// recall takes back all that was asked of a peer. Pieces of which nothing has come are as if nobody had begun them, so that others are
// asked for one at a time.
func (p *Picker) recall(id PeerID) {
	pr := p.peer(id)
	if pr == nil {
		return
	}
	for i := len(p.open) - 1; i >= 0; i-- {
		if o := p.open[i]; o.owner == id {
			p.unbegin(o)
		}
	}
	p.withdraw(pr) // of pieces that others began
}
