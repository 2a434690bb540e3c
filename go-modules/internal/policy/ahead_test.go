package policy

import (
	"slices"
	"testing"
)

func TestFeederIsAskedAhead(t *testing.T) {
	p := newStriped(40, 40)
	p.PeerHas(first, 4)
	if got := pieces(p.Ahead(first, 0)); !slices.Equal(got, []int{6, 8, 10}) {
		t.Errorf("pieces %v were asked of the parent of stripe 0, which has piece 4, want the next ones", got)
	}
	if got := p.Owes(first); got != 0 {
		t.Errorf("it owes %d blocks that it does not have", got)
	}
	if got := pieces(p.Ahead(first, 5)); !slices.Equal(got, []int{12, 14}) {
		t.Errorf("with more to ask ahead, pieces %v were asked for besides", got)
	}
	p.PeerHas(first, 6)
	if got := p.Owes(first); got != 1 {
		t.Errorf("it owes %d blocks after it got one piece, want 1", got)
	}
	if got := p.Ahead(origin, 5); len(got) > 0 {
		t.Errorf("the origin, which has everything, was asked ahead for %v", got)
	}
	if got := p.Ahead(3, 5); len(got) > 0 {
		t.Errorf("somebody unknown was asked ahead for %v", got)
	}
}

func TestBlockThatCameImpliesThePiece(t *testing.T) {
	p := newStriped(40, 40)
	blk := p.Ahead(first, 0)[0]
	if r := p.Received(first, blk); !r.Wanted || !r.Whole || !p.PeerHasPiece(first, blk.Piece) {
		t.Errorf("a block that was asked for ahead came: %+v, and its sender is not known to have the piece", r)
	}
}

func TestFormerFeederIsToldToForget(t *testing.T) {
	p := newStriped(40, 40)
	asked := p.Ahead(first, 0)
	p.SetParents(0, 2, second)
	var revoked []Block
	for _, r := range p.Revoked() {
		if r.Peer != first {
			t.Errorf("a request to peer %d was taken back", r.Peer)
		}
		revoked = append(revoked, r.Block)
	}
	slices.SortFunc(revoked, func(a, b Block) int { return a.Piece - b.Piece })
	if !slices.Equal(revoked, asked) {
		t.Errorf("%v were asked for ahead, %v taken back", asked, revoked)
	}
	if got := p.Ahead(second, 0); !slices.Equal(got[:len(asked)], asked) {
		t.Errorf("the next feeder was asked for %v, want %v", got, asked)
	}
	if got := p.Revoked(); len(got) > 0 {
		t.Errorf("%v were taken back twice", got)
	}
}

// TestPeersThatWaitForEachOther: feeders may form a circle, in which everybody asked ahead for everything.
func TestPeersThatWaitForEachOther(t *testing.T) {
	p := newStriped(4, 8)
	asked := append(p.Ahead(first, 0), p.Ahead(second, 0)...)
	for range firstPatience + 2*patience {
		if got := p.Pick(origin, 5); len(got) > 0 {
			t.Fatalf("the origin was asked for %v before anything was late", got)
		}
		p.Tick()
	}
	if got := len(p.Revoked()); got != len(asked) {
		t.Errorf("%d of %d requests were taken back", got, len(asked))
	}
	if got := p.Pick(origin, 5); len(got) != 1 {
		t.Errorf("the origin was asked for %v, want one piece", got)
	}
	if got := p.Ahead(first, 0); len(got) > 0 {
		t.Errorf("%v were asked for ahead although nothing comes", got)
	}
}

func TestRejectedAheadIsAskedOfOthers(t *testing.T) {
	p := newStriped(2, 8)
	blk := p.Ahead(first, 0)[0]
	p.Rejected(first, blk)
	p.SetParents(0, 2, second)
	p.PeerHas(second, blk.Piece)
	if got := p.Pick(second, 5); !slices.Contains(got, blk) {
		t.Errorf("after a reject, %v were asked of another peer, want %v among them", got, blk)
	}
}

// TestFormerFeederComesLate: what it had begun to send when it was told to forget it is as good as what was asked of the next.
func TestFormerFeederComesLate(t *testing.T) {
	p := newStriped(40, 40)
	blk := p.Ahead(first, 0)[0]
	p.SetParents(0, 2, second)
	if got := p.Ahead(second, 0); !slices.Contains(got, blk) {
		t.Fatalf("the next feeder was asked for %v, want %v among them", got, blk)
	}
	if r := p.Received(first, blk); !r.Wanted || !r.Whole || r.Cancel != second {
		t.Errorf("the block of the former feeder: %+v, want it, and the next one not to send it", r)
	}
}

// TestCommonPiecesAreNotLeftToTheFeeder: what is missing at the end is asked of those who have it, but not before.
func TestCommonPiecesAreNotLeftToTheFeeder(t *testing.T) {
	for name, test := range map[string]struct {
		complete bool // the other stripe
		holders  int
		back     []int // pieces
	}{
		"several have them":    {true, several, []int{50, 48, 46, 44, 42}},
		"few have them":        {true, several - 1, nil},
		"the other is missing": {false, several, nil},
		"nobody has them":      {true, 0, nil},
	} {
		p := newStriped(60, 60)
		if test.complete {
			for i := 1; i < 60; i += 2 {
				p.PeerHas(second, i)
			}
			fetch(p, second)
		}
		for i := 0; i <= 40; i += 2 {
			p.PeerHas(first, i)
		}
		fetch(p, first)
		if got := pieces(p.Ahead(first, 5)); !slices.Equal(got, []int{42, 44, 46, 48, 50}) {
			t.Fatalf("%s: pieces %v were asked for ahead", name, got)
		}
		for id := PeerID(10); id < PeerID(10+test.holders); id++ {
			addPeer(p, id, upTo(60)...)
		}
		p.Tick()
		p.Tick()
		var back []int
		for _, r := range p.Revoked() {
			back = append(back, r.Block.Piece)
		}
		if !slices.Equal(back, test.back) {
			t.Errorf("%s: pieces %v were taken back, want %v", name, back, test.back)
		}
		if test.back == nil {
			continue
		}
		if got := p.Ahead(first, 5); len(got) > 0 {
			t.Errorf("%s: pieces %v are asked for ahead again", name, pieces(got))
		}
		if got := pieces(p.Pick(10, 5)); len(got) == 0 {
			t.Errorf("%s: nothing is asked of whoever has them", name)
		}
	}
}
