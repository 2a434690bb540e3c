package policy

import (
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

const holder = PeerID(3)

// newRoot makes a Picker of a root of stripe 0, which besides the origin a peer has that serves us: these pieces of it.
func newRoot(has ...int) *Picker {
	p := newStriped(10, 10)
	p.SetParents(0, 1, origin)
	addPeer(p, holder, has...)
	return p
}

// ticks lets time pass in which something comes all the time, so that the origin is not asked because nothing does.
func ticks(p *Picker, n int) {
	for range n {
		p.Tick()
		p.quiet = 0
	}
}

// slowHolder finds out that the holder sends a hundredth of what the origin does.
func slowHolder(p *Picker) {
	p.SetRate(origin, 100)
	p.SetRate(holder, 1)
	ticks(p, 1)
}

// TestOriginServesRootsWhatNobodyElseGives: that somebody has a piece does not keep a root from asking the origin for it, if he
// does not give it.
func TestOriginServesRootsWhatNobodyElseGives(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(p *Picker)
		gives   bool
	}{
		"it serves": {func(*Picker) {}, true},
		"it has not unchoked": {func(p *Picker) {
			p.RemovePeer(holder)
			p.AddPeer(holder)
			p.PeerHas(holder, 2)
			p.PeerHas(holder, 6)
		}, false},
		"it chokes":             {func(p *Picker) { p.SetChoked(holder, true) }, false},
		"it choked for a while": {func(p *Picker) { p.SetChoked(holder, true); p.SetChoked(holder, false) }, true},
		"it is slow":            {slowHolder, false},
		"it may not be slow any more": {func(p *Picker) {
			slowHolder(p)
			ticks(p, 100)
			if p.slow(p.peer(holder)) {
				t.Error("nobody would ever find out whether the slow peer still is")
			}
		}, false},
		"it is not slow any more": {func(p *Picker) {
			slowHolder(p)
			ticks(p, 100)
			p.PeerHas(holder, 0)
			p.Received(holder, p.Pick(holder, 1)[0]) // piece 0
			p.Verified(0, false)
		}, true},
		"it fell silent":            {func(p *Picker) { p.FellSilent(holder) }, false},
		"it rejects":                {func(p *Picker) { p.Rejected(holder, p.Pick(holder, 1)[0]) }, false},
		"it has left":               {func(p *Picker) { p.RemovePeer(holder) }, false},
		"it is an origin, too":      {func(p *Picker) { p.SetOrigin(origin, holder) }, false},
		"it is an origin no longer": {func(p *Picker) { p.SetOrigin(origin, holder); p.SetOrigin(origin) }, true},
	} {
		p, want := newRoot(2, 6), []int{0, 2, 4, 6, 8}
		test.happens(p)
		if test.gives {
			want = []int{0, 4, 8}
		}
		if p.PeerHasPiece(holder, 0) {
			want = want[1:]
		}
		if got := pieces(p.Pick(origin, 9)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("%s: the origin was asked for pieces %v, want %v", name, got, want)
		}
	}
}

// TestOriginIsMeasured: somebody has all that the origin could be asked for, and nothing tells whether he is slow. So the
// origin is asked after a while until that is known, and goes on if he is.
func TestOriginIsMeasured(t *testing.T) {
	for name, test := range map[string]struct {
		rate float64 // of the origin, where the holder has 1
		more int
	}{"the holder is slow": {100, 3}, "the holder is as fast": {2, 0}} {
		p := newRoot(0, 2, 4, 6, 8)
		p.SetRate(holder, 1)
		ticks(p, longMemory-1)
		if got := p.Pick(origin, 2); len(got) > 0 {
			t.Errorf("%s: the origin was asked for %v at once", name, got)
		}
		ticks(p, 1)
		if got := pieces(p.Pick(origin, 2)); !slices.Equal(got, []int{0, 2}) {
			t.Errorf("%s: after a while, the origin was asked for pieces %v", name, got)
		}
		p.SetRate(origin, test.rate)
		ticks(p, 1)
		if got := p.Pick(origin, 9); len(got) != test.more {
			t.Errorf("%s: the origin was asked for %v then, want %d pieces", name, got, test.more)
		}
	}
}

