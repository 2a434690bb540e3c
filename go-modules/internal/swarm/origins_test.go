package swarm

import (
	"net"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/announce"
)

// TestOneOfTwoSeedersIsTheOrigin: of two, the first feeds us as long as it is there, and is told so once; the other one helps,
// and then takes over.
func TestOneOfTwoSeedersIsTheOrigin(t *testing.T) {
	s := ranked(t, 0, 1, announce.NoRank, announce.NoRank)
	first, second := s.conns[0], s.conns[1]
	for _, c := range s.conns {
		c.nc, _ = net.Pipe()
		c.choked, c.reqq, c.maxRequest, c.depth, c.feedID = false, defaultReqq, maxRequest, startDepth, 7
		s.picker.SetChoked(c.id, false)
		for i := range s.cfg.Torrent.NumPieces() {
			s.picker.PeerHas(c.id, i)
		}
	}
	for range 50 {
		s.adopt(time.Now())
		for stripe := range s.place.stripes {
			if got := s.picker.Feeder(stripe); got != first.id {
				t.Fatalf("stripe %d is fed by connection %d, want the first", stripe, got)
			}
		}
	}
	told := map[pp.MessageType]int{}
	for _, m := range first.out.next(false, false, nil).msgs {
		told[m.Type]++
	}
	if owes := s.picker.Owes(first.id); told[pp.Extended] != 1 || owes != startDepth {
		t.Errorf("the first was told %d times what to feed us, and asked for %d blocks; want once, and %d",
			told[pp.Extended], owes, startDepth)
	}
	s.ask(second)
	for _, m := range second.out.next(false, false, nil).msgs {
		if m.Type != pp.Request {
			t.Errorf("the second was told %v", m.Type)
		}
	}
	if s.picker.Owes(second.id) == 0 {
		t.Error("the second was asked for nothing, though it has everything")
	}
	s.drop(first, "it has ended")
	zero, one, owes := s.picker.Feeder(0), s.picker.Feeder(1), s.picker.Owes(second.id)
	if zero != second.id || one != second.id || owes != startDepth {
		t.Errorf("then connections %d and %d feed us, and the second is asked for %d blocks; want the second, and %d",
			zero, one, owes, startDepth)
	}
}
