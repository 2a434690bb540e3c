package swarm

import (
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"
	"pgregory.net/rapid"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/policy"
)

func TestCancelFindsEveryQueue(t *testing.T) {
	var u uplink
	o := newOutbox(&u)
	o.serve(asked{RequestSpec: spec(1)}, false)
	o.serve(asked{RequestSpec: spec(2)}, true)
	for i := range 2 {
		if !o.cancel(spec(i + 1)) {
			t.Errorf("block %d does not wait", i+1)
		}
	}
	if o.cancel(spec(1)) {
		t.Error("a block was cancelled twice")
	}
	if got := o.next(true, false, nil); got.serve || !u.free() {
		t.Errorf("after both blocks were cancelled: %+v", got)
	}
}

// TestCancelOfAnyPart cancels any blocks of requests of any length, one at a time or several, and demands that the others
// are left, each once.
func TestCancelOfAnyPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = maxRequest / BlockSize
		last := rapid.IntRange(1, BlockSize).Draw(t, "bytes of the last block")
		var list []asked
		left := map[pp.Integer]bool{}
		begin := 0
		for _, blocks := range rapid.SliceOfN(rapid.IntRange(1, most), 1, 4).Draw(t, "requests") {
			list = append(list, asked{RequestSpec: pp.RequestSpec{Index: 7, Begin: pp.Integer(begin), Length: pp.Integer(blocks * BlockSize)}, fresh: true})
			for range blocks {
				left[pp.Integer(begin)] = true
				begin += BlockSize
			}
		}
		list[len(list)-1].Length -= pp.Integer(BlockSize - last)
		end := int64(begin - BlockSize + last)
		for range rapid.IntRange(0, 10).Draw(t, "cancels") {
			from := rapid.IntRange(0, begin/BlockSize-1).Draw(t, "from") * BlockSize
			to := min(end, int64(from+rapid.IntRange(1, most).Draw(t, "blocks")*BlockSize))
			if cut(&list, pp.RequestSpec{Index: 7, Begin: pp.Integer(from), Length: pp.Integer(to - int64(from))}) {
				for b := int64(from); b < to; b += BlockSize {
					if !left[pp.Integer(b)] {
						t.Fatalf("the block at %d was there twice", b)
					}
					delete(left, pp.Integer(b))
				}
			} else if to-int64(from) <= BlockSize && left[pp.Integer(from)] {
				t.Fatalf("the block at %d is not found", from)
			}
		}
		checkLeft(t, list, left, end)
	})
}

// checkLeft demands that a list asks for the blocks that are left and for nothing else.
func checkLeft(t *rapid.T, list []asked, left map[pp.Integer]bool, end int64) {
	n := 0
	for _, a := range list {
		if a.Length == 0 || !a.fresh || a.Index != 7 {
			t.Fatalf("%+v is left", a)
		}
		for b := int64(a.Begin); b < int64(a.Begin)+int64(a.Length); b += BlockSize {
			if !left[pp.Integer(b)] {
				t.Fatalf("the block at %d is left", b)
			}
			n++
		}
		if int64(a.Begin)+int64(a.Length) > end {
			t.Fatalf("%+v goes beyond the end, %d", a, end)
		}
	}
	if n != len(left) {
		t.Fatalf("%d blocks are left, want %d", n, len(left))
	}
}

func TestCancelOfNonsense(t *testing.T) {
	for name, r := range map[string]pp.RequestSpec{
		"another piece":      {Index: 2, Length: BlockSize},
		"nothing":            {Index: 1, Begin: BlockSize},
		"no whole block":     {Index: 1, Begin: 1, Length: BlockSize},
		"half a block":       {Index: 1, Length: BlockSize / 2},
		"more than asked":    {Index: 1, Length: 3 * BlockSize},
		"beyond all numbers": {Index: 1, Begin: BlockSize, Length: 1<<32 - 1},
	} {
		list := []asked{{RequestSpec: pp.RequestSpec{Index: 1, Length: 2 * BlockSize}}}
		if cut(&list, r) || len(list) != 1 {
			t.Errorf("%s: %+v is left", name, list)
		}
	}
}

// TestAnswerToWhatWasCancelled: of two requests for the same block, the first of which was cancelled, the first answer is not that to
// the second.
func TestAnswerToWhatWasCancelled(t *testing.T) {
	s := &Swarm{cfg: Config{Torrent: &artifact.Torrent{Size: BlockSize, PieceLength: BlockSize}}}
	c := &conn{out: newOutbox(&uplink{}), fast: true}
	block, other := policy.Block{}, policy.Block{Piece: 1}
	if c.answered(block) {
		t.Error("nothing was cancelled yet")
	}
	s.takeBack(c, block)
	s.takeBack(c, block)
	for n, want := range []bool{true, true, false} {
		if c.answered(other) {
			t.Error("another block was not cancelled")
		}
		if got := c.answered(block); got != want {
			t.Errorf("answer %d is to what was cancelled: %v, want %v", n+1, got, want)
		}
	}
	if len(c.cancelled) > 0 {
		t.Errorf("%v is still remembered", c.cancelled)
	}
	c.fast = false // then it says nothing about what is cancelled
	if s.takeBack(c, block); c.answered(block) {
		t.Error("a peer without the fast extension answers a cancel")
	}
}
