package policy

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func newPicker(pieces, blocks, maxOpen int, seed uint64) *Picker {
	return New(Config{
		Pieces:  pieces,
		Blocks:  func(int) int { return blocks },
		MaxOpen: maxOpen,
		Rand:    rand.New(rand.NewPCG(seed, 1)),
	})
}

func addPeer(p *Picker, id PeerID, has ...int) {
	p.AddPeer(id)
	p.SetChoked(id, false)
	for _, piece := range has {
		p.PeerHas(id, piece)
	}
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestRarestPieceFirst(t *testing.T) {
	for seed := range uint64(20) {
		p := newPicker(3, 2, 10, seed)
		addPeer(p, 1, 0, 1, 2)
		addPeer(p, 2, 0, 1)
		addPeer(p, 3, 1)
		want := []int{2, 2, 0, 0, 1, 1}
		for i, blk := range p.Pick(1, 10) {
			if blk.Piece != want[i] {
				t.Fatalf("seed %d: block %d is of piece %d, want %d", seed, i, blk.Piece, want[i])
			}
		}
	}
}

func TestTiesAreRandom(t *testing.T) {
	first := make(map[int]bool)
	for seed := range uint64(64) {
		p := newPicker(8, 1, 8, seed)
		addPeer(p, 1, upTo(8)...)
		first[p.Pick(1, 1)[0].Piece] = true
	}
	if len(first) < 6 {
		t.Errorf("64 seeds began only with pieces %v of 8", first)
	}
}

func TestOwnPieceIsFinishedFirst(t *testing.T) {
	p := newPicker(4, 4, 4, 1)
	addPeer(p, 1, upTo(4)...)
	addPeer(p, 2, upTo(4)...)
	begun := p.Pick(1, 1)[0].Piece
	other := p.Pick(2, 1)[0].Piece
	if begun == other {
		t.Fatalf("both peers began piece %d", begun)
	}
	for _, blk := range p.Pick(1, 3) {
		if blk.Piece != begun {
			t.Errorf("peer 1 asked for piece %d before piece %d was finished", blk.Piece, begun)
		}
	}
}

func TestOpenPiecesAreBounded(t *testing.T) {
	p := newPicker(10, 2, 2, 1)
	addPeer(p, 1, upTo(10)...)
	addPeer(p, 2, upTo(10)...)
	p.Pick(1, 3)
	if got := len(p.Pick(2, 10)); got != 1 {
		t.Errorf("peer 2 got %d blocks, want the 1 that is left of 2 open pieces", got)
	}
}

func TestEndGame(t *testing.T) {
	p := newPicker(1, 2, 2, 1)
	addPeer(p, 1, 0)
	addPeer(p, 2, 0)
	addPeer(p, 3, 0)
	p.Pick(1, 2)
	again := p.Pick(2, 10)
	if len(again) != 2 {
		t.Fatalf("idle peer 2 was asked for %d blocks, want 2", len(again))
	}
	if third := p.Pick(3, 10); len(third) != 0 {
		t.Errorf("peer 3 was asked for %v, which two peers owe already", third)
	}
	r := p.Received(2, again[0])
	if !r.Wanted || r.Cancel != 1 || r.Whole {
		t.Errorf("first copy: %+v, want wanted, and peer 1 cancelled", r)
	}
	if r := p.Received(1, again[0]); r.Wanted {
		t.Errorf("second copy: %+v, want unwanted", r)
	}
	if r := p.Received(1, again[1]); !r.Whole || r.Cancel != 2 {
		t.Errorf("last block: %+v, want whole, and peer 2 cancelled", r)
	}
}

func TestReleasedBlocksAreAskedOfOthers(t *testing.T) {
	p := newPicker(1, 4, 1, 1)
	addPeer(p, 1, 0)
	addPeer(p, 2, 0)
	late := p.Pick(1, 4)
	p.Release(1)
	if got := len(p.Pick(2, 3)); got != 3 {
		t.Fatalf("peer 2 got %d of the released blocks, want 3", got)
	}
	for _, blk := range late {
		if r := p.Received(1, blk); !r.Wanted {
			t.Errorf("late block %v: %+v, want wanted", blk, r)
		}
	}
	p.Verified(0, true)
	if p.Missing() != 0 || p.Owes(2) != 0 {
		t.Errorf("missing %d, peer 2 owes %d; want 0 and 0", p.Missing(), p.Owes(2))
	}
}

func TestDamagedPieceOfManyComesFromOne(t *testing.T) {
	p := newPicker(1, 2, 1, 1)
	addPeer(p, 1, 0)
	addPeer(p, 2, 0)
	p.Received(1, p.Pick(1, 1)[0])
	p.Received(2, p.Pick(2, 1)[0])
	if got := len(p.Senders(0)); got != 2 {
		t.Fatalf("piece has %d senders, want 2", got)
	}
	p.Verified(0, false)
	p.Received(1, p.Pick(1, 1)[0])
	if got := p.Pick(2, 2); len(got) != 0 {
		t.Fatalf("peer 2 was asked for %v of a piece that peer 1 fetches alone", got)
	}
	p.RemovePeer(1)
	if got := p.Pick(2, 2); len(got) != 2 {
		t.Fatalf("peer 2 was asked for %v, want the whole piece anew", got)
	}
	for i := range 2 {
		p.Received(2, Block{0, i})
	}
	if got := p.Senders(0); len(got) != 1 || got[0] != 2 {
		t.Errorf("senders are %v, want peer 2 alone", got)
	}
}

// TestEverythingArrives drives a Picker through random events and demands what must always hold,
// with and without a topology: nothing received is asked for again, what is counted on the way is right, and
// once a peer that has everything stays and answers, the torrent completes, whoever is a parent, whether
// that peer is the origin or not.
func TestEverythingArrives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.IntRange(1, 12).Draw(t, "pieces")
		blocks := rapid.IntRange(1, 5).Draw(t, "blocks")
		p := newPicker(pieces, blocks, rapid.IntRange(1, 6).Draw(t, "maxOpen"), rapid.Uint64().Draw(t, "seed"))
		addPeer(p, 0, upTo(pieces)...)
		owed := map[PeerID]map[Block]bool{0: {}}
		next := PeerID(1)
		for range rapid.IntRange(0, 150).Draw(t, "events") {
			id := PeerID(rapid.IntRange(0, int(next)-1).Draw(t, "peer"))
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0:
				addPeer(p, next, rapid.SliceOf(rapid.IntRange(0, pieces-1)).Draw(t, "has")...)
				owed[next] = map[Block]bool{}
				next++
			case 1:
				if id != 0 {
					p.RemovePeer(id)
					delete(owed, id)
				}
			case 2:
				p.Release(id)
				owed[id] = map[Block]bool{}
			case 3:
				arrange(t, p, id)
				askAhead(p, owed, id)
			case 4, 5, 6:
				ask(t, p, owed, id, rapid.IntRange(0, 8).Draw(t, "n"))
			default:
				answer(p, owed, id, rapid.IntRange(0, 3).Draw(t, "count"), rapid.Bool().Draw(t, "good"))
			}
		}
		for range 2 * firstPatience * (pieces*blocks + 1) {
			p.Tick()
			askAhead(p, owed, 0)
			ask(t, p, owed, 0, 3)
			for id := range owed {
				if id != 0 {
					p.Release(id)
				}
			}
			answer(p, owed, 0, 100, true)
		}
		if p.Missing() != 0 {
			t.Fatalf("%d pieces are still missing", p.Missing())
		}
	})
}

