package policy

import "slices"

// A topology cuts the torrent into stripes, piece i belonging to stripe i mod k, and names for each
// stripe the peers that may feed us: its parent first, then backups. A parent is a preference, not
// a law: a stripe that falls behind the others moves to the next feeder. It is compared with our other
// stripes and not with what other peers have, so a newcomer, who is far behind everyone in all of
// them, stays with its parents. On the other hand nobody else is asked as long as a stripe flows: with
// all uplinks full, what one peer gets out of turn comes late to another, who then asks out of turn in
// its turn, and in the end nobody gets anything from its parent.

const (
	// memory is how many ticks weigh in averages.
	memory     = 4
	longMemory = 8
	// slack and slackPerLevel are by how many pieces a stripe may fall behind the best one
	// before its feeder is changed: down a tree each edge costs about one piece.
	slack         = 6
	slackPerLevel = 3
	// tolerable is the share, one in so many, that a stripe may be behind in any case. With full uplinks a
	// feeder is seldom replaced by a better one.
	tolerable = 4
	// originSlack is how many times longer everyone waits before turning to the origin instead, whose uplink
	// is full with a single copy of the torrent.
	originSlack = 2
	// hopeless is the number of ticks after which a feeder is changed whoever causes the delay.
	hopeless = 40
	// strays is how many pieces of a stripe without a feeder may be under way from arbitrary peers.
	strays = 4
	// patience is how many quiet ticks make a peer ask the origin although nobody told it to; before
	// anything has come it is firstPatience, for the first piece is a while on its way down a tree.
	patience      = 4
	firstPatience = 12
	// silences is how many times longer than usual it must be quiet, on links so slow that a block takes a while.
	silences = 4
	// firstUsual is what counts as usual, in ticks, before anybody knows: while a fleet starts, what comes first comes unevenly, and if
	// many ask the origin then, it comes more unevenly still.
	firstUsual = 3
	// mostUsual bounds it: what has been quiet for longer is a stall, and no measure for the next one.
	mostUsual = 5
	// slowBy is how many times slower than the best peer one is that is not asked out of turn.
	slowBy = 4
	// lame is how many times slower than the best stripe one may flow whose feeder owes us blocks of it all the time.
	lame = 2
	// unsure is for how many ticks a stripe must have been behind whose feeder is lame but not still: it may only have much to do. Where a fleet starts
	// over a while, whoever comes late finds all parents busy; to change over then only moves the load.
	unsure = 8
	// lateBy is how many times what is tolerable a stripe may be behind until others than its feeder are asked.
	lateBy = 3
	// forgive is by how much of the best rate the measured rate of a peer that is not asked grows in a
	// tick, so that it is given another chance some time.
	forgive = 0.01
	// lookahead is how many pieces of a stripe are compared to find a substitute.
	lookahead = 32
)

// stripe is one of the flows that a topology cuts the torrent into.
type stripe struct {
	parents []PeerID // those named, the first choice first
	next    int      // the first of them not tried since they were named
	feeder  PeerID   // whom it comes from
	level   int      // edges between the origin and us
	missing int      // pieces of it
	total   int      // of these at the beginning
	lag     int      // how many more are missing than of the best stripe, at the last tick
	limit   int      // how many more than of the best stripe may be missing
	behind  int      // ticks since it fell behind
	got     int      // blocks of it that came since the last tick
	flow    float64  // blocks of it that come in a tick, averaged
	fed     int      // ticks since it has its feeder
	waits   int      // ticks that its feeder owed blocks of it without a break
	ours    float64  // pieces that we get in a tick, averaged since it has its feeder
	theirs  float64  // the same of the feeder
	left    farewell // when its first choice was left last
	pause   int      // ticks for which that is not tried again
	front   int      // the highest piece of it that any peer but the origin has, or -1
}

// SetStripes sets the number of stripes; 0 means no topology. It forgets the parents.
func (p *Picker) SetStripes(k int) {
	for _, pr := range p.order {
		p.revoke(pr.id, -1)
	}
	p.stripes, p.comb, p.away, p.short = make([]stripe, k), 0, false, 0
	for s := range p.stripes {
		p.stripes[s] = stripe{feeder: NoPeer}
		for i := s; i < p.cfg.Pieces; i += k {
			if !p.have.has(i) {
				p.stripes[s].missing++
				p.stripes[s].total++
			}
		}
	}
	for i := 0; k > 0 && i < 64; i += k {
		p.comb |= 1 << i
	}
	for _, pr := range p.order {
		pr.survey(k)
	}
	p.survey()
}

// survey finds how far a peer has come with each of k stripes.
func (pr *peer) survey(k int) {
	pr.fronts = make([]int, k)
	for s := range pr.fronts {
		pr.fronts[s] = -1
	}
	if k > 0 {
		pr.has.each(func(i int) { pr.fronts[i%k] = i })
	}
}

