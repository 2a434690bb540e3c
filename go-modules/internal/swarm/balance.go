package swarm

import (
	"context"
	"slices"
	"time"

	"corvus.murder/internal/announce"
)

const (
	// leadMost is by how many pieces the root of one stripe may be ahead of that of another.
	leadMost = 4
	// lateBy is how many times as much as that the others may have had when another root comes. After that, who started early
	// has more of one stripe anyway, and holding it back made 11 peers that start over 5 s end at 1.15 instead of 1.02.
	lateBy = 4
	// yieldFor is how many times as long as it took to send a block whoever is ahead then pauses.
	yieldFor = 2
	// pauseMost bounds one pause.
	pauseMost = time.Second
	// trialTicks is for how many ticks in vain those who are ahead wait for the others.
	trialTicks = 8
)

// balance keeps the roots of the stripes in step. TCP takes seconds until two connections share a link equally: with 50 peers on links of
// 20 Mbit/s one stripe had three times as much as the other in the first four seconds. When the first stripe is done, half of all
// uplinks have nothing to send any more, and the last peer ended at 1.16 times F/B instead of 1.06. It belongs to
// the origin alone: farther down nobody is ahead for long, for nobody has more than what came.
type balance struct {
	most  int64 // bytes that a root may be ahead
	least int64 // how far the last root was behind the first at the least since somebody is ahead; 0: nobody is
	stuck int   // ticks since that became less
	off   bool  // a root came so late that the stripes cannot be in step any more
}

// share is how much of the origin's uplink the root of a stripe has had.
type share struct {
	sent  int64 // bytes
	seen  int64 // of outbox.sent, at the last tick
	root  bool  // at the last tick
	known bool  // it was a root before
	ahead bool  // it is to go slower
}

// tick says which of the roots are ahead. Nobody saves anything: a newcomer, and one that had nothing to wait for, begins where
// the last of the others is. If those behind do not come closer, their own links are what holds them up; then the rest does not
// wait for them until they are twice as far behind.
func (b *balance) tick(roots []*share) {
	least, most, known := int64(0), int64(0), false
	for _, r := range roots {
		if r.root && (!known || r.sent < least) {
			least, known = r.sent, true
		}
	}
	for _, r := range roots {
		if !r.root {
			b.off = b.off || !r.known && least > lateBy*b.most
			r.sent, r.root, r.known = least, true, true
		}
		r.ahead = r.sent-least > b.most && !b.off
		most = max(most, r.sent)
	}
	switch lag := most - least; {
	case lag <= b.most:
		b.least, b.stuck = 0, 0
	case b.least == 0 || lag < b.least:
		b.least, b.stuck = lag, 0
	case b.stuck+1 < trialTicks:
		b.stuck++
	default:
		b.most, b.least, b.stuck = 2*lag, 0, 0
	}
}

// keepBalance is what the origin does about it in each tick. Only the first ranks count, which are the roots: whoever else it feeds for a
// moment wants little, and nobody is to wait for that.
func (s *Swarm) keepBalance() {
	if !s.cfg.Seeder || s.place.stripes < 2 {
		return
	}
	var roots []*share
	for _, c := range s.conns {
		sent := c.out.sent.Load()
		c.share.sent += sent - c.share.seen
		c.share.seen = sent
		if c.out.feeding() && c.rank != announce.NoRank && c.rank < s.place.stripes && slices.Contains(c.fed, true) {
			roots = append(roots, &c.share)
		} else {
			c.share.root, c.share.ahead = false, false
		}
	}
	s.balance.tick(roots)
	for _, c := range s.conns {
		c.out.ahead.Store(c.share.ahead)
	}
}

// yield lets others have the link for a while after a block to a root that is ahead. That one still has a third of its speed at least.
func (s *Swarm) yield(ctx context.Context, c *conn, took time.Duration) {
	if !c.out.ahead.Load() {
		return
	}
	pause := time.NewTimer(min(yieldFor*took, pauseMost))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-ctx.Done():
	}
}
