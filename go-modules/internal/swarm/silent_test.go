package swarm

import (
	"slices"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/policy"
)

// fedBy makes a swarm that a seeder feeds, which was asked for the first blocks.
func fedBy(t *testing.T) (*Swarm, *conn) {
	t.Helper()
	s := ranked(t, 0, 1, announce.NoRank)
	c := s.conns[0]
	c.choked, c.fast, c.reqq, c.maxRequest, c.depth = false, true, defaultReqq, maxRequest, startDepth
	for i := range s.cfg.Torrent.NumPieces() {
		s.picker.PeerHas(c.id, i)
	}
	s.adopt(time.Now())
	return s, c
}

// said returns the blocks that messages of some types are about which wait to be sent to a peer, and takes all messages from
// there.
func said(s *Swarm, c *conn, kinds ...pp.MessageType) map[pp.MessageType][]policy.Block {
	list := map[pp.MessageType][]policy.Block{}
	for _, m := range c.out.next(false, false, nil).msgs {
		if slices.Contains(kinds, m.Type) {
			list[m.Type] = slices.AppendSeq(list[m.Type], s.blocks(m.RequestSpec()))
		}
	}
	return list
}

// TestSilentPeer: a peer that owes blocks and sends none for long is told to forget them, each once, and asked for a single one
// until it sends something.
func TestSilentPeer(t *testing.T) {
	s, c := fedBy(t)
	asked := said(s, c, pp.Request)[pp.Request]
	if len(asked) != startDepth {
		t.Fatalf("%d blocks were asked for, want %d", len(asked), startDepth)
	}
	now := time.Now().Add(-snubbedAfter - tickEvery)
	s.tickConn(c, now)
	s.tickConn(c, now.Add(snubbedAfter))
	if got := said(s, c, pp.Request, pp.Cancel); len(got) > 0 {
		t.Fatalf("%v before it was silent for long", got)
	}
	s.tickConn(c, now.Add(snubbedAfter+tickEvery))
	got := said(s, c, pp.Request, pp.Cancel)
	if !slices.Equal(got[pp.Cancel], asked) || len(got[pp.Request]) != 1 {
		t.Fatalf("%v were asked for, %v cancelled and %v asked for then, want one block", asked, got[pp.Cancel], got[pp.Request])
	}
	for n := range 4 {
		s.tickConn(c, now.Add(snubbedAfter+time.Duration(2+n)*tickEvery))
	}
	if more := said(s, c, pp.Request); len(more) > 0 {
		t.Errorf("%v were asked for, too, of a peer that still sends nothing", more[pp.Request])
	}
	block := s.request(got[pp.Request][0], 1, pp.Piece)
	block.Piece = make([]byte, BlockSize)
	if err := s.receive(c, &block); err != nil {
		t.Fatal(err)
	}
	s.tickConn(c, now.Add(snubbedAfter+8*tickEvery))
	if owes := s.picker.Owes(c.id); owes != startDepth {
		t.Errorf("it sends again, and %d blocks are asked for, want %d", owes, startDepth)
	}
}