// SetParents says which connected peers are to feed us a stripe, the first choice first, and on which level of
// its tree we are (1: fed by the origin). Without any, everyone but the origin may serve the stripe.
// The parent of a root is the origin. Naming the same peers again changes nothing.
func (p *Picker) SetParents(s, level int, ids ...PeerID) {
	if s < 0 || s >= len(p.stripes) {
		return
	}
	st := &p.stripes[s]
	st.level = level
	if slices.Equal(st.parents, ids) {
		return
	}
	st.parents = slices.Clone(ids)
	st.next, st.pause = 0, 0
	if !p.advance(s) {
		p.feed(s, NoPeer)
	}
}

// advance takes the next of the named parents, if one is left.
func (p *Picker) advance(s int) bool {
	st := &p.stripes[s]
	for st.next < len(st.parents) {
		id := st.parents[st.next]
		st.next++
		if pr := p.peer(id); pr != nil && (pr.age < 3*longMemory || !p.straggles(pr)) { // before, it may not have told us of anything
			p.feed(s, id)
			return true
		}
	}
	return false
}

// straggles tells that a peer gets pieces much more slowly than the best, that it is not only a matter of a few, and that it has a long way
// to go still: at the end everybody becomes slower.
func (p *Picker) straggles(pr *peer) bool {
	return pr.id != p.origin && pr.age >= longMemory && float64(p.cfg.Pieces-pr.count) > hopeless*pr.trend &&
		pr.trend*slowBy < p.top && (p.top-pr.trend)*longMemory >= 2*slack
}

// feed makes a peer, or nobody, feed a stripe.
func (p *Picker) feed(s int, id PeerID) {
	st := &p.stripes[s]
	if st.feeder == id {
		return
	}
	if p.peer(st.feeder) != nil {
		p.revoke(st.feeder, s)
	}
	st.feeder, st.fed, st.waits, st.ours, st.theirs = id, 0, 0, 0, 0
}

// Feeder names the peer that feeds a stripe, or NoPeer.
func (p *Picker) Feeder(s int) PeerID {
	if s < 0 || s >= len(p.stripes) {
		return NoPeer
	}
	return p.stripes[s].feeder
}

// SetOrigin says which connected peer is the origin of the artifact, and which others are origins as well: they are asked out
// of turn like anybody, but nothing that they have is spread yet. With a topology, the origin is asked only for stripes that it
// feeds, there only for pieces that nobody else has to give, and else only when nothing has come from anyone for a while, for
// one piece at a time.
func (p *Picker) SetOrigin(id PeerID, others ...PeerID) {
	same := p.origin == id
	p.origin = id
	for _, pr := range p.order {
		if is := pr.id == id || slices.Contains(others, pr.id); is != pr.origin {
			pr.origin, same = is, false
			p.weigh(pr)
		}
	}
	if !same {
		p.survey()
	}
}

// survey finds how far the stripes have come among the peers.
func (p *Picker) survey() {
	k := len(p.stripes)
	if k == 0 {
		return
	}
	for s := range p.stripes {
		p.stripes[s].front = -1
		for _, pr := range p.order {
			if !pr.origin {
				p.stripes[s].front = max(p.stripes[s].front, pr.fronts[s])
			}
		}
	}
}

// orphaned makes the stripes that a peer fed look for another feeder.
func (p *Picker) orphaned(id PeerID) {
	for s := range p.stripes {
		if p.stripes[s].feeder == id {
			p.feed(s, NoPeer)
			p.advance(s)
		}
	}
	if p.origin == id {
		p.origin = NoPeer
	}
}

// SetRate says how many blocks a second a peer delivers. It is to be called at each tick for a peer that
// owed blocks all the time since the last one; it tells slow peers and serves the end game.
func (p *Picker) SetRate(id PeerID, blocksPerSecond float64) {
	if pr := p.peer(id); pr != nil {
		pr.rate = blocksPerSecond
	}
}

// Tick is to be called about four times a second. It is how the Picker notices that nothing comes, or
// that one stripe falls behind, and looks for another feeder. Everybody should be asked after it.
func (p *Picker) Tick() {
	p.gap++
	if p.quiet == 0 {
		average(&p.usual, min(p.gap, mostUsual))
		p.gap = 0
	}
	p.quiet++
	if p.calm++; p.flowing && p.quiet > max(lull, int(lull*p.usual)) {
		p.calm = 0
	}
	p.best = 0
	for _, pr := range p.order {
		p.best = max(p.best, pr.rate)
	}
	for _, pr := range p.order {
		if pr.rate != unknown && len(pr.owes) == 0 {
			pr.rate = min(pr.rate+forgive*p.best, p.best)
		}
		if p.slow(pr) {
			p.doubt(pr, true)
		}
	}
	p.measure()
	if p.missing > 0 {
		p.compare()
		p.free()
	}
}

// average moves a value towards what it is now.
func average(v *float64, now int) { *v += (float64(now) - *v) / memory }

