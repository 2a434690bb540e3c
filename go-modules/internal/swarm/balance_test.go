package swarm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func always(*share) bool { return true }

// rootsAfter plays an origin with an uplink of 1000 a tick. In each tenth of one, each root gets its part, unless it is ahead; what that leaves
// is for the others, as far as their own links of so much a tick go.
func rootsAfter(ticks int, parts []int64, link int64) (*balance, []*share) {
	const steps = 10
	b, roots := &balance{most: 1000}, make([]*share, len(parts))
	for i := range roots {
		roots[i] = &share{}
	}
	for range ticks {
		b.tick(roots, always)
		for range steps {
			left, last, ahead := int64(0), int64(0), make([]bool, len(roots))
			for i, r := range roots {
				if ahead[i] = b.ahead(r, always); ahead[i] {
					left += parts[i]
				} else {
					last++
				}
			}
			for i, r := range roots {
				if !ahead[i] {
					b.count(r, min(max(link, parts[i]), parts[i]+left/last)/steps, time.Time{})
				}
			}
		}
	}
	return b, roots
}

// apart is how far the first of the roots is ahead of the last.
func apart(roots []*share) int64 {
	least, most := roots[0].sent, roots[0].sent
	for _, r := range roots {
		least, most = min(least, r.sent), max(most, r.sent)
	}
	return most - least
}

func TestRootsAreKeptInStep(t *testing.T) {
	for name, parts := range map[string][]int64{
		"equal":            {500, 500},
		"a little unequal": {600, 400},
		"three to one":     {750, 250},
		"three roots":      {500, 300, 200},
		"alone":            {1000},
	} {
		t.Run(name, func(t *testing.T) {
			b, roots := rootsAfter(100, parts, 1000)
			if n := apart(roots); n > 1000+100 || b.most != 1000 {
				t.Errorf("%d apart, want at most what they may be and one step; they may be %d", n, b.most)
			}
		})
	}
}

// TestWorthWaiting: a root that never gets more than two thirds of its share holds back the others all the same: the last host is done when
// that root is, and the less the others take the sooner.
func TestWorthWaiting(t *testing.T) {
	b, roots := rootsAfter(100, []int64{670, 330}, 330)
	if n := apart(roots); n > 1000+100 || b.most != 1000 {
		t.Errorf("%d apart; they may be %d", n, b.most)
	}
}

// TestNobodyWaitsForTheSlow: a root whose own link is slow does not come closer however long the others wait.
func TestNobodyWaitsForTheSlow(t *testing.T) {
	for _, slow := range []int64{0, 30, 200} {
		b, roots := rootsAfter(400, []int64{1000 - slow, slow}, slow)
		if full := 400 * (1000 - slow); roots[0].sent < full*85/100 {
			t.Errorf("the fast root was sent %d of %d while a slow one was sent %d; now it may be ahead by %d", roots[0].sent, full, roots[1].sent, b.most)
		}
	}
}

// TestSlowOrCrowdedOut: a root that takes an eighth of the uplink may be slow, or only crowded out by the other one, which is as fast as the
// uplink. The other one waits long enough to find that out, and no longer.
func TestSlowOrCrowdedOut(t *testing.T) {
	const ticks, steps, uplink = 40, 10, 1000
	for name, tt := range map[string]struct {
		alone int64 // what it takes in a tick while the other one waits
		least [2]int64
	}{
		"crowded out":               {uplink, [2]int64{ticks * uplink * 45 / 100, ticks * uplink * 45 / 100}},
		"crowded out, and not fast": {uplink / 2, [2]int64{ticks * uplink * 30 / 100, ticks * uplink * 25 / 100}},
		"slow":                      {uplink / 8, [2]int64{(ticks - proofTicks - 1) * uplink * 7 / 8, 0}},
		"dead":                      {0, [2]int64{(ticks - proofTicks - 1) * uplink * 7 / 8, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			b, first, second := &balance{most: 400}, &share{}, &share{}
			var now time.Time
			var rates [2]float64
			var had [2]int64
			step := tickEvery / steps
			for range ticks {
				for i, r := range []*share{first, second} {
					rate := float64(r.sent-had[i]) / tickEvery.Seconds()
					rates[i] += (max(rate, b.pent(r)) - rates[i]) / 4
					had[i] = r.sent
				}
				b.prove(second, rates[1]*4 < rates[0])
				b.tick([]*share{first, second}, always)
				waited := false
				for range steps {
					now = now.Add(step)
					if b.ahead(first, always) {
						if !waited {
							b.paused(first, now)
						}
						waited = true
						b.count(second, tt.alone/steps, now)
						continue
					}
					waited = false
					b.count(first, uplink*7/8/steps, now)
					b.count(second, min(tt.alone, uplink/8)/steps, now)
				}
			}
			if first.sent < tt.least[0] || second.sent < tt.least[1] {
				t.Errorf("of %d, the first was sent %d, the second %d, want at least %v", ticks*uplink, first.sent, second.sent, tt.least)
			}
		})
	}
}

