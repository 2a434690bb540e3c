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
	const backup = PeerID(3)
	p := newStriped(1000, 100)
	addPeer(p, backup)
	p.SetParents(1, 2, second, backup)
	for i := range 3 * hopeless {
		p.PeerHas(first, 2*i)
		p.PeerHas(second, 2*i)
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

// slowly lets both parents get many pieces in each tick, and us one of each, until the first does not feed us any more, or
// for most ticks. It returns their number. next is the first piece that the parents lack.
func slowly(p *Picker, next *int, most int) int {
	for tick := range most {
		for range 4 * slowBy {
			p.PeerHas(first, *next)
			p.PeerHas(second, *next)
			*next++
		}
		for _, id := range []PeerID{first, second} {
			for _, blk := range p.Pick(id, 10)[:1] {
				p.Received(id, blk)
				p.Verified(blk.Piece, true)
			}
		}
		p.Tick()
		if p.Feeder(0) != first {
			return tick + 1
		}
	}
	return most
}

// TestTooSlowForTheTrees: a peer whose own link is the cause leaves its parents to others, is served by whoever has something to
// spare, and tries its parents again later.
func TestTooSlowForTheTrees(t *testing.T) {
	const third = PeerID(3)
	p, next := newStriped(4000, 200), 0
	addPeer(p, third, upTo(100)...)
	if ticks := slowly(p, &next, hopeless); ticks > 3*memory || p.Feeder(0) != NoPeer || p.Feeder(1) != NoPeer {
		t.Fatalf("after %d ticks the stripes come from peers %d and %d, want nobody", ticks, p.Feeder(0), p.Feeder(1))
	}
	if got := p.Pick(third, 10); len(got) != 1 {
		t.Errorf("somebody with pieces to spare was asked for %v, want one piece", got)
	}
	for range yieldTicks {
		if p.quiet = 0; p.Feeder(0) != NoPeer {
			t.Fatal("it came back too early")
		}
		p.Tick()
	}
	if p.Feeder(0) != first || p.Feeder(1) != second {
		t.Errorf("after a while the stripes come from peers %d and %d, want the parents", p.Feeder(0), p.Feeder(1))
	}
}

// TestTooSlowAndStarving: nobody serves it out of turn, so it asks its parents again at once.
func TestTooSlowAndStarving(t *testing.T) {
	p, next := newStriped(4000, 200), 0
	slowly(p, &next, hopeless)
	for range patience + mostUsual*silences {
		p.Tick()
	}
	if p.Feeder(0) != first || p.Feeder(1) != second {
		t.Errorf("nothing comes, and the stripes come from peers %d and %d, want the parents", p.Feeder(0), p.Feeder(1))
	}
}

// TestSlowOriginIsNoReason: a peer that only the origin feeds cannot know whose link is slow.
func TestSlowOriginIsNoReason(t *testing.T) {
	p := newStriped(400, 100)
	p.SetParents(0, 1, origin)
	p.SetParents(1, 1, origin)
	for range 4 * memory {
		blk := p.Pick(origin, 10)[0]
		p.Received(origin, blk)
		p.Verified(blk.Piece, true)
		p.Tick()
	}
	if p.Feeder(0) != origin || p.Feeder(1) != origin {
		t.Errorf("the stripes come from peers %d and %d, want the origin", p.Feeder(0), p.Feeder(1))
	}
}

// TestOneSlowFeederIsNoReason: the other stripe flows, so it is not our link.
func TestOneSlowFeederIsNoReason(t *testing.T) {
	p, next := newStriped(4000, 200), 0
	for range 2 * memory {
		for range 4 * slowBy {
			p.PeerHas(first, next)
			p.PeerHas(second, next)
			next++
		}
		fetch(p, first)
		for _, blk := range p.Pick(second, 1) {
			p.Received(second, blk)
			p.Verified(blk.Piece, true)
		}
		p.Pick(second, 10) // it owes something all the time
		p.Tick()
		if p.Feeder(0) != first {
			t.Fatal("the feeder of the stripe that flows was left")
		}
	}
}