// arrange changes something about the topology.
func arrange(t *rapid.T, p *Picker, id PeerID) {
	switch rapid.IntRange(0, 8).Draw(t, "arrange") {
	case 0:
		p.SetStripes(rapid.IntRange(0, 5).Draw(t, "stripes"))
	case 1:
		p.SetOrigin(PeerID(rapid.IntRange(-1, 1).Draw(t, "origin")), id)
	case 2:
		p.SetRate(id, rapid.Float64Range(0, 10).Draw(t, "rate"))
	case 3:
		p.SetChoked(id, rapid.Bool().Draw(t, "choked"))
	case 4:
		p.Tick()
	case 5:
		p.FellSilent(id)
	default:
		p.SetParents(rapid.IntRange(0, 4).Draw(t, "stripe"), 1, id, PeerID(rapid.IntRange(0, 1).Draw(t, "backup")))
	}
}

// check compares what the Picker counts on the way with the sets themselves.
func check(t *rapid.T, p *Picker) {
	reach, unasked, begun := 0, 0, map[PeerID]int{}
	p.fresh.each(func(i int) {
		if p.avail[i] > 0 {
			reach++
		}
		if p.have.has(i) || p.byPiece[i] != nil || i>>6 < p.low {
			t.Fatalf("piece %d is not as fresh as it seems", i)
		}
	})
	for _, o := range p.open {
		unasked += o.unrequested
		begun[o.owner]++
		for i, b := range o.blocks {
			if b.received && (b.by[0] != NoPeer || b.by[1] != NoPeer) {
				t.Fatalf("block %d of piece %d was received and is still owed", i, o.piece)
			}
		}
	}
	if reach != p.reach || unasked != p.unasked || slices.ContainsFunc(p.order, func(pr *peer) bool { return p.peer(pr.id) != pr }) {
		t.Fatalf("counted %d fresh pieces within reach and %d blocks to ask for, there are %d and %d", p.reach, p.unasked, reach, unasked)
	}
	checkHolders(t, p)
	for _, pr := range p.order {
		id, wanted := pr.id, 0
		pr.has.each(func(i int) {
			if !p.have.has(i) {
				wanted++
			}
		})
		if wanted != pr.wanted || pr.count != pr.has.count() || pr.begun != begun[id] {
			t.Fatalf("peer %d: counted %d wanted of %d pieces, %d begun; there are %d of %d, %d", id,
				pr.wanted, pr.count, pr.begun, wanted, pr.has.count(), begun[id])
		}
	}
}

