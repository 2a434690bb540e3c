package policy

import "testing"

// TestLateFromTheRootOn: a stripe that is late to everybody alike stays with its feeder; once somebody has much more of it, it moves there.
func TestLateFromTheRootOn(t *testing.T) {
	const third = PeerID(3)
	p := newStriped(1000, 100)
	addPeer(p, third)
	next := 0
	goOn := func(ticks int) {
		for range ticks {
			p.PeerHas(first, next)
			p.PeerHas(second, next) // it gets as much as we do, so it is not the cause
			fetch(p, first)
			next += 2
			p.Tick()
		}
	}
	goOn(3 * hopeless)
	if lag := p.stripes[1].lag; p.Feeder(1) != second || lag < 2*hopeless {
		t.Fatalf("the stripe is %d pieces behind and comes from peer %d, want the one that was named", lag, p.Feeder(1))
	}
	for i := 1; i < next; i += 2 {
		p.PeerHas(third, i)
	}
	goOn(1)
	if got := p.Feeder(1); got != third {
		t.Errorf("somebody has all of the late stripe, and it comes from peer %d", got)
	}
}
