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
	// proof is for how long others wait for a root before it is asked whether that is worth while; TCP that
	// has lost something may need half of that to go on.
	proof = 400 * time.Millisecond
	// worthPart is the part of its share of the uplink that a root takes at least if it is. One that takes less than fullPart while others
	// wait has a slow link, too, if that lasts: what it lacks of it adds up from judgement to judgement, and at certain nobody waits for it any
	// more. That is forgotten by so much each time, so that it is looked at again.
	worthPart = 0.5
	fullPart  = 0.85
	certain   = 0.8
	forgiven  = 0.1
	// lookAgain is after how long somebody who waits looks again, if nothing was sent to the others.
	lookAgain = 50 * time.Millisecond
)

// balance keeps the roots of the stripes in step: whoever is ahead gets no more until the last one has come closer, who then has the
// whole uplink. TCP takes seconds until two connections share a link equally, and one that also has to share its far end
// with others gets less all the time: with 200 peers on links of 5 Mbit/s, one stripe had half as much as the other from the
// beginning to the end. When the first stripe is done, half of all uplinks have nothing to send any more, and the last peer ended at
// 1.15 times F/B, in the worst case at 1.69. It belongs to the origin alone: farther down nobody is ahead for long, for nobody has more than
// what came.
//
// A root that takes little may be slow, and to wait for it would hold up everybody. Or another one has filled the uplink, and
// TCP does not let it recover as long as that goes on: with 50 peers on links of 20 Mbit/s some runs took 1.11 to 1.25 times
// F/B for it. Only when the others wait the two look different. So they do, and pass it over if it takes less than half of its
// share even so, or somewhat less for a while. A root that is waited for never finds out that its link is slow, for nobody gets more than it does.
type balance struct {
	mu    sync.Mutex
	moved chansync.BroadcastCond // something was sent to a root
	roots []*share
	most  int64   // bytes that a root may be ahead
	pace  float64 // bytes a second that a root had, at the most, from one wait to the next
}

// share is how much of the origin's uplink the root of a stripe has had.
type share struct {
	out  *outbox
	sent int64 // bytes
	rest int   // ticks for which it had nothing to wait for
	root bool  // at the last tick

	waited  bool      // since the last tick
	awaited time.Time // when somebody last waited for it
	over    bool      // it is slow, and passed over: nobody waits for it
	short   float64   // what it lacked of fullPart, from one time that it was judged to the next
	since   time.Time // since it waited, or others began to wait for it, or it was last judged
	span    int64     // bytes that it had since then
}

// tick says who the roots are, and which of them have something to wait for. Nobody saves anything: a newcomer, and one that
// had nothing to wait for or was passed over, begins where the last of the others is.
func (b *balance) tick(roots []*share, busy func(*share) bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.roots {
		if !slices.Contains(roots, r) {
			r.root = false
		}
	}
	b.roots = b.roots[:0]
	for _, r := range roots {
		if r.over {
			b.judge(r, len(roots), now)
		}
		r.waited = false
		if r.rest++; busy(r) {
			r.rest = 0
		}
		r.root = r.root && r.rest <= restTicks && !r.over
		if r.root {
			b.roots = append(b.roots, r)
		}
	}
	last := b.last(func(*share) bool { return true })
	for _, r := range roots {
		if !r.root && r.rest == 0 && !r.over {
			if r.root = true; last != nil {
				r.sent = last.sent
			}
			b.roots = append(b.roots, r)
		}
	}
}

// last is the busy root that has had least, or nil.
func (b *balance) last(busy func(*share) bool) *share {
	var last *share
	for _, r := range b.roots {
		if !r.over && (last == nil || r.sent < last.sent) && busy(r) {
			last = r
		}
	}
	return last
}

// proves tells whether a time is long enough to find out whether a root is slow: proof, and on slow links what several blocks
// need.
func (b *balance) proves(elapsed time.Duration) bool {
	return elapsed >= proof && max(b.pace, 1)*elapsed.Seconds() >= float64(b.most)
}

// judge decides whether others wait for a root, after they have, or have not because it was passed over. Its share is one of
// what a single root had: all of the uplink at the most, and no less than its own share of that.
func (b *balance) judge(r *share, roots int, now time.Time) {
	elapsed := now.Sub(r.since)
	if b.proves(elapsed) {
		part := float64(r.span) / max(b.pace/float64(roots)*elapsed.Seconds(), 1)
		switch {
		case part >= fullPart:
			r.short = 0
		case r.over: // and maybe only crowded out
			r.short -= forgiven
		default:
			r.short += fullPart - part
		}
		r.over = part < worthPart || r.short >= certain
		r.span, r.since = 0, now
	}
}

// count notes that a root was sent n bytes.
func (b *balance) count(r *share, n int64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.span += n; r.since.IsZero() {
		r.span, r.since = 0, now
	}
	if r.root {
		r.sent += n
		b.moved.Broadcast()
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

// ahead tells whether a root has to wait: for the last one that has something to wait for, if that is far behind. The time for
// which it is waited for begins anew when it had to wait itself, or nobody has waited for it for so long.
func (b *balance) ahead(r *share, busy func(*share) bool, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.last(busy)
	if !r.root || last == nil || r.sent-last.sent <= b.most {
		return false
	}
	if last.since.IsZero() || b.proves(now.Sub(last.awaited)) {
		last.span, last.since = 0, now
	}
	last.awaited = now
	b.judge(last, len(b.roots), now)
	r.waited = r.waited || !last.over
	return !last.over
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
func (s *Swarm) keepBalance(now time.Time) {
	if !s.cfg.Seeder || s.place.stripes < 2 {
		return
	}
	var roots []*share
	for _, c := range s.conns {
		if c.rank != announce.NoRank && c.rank < s.place.stripes && slices.Contains(c.fed, true) {
			roots = append(roots, &c.out.share)
		}
	}
	s.balance.tick(roots, waiting, now)
}

// waiting tells whether there is something to be sent to a root.
func waiting(r *share) bool { return r.out.waiting() }

// yield lets others have the link after a block to a root that is ahead. It ends when that is not ahead any more, or whoever is
// behind is passed over.
func (s *Swarm) yield(ctx context.Context, c *conn, n int64) {
	if !s.cfg.Seeder {
		return
	}
	b, r := &s.balance, &c.out.share
	b.count(r, n, time.Now())
	for waited := false; ; waited = true {
		moved, now := b.moved.Signaled(), time.Now()
		if !b.ahead(r, waiting, now) {
			return
		}
		if !waited {
			b.paused(r, now)
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