// askAhead asks one peer ahead, and forgets what was asked of any peer and is taken back.
func askAhead(p *Picker, owed map[PeerID]map[Block]bool, id PeerID) {
	for _, r := range p.Revoked() {
		delete(owed[r.Peer], r.Block)
	}
	if owed[id] == nil {
		return
	}
	for _, blk := range p.Ahead(id, 3) {
		owed[id][blk] = true
	}
}

func ask(t *rapid.T, p *Picker, owed map[PeerID]map[Block]bool, id PeerID, n int) {
	if owed[id] == nil {
		return
	}
	picked := p.Pick(id, n)
	if len(picked) > n {
		t.Fatalf("asked for %d blocks, got %d", n, len(picked))
	}
	for _, blk := range picked {
		if !p.PeerHasPiece(id, blk.Piece) {
			t.Fatalf("peer %d was asked for %v, which it does not have", id, blk)
		}
		if p.Have(blk.Piece) {
			t.Fatalf("%v was asked for again after it was verified", blk)
		}
		owed[id][blk] = true
	}
	check(t, p)
}

func answer(p *Picker, owed map[PeerID]map[Block]bool, id PeerID, count int, good bool) {
	for blk := range owed[id] {
		if count--; count < 0 {
			return
		}
		delete(owed[id], blk)
		if r := p.Received(id, blk); r.Whole {
			p.Verified(blk.Piece, good)
		}
	}
}

// TestSilentPeer: all that it was asked for is taken back, once, and asked of others. It is asked for nothing ahead until it
// sends something.
func TestSilentPeer(t *testing.T) {
	p := newStriped(40, 40)
	p.PeerHas(first, 0)
	p.PeerHas(first, 4)
	asked := append(p.Pick(first, 10), p.Ahead(first, 0)...)
	p.FellSilent(first)
	var revoked []Block
	for _, r := range p.Revoked() {
		if r.Peer != first {
			t.Errorf("a request to peer %d was taken back", r.Peer)
		}
		revoked = append(revoked, r.Block)
	}
	slices.SortFunc(revoked, byPlace)
	if len(asked) < 3 || !slices.Equal(revoked, slices.SortedFunc(slices.Values(asked), byPlace)) {
		t.Errorf("%v were asked for, %v taken back", asked, revoked)
	}
	if got := p.Ahead(first, 0); len(got) > 0 || !p.Silent(first) || p.Owes(first) > 0 {
		t.Errorf("it is asked ahead for %v (silent: %v), and owes %d blocks", got, p.Silent(first), p.Owes(first))
	}
	addPeer(p, 3, 0, 4)
	if got := pieces(p.Pick(3, 10)); !slices.Equal(got, []int{4, 0}) {
		t.Errorf("somebody else was asked for pieces %v, want 4 and 0", got)
	}
	if r := p.Received(first, asked[0]); !r.Wanted || r.Cancel != 3 || p.Silent(first) {
		t.Errorf("its late block: %+v, and it is silent: %v", r, p.Silent(first))
	}
	if got := p.Ahead(first, 0); len(got) == 0 {
		t.Error("it sends again, and is not asked ahead")
	}
}

func byPlace(a, b Block) int { return cmp.Or(a.Piece-b.Piece, a.Index-b.Index) }

// TestUnaskedBlocks: nobody can mix his blocks with those of a piece that he was not asked for, which would then come from one
// peer only.
func TestUnaskedBlocks(t *testing.T) {
	p := newPicker(2, 2, 2, 1)
	addPeer(p, 1, 0, 1)
	addPeer(p, 2, 0, 1)
	blks := p.Pick(1, 2)
	if r := p.Received(2, blks[0]); r.Wanted || r.Cancel != NoPeer {
		t.Errorf("a block that nobody asked for: %+v", r)
	}
	for _, blk := range blks {
		if r := p.Received(1, blk); !r.Wanted {
			t.Errorf("block %v that was asked for: %+v", blk, r)
		}
	}
	if got := p.Senders(blks[0].Piece); !slices.Equal(got, []PeerID{1}) {
		t.Errorf("senders are %v, want peer 1 alone", got)
	}
}
