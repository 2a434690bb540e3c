package swarm

import (
	"testing"

	"pgregory.net/rapid"
)

// rootsAfter plays an origin with an uplink of 100 a tick, of which each root gets its part, a third of it while it is ahead; what that
// leaves is for those that are not, as far as their own links go.
func rootsAfter(ticks int, parts []int64, link int64) (b balance, roots []*share) {
	b = balance{most: 100}
	for range parts {
		roots = append(roots, &share{})
	}
	for range ticks {
		left, last := int64(0), int64(0)
		for i, r := range roots {
			if r.ahead {
				left += parts[i] - parts[i]/(1+yieldFor)
			} else {
				last++
			}
		}
		for i, r := range roots {
			if r.ahead {
				r.sent += parts[i] / (1 + yieldFor)
			} else {
				r.sent += min(max(link, parts[i]), parts[i]+left/last)
			}
		}
		b.tick(roots)
	}
	return b, roots
}

func TestRootsAreKeptInStep(t *testing.T) {
	for name, row := range map[string]struct {
		parts []int64
		apart int64 // at most, after 40 ticks
	}{
		"equal":            {[]int64{50, 50}, 0},
		"a little unequal": {[]int64{60, 40}, 130},
		"three to one":     {[]int64{75, 25}, 180},
		"three roots":      {[]int64{50, 30, 20}, 180},
		"alone":            {[]int64{100}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, roots := rootsAfter(40, row.parts, 100)
			least, most := roots[0].sent, roots[0].sent
			for _, r := range roots {
				least, most = min(least, r.sent), max(most, r.sent)
			}
			if most-least > row.apart {
				t.Errorf("%d apart, want at most %d", most-least, row.apart)
			}
		})
	}
}

// TestNobodyWaitsForTheSlow: a root whose own link is slow does not come closer however long the others wait.
func TestNobodyWaitsForTheSlow(t *testing.T) {
	b, roots := rootsAfter(400, []int64{97, 3}, 3)
	if full := int64(400 * 97); roots[0].sent < full*9/10 {
		t.Errorf("the fast root was sent %d of %d while a slow one was sent %d; now it may be ahead by %d", roots[0].sent, full, roots[1].sent, b.most)
	}
}

func TestNewcomerStartsWithTheLast(t *testing.T) {
	b := balance{most: 10}
	first, second := &share{sent: 20, root: true, known: true}, &share{sent: 25, root: true, known: true}
	newcomer := &share{sent: 0}
	b.tick([]*share{first, second, newcomer})
	if newcomer.sent != 20 || first.ahead || second.ahead || newcomer.ahead {
		t.Errorf("first %+v, second %+v, newcomer %+v", first, second, newcomer)
	}
	first.sent += 11
	if b.tick([]*share{first, second, newcomer}); !first.ahead || second.ahead || newcomer.ahead {
		t.Errorf("11 ahead: first %+v, second %+v, newcomer %+v", first, second, newcomer)
	}
}

func TestLateRootsAreNotWaitedFor(t *testing.T) {
	b := balance{most: 10}
	first, second := &share{sent: lateBy*10 + 1, root: true, known: true}, &share{}
	b.tick([]*share{first, second})
	first.sent += 100
	if b.tick([]*share{first, second}); first.ahead {
		t.Errorf("%+v is held back for %+v, which came late", first, second)
	}
}

// TestSomebodyIsNeverAhead: whatever they were sent, the last of the roots is not held up.
func TestSomebodyIsNeverAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := balance{most: rapid.Int64Range(1, 1000).Draw(t, "most")}
		roots := make([]*share, rapid.IntRange(1, 5).Draw(t, "roots"))
		for i := range roots {
			roots[i] = &share{known: true}
		}
		for range rapid.IntRange(1, 50).Draw(t, "ticks") {
			before, least := b.most, int64(-1)
			for _, r := range roots {
				r.sent += rapid.Int64Range(0, 500).Draw(t, "sent")
				r.root = r.root && rapid.IntRange(0, 9).Draw(t, "busy") > 0
			}
			b.tick(roots)
			for _, r := range roots {
				if least < 0 || r.sent < least {
					least = r.sent
				}
			}
			for _, r := range roots {
				if r.ahead != (r.sent-least > before) {
					t.Fatalf("%+v, the last %d, at most %d: ahead %v", r, least, before, r.ahead)
				}
			}
			if b.most < before {
				t.Fatalf("they may be apart by %d, before by %d", b.most, before)
			}
		}
	})
}