func TestNewcomerStartsWithTheLast(t *testing.T) {
	b, first, second, newcomer := &balance{most: 10}, &share{}, &share{}, &share{}
	b.tick([]*share{first, second}, always)
	b.count(first, 20, time.Time{})
	b.count(second, 25, time.Time{})
	b.count(newcomer, 7, time.Time{}) // before it is known to be one
	b.tick([]*share{first, second, newcomer}, always)
	if newcomer.sent != 20 || b.ahead(first, always) || b.ahead(second, always) || b.ahead(newcomer, always) {
		t.Errorf("first %+v, second %+v, newcomer %+v", first, second, newcomer)
	}
	if b.count(first, 11, time.Time{}); !b.ahead(first, always) || b.ahead(second, always) || b.ahead(newcomer, always) {
		t.Errorf("11 ahead: first %+v, second %+v, newcomer %+v", first, second, newcomer)
	}
	nobody := func(*share) bool { return false }
	if b.ahead(first, nobody) {
		t.Error("the first waits for others that have nothing to wait for")
	}
}

// TestRestIsForgotten: what a root is behind is still due to it when it had nothing to wait for at a moment, but not after a while.
func TestRestIsForgotten(t *testing.T) {
	for rest, want := range map[int]int64{1: 5, restTicks: 5, restTicks + 1: 9} {
		b, first, second := &balance{most: 10}, &share{}, &share{}
		roots := []*share{first, second}
		b.tick(roots, always)
		b.count(first, 9, time.Time{})
		b.count(second, 5, time.Time{})
		for range rest {
			b.tick(roots, func(r *share) bool { return r == first })
		}
		if b.tick(roots, always); second.sent != want {
			t.Errorf("after %d ticks without anything to wait for it counts as having had %d, want %d", rest, second.sent, want)
		}
	}
}

// TestSomebodyIsNeverAhead: whatever they were sent, the last of the roots is not held up, nor anybody by less than what is allowed.
func TestSomebodyIsNeverAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := &balance{most: rapid.Int64Range(1, 1000).Draw(t, "most")}
		roots := make([]*share, rapid.IntRange(1, 5).Draw(t, "roots"))
		for i := range roots {
			roots[i] = &share{}
		}
		for range rapid.IntRange(1, 50).Draw(t, "ticks") {
			idle, before := rapid.IntRange(0, len(roots)).Draw(t, "idle"), b.most
			busy := func(r *share) bool { return idle == len(roots) || r != roots[idle] }
			b.tick(roots, busy)
			for _, r := range roots {
				b.count(r, rapid.Int64Range(0, 500).Draw(t, "sent"), time.Time{})
			}
			last := b.last()
			for _, r := range b.roots {
				if b.ahead(r, busy) && r.sent-last.sent <= b.most {
					t.Fatalf("%+v is held up, the last is %+v, apart they may be %d", r, last, b.most)
				}
			}
			if b.most < before {
				t.Fatalf("they may be apart by %d, before by %d", b.most, before)
			}
		}
	})
}

// TestYield: whoever is ahead goes on as soon as the last root has come closer, or has nothing to wait for, or the connection ends.
func TestYield(t *testing.T) {
	for name, free := range map[string]func(b *balance, last *share, end context.CancelFunc){
		"the last has come closer":       func(b *balance, last *share, _ context.CancelFunc) { b.count(last, 5, time.Time{}) },
		"the last has nothing to expect": func(_ *balance, last *share, _ context.CancelFunc) { last.out.close() },
		"the connection ends":            func(_ *balance, _ *share, end context.CancelFunc) { end() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				s := &Swarm{cfg: Config{Seeder: true}, balance: balance{most: 10}}
				first, last := &conn{out: newOutbox(&s.uplink)}, &conn{out: newOutbox(&s.uplink)}
				last.out.serve(asked{}, false)
				s.balance.tick([]*share{&first.out.share, &last.out.share}, always)
				s.yield(ctx, first, 10) // no further than allowed
				done := make(chan struct{})
				go func() { s.yield(ctx, first, 5); close(done) }()
				synctest.Wait()
				select {
				case <-done:
					t.Fatal("it goes on 15 ahead of another")
				default:
				}
				free(&s.balance, &last.out.share, end)
				<-done
				end()
			})
		})
	}
}
