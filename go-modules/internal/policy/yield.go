package policy

import "slices"

const (
	// yieldTicks is for how many ticks a peer that is too slow for the trees takes nothing from its parents, at first and at the most. Each
	// time it turns out that it still is, it is twice as long.
	yieldTicks     = 4
	mostYieldTicks = 64
	// drowned is for how many ticks feeders must have owed us blocks without a break.
	drowned = 2
	// lull is for how many ticks nothing must come, and for how many times longer than usual, until that counts as standing still. For longMemory
	// ticks after it nobody is judged too slow.
	lull = 2
	// outrunBy is how many times faster than we all feeders get pieces if our link is too slow.
	outrunBy = 2
)

// Away tells whether this peer stays out of the trees because it is too slow for them. The others should know, and do as if it
// were not there.
func (p *Picker) Away() bool { return p.away }

// yields tells whether this peer takes nothing from its parents because it is too slow for the trees. In them it takes what
// their other children need: with all uplinks full, what one child more gets is missing below the others until the end; and it holds
// up its own children. So it leaves its parents, and is served like anybody who asks out of turn, from uplinks that have something to
// spare. After a while, or when nothing comes, it tries its parents again; only if they are not much faster any more is it back for others.
func (p *Picker) yields() bool {
	switch {
	case p.yielding > 0:
		if p.yielding--; p.yielding == 0 || p.starving() {
			p.yielding = 0
			p.rejoin()
		}
		return true
	case p.calm >= longMemory && p.drowning() && !p.starving():
		p.leave()
		return true
	case p.away && p.keepsUp():
		p.away = false
	}
	return false
}

// Paused says that this host had no time for a while: what has come, and to whom, tells nothing of its link then.
func (p *Picker) Paused() { p.calm = 0 }

// leave makes nobody feed us.
func (p *Picker) leave() {
	if !p.away {
		p.outage = yieldTicks
	}
	p.away, p.yielding, p.outage = true, p.outage, min(2*p.outage, mostYieldTicks)
	for s := range p.stripes {
		p.recall(p.stripes[s].feeder)
		p.feed(s, NoPeer)
	}
}

// rejoin makes all stripes come from their parents once more.
func (p *Picker) rejoin() {
	for s := range p.stripes {
		p.stripes[s].next = 0
		p.advance(s)
	}
}

// drowning tells that feeders have had for a while what we have asked them for and have not got, and get pieces faster themselves than
// we do: if that is so of all of them, and they bring about as much, it is not they who are slow, but our own link. The origin gets none, and
// says nothing about it; one other must have fed us for longer then. One that gets them several times as fast as we get all together is
// enough, for the half that others bring would come.
func (p *Picker) drowning() bool {
	all, least, faster := true, 0, NoPeer
	for s := range p.stripes {
		st := &p.stripes[s]
		f := p.peer(st.feeder)
		switch {
		case f == nil:
			return false
		case st.waits < drowned || st.flow*lame < p.strongest():
			all = false
		case f.id == p.origin:
			least = longMemory
		case st.theirs < outrunBy*st.ours || (st.theirs-st.ours)*memory < slack || f.id == faster:
			all = false // one that feeds all may have much to do
		default:
			faster = f.id
		}
		if f.id != p.origin && st.waits >= drowned && st.theirs >= slowBy*st.ours && st.theirs >= slack {
			return true
		}
	}
	return all && faster != NoPeer && p.longFed(least)
}

// longFed tells that all stripes have had their feeders for so many ticks.
func (p *Picker) longFed(ticks int) bool {
	return !slices.ContainsFunc(p.stripes, func(st stripe) bool { return st.fed < ticks })
}

// keepsUp tells that we have had feeders for a while that do not get pieces much faster than we do.
func (p *Picker) keepsUp() bool {
	for s := range p.stripes {
		st := &p.stripes[s]
		if f := p.peer(st.feeder); f == nil || st.fed < memory || (f.id != p.origin && st.theirs >= outrunBy*st.ours) {
			return false
		}
	}
	return true
}

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
