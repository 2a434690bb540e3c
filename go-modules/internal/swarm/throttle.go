package swarm

import (
	"context"
	"sync"
	"time"
)

const (
	// slack is how far a throttle may run ahead after a pause: enough for a program that is woken late to catch up.
	slack = 50 * time.Millisecond
	// perSecond is into how many requests a second of a limit is divided, so that they neither come in lumps nor keep
	// each other waiting for long.
	perSecond = 40
	// unread is for how long a connection may receive at the full limit while it is not read.
	unread = 10 * time.Millisecond
)

// throttle lets so many bytes a second pass: in any time no more than the limit allows for that time and slack, and
// one request. Nil lets everything pass.
type throttle struct {
	rate float64 // bytes a second

	mu   sync.Mutex
	next time.Time // when everything that has been taken is paid for
}

// newThrottle returns nil where there is no limit.
func newThrottle(bytesPerSecond int64) *throttle {
	if bytesPerSecond <= 0 {
		return nil
	}
	return &throttle{rate: float64(bytesPerSecond)}
}

// take lets n bytes pass, and returns how long whoever takes them is to wait first.
func (t *throttle) take(now time.Time, n int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if earliest := now.Add(-slack); t.next.IsZero() {
		t.next = now // nothing is saved before the beginning
	} else if t.next.Before(earliest) {
		t.next = earliest
	}
	wait := t.next.Sub(now)
	t.next = t.next.Add(time.Duration(float64(n) / t.rate * float64(time.Second)))
	return max(wait, 0)
}

// wait returns once n bytes may pass, or with the reason when ctx ends before.
func (t *throttle) wait(ctx context.Context, n int) error {
	if t == nil {
		return nil
	}
	delay := t.take(time.Now(), n)
	if delay == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// request is the longest request, in bytes, that is to pass at once.
func (t *throttle) request() int {
	if t == nil {
		return maxRequest
	}
	return max(BlockSize, int(min(maxRequest, t.rate/perSecond))/BlockSize*BlockSize)
}

// window is how many bytes a connection with this round trip time may have under way to us, so that it can use the whole
// limit, and what has been sent before we stop reading is little.
func (t *throttle) window(roundTrip time.Duration) int {
	return max(BlockSize, int(t.rate*(unread+2*roundTrip).Seconds()))
}
