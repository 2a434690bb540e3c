package swarm

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/anacrolix/chansync"

	"corvus.murder/internal/announce"
)

const (
	// leadMost is by how many pieces the root of one stripe may be ahead of that of another.
	leadMost = 4
	// restTicks is for how many ticks a root may have nothing to wait for and still be owed what it is behind.
	restTicks = 4
	// trialTicks is for how many ticks those who are ahead wait for the others before it is asked whether that is worth while.
	trialTicks = 4
	// worthPart is the part of its share of the uplink that the last of the roots takes at least if that is worth while.
	worthPart = 2
	// runTicks is for how many ticks of the whole uplink they may be ahead if it is not.
	runTicks = 8
	// proofTicks is for how many ticks others wait for a root that takes much less than they do, to find out whether it is slow.
	proofTicks = 2
	// lookAgain is after how long somebody who waits looks again, if nothing was sent to the others.
	lookAgain = 50 * time.Millisecond
)

// balance keeps the roots of the stripes in step: whoever is ahead gets no more until the last one has come closer, who then has the
// whole uplink. TCP takes seconds until two connections share a link equally, and one that also has to share its far end
// with others gets less all the time: with 200 peers on links of 5 Mbit/s, one stripe had half as much as the other from the
// beginning to the end. When the first stripe is done, half of all uplinks have nothing to send any more, and the last peer ended at
// 1.15 times F/B, in the worst case at 1.69. It belongs to the origin alone: farther down nobody is ahead for long, for nobody has more than
// what came.
type balance struct {
	mu    sync.Mutex
	moved chansync.BroadcastCond // something was sent to a root
	roots []*share
	most  int64   // bytes that a root may be ahead
	took  int64   // bytes that all roots had in the last tick
	best  int64   // and in two ticks, at the most
	held  bool    // somebody had to wait since the last tick
	trial int     // ticks in a row in which somebody had to
	came  int64   // bytes that the last of the roots had in that time
	pace  float64 // bytes a second that a root had, at the most, from one wait to the next
}

// share is how much of the origin's uplink the root of a stripe has had.
type share struct {
	out  *outbox
	sent int64 // bytes
	seen int64 // of sent, at the last tick
	rest int   // ticks for which it had nothing to wait for
	root bool  // at the last tick

	waited bool      // since the last tick
	tried  int       // ticks for which others have waited for it although it takes much less than they do
	given  int64     // bytes that it had in that time
	over   bool      // it is slow, and passed over: nobody waits for it
	since  time.Time // when it had the first block after it had waited
	span   int64     // bytes that it had since then
}

// tick says who the roots are, and which of them have something to wait for. Nobody saves anything: a newcomer, and one that had nothing
// to wait for, begins where the last of the others is. If the last one takes little although the others wait for it, its own link is what
// holds it up; then they do not wait until they are twice as far ahead, and runTicks at least.
func (b *balance) tick(roots []*share, busy func(*share) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.roots {
		if !slices.Contains(roots, r) {
			r.root = false
		}
	}
	b.roots = b.roots[:0]
	for _, r := range roots {
		r.waited = false
		if r.rest++; busy(r) && !r.over {
			r.rest = 0
		}
		r.root = r.root && r.rest <= restTicks
		if r.root {
			b.roots = append(b.roots, r)
		}
	}
	if last := b.last(); last != nil {
		for _, r := range roots {
			if !r.root && r.rest == 0 {
				r.sent, r.seen = last.sent, last.sent
			}
		}
	}
	for _, r := range roots {
		if !r.root && r.rest == 0 {
			r.root = true
			b.roots = append(b.roots, r)
		}
	}
	b.judge()
}

// judge finds out whether it is worth while to wait for the last of the roots.
func (b *balance) judge() {
	last := b.last()
	if last == nil {
		return
	}
	total, first := int64(0), last.sent
	for _, r := range b.roots {
		total += r.sent - r.seen
		first = max(first, r.sent)
	}
	b.took, b.best = total, max(b.best, b.took+total)
	b.trial, b.came = b.trial+1, b.came+last.sent-last.seen
	for _, r := range b.roots {
		r.seen = r.sent
	}
	if b.held && b.trial < trialTicks {
		b.held = false
		return
	}
	if fair := b.best / 2 * int64(b.trial) / int64(len(b.roots)); b.held && b.came*worthPart < fair {
		b.most = max(2*(first-last.sent), b.best/2*runTicks)
	}
	b.held, b.trial, b.came = false, 0, 0
}

