package swarm

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/anacrolix/chansync"
)

// extrasWait is how long a block that is asked of us out of turn may wait for the uplink to be free.
const extrasWait = 500 * time.Millisecond

// uplink knows whether there is something to send to peers that we feed. What others ask of us out of turn, because
// their own feeder is late, is sent when there is not: so it fills an uplink that would be idle, and
// never takes from those who rely on us. Without this order, with all uplinks full, everybody's
// help for one peer makes another one late, who then asks for help.
type uplink struct {
	busy atomic.Int32 // connections with blocks for peers that we feed
	idle chansync.BroadcastCond
}

// count notes that one connection more, or less, is busy.
func (u *uplink) count(busy bool) {
	if busy {
		u.busy.Add(1)
	} else if u.busy.Add(-1) == 0 {
		u.idle.Broadcast()
	}
}

// free tells whether extras may be sent.
func (u *uplink) free() bool { return u.busy.Load() == 0 }

// bound returns until when extras wait after a turn, until when they did before it: zero if none do. Whatever else is sent to
// the same peer meanwhile changes nothing about it: one that we ask for something gets messages many times a second, and one
// that we feed gets blocks all the time.
func (t turn) bound(until time.Time) time.Time {
	switch {
	case t.extra || !t.extras: // one is sent, or none is left
		return time.Time{}
	case until.IsZero():
		return time.Now().Add(extrasWait)
	}
	return until
}

// await waits until extras may be sent, for the uplink is free or they have waited long enough, or something else is to be
// sent.
func (s *Swarm) await(ctx context.Context, c *conn, until time.Time) {
	freed := s.uplink.idle.Signaled()
	if s.uplink.free() {
		return
	}
	bound := time.NewTimer(time.Until(until))
	defer bound.Stop()
	select {
	case <-freed:
	case <-c.out.wake:
	case <-ctx.Done():
	case <-bound.C:
	}
}
