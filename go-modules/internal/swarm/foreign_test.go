package swarm_test

import (
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/swarm"
	"corvus.murder/internal/testswarm"
)

// TestWhoGivesNothingHoldsNobodyUp: a foreign client that has everything and sends nothing does not keep a peer that the seeder
// feeds from asking the seeder. A piece in each few seconds would take longer than the test may.
func TestWhoGivesNothingHoldsNobodyUp(t *testing.T) {
	for name, says := range map[string][]pp.Message{
		"it never unchokes": {{Type: pp.HaveAll}},
		"it never answers":  {{Type: pp.HaveAll}, {Type: pp.Unchoke}},
	} {
		t.Run(name, func(t *testing.T) {
			torrent, data := testswarm.Torrent(t, 100*pieceLength, pieceLength)
			tr := &testswarm.Tracker{Stripes: 2}
			p := leech(t, torrent, tr)
			nc, err := stranger(t, p, torrent.Infohash)
			if err != nil {
				t.Fatal(err)
			}
			send(t, nc, says...)
			testswarm.Eventually(t, "it is known that the stranger has everything", func() bool {
				peers := p.Stats().Peers
				return len(peers) == 1 && peers[0].Complete
			})
			seed(t, torrent, tr, data)
			p.Complete(t)
		})
	}
}

// TestSlowPeerHoldsNobodyUp: a peer that has everything and a tiny limit is all that there is at first. From it alone the rest
// would take longer than the test may.
func TestSlowPeerHoldsNobodyUp(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 8<<20, pieceLength)
	tr := &testswarm.Tracker{Stripes: 2}
	slow := testswarm.Start(t, swarm.Config{
		Torrent: torrent, Announcer: tr, Have: testswarm.All(torrent.NumPieces()), UploadLimit: 64 << 10,
	}, testswarm.NewMemory(len(data), data))
	p := leech(t, torrent, tr)
	testswarm.Eventually(t, "the slow peer has sent something", func() bool { return slow.Stats().BytesUp > 0 })
	seed(t, torrent, tr, data)
	p.Complete(t)
	if got := p.Stats().BytesFromPeers; got == 0 {
		t.Error("nothing came from the slow peer, which proves nothing")
	}
}
