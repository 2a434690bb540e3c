package policy

import (
	"math/rand/v2"
	"slices"
	"testing"
)

const (
	origin = PeerID(0)
	first  = PeerID(1) // parent of stripe 0
	second = PeerID(2) // parent of stripe 1
)

// newStriped makes a Picker of two stripes and three peers; only the origin has anything yet.
func newStriped(pieces, maxOpen int) *Picker {
	p := newPicker(pieces, 1, maxOpen, 1)
	addPeer(p, origin, upTo(pieces)...)
	addPeer(p, first)
	addPeer(p, second)
	p.SetStripes(2)
	p.SetOrigin(origin)
	p.SetParents(0, 2, first)
	p.SetParents(1, 2, second)
	return p
}

func pieces(blks []Block) []int {
	var list []int
	for _, blk := range blks {
		list = append(list, blk.Piece)
	}
	return list
}

// fetch takes everything that a peer can give at the moment.
func fetch(p *Picker, id PeerID) {
	for blks := p.Pick(id, 10); len(blks) > 0; blks = p.Pick(id, 10) {
		for _, blk := range blks {
			if p.Received(id, blk).Whole {
				p.Verified(blk.Piece, true)
			}
		}
	}
}

func TestParentServesItsStripe(t *testing.T) {
	p := newStriped(200, 100)
	for i := range 20 {
		p.PeerHas(first, i)
		p.PeerHas(second, i)
	}
	// The newest first: those are what our own children lack.
	if got := pieces(p.Pick(second, 5)); !slices.Equal(got, []int{19, 17, 15, 13, 11}) {
		t.Errorf("the parent of stripe 1 was asked for pieces %v", got)
	}
	if got := pieces(p.Pick(first, 3)); !slices.Equal(got, []int{18, 16, 14}) {
		t.Errorf("the parent of stripe 0 was asked for pieces %v", got)
	}
	if got := pieces(p.Pick(origin, 5)); len(got) != 0 {
		t.Errorf("the origin, no parent, was asked for pieces %v", got)
	}
}

// TestFailingParentIsReplaced: stripe 0 flows, four pieces in a tick, and stripe 1 comes late, in all the ways that this
// can come about.
func TestFailingParentIsReplaced(t *testing.T) {
	const third = PeerID(3)
	for name, test := range map[string]struct {
		backup PeerID
		others int // pieces that the parent of stripe 1 gets in a tick of stripe 0
		own    int // and of stripe 1
		sends  int // of these, it sends us so many
		want   PeerID
	}{
		"parent gets nothing at all":         {third, 0, 0, 0, third},
		"parent gets everything slowly":      {third, 1, 0, 0, third},
		"parent waits for its own parent":    {third, 4, 0, 0, second},
		"parent has all and sends nothing":   {third, 4, 4, 0, third},
		"parent has all and sends slowly":    {third, 4, 4, 1, third},
		"parent has all and sends well":      {third, 4, 4, 4, second},
		"no backup, but somebody has plenty": {NoPeer, 4, 4, 0, third},
	} {
		p := newStriped(400, 100)
		addPeer(p, third)
		if test.backup != NoPeer {
			p.SetParents(1, 2, second, test.backup)
		}
		even, odd := 0, 0
		for range 12 {
			for range 4 {
				p.PeerHas(first, 2*even)
				p.PeerHas(third, 2*even+1)
				p.PeerHas(third, 2*even+101)
				even++
			}
			fetch(p, first)
			for i := range test.others {
				p.PeerHas(second, 2*(even-4+i))
			}
			for i := range test.own {
				p.PeerHas(second, 2*(odd+i)+1)
			}
			odd += test.own
			for _, blk := range p.Pick(second, 10)[:min(test.sends, len(p.open))] {
				p.Received(second, blk)
				p.Verified(blk.Piece, true)
			}
			p.Tick()
			if got := p.stripes[1].feeder; got != second {
				break
			}
		}
		if got := p.stripes[1].feeder; got != test.want {
			t.Errorf("%s: peer %d feeds the stripe, want %d", name, got, test.want)
		}
	}
}

// TestBusyParentIsGivenTime: stripe 0 flows, and the parent of stripe 1, which has everything, sends a third or a sixth as much. The one may
// only have much to do, and is left later.
func TestBusyParentIsGivenTime(t *testing.T) {
	const third = PeerID(3)
	left := func(sends int) int {
		p := newStriped(4000, 100)
		addPeer(p, third)
		p.SetParents(1, 2, second, third)
		for i := range 1000 {
			p.PeerHas(first, 2*i)
			p.PeerHas(second, 2*i+1)
			p.PeerHas(third, 2*i+1)
		}
		for _, id := range []PeerID{first, second, third} {
			p.Met(id)
		}
		owed := map[PeerID][]Block{}
		for tick := 1; tick < 100; tick++ {
			for id, n := range map[PeerID]int{first: 6, second: sends} {
				owed[id] = append(owed[id], p.Pick(id, 10-len(owed[id]))...)
				for _, blk := range owed[id][:n] {
					p.Received(id, blk)
					p.Verified(blk.Piece, true)
				}
				owed[id] = owed[id][n:]
			}
			if p.Tick(); p.stripes[1].feeder != second {
				return tick
			}
		}
		return 100
	}
	busy, slow := left(2), left(1)
	if slow+unsure/2 > busy || busy == 100 {
		t.Errorf("the parent that sends a third is left after %d ticks, the one that sends a sixth after %d", busy, slow)
	}
}

