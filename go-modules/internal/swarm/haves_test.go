package swarm

import (
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/policy"
)

func TestHavesAreSentWhenTheyAreWorthAPacket(t *testing.T) {
	for name, row := range map[string]struct {
		fed   []bool
		haves int
		ticks int // until they are sent
	}{
		"to whom we feed, soon": {[]bool{false, true}, 1, quietTicks},
		"to others, by time":    {nil, 1, untoldTicks},
		"whom we fed before":    {[]bool{false, false}, worthPacket - 1, untoldTicks},
		"enough for a packet":   {nil, worthPacket, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := &conn{fed: row.fed, haves: make([]int, row.haves)}
			ticks := 1
			for !c.worthTelling() {
				ticks++
			}
			if ticks != row.ticks {
				t.Errorf("%d have messages after %d ticks, not %d", row.haves, ticks, row.ticks)
			}
		})
	}
}

// TestHavesGoAlongWithBlocks: who waits for a piece is told in the same packet of everything that there is to tell, and nobody else is.
func TestHavesGoAlongWithBlocks(t *testing.T) {
	s := &Swarm{
		cfg:     Config{Torrent: &artifact.Torrent{PieceLength: BlockSize, Size: 8 * BlockSize}},
		written: make([]int, 8),
		picker:  policy.New(policy.Config{Pieces: 8, Blocks: func(int) int { return 1 }, MaxOpen: 2}),
	}
	waiting := asked{RequestSpec: pp.RequestSpec{Index: 3, Length: BlockSize}}
	child := &conn{out: newOutbox(&s.uplink), haves: []int{2, 3}, held: []asked{waiting}}
	other := &conn{out: newOutbox(&s.uplink), haves: []int{2, 3}}
	for _, c := range []*conn{child, other} {
		c.rank = announce.NoRank + 1
		s.release(c, 3)
	}
	if n := child.out.next(false, false, nil); len(n.msgs) != 2 || !n.serve || len(child.haves) > 0 || len(child.held) > 0 {
		t.Errorf("who waited for piece 3 gets %+v, want two have messages and the block", n)
	}
	if n := other.out.next(false, false, nil); len(n.msgs) > 0 || n.serve || len(other.haves) != 2 {
		t.Errorf("who did not wait gets %+v", n)
	}
}

// TestHavesForWhoWaits: who waits for us to get anything of the stripe that we feed it, and has asked ahead for none of the pieces that come, is told
// of them at once. Nobody else is.
func TestHavesForWhoWaits(t *testing.T) {
	for name, row := range map[string]struct {
		piece int
		is    func(s *Swarm, c *conn)
		told  bool
	}{
		"nothing is on its way": {2, func(*Swarm, *conn) {}, true},
		"of another stripe":     {3, func(*Swarm, *conn) {}, false},
		"we do not feed it":     {2, func(_ *Swarm, c *conn) { c.fed = nil }, false},
		"something is":          {2, func(_ *Swarm, c *conn) { c.out.serve(asked{RequestSpec: spec(4)}, false) }, false},
		"it has the piece":      {2, func(s *Swarm, c *conn) { s.picker.PeerHas(c.id, 2) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Swarm{picker: policy.New(policy.Config{Pieces: 8, Blocks: func(int) int { return 1 }, MaxOpen: 2})}
			s.place.stripes = 2
			c := &conn{ours: true, rank: 3, out: newOutbox(&s.uplink), fed: []bool{true, false}, haves: []int{row.piece}}
			s.picker.AddPeer(c.id)
			row.is(s, c)
			s.tell(c, row.piece)
			if told := len(c.out.next(false, false, nil).msgs) > 0; told != row.told {
				t.Errorf("it is told at once: %v, want %v", told, row.told)
			}
		})
	}
}