// measure averages what came since the last tick: of each stripe, and to whom.
func (p *Picker) measure() {
	for s := range p.stripes {
		st := &p.stripes[s]
		if f := p.peer(st.feeder); f != nil && !st.introduces(f) {
			average(&st.ours, p.got)
			average(&st.theirs, f.count-f.seen)
		}
	}
	average(&p.pace, p.got)
	p.trend += (float64(p.got) - p.trend) / longMemory
	p.got, p.top = 0, 0
	for _, pr := range p.order {
		average(&pr.pace, pr.count-pr.seen)
		pr.trend += (float64(pr.count-pr.seen) - pr.trend) / longMemory
		pr.seen = pr.count
		if pr.age++; !pr.origin {
			p.top = max(p.top, pr.trend)
		}
	}
	for s := range p.stripes {
		st := &p.stripes[s]
		average(&st.flow, st.got)
		st.got = 0
		st.fed++
		st.waits++
		if f := p.peer(st.feeder); f == nil || !p.owesOf(s, f) {
			st.waits = 0
		}
	}
}

// introduces tells that a feeder may be telling us still what it got before it fed us, all at once, for we were not in a hurry to know.
func (st *stripe) introduces(f *peer) bool { return st.fed < 2 && f.age > st.fed }

// owesOf tells whether a peer owes blocks of a stripe that it has.
func (p *Picker) owesOf(s int, pr *peer) bool {
	return slices.ContainsFunc(pr.owes, func(blk Block) bool { return blk.Piece%len(p.stripes) == s && pr.has.has(blk.Piece) })
}

// allowed is how many pieces of a stripe may be under way from peers that do not feed it: some if it is
// far behind the others (with 11 peers on links of 100 Mbit/s that made 1.21 of 1.34 times F/B), if nobody
// feeds it, or only the origin (what others have is theirs to give), if nothing comes, and at the end of
// the flow for what is late, or when nothing else is to do or another stripe is complete here: whoever has a piece then has nothing better to do,
// and a part of our link neither. (That last: with 200 peers on links of 5 Mbit/s, ten pieces of the one stripe were
// missing when the other was complete, and took two of 52 seconds, at half the link.)
func (p *Picker) allowed(st *stripe) int {
	if st.feeder == NoPeer || st.feeder == p.origin || p.starving() {
		return strays
	}
	if p.late(st) {
		return strays // a feeder whose uplink its children share unequally; others have some to spare
	}
	if p.inSight(st) && (st.lag > st.tolerance() || p.missing == st.missing || p.idle()) {
		return strays
	}
	return 0
}

// inSight tells that some peer but the origin has the last piece of a stripe.
func (p *Picker) inSight(st *stripe) bool { return st.front+len(p.stripes) >= p.cfg.Pieces }

// late tells that a stripe is so far behind the others that peers which do not feed it are asked, too.
func (p *Picker) late(st *stripe) bool { return st.lag > lateBy*st.tolerance() }

// tolerance is how many pieces the stripe may be behind.
func (st *stripe) tolerance() int { return slack + slackPerLevel*st.level }

// straying counts the pieces of a stripe that are under way from peers that do not feed it.
func (p *Picker) straying(s int) int {
	n := 0
	for _, o := range p.open {
		if o.stray && o.piece%len(p.stripes) == s && o.unreceived > 0 {
			if pr := p.peer(o.owner); pr != nil && !p.slow(pr) {
				n++
			}
		}
	}
	return n
}

// idle tells that nothing is under way but what slow peers owe.
func (p *Picker) idle() bool {
	for _, pr := range p.order {
		if len(pr.owes) > 0 && !p.slow(pr) {
			return false
		}
	}
	return true
}

// slow tells that a peer is known to deliver much less than the best.
func (p *Picker) slow(pr *peer) bool {
	return pr.rate != unknown && pr.rate*slowBy < p.best
}

// starving tells that nothing came for so long that the origin must be asked, whoever feeds us.
func (p *Picker) starving() bool {
	if !p.flowing {
		return p.quiet >= firstPatience+patience*p.nearest()
	}
	return p.quiet >= max(patience, int(silences*p.usual))
}

// nearest is our level in the tree where we are least deep: the first piece comes down that one.
func (p *Picker) nearest() int {
	level := 0
	for s := range p.stripes {
		if l := p.stripes[s].level; level == 0 || l < level {
			level = l
		}
	}
	return level
}

// mayServe tells whether a peer may be asked for blocks of an open piece of another one.
func (p *Picker) mayServe(o *opened, id PeerID) bool {
	k := len(p.stripes)
	if k == 0 || p.stripes[o.piece%k].feeder == id {
		return true
	}
	if id == p.origin {
		return p.starving()
	}
	// With all pieces open that may be, whoever has nothing new to begin may help.
	return o.owner == NoPeer || len(p.open) >= p.cfg.MaxOpen
}
