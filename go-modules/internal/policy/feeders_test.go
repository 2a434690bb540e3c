package policy

import "testing"

// TestLateFromTheRootOn: a stripe that is late to everybody alike stays with its feeder; once somebody has much more of it, it moves there.
func TestLateFromTheRootOn(t *testing.T) {
	const third = PeerID(3)
	p := newStriped(1000, 100)
	addPeer(p, third)
	next := 0
	goOn := func(ticks int, both bool) {
		for range ticks {
			p.PeerHas(first, next)
			p.PeerHas(second, next) // it gets as much as we do, so it is not the cause
			fetch(p, first)
			if both {
				p.PeerHas(second, next-2*hopeless+1)
				fetch(p, second)
			}
			next += 2
			p.Tick()
		}
	}
	goOn(hopeless, false)
	goOn(2*hopeless, true)
	if lag := p.stripes[1].lag; p.Feeder(1) != second || lag < hopeless {
		t.Fatalf("the stripe is %d pieces behind and comes from peer %d, want the one that was named", lag, p.Feeder(1))
	}
	for i := 1; i < next; i += 2 {
		p.PeerHas(third, i)
	}
	goOn(1, true)
	if got := p.Feeder(1); got != third {
		t.Errorf("somebody has all of the late stripe, and it comes from peer %d", got)
	}
}

// TestNobodyHasAStillStripe: a stripe of which nothing comes moves to the backup even if nobody is known to have any of it. What
// feeds it may be a circle.
func TestNobodyHasAStillStripe(t *testing.T) {
	p := newStriped(1000, 100)
	addPeer(p, backup)
	p.SetParents(1, 2, second, backup)
	for i := range 3 * hopeless {
		p.PeerHas(first, 2*i)
		p.PeerHas(second, 2*i)
		p.PeerHas(backup, 2*i)
		fetch(p, first)
		p.Tick()
	}
	if got := p.Feeder(1); got != backup {
		t.Errorf("the stripe still comes from peer %d, want the backup %d", got, backup)
	}
}

// TestOriginHelpsUntilSomethingComes: who gets nothing from its feeders is served by the origin, one piece after the other, until a feeder
// sends something. With a wait before each piece, peers that wait for each other would hardly come on.
func TestOriginHelpsUntilSomethingComes(t *testing.T) {
	p := newStriped(200, 10)
	starve := func() {
		for range firstPatience + 2*patience {
			p.Tick()
		}
	}
	starve()
	for range 20 {
		blks := p.Pick(origin, 5)
		if len(blks) != 1 {
			t.Fatalf("%d blocks were asked of the origin at a time, want 1", len(blks))
		}
		p.Received(origin, blks[0])
		p.Verified(blks[0].Piece, true)
		p.Tick()
	}
	for i := range 200 {
		if !p.Have(i) && i%2 == 0 {
			p.PeerHas(first, i)
		}
	}
	blks := p.Pick(first, 1)
	p.Received(first, blks[0])
	p.Verified(blks[0].Piece, true)
	p.Tick()
	if got := p.Pick(origin, 5); len(got) != 0 {
		t.Errorf("blocks come from a feeder, and the origin is asked for %v", got)
	}
}

// TestBothFeedersStraggle: nothing tells one stripe from the other when both feeders are slow, but there is somebody who gets pieces much
// faster than they do. A backup that is as slow is passed over.
func TestBothFeedersStraggle(t *testing.T) {
	const backup, fast = PeerID(3), PeerID(4)
	p := newStriped(4000, 200)
	addPeer(p, backup)
	addPeer(p, fast)
	p.SetParents(1, 2, second, backup)
	next := 0
	for tick := range 3 * longMemory {
		for range 3 * slowBy {
			p.PeerHas(fast, next)
			next++
		}
		for _, id := range []PeerID{first, second, backup} {
			p.PeerHas(id, 2*tick)
			p.PeerHas(id, 2*tick+1)
		}
		fetch(p, first)
		fetch(p, second)
		p.Tick()
	}
	if p.Away() || p.Feeder(0) != fast || p.Feeder(1) != fast {
		t.Errorf("the stripes come from peers %d and %d (away: %v), want %d", p.Feeder(0), p.Feeder(1), p.Away(), fast)
	}
}

// TestAPauseMakesNoStraggler: when nobody gets anything, nobody is slower than others.
func TestAPauseMakesNoStraggler(t *testing.T) {
	p := newStriped(4000, 200)
	for i := range 2 * longMemory {
		p.PeerHas(first, 2*i)
		p.PeerHas(second, 2*i)
		p.PeerHas(first, 2*i+1)
		p.PeerHas(second, 2*i+1)
		fetch(p, first)
		fetch(p, second)
		p.Tick()
	}
	for range 4 * longMemory {
		p.Tick()
		if p.Feeder(0) != first || p.Feeder(1) != second {
			t.Fatalf("the stripes come from peers %d and %d", p.Feeder(0), p.Feeder(1))
		}
	}
}

// TestOtherOriginsAreNoFlow: what another origin sends because nothing else comes does not end that either.
func TestOtherOriginsAreNoFlow(t *testing.T) {
	const other = PeerID(3)
	p := newStriped(200, 10)
	addPeer(p, other, upTo(200)...)
	p.SetOrigin(origin, other)
	for range firstPatience + 2*patience {
		p.Tick()
	}
	for range 4 {
		for _, id := range []PeerID{other, origin} {
			blks := p.Pick(id, 5)
			if len(blks) != 1 {
				t.Fatalf("%d blocks were asked of origin %d at a time, want 1", len(blks), id)
			}
			p.Received(id, blks[0])
			p.Verified(blks[0].Piece, true)
		}
		p.Tick()
	}
}
