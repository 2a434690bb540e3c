package swarm

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func always(*share) bool { return true }

// play is an origin with an uplink of 1000 a tick, whose roots always have something to wait for. In each tenth of a tick, each
// root gets its part, unless it is ahead; what that leaves is for the others, as far as their own links of so much a tick go.
type play struct {
	balance
	now    time.Time
	roots  []*share
	waited []bool
	parts  []int64
	link   int64
}

func newPlay(parts []int64, link int64) *play {
	p := &play{balance: balance{most: 400}, waited: make([]bool, len(parts)), parts: parts, link: link}
	for range parts {
		p.roots = append(p.roots, &share{})
	}
	return p
}

func (p *play) run(ticks int) {
	const steps = 10
	for range ticks {
		p.tick(p.roots, always, p.now)
		for range steps {
			p.now = p.now.Add(tickEvery / steps)
			left, free := int64(0), int64(0)
			for i, r := range p.roots {
				wait := p.ahead(r, always, p.now)
				if wait && !p.waited[i] {
					p.paused(r, p.now)
				}
				if p.waited[i] = wait; wait {
					left += p.parts[i]
				} else {
					free++
				}
			}
			for i, r := range p.roots {
				if !p.waited[i] {
					p.count(r, min(max(p.link, p.parts[i]), p.parts[i]+left/free)/steps, p.now)
				}
			}
		}
	}
}

// known says how fast a root is.
func (b *balance) known(pace float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace = pace
}

// apart is how far the first of the roots is ahead of the last.
func (p *play) apart() int64 {
	least, most := p.roots[0].sent, p.roots[0].sent
	for _, r := range p.roots {
		least, most = min(least, r.sent), max(most, r.sent)
	}
	return most - least
}

// TestRootsAreKeptInStep: whoever is crowded out, or has nine tenths of its share at the most, is waited for.
func TestRootsAreKeptInStep(t *testing.T) {
	for name, tt := range map[string]struct {
		parts []int64
		link  int64
	}{
		"equal":               {[]int64{500, 500}, 1000},
		"a little unequal":    {[]int64{600, 400}, 1000},
		"three to one":        {[]int64{750, 250}, 1000},
		"crowded out":         {[]int64{875, 125}, 1000},
		"nearly nothing left": {[]int64{990, 10}, 1000},
		"three roots":         {[]int64{500, 300, 200}, 1000},
		"two crowded out":     {[]int64{900, 50, 50}, 1000},
		"alone":               {[]int64{1000}, 1000},
		"nine tenths":         {[]int64{550, 450}, 450},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(tt.parts, tt.link)
			for range 100 {
				if p.run(1); p.apart() > p.most+100 {
					t.Fatalf("%d apart, want at most what they may be and one step", p.apart())
				}
			}
		})
	}
}

// TestNobodyWaitsForTheSlow: a root whose own link is slow does not come closer however long the others wait. They find that
// out once, in proof and a little more, and not again.
func TestNobodyWaitsForTheSlow(t *testing.T) {
	const ticks, lost = 40, 3
	for name, parts := range map[string][]int64{
		"dead":                {1000, 0},
		"with a thirtieth":    {970, 30},
		"with an eighth":      {875, 125},
		"one of three":        {480, 480, 40},
		"two of three":        {920, 40, 40},
		"a dead one of three": {500, 500, 0},
	} {
		t.Run(name, func(t *testing.T) {
			slow := parts[len(parts)-1]
			p := newPlay(parts, slow)
			p.run(ticks)
			if want := int64(ticks-lost*(len(parts)-1)) * parts[0]; p.roots[0].sent < want {
				t.Errorf("the first was sent %d of %d, the slow one %d", p.roots[0].sent, ticks*parts[0], p.roots[len(parts)-1].sent)
			}
		})
	}
}

// TestSomewhatSlowRoot: one with half of its share is waited for at first, and then is not; from time to time it is looked at again.
func TestSomewhatSlowRoot(t *testing.T) {
	p := newPlay([]int64{750, 250}, 250)
	var over, changes int
	for tick := range 100 {
		was := p.roots[1].over
		if p.run(1); p.roots[1].over {
			over++
		}
		if was != p.roots[1].over {
			changes++
		}
		if tick == 3 && p.apart() > p.most+100 {
			t.Errorf("it was not waited for at first: %d apart", p.apart())
		}
	}
	if over < 40 || over > 90 || changes < 4 {
		t.Errorf("passed over in %d of 100 ticks, with %d changes", over, changes)
	}
}

// TestPassedOver: a root that was passed over is waited for again once it takes its share, and what it lacks by then is not made
// up for.
func TestPassedOver(t *testing.T) {
	p := newPlay([]int64{970, 30}, 30)
	p.run(20)
	if !p.roots[1].over {
		t.Fatal("a slow one is waited for")
	}
	p.parts, p.link = []int64{600, 400}, 1000
	p.run(4)
	if p.roots[1].over || p.apart() > p.most+100 {
		t.Errorf("passed over: %v, %d apart", p.roots[1].over, p.apart())
	}
}

// TestSlowLinks: where a block takes longer than proof, nobody is slow because it had none meanwhile.
func TestSlowLinks(t *testing.T) {
	const block = 100
	b, first, last := &balance{most: 4 * block}, &share{}, &share{}
	roots := []*share{first, last}
	var now time.Time
	b.tick(roots, always, now)
	for range 20 { // a second for each block
		now = now.Add(time.Second)
		b.count(first, block, now)
	}
	for range 10 {
		if !b.ahead(first, always, now) {
			t.Fatalf("the last is not waited for: %+v", last)
		}
		if last.sent == 0 {
			b.paused(first, now)
		}
		b.count(last, block, now)
		for range 8 { // two seconds
			now = now.Add(tickEvery)
			if b.tick(roots, always, now); !b.ahead(first, always, now) {
				t.Fatalf("the last is not waited for: %+v", last)
			}
		}
	}
}