// last is the root that has had least, or nil.
func (b *balance) last() *share {
	var last *share
	for _, r := range b.roots {
		if last == nil || r.sent < last.sent {
			last = r
		}
	}
	return last
}

// count notes that a root was sent n bytes.
func (b *balance) count(r *share, n int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.root {
		r.sent += n
		if r.span += n; r.since.IsZero() {
			r.span, r.since = 0, now
		}
		b.moved.Broadcast()
	}
}

// prove decides at each tick whether others wait for a root; lags says that it takes much less than one of them. It may be slow, and
// to wait for it would hold up everybody. Or it had bad luck with TCP in the first moments, when another one had filled the uplink, and
// does not recover as long as that goes on: with 50 peers on links of 20 Mbit/s, one of 18 runs took 1.110 times F/B for it (and two that were not
// traced 1.205 and 1.247, all hosts late together as in that one). So the others wait for it a moment, and only if it takes less than half of its share even so it is slow.
func (b *balance) prove(r *share, lags bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !lags {
		r.tried, r.given, r.over = 0, 0, false
		return
	}
	if !b.held || !r.root || r.tried == proofTicks {
		return
	}
	r.tried++
	r.given += r.sent - r.seen
	if r.tried == proofTicks {
		fair := b.pace * proofTicks * tickEvery.Seconds() / float64(len(b.roots))
		r.over = float64(r.given*worthPart) < fair
	}
}

// paused notes that a root has to wait, and how fast it was until then, if it had more than what kernel buffers hold.
func (b *balance) paused(r *share, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if elapsed := now.Sub(r.since).Seconds(); r.span >= b.most/4*3 && elapsed > 0 {
		b.pace = max(b.pace, float64(r.span)/elapsed)
	}
	r.span, r.since = 0, time.Time{}
}

// ahead tells whether a root has to wait: for any that is far behind it and has something to wait for.
func (b *balance) ahead(r *share, busy func(*share) bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := r.root && slices.ContainsFunc(b.roots, func(other *share) bool {
		return r.sent-other.sent > b.most && !other.over && busy(other)
	})
	b.held, r.waited = b.held || wait, r.waited || wait
	return wait
}

// pent is how many bytes a second a root would take if it had not had to wait since the last tick; 0 if it had not.
func (b *balance) pent(r *share) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !r.waited {
		return 0
	}
	return b.pace
}

// keepBalance is what the origin does about it in each tick. Only the first ranks count, which are the roots: whoever else it feeds for a
// moment wants little, and nobody is to wait for that.
func (s *Swarm) keepBalance() {
	if !s.cfg.Seeder || s.place.stripes < 2 {
		return
	}
	var roots []*share
	for _, c := range s.conns {
		if c.rank != announce.NoRank && c.rank < s.place.stripes && slices.Contains(c.fed, true) {
			roots = append(roots, &c.out.share)
		}
	}
	for _, r := range roots {
		s.balance.prove(r, r.out.lags())
	}
	s.balance.tick(roots, waiting)
}

// waiting tells whether there is something to be sent to a root. One that takes much less than the other may be slow, which judge finds out, or
// have had bad luck with TCP in the first moments. When such a root was passed over, the other one had the whole uplink for a second
// and more: with 50 peers on links of 20 Mbit/s one of 18 runs took 1.110 for it, and others that were not traced up to 1.247.
func waiting(r *share) bool { return r.out.waiting() }

// yield lets others have the link after a block to a root that is ahead. It ends when that is not ahead any more, which balance.judge
// sees to within a few ticks.
func (s *Swarm) yield(ctx context.Context, c *conn, n int64) {
	if !s.cfg.Seeder {
		return
	}
	b, r := &s.balance, &c.out.share
	b.count(r, n, time.Now())
	for waited := false; ; waited = true {
		moved := b.moved.Signaled()
		if !b.ahead(r, waiting) {
			return
		}
		if !waited {
			b.paused(r, time.Now())
		}
		pause := time.NewTimer(lookAgain)
		select {
		case <-moved:
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}
