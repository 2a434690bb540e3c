package swarm

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestDepthFillsLongLinks: whatever the rate of a link and its round trip on this planet, as long as half of the deepest pipeline can fill it,
// the number of requests grows until it does, within ten seconds.
func TestDepthFillsLongLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = maxDepth / 2 * BlockSize // bytes under way at the worst: a pipeline is filled up when half of it is left
		roundTrip := time.Duration(rapid.Int64Range(int64(time.Microsecond), int64(300*time.Millisecond)).Draw(t, "round trip"))
		link := rapid.Float64Range(100_000, most/roundTrip.Seconds()).Draw(t, "bytes a second")
		rate, requests := 0.0, startDepth
		for range 10 * int(time.Second/tickEvery) {
			got := min(link, float64(requests)/2*BlockSize/roundTrip.Seconds())
			if rate == 0 {
				rate = got
			} else {
				rate += (got - rate) / 4
			}
			requests = depth(rate)
		}
		if rate < 0.9*link {
			t.Fatalf("%.0f bytes a second with %d requests, the link could %.0f at %s", rate, requests, link, roundTrip)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	for rate, want := range map[float64]int{0: startDepth, 1 << 20: 64, 1 << 40: maxDepth} {
		if got := depth(rate); got != want {
			t.Errorf("%d requests at %.0f bytes a second, want %d", got, rate, want)
		}
	}
}