// TestOriginEndsWhatItFeeds: what a slow peer still owes at the end of a root's stripe is asked of the origin, too, but nothing
// of a stripe that others feed.
func TestOriginEndsWhatItFeeds(t *testing.T) {
	p := newPicker(2, 2, 4, 1)
	addPeer(p, origin, 0, 1)
	addPeer(p, holder, 0, 1)
	p.SetStripes(2)
	p.SetOrigin(origin)
	p.SetParents(0, 1, origin)
	p.SetParents(1, 2, holder)
	if got := len(p.Pick(holder, 9)); got != 2 { // one piece of those that it feeds
		t.Fatalf("%d blocks were asked of the holder, want 2", got)
	}
	p.take(nil, p.begin(0, holder, p.peer(holder)), holder, p.peer(holder), 9)
	slowHolder(p)
	if got := pieces(p.Pick(origin, 9)); !slices.Equal(got, []int{0, 0}) {
		t.Errorf("the origin was asked for blocks of pieces %v, want those of its own stripe", got)
	}
}

// TestStarvingPeerStaysInTheFlow: what it asks the origin for when nothing comes is no farther ahead than the stripes have come, as
// long as there is anything of that; for those whom it feeds ask ahead for what follows the last that it has.
func TestStarvingPeerStaysInTheFlow(t *testing.T) {
	for name, test := range map[string]struct{ has, most int }{"nobody has anything": {0, 2 * lookahead}, "others have some": {200, 200}} {
		different := map[int]bool{}
		for range 100 {
			p := newStriped(4000, 1000)
			for i := range test.has {
				p.PeerHas(first, i)
			}
			p.cfg.Rand = rand.New(rand.NewPCG(rand.Uint64(), 1))
			p.flowing, p.quiet = true, patience*silences*mostUsual
			got := pieces(p.Pick(origin, 9))
			if len(got) != 1 || got[0] >= test.most {
				t.Fatalf("%s: the origin was asked for pieces %v, want one before %d", name, got, test.most)
			}
			different[got[0]] = true
		}
		if len(different) < 10 {
			t.Errorf("%s: 100 peers asked the origin for %d different pieces", name, len(different))
		}
	}
	p := newStriped(4000, 1000)
	p.have.add(0)
	for i := range 3999 {
		p.fresh.remove(i)
	}
	p.flowing, p.quiet = true, patience*silences*mostUsual
	if got := pieces(p.Pick(origin, 9)); !slices.Equal(got, []int{3999}) {
		t.Errorf("the origin was asked for pieces %v, want the only one that is left", got)
	}
}

// TestNothingOfOriginsIsSpread: what a second origin has does not tell how far a stripe has come down the trees.
func TestNothingOfOriginsIsSpread(t *testing.T) {
	p := newStriped(400, 100)
	addPeer(p, holder)
	p.SetOrigin(origin, holder)
	for i := range 400 {
		p.PeerHas(holder, i)
	}
	p.PeerHas(first, 8)
	if got := p.stripes[0].front; got != 8 {
		t.Errorf("the stripe has come as far as piece %d, want 8", got)
	}
	p.RemovePeer(second)
	p.substitute(1)
	if got := p.Feeder(1); got != NoPeer {
		t.Errorf("the stripe that nobody feeds moved to peer %d", got)
	}
	p.SetOrigin(origin)
	if got := p.stripes[0].front; got != 398 {
		t.Errorf("with the pieces of one that is no origin, it has come as far as piece %d, want 398", got)
	}
}

func TestStripeIsNotMovedToWhoChokes(t *testing.T) {
	p := newStriped(400, 100)
	addPeer(p, holder, upTo(400)...)
	p.SetChoked(holder, true)
	p.PeerHas(first, 1)
	p.RemovePeer(second)
	p.substitute(1)
	if got := p.Feeder(1); got != first {
		t.Errorf("the stripe comes from peer %d, want the one that has any of it and serves us", got)
	}
}

// checkHolders counts anew who has each piece, and who may be expected to send it.
func checkHolders(t *rapid.T, p *Picker) {
	for i := range p.cfg.Pieces {
		var want [3]int
		counted := [3]int{int(p.avail[i]), int(p.usable[i]), int(p.quick[i])}
		for _, pr := range p.order {
			serves := !pr.choked && !pr.silent && !pr.origin
			for n, counts := range []bool{true, serves, serves && !pr.doubted} {
				if counts && pr.has.has(i) {
					want[n]++
				}
			}
		}
		if counted != want {
			t.Fatalf("piece %d: counted %d peers that have it, serve us and are not slow; there are %d", i, counted, want)
		}
	}
}
