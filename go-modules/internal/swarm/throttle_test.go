package swarm

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// passed is what a throttle let pass at a moment.
type passed struct {
	at    time.Duration
	bytes int
}

// saturate lets so many senders, who always have something to send, share a throttle for some simulated time. Each is woken
// up to late too late, and alone could send at twice the limit.
func saturate(t *rapid.T, limit int64, senders int, late, lasts time.Duration) []passed {
	th := newThrottle(limit)
	sending := time.Duration(float64(th.request()) / th.rate / 4 * float64(time.Second))
	start := time.Unix(1_000_000, 0)
	free := make([]time.Duration, senders) // when each sender asks for its next block
	var sent []passed
	for {
		next := 0
		for i := range free {
			if free[i] < free[next] {
				next = i
			}
		}
		now := free[next]
		if now > lasts {
			return sent
		}
		n := rapid.IntRange(th.request()/2, th.request()).Draw(t, "bytes")
		begins := now
		if wait := th.take(start.Add(now), n); wait > 0 {
			begins += wait + time.Duration(rapid.Int64Range(0, int64(late)).Draw(t, "late"))
		}
		sent = append(sent, passed{begins, n})
		free[next] = begins + time.Duration(rapid.Int64Range(0, int64(sending)).Draw(t, "sending"))
	}
}

// TestThrottleHolds: in no window does more pass than the limit allows for it, slack and one request for each sender who
// may be late; and who always has something to send gets what the limit allows.
func TestThrottleHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const late, lasts = 10 * time.Millisecond, 2 * time.Second
		limit := rapid.Int64Range(256<<10, 32<<20).Draw(t, "limit")
		senders := rapid.IntRange(1, 8).Draw(t, "senders")
		sent := saturate(t, limit, senders, late, lasts)
		rate, longest := float64(limit), float64(newThrottle(limit).request())
		total := 0
		for i, first := range sent {
			total += first.bytes
			sum, end := 0.0, time.Duration(0)
			for _, later := range sent[i:] {
				if later.at < first.at { // another sender's, woken in time
					continue
				}
				sum, end = sum+float64(later.bytes), max(end, later.at)
				if most := rate*(end-first.at+slack+late).Seconds() + float64(senders)*longest; sum > most {
					t.Fatalf("%.0f bytes in %s at a limit of %d, want at most %.0f", sum, end-first.at, limit, most)
				}
			}
		}
		if want := 0.95 * rate * lasts.Seconds(); float64(total) < want {
			t.Fatalf("%d bytes in %s at a limit of %d, want at least %.0f", total, lasts, limit, want)
		}
	})
}

// TestThrottleSavesLittle: what was not used in a pause does not pass all at once after it.
func TestThrottleSavesLittle(t *testing.T) {
	th := newThrottle(1 << 20)
	now := time.Unix(1_000_000, 0)
	th.take(now, 1)
	for range 3 {
		now = now.Add(time.Hour)
		at := 0
		for th.take(now, 1<<10) == 0 {
			at += 1 << 10
		}
		if most := int(slack.Seconds()*(1<<20)) + 2<<10; at > most || at < most/2 {
			t.Errorf("%d bytes passed at once after a pause, want about %d", at, most)
		}
	}
}

func TestThrottleIsFair(t *testing.T) {
	th := newThrottle(1 << 20)
	now := time.Unix(1_000_000, 0)
	before := time.Duration(-1)
	for range 100 {
		wait := th.take(now, maxRequest)
		if wait < before {
			t.Fatalf("who came later waits %s, an earlier one %s", wait, before)
		}
		before = wait
	}
	if want := 99 * time.Second / 8; before != want {
		t.Errorf("the hundredth waits %s, want %s", before, want)
	}
}

func TestThrottleWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(1 << 20)
		began := time.Now()
		for range 64 {
			if err := th.wait(t.Context(), 64<<10); err != nil {
				t.Fatal(err)
			}
		}
		// The last one need not wait for itself.
		if took, want := time.Since(began), 63*time.Second/16; took != want {
			t.Errorf("63 blocks of 64 KiB took %s at 1 MiB a second, want %s", took, want)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		cancel(gone)
		if err := th.wait(ctx, 1); !errors.Is(err, gone) {
			t.Errorf("wait returned %v after the end, want the reason", err)
		}
	})
}

func TestNoThrottle(t *testing.T) {
	th := newThrottle(0)
	if err := th.wait(t.Context(), 1<<40); err != nil || th.request() != maxRequest {
		t.Errorf("without a limit: %v, requests of %d", err, th.request())
	}
}

func TestRequestsFollowTheLimit(t *testing.T) {
	tests := []struct {
		limit   int64
		request int
	}{
		{64 << 10, BlockSize}, {1_250_000, BlockSize}, {5_000_000, 7 * BlockSize}, {100 << 20, maxRequest},
	}
	for _, tt := range tests {
		if got := newThrottle(tt.limit).request(); got != tt.request {
			t.Errorf("limit %d: requests of %d bytes, want %d", tt.limit, got, tt.request)
		}
	}
}