// TestDraggingParentIsReplacedSoon: a parent that has everything and sends nothing is replaced long before so much is
// missing as is tolerable far down a tree; one that is only as late as its own parent is not.
func TestDraggingParentIsReplacedSoon(t *testing.T) {
	for name, test := range map[string]struct {
		has  bool
		want PeerID
	}{"drags": {true, first}, "waits": {false, second}} {
		p := newStriped(400, 100)
		p.SetParents(1, 20, second, first)
		for tick := range 8 {
			for i := range 4 {
				p.PeerHas(first, 8*tick+2*i)
				p.PeerHas(second, 8*tick+2*i)
				if test.has {
					p.PeerHas(second, 8*tick+2*i+1)
				}
			}
			fetch(p, first)
			p.Pick(second, 10)
			p.Tick()
		}
		if got, lag := p.Feeder(1), p.stripes[1].lag; got != test.want || lag > p.stripes[1].tolerance() {
			t.Errorf("%s: peer %d feeds the stripe, %d pieces behind; want %d", name, got, lag, test.want)
		}
	}
}

func TestDeadParentIsReplacedByTheBackup(t *testing.T) {
	p := newStriped(200, 100)
	p.SetParents(1, 2, second, first)
	p.PeerHas(first, 1)
	p.RemovePeer(second)
	if got := pieces(p.Pick(first, 5)); !slices.Equal(got, []int{1}) {
		t.Errorf("the backup was asked for pieces %v", got)
	}
}

func TestEndOfStripeComesFromAnyone(t *testing.T) {
	p := newStriped(20, 20)
	addPeer(p, 3, 14, 16, 18)
	if got := pieces(p.Pick(3, 5)); !slices.Equal(got, []int{14}) {
		t.Errorf("at the end of its stripe, pieces %v were asked for, want one", got)
	}
}

// TestLastStripeComesFromAnyone: once the other stripe is complete, half of our link is free for what is missing of this one, and who has
// it has nothing better to do as soon as the last piece is in sight.
func TestLastStripeComesFromAnyone(t *testing.T) {
	for _, tt := range []struct {
		name     string
		complete bool // the other stripe
		last     bool // the last piece is in sight
		want     []int
	}{
		{"both are missing", false, true, nil},
		{"the end is not in sight", true, false, nil},
		{"the end of the last", true, true, []int{10}},
	} {
		p := newStriped(24, 24)
		if tt.complete {
			for i := 1; i < 24; i += 2 {
				p.PeerHas(second, i)
			}
			fetch(p, second)
		}
		p.PeerHas(first, 0)
		p.Pick(first, 1) // so that not only others owe anything
		addPeer(p, 3, 10, 12)
		if tt.last {
			addPeer(p, 4, 22)
		}
		p.Tick()
		if got := pieces(p.Pick(3, 5)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: pieces %v were asked of somebody else, want %v", tt.name, got, tt.want)
		}
	}
}

func TestStripeWithoutParentComesFromAnyoneButTheOrigin(t *testing.T) {
	p := newStriped(200, 100)
	p.PeerHas(second, 0)
	p.RemovePeer(first)
	if got := p.Pick(origin, 5); len(got) != 0 {
		t.Errorf("the origin was asked for %v", got)
	}
	if got := pieces(p.Pick(second, 5)); !slices.Equal(got, []int{0}) {
		t.Errorf("pieces %v were asked for, want 0", got)
	}
}

func TestOriginServesRootsWhatNobodyElseHas(t *testing.T) {
	p := newStriped(10, 10)
	p.SetParents(0, 1, origin)
	p.PeerHas(second, 2)
	p.PeerHas(second, 6)
	if got := pieces(p.Pick(origin, 5)); !slices.Equal(got, []int{0, 4, 8}) {
		t.Errorf("the origin was asked for pieces %v", got)
	}
	if got := pieces(p.Pick(second, 1)); !slices.Equal(got, []int{2}) {
		t.Errorf("piece %v of the root's stripe was asked of a peer that has 2 and 6", got)
	}
}