// TestProofBeginsAnew: what a root had while nobody waited for it says nothing, for then it may have been crowded out.
func TestProofBeginsAnew(t *testing.T) {
	var now time.Time
	b, first, last := &balance{most: 400, pace: 1000}, &share{}, &share{}
	b.tick([]*share{first, last}, always, now)
	for range 3 {
		now = now.Add(time.Hour)
		b.count(last, 10, now)
		b.count(first, 500, now)
		if !b.ahead(first, always, now) {
			t.Fatalf("passed over at once: %+v", last)
		}
		if now = now.Add(proof / 2); !b.ahead(first, always, now) {
			t.Fatalf("passed over before proof: %+v", last)
		}
	}
	if now = now.Add(proof / 2); b.ahead(first, always, now) {
		t.Errorf("still waited for: %+v", last)
	}
}

// TestWaitingTellsNothing: what a root takes that has to wait says nothing of how fast it is.
func TestWaitingTellsNothing(t *testing.T) {
	p := newPlay([]int64{875, 125}, 125)
	if p.run(1); p.pent(p.roots[0]) < 2500 || p.pent(p.roots[1]) != 0 { // bytes a second
		t.Errorf("the first would take %.0f, the second %.0f", p.pent(p.roots[0]), p.pent(p.roots[1]))
	}
}

func TestNewcomerStartsWithTheLast(t *testing.T) {
	var now time.Time
	b, first, second, newcomer := &balance{most: 10}, &share{}, &share{}, &share{}
	b.tick([]*share{first, second}, always, now)
	b.count(first, 20, now)
	b.count(second, 25, now)
	b.count(newcomer, 7, now) // before it is known to be one
	b.tick([]*share{first, second, newcomer}, always, now)
	if newcomer.sent != 20 || b.ahead(first, always, now) || b.ahead(second, always, now) || b.ahead(newcomer, always, now) {
		t.Errorf("first %+v, second %+v, newcomer %+v", first, second, newcomer)
	}
	if b.count(first, 11, now); !b.ahead(first, always, now) || b.ahead(second, always, now) || b.ahead(newcomer, always, now) {
		t.Errorf("11 ahead: first %+v, second %+v, newcomer %+v", first, second, newcomer)
	}
	nobody := func(*share) bool { return false }
	if b.ahead(first, nobody, now) {
		t.Error("the first waits for others that have nothing to wait for")
	}
}

// TestRestIsForgotten: what a root is behind is still due to it when it had nothing to wait for at a moment, but not after a while.
func TestRestIsForgotten(t *testing.T) {
	for rest, want := range map[int]int64{1: 5, restTicks: 5, restTicks + 1: 9} {
		var now time.Time
		b, first, second := &balance{most: 10}, &share{}, &share{}
		roots := []*share{first, second}
		b.tick(roots, always, now)
		b.count(first, 9, now)
		b.count(second, 5, now)
		for range rest {
			b.tick(roots, func(r *share) bool { return r == first }, now)
		}
		if b.tick(roots, always, now); second.sent != want {
			t.Errorf("after %d ticks without anything to wait for it counts as having had %d, want %d", rest, second.sent, want)
		}
	}
}

// TestSomebodyIsNeverAhead: whatever they were sent, the last of the roots is not held up, nor anybody by less than what is allowed.
func TestSomebodyIsNeverAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var now time.Time
		b := &balance{most: rapid.Int64Range(1, 1000).Draw(t, "most")}
		roots := make([]*share, rapid.IntRange(1, 5).Draw(t, "roots"))
		for i := range roots {
			roots[i] = &share{}
		}
		for range rapid.IntRange(1, 50).Draw(t, "ticks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			idle := rapid.IntRange(0, len(roots)).Draw(t, "idle")
			busy := func(r *share) bool { return idle == len(roots) || r != roots[idle] }
			b.tick(roots, busy, now)
			for _, r := range roots {
				b.count(r, rapid.Int64Range(0, 500).Draw(t, "sent"), now)
			}
			last := b.last(busy)
			for _, r := range b.roots {
				if !b.ahead(r, busy, now) {
					continue
				}
				if b.paused(r, now); r.sent-last.sent <= b.most {
					t.Fatalf("%+v is held up, the last is %+v, apart they may be %d", r, last, b.most)
				}
			}
		}
	})
}

// TestYield: whoever is ahead goes on as soon as the last root has come closer, or has nothing to wait for, or the connection ends.
func TestYield(t *testing.T) {
	for name, free := range map[string]func(b *balance, last *share, end context.CancelFunc){
		"the last has come closer":       func(b *balance, last *share, _ context.CancelFunc) { b.count(last, 5, time.Now()) },
		"the last has nothing to expect": func(_ *balance, last *share, _ context.CancelFunc) { last.out.close() },
		"the last is slow":               func(b *balance, _ *share, _ context.CancelFunc) { b.known(1000) },
		"the connection ends":            func(_ *balance, _ *share, end context.CancelFunc) { end() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				s := &Swarm{cfg: Config{Seeder: true}, balance: balance{most: 10}}
				first, last := &conn{out: newOutbox(&s.uplink)}, &conn{out: newOutbox(&s.uplink)}
				last.out.serve(asked{}, false)
				s.balance.tick([]*share{&first.out.share, &last.out.share}, always, time.Now())
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
