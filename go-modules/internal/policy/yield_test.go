package policy

import (
	"slices"
	"testing"
)

// bothGet lets both parents get n pieces more. next is the first that they lack.
func bothGet(p *Picker, next *int, n int) {
	for range n {
		p.PeerHas(first, *next)
		p.PeerHas(second, *next)
		*next++
	}
}

// comeFrom fails the test unless the two stripes come from these peers.
func comeFrom(t *testing.T, p *Picker, zero, one PeerID) {
	t.Helper()
	if p.Feeder(0) != zero || p.Feeder(1) != one {
		t.Errorf("the stripes come from peers %d and %d, want %d and %d", p.Feeder(0), p.Feeder(1), zero, one)
	}
}

// slowly lets both parents get many pieces in each tick, and us one of each, until the first does not feed us any more, or
// for most ticks. It returns their number. next is the first piece that the parents lack.
func slowly(p *Picker, next *int, most int) int {
	for tick := range most {
		bothGet(p, next, 4*slowBy)
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

// TestTooSlowForTheTrees: a peer whose own link is the cause leaves its parents to others, and is fed by those that are named then.
func TestTooSlowForTheTrees(t *testing.T) {
	const third = PeerID(3)
	p, next := newStriped(4000, 200), 0
	addPeer(p, third, upTo(100)...)
	if ticks := slowly(p, &next, hopeless); ticks > 3*memory || p.Feeder(0) != NoPeer || p.Feeder(1) != NoPeer {
		t.Fatalf("after %d ticks the stripes come from peers %d and %d, want nobody", ticks, p.Feeder(0), p.Feeder(1))
	}
	if got := p.Pick(third, 10); len(got) != 1 {
		t.Errorf("nobody feeds it, and somebody who has pieces was asked for %v, want one", got)
	}
	if before := p.Before(4); before <= 0 || before > 8 {
		t.Errorf("%v pieces a second came, want at most 8", before)
	}
	lean(p, third)
	for range longMemory {
		bothGet(p, &next, 4*slowBy)
		give(p, third, 2)
		if p.Tick(); !p.Away() {
			t.Fatal("it is back, and still too slow")
		}
	}
	comeFrom(t, p, third, third)
}

// lean makes a peer that stays out of the trees be fed by one.
func lean(p *Picker, id PeerID) {
	p.SetParents(0, 5, id)
	p.SetParents(1, 5, id)
}

// give lets n pieces come from a peer.
func give(p *Picker, id PeerID, n int) {
	p.Pick(id, 2*n)
	for range min(n, len(p.peer(id).owes)) {
		blk := p.peer(id).owes[0]
		p.Received(id, blk)
		p.Verified(blk.Piece, true)
	}
}

// TestHowSlowIsTooSlow: feeders get so many pieces in a tick, and this peer a share of that. How much it lacks decides how soon it steps aside.
func TestHowSlowIsTooSlow(t *testing.T) {
	for _, c := range []struct {
		feeders, ours int
		most          int // ticks until it steps aside; 0: it never does
	}{{40, 4, 4}, {40, 12, 7}, {40, 20, 9}, {40, 30, 13}, {40, 34, 20}, {40, 40, 0}, {40, 39, 0}, {4, 2, 12}, {2, 2, 0}} {
		p, next := newStriped(40000, 200), 0
		ticks := 0
		for ; ticks < 3*hopeless && !p.Away(); ticks++ {
			bothGet(p, &next, c.feeders)
			give(p, first, c.ours/2)
			give(p, second, c.ours-c.ours/2)
			p.Tick()
		}
		if away := c.most > 0; p.Away() != away || (away && ticks > c.most) {
			t.Errorf("of %d pieces in a tick it gets %d: away after %d ticks: %v, want it after %d at the most", c.feeders, c.ours, ticks, p.Away(), c.most)
		}
	}
}

// TestSlowRoot: one stripe comes from the origin, which always owes something, and faster than the other, whose feeder is changed again and again.
func TestSlowRoot(t *testing.T) {
	const third = PeerID(3)
	for name, c := range map[string]struct {
		origin, other int
		away          bool
	}{"half the link": {15, 5, true}, "three quarters": {22, 8, true}, "all of it": {20, 20, false}, "all of it, unevenly": {28, 11, false}} {
		p, next := newStriped(40000, 400), 0
		addPeer(p, third)
		p.SetParents(0, 1, origin)
		p.SetParents(1, 4, second, third)
		for tick := range 4 * hopeless {
			for range 40 {
				p.PeerHas(second, next)
				p.PeerHas(third, next)
				next++
			}
			give(p, origin, c.origin)
			give(p, p.Feeder(1), c.other)
			if p.Tick(); p.Away() {
				break
			}
			if tick%6 == 5 {
				p.feed(1, []PeerID{second, third}[tick/6%2])
			}
		}
		if p.Away() != c.away {
			t.Errorf("%s: it stays out of the trees: %v", name, p.Away())
		}
	}
}

// TestTooSlowAndStarving: nobody serves it outside of the trees, so it is back at once.
func TestTooSlowAndStarving(t *testing.T) {
	p, next := newStriped(4000, 200), 0
	slowly(p, &next, hopeless)
	for range patience + mostUsual*silences {
		p.Tick()
	}
	if p.Away() {
		t.Fatal("it stays away though nothing comes")
	}
	p.SetParents(0, 2, first)
	p.SetParents(1, 2, second)
	comeFrom(t, p, first, second)
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
	comeFrom(t, p, origin, origin)
}

// TestOneSlowFeederIsNoReason: the other stripe flows, so it is not our link.
func TestOneSlowFeederIsNoReason(t *testing.T) {
	p, next := newStriped(4000, 200), 0
	for range 2 * memory {
		bothGet(p, &next, 4*slowBy)
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

// TestBackInTheTrees: it is back as soon as it gets what the others get, and each time that it has left again stays away for twice as long
// before that.
func TestBackInTheTrees(t *testing.T) {
	const third = PeerID(3)
	p, next := newStriped(40000, 200), 0
	addPeer(p, third, upTo(40000)...)
	for least := awayTicks; least <= 2*mostAwayTicks; least *= 2 {
		if slowly(p, &next, hopeless); !p.Away() {
			t.Fatal("it stays in the trees")
		}
		lean(p, third)
		ticks := 0
		for ; p.Away(); ticks++ {
			bothGet(p, &next, 4*slowBy)
			give(p, third, 4*slowBy)
			p.Tick()
		}
		least := min(least, mostAwayTicks)
		if most := max(least+1, hopeless+longMemory); ticks < least || ticks > most {
			t.Errorf("it was back after %d ticks, want %d to %d", ticks, least, most)
		}
		p.SetParents(0, 2, first)
		p.SetParents(1, 2, second)
		comeFrom(t, p, first, second)
	}
}

// TestOneMuchFasterFeederIsEnough: of the other nothing is known, for its have messages wait behind its blocks.
func TestOneMuchFasterFeederIsEnough(t *testing.T) {
	p := newStriped(4000, 200)
	next := 0
	for range 2 * memory {
		for range 4 * slack {
			p.PeerHas(first, next)
			next++
		}
		for _, blk := range p.Pick(first, 10)[:1] {
			p.Received(first, blk)
			p.Verified(blk.Piece, true)
		}
		if p.Tick(); p.Away() {
			return
		}
	}
	t.Error("it stays in the trees")
}

// TestWhoLeavesTakesAllBack: what was asked of the parents would still come before what their children wait for.
func TestWhoLeavesTakesAllBack(t *testing.T) {
	p, next := newStriped(4000, 200), 0
	var asked []Request
	for tick := 0; !p.Away(); tick++ {
		bothGet(p, &next, 4*slowBy)
		for _, id := range []PeerID{first, second} {
			p.Pick(id, 10)
			p.Ahead(id, 10)
			blk := p.peer(id).owes[0]
			p.Received(id, blk)
			p.Verified(blk.Piece, true)
		}
		asked = asked[:0]
		for _, id := range []PeerID{first, second} {
			for _, blk := range p.peer(id).owes {
				asked = append(asked, Request{id, blk})
			}
		}
		p.Revoked()
		if p.Tick(); tick > hopeless {
			t.Fatal("it stays in the trees")
		}
	}
	revoked := p.Revoked()
	for _, r := range asked {
		if !slices.Contains(revoked, r) {
			t.Errorf("%v was not taken back", r)
		}
	}
	if len(revoked) != len(asked) || len(p.peer(first).owes)+len(p.peer(second).owes) > 0 {
		t.Errorf("%d requests were taken back, want %d", len(revoked), len(asked))
	}
	for _, r := range asked {
		if !p.fresh.has(r.Block.Piece) {
			t.Errorf("piece %d counts as begun", r.Block.Piece)
		}
	}
}

// TestStandingStillIsNoSlowLink: what comes after a time in which nothing came, because of the network or because this host had no time, tells nothing of
// how fast the link is.
func TestStandingStillIsNoSlowLink(t *testing.T) {
	for name, stop := range map[string]func(p *Picker){
		"nothing came": func(p *Picker) {
			for range 3 * patience {
				p.Pick(first, 10)
				p.Pick(second, 10)
				p.Tick()
			}
		},
		"no time": func(p *Picker) { p.Paused() },
	} {
		p, next := newStriped(40000, 200), 0
		for range 4 * memory {
			bothGet(p, &next, 8)
			fetch(p, first)
			fetch(p, second)
			p.Tick()
		}
		stop(p)
		bothGet(p, &next, 20*slowBy)
		if ticks := slowly(p, &next, longMemory-1); ticks < longMemory-1 || p.Away() {
			t.Errorf("%s: after %d ticks the peer stepped aside", name, ticks)
		}
		if slowly(p, &next, hopeless); !p.Away() {
			t.Errorf("%s: it never stepped aside, which proves nothing", name)
		}
	}
}