func TestOriginIsTheLastResort(t *testing.T) {
	const most = firstPatience + 2*patience // on the second level
	p := newStriped(100, 10)
	for range most - 1 {
		p.Tick()
	}
	if got := p.Pick(origin, 5); len(got) != 0 {
		t.Fatalf("the origin was asked for %v before anything was late", got)
	}
	p.Tick()
	if got := p.Pick(origin, 5); len(got) != 1 {
		t.Errorf("a starving peer with parents asked the origin for %v, want one piece", got)
	}
	p = newStriped(100, 20)
	p.SetParents(0, 2)
	for range most {
		p.Tick()
	}
	if got := pieces(p.Pick(origin, 5)); !slices.Equal(got, []int{0, 2, 4, 6, 8}) {
		t.Errorf("of the stripe without a parent, pieces %v were asked of the origin", got)
	}
}

// TestSilenceIsNoticedSooner: once blocks came, a shorter silence is suspicious.
func TestSilenceIsNoticedSooner(t *testing.T) {
	p := newStriped(100, 10)
	p.PeerHas(first, 0)
	fetch(p, first)
	for range patience + 1 {
		p.Tick()
	}
	if got := p.Pick(origin, 5); len(got) != 0 {
		t.Errorf("when nobody knows yet what is usual, the origin was asked for %v", got)
	}
	for i := range 4 * memory {
		p.PeerHas(first, 2+2*i)
		p.PeerHas(second, 2+2*i)
		fetch(p, first)
		p.Tick()
	}
	for range patience {
		p.Tick()
	}
	if got := p.Pick(origin, 5); len(got) != 1 {
		t.Errorf("after a silence, the origin was asked for %v, want one piece", got)
	}
}

func TestNoParentUsesUpTheOpenPieces(t *testing.T) {
	p := newStriped(100, 6)
	for i := range 50 {
		p.PeerHas(first, i)
		p.PeerHas(second, i)
	}
	if got := len(p.Pick(first, 20)); got != 3 {
		t.Errorf("one of two parents began %d of 6 pieces", got)
	}
	if got := len(p.Pick(second, 20)); got != 3 {
		t.Errorf("the other parent began %d of 6 pieces", got)
	}
}

// TestEndGameComparesRates: what a slow peer owes is asked of a fast one, the last block first; what
// a peer of the same rate owes is not asked for twice.
func TestEndGameComparesRates(t *testing.T) {
	for _, test := range []struct {
		slow, fast float64
		want       []int
	}{
		{1, 1, []int{3}}, // it comes fourth from the one, and first from the other
		{1, 100, []int{3, 2, 1, 0}},
		{100, 1, nil},
		{0, 1, []int{3, 2, 1, 0}},
		{1, unknown, []int{3}},
		{unknown, unknown, []int{3, 2, 1, 0}},
	} {
		p := newPicker(1, 4, 2, 1)
		addPeer(p, 1, 0)
		addPeer(p, 2, 0)
		p.SetRate(1, test.slow)
		p.SetRate(2, test.fast)
		p.Pick(1, 4)
		var got []int
		for _, blk := range p.Pick(2, 10) {
			got = append(got, blk.Index)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("rates %v and %v: blocks %v were asked for twice, want %v", test.slow, test.fast, got, test.want)
		}
	}
}

// BenchmarkPick is the common case in a big torrent: a parent has one piece more.
func BenchmarkPick(b *testing.B) {
	const n = 100_000
	var p *Picker
	for i := range b.N {
		piece := i % n
		if piece == 0 {
			b.StopTimer()
			p = New(Config{Pieces: n, Blocks: func(int) int { return 1 }, MaxOpen: 64, Rand: rand.New(rand.NewPCG(1, 1))})
			for id := range PeerID(12) {
				addPeer(p, id)
			}
			p.SetStripes(4)
			for s := range 4 {
				p.SetParents(s, 2, PeerID(s))
			}
			b.StartTimer()
		}
		parent := PeerID(piece % 4)
		p.PeerHas(parent, piece)
		for _, blk := range p.Pick(parent, 8) {
			if p.Received(parent, blk).Whole {
				p.Verified(blk.Piece, true)
			}
		}
	}
}

// BenchmarkPickOfAll is the other extreme: a peer that has everything is asked for one piece after the other.
func BenchmarkPickOfAll(b *testing.B) {
	const n = 100_000
	var p *Picker
	for i := range b.N {
		if i%n == 0 {
			b.StopTimer()
			p = New(Config{Pieces: n, Blocks: func(int) int { return 1 }, MaxOpen: 64, Rand: rand.New(rand.NewPCG(1, 1))})
			addPeer(p, 1, upTo(n)...)
			b.StartTimer()
		}
		for _, blk := range p.Pick(1, 1) {
			if p.Received(1, blk).Whole {
				p.Verified(blk.Piece, true)
			}
		}
	}
}
