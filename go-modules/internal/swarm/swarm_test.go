package swarm_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/swarm"
	"corvus.murder/internal/testswarm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pieceLength = 32 << 10

func seed(t *testing.T, torrent *artifact.Torrent, tr *testswarm.Tracker, data []byte) *testswarm.Peer {
	return testswarm.Start(t, swarm.Config{
		Torrent: torrent, Announcer: tr, Seeder: true, Have: testswarm.All(torrent.NumPieces()),
	}, testswarm.NewMemory(len(data), data))
}

func leech(t *testing.T, torrent *artifact.Torrent, tr *testswarm.Tracker) *testswarm.Peer {
	return testswarm.Start(t, swarm.Config{Torrent: torrent, Announcer: tr},
		testswarm.NewMemory(int(torrent.Size), nil))
}

func TestArtifactReachesEveryPeer(t *testing.T) {
	sizes := map[string]int{
		"one byte":             1,
		"one piece":            pieceLength,
		"a piece and a byte":   pieceLength + 1,
		"not whole blocks":     3*pieceLength + 777,
		"many pieces":          3 << 20,
		"one block too little": 2*pieceLength - swarm.BlockSize,
	}
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			torrent, data := testswarm.Torrent(t, size, pieceLength)
			tr := &testswarm.Tracker{Stripes: size % 3} // with and without trees
			seed(t, torrent, tr, data)
			var peers []*testswarm.Peer
			for range 5 {
				peers = append(peers, leech(t, torrent, tr))
			}
			for i, p := range peers {
				p.Complete(t)
				if !bytes.Equal(p.Store.Bytes(), data) {
					t.Errorf("peer %d holds other bytes than the seeder", i)
				}
				st := p.Stats()
				if got := st.BytesFromSeed + st.BytesFromPeers; got != int64(size) {
					t.Errorf("peer %d counts %d bytes received, want %d", i, got, size)
				}
			}
		})
	}
}

func TestTreesSpareTheSeeder(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 8<<20, pieceLength)
	tr := &testswarm.Tracker{Stripes: 3}
	origin := testswarm.Start(t, swarm.Config{
		Torrent: torrent, Announcer: tr, Seeder: true, Have: testswarm.All(torrent.NumPieces()),
		UploadLimit: 16 << 20, // slower than the peers are among themselves, as in a real fleet
	}, testswarm.NewMemory(len(data), data))
	var peers []*testswarm.Peer
	for range 7 {
		peers = append(peers, leech(t, torrent, tr))
	}
	for _, p := range peers {
		p.Complete(t)
	}
	if err := origin.Stop(); err != nil {
		t.Fatal(err)
	}
	if sent := origin.Stats().BytesUp; sent > int64(2*len(data)) {
		t.Errorf("the seeder sent %.1f copies to 7 peers, want hardly more than one", float64(sent)/float64(len(data)))
	}
}

func TestParentsThatDieAreReplaced(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 8<<20, pieceLength)
	tr := &testswarm.Tracker{Stripes: 2}
	testswarm.Start(t, swarm.Config{
		Torrent: torrent, Announcer: tr, Seeder: true, Have: testswarm.All(torrent.NumPieces()), UploadLimit: 8 << 20,
	}, testswarm.NewMemory(len(data), data))
	first := leech(t, torrent, tr) // the first to announce are the roots of the trees
	testswarm.Eventually(t, "the first peer has begun", func() bool { return first.Stats().PiecesHave > 0 })
	var rest []*testswarm.Peer
	for range 5 {
		rest = append(rest, leech(t, torrent, tr))
	}
	testswarm.Eventually(t, "the others have begun", func() bool { return rest[4].Stats().PiecesHave > 0 })
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, p := range rest {
		p.Complete(t)
		if !bytes.Equal(p.Store.Bytes(), data) {
			t.Error("a peer holds other bytes than the seeder")
		}
	}
}

func TestPeersServeEachOther(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 2<<20, pieceLength)
	tr := &testswarm.Tracker{}
	first := seed(t, torrent, tr, data)
	second := leech(t, torrent, tr)
	second.Complete(t)
	if err := first.Stop(); err != nil {
		t.Fatal(err)
	}
	third := leech(t, torrent, tr)
	third.Complete(t)
	st := third.Stats()
	if st.BytesFromPeers == 0 || st.BytesFromSeed != 0 {
		t.Errorf("the third got %d bytes from the seeder and %d from peers, want all from peers", st.BytesFromSeed, st.BytesFromPeers)
	}
}

func TestOnlyMissingPiecesAreFetched(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 20*pieceLength, pieceLength)
	tr := &testswarm.Tracker{}
	seed(t, torrent, tr, data)
	have := make([]bool, torrent.NumPieces())
	for i := range 15 {
		have[i] = true
	}
	p := testswarm.Start(t, swarm.Config{Torrent: torrent, Announcer: tr, Have: have},
		testswarm.NewMemory(len(data), data[:15*pieceLength]))
	p.Complete(t)
	if !bytes.Equal(p.Store.Bytes(), data) {
		t.Error("the resumed peer holds other bytes than the seeder")
	}
	if st := p.Stats(); st.BytesFromSeed != 5*pieceLength || st.BytesReused != 15*pieceLength {
		t.Errorf("fetched %d, reused %d; want 5 and 15 pieces", st.BytesFromSeed, st.BytesReused)
	}
}

func TestPeerWithDamagedDataIsBanned(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 1<<20, pieceLength)
	tr := &testswarm.Tracker{}
	liar := seed(t, torrent, tr, data)
	liar.Store.Lie = true
	p := leech(t, torrent, tr)
	testswarm.Eventually(t, "damage is noticed", func() bool { return p.Stats().BytesDamaged > 0 })
	seed(t, torrent, tr, data)
	p.Complete(t)
	if !bytes.Equal(p.Store.Bytes(), data) {
		t.Error("damaged data was kept")
	}
}

func TestSwarmSurvivesPeersThatLeave(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 4<<20, pieceLength)
	tr := &testswarm.Tracker{}
	testswarm.Start(t, swarm.Config{
		Torrent: torrent, Announcer: tr, Seeder: true, Have: testswarm.All(torrent.NumPieces()),
		UploadLimit: 4 << 20, // so that the others leave in the middle
	}, testswarm.NewMemory(len(data), data))
	var stay, leave []*testswarm.Peer
	for range 3 {
		stay = append(stay, leech(t, torrent, tr))
		leave = append(leave, leech(t, torrent, tr))
	}
	for _, p := range leave {
		testswarm.Eventually(t, "the peer has begun", func() bool { return p.Stats().PiecesHave > 0 })
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range stay {
		p.Complete(t)
		if !bytes.Equal(p.Store.Bytes(), data) {
			t.Error("a peer holds other bytes than the seeder")
		}
	}
}

func TestTrackerIsToldOfTheEnd(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 1<<20, pieceLength)
	tr := &testswarm.Tracker{}
	s, p := seed(t, torrent, tr, data), leech(t, torrent, tr)
	p.Complete(t)
	for _, peer := range []*testswarm.Peer{s, p} {
		if err := peer.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	if n := tr.Peers(); n != 0 {
		t.Errorf("the tracker still knows %d peers", n)
	}
}

func TestEndsWithAReason(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 1<<20, pieceLength)
	tests := map[string]struct {
		tracker *testswarm.Tracker
		store   *testswarm.Memory
		seeder  bool
		want    []string
	}{
		"refused by the tracker": {
			tracker: &testswarm.Tracker{Err: announce.Failure{Reason: "torrent is not registered"}},
			want:    []string{"torrent is not registered"},
		},
		"not a tracker": {
			tracker: &testswarm.Tracker{Err: &announce.NotTracker{URL: "http://127.0.0.1:1/announce", Status: "404 Not Found"}},
			want:    []string{"is not a BitTorrent tracker", "404"},
		},
		"nobody has it": {
			tracker: &testswarm.Tracker{},
			want:    []string{"No new data of artifact.bin", "32 of 32 pieces are missing", "no peer is connected"},
		},
		"tracker does not answer": {
			tracker: &testswarm.Tracker{Silent: true},
			want:    []string{"No new data of artifact.bin", "the tracker http://tracker.test/announce has not answered"},
		},
		"store cannot be written": {
			tracker: &testswarm.Tracker{},
			store:   &testswarm.Memory{WriteErr: errors.New("disk is full")},
			seeder:  true,
			want:    []string{"disk is full"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.seeder {
				seed(t, torrent, tt.tracker, data)
			}
			if tt.store == nil {
				tt.store = testswarm.NewMemory(len(data), nil)
			}
			p := testswarm.Start(t, swarm.Config{
				Torrent: torrent, Announcer: tt.tracker, StallTimeout: time.Second,
			}, tt.store)
			err := p.Wait()
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("ended with %v, want a reason with %q", err, want)
				}
			}
		})
	}
}

func TestNewRefusesAnIncompleteConfig(t *testing.T) {
	if _, err := swarm.New(swarm.Config{}); err == nil {
		t.Error("New took an empty configuration")
	}
}

// TestTwoSeeders: both send, and when one of them ends in the middle the other goes on.
func TestTwoSeeders(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 8<<20, pieceLength)
	tr := &testswarm.Tracker{Stripes: 2}
	var seeders, peers []*testswarm.Peer
	for range 2 {
		seeders = append(seeders, testswarm.Start(t, swarm.Config{
			Torrent: torrent, Announcer: tr, Seeder: true, Have: testswarm.All(torrent.NumPieces()), UploadLimit: 2 << 20,
		}, testswarm.NewMemory(len(data), data)))
	}
	for range 4 {
		peers = append(peers, leech(t, torrent, tr))
	}
	testswarm.Eventually(t, "both seeders send", func() bool {
		return seeders[0].Stats().BytesUp > 0 && seeders[1].Stats().BytesUp > 0
	})
	if err := seeders[0].Stop(); err != nil {
		t.Fatal(err)
	}
	for _, p := range peers {
		p.Complete(t)
		if !bytes.Equal(p.Store.Bytes(), data) {
			t.Error("a peer holds other bytes than the seeders")
		}
	}
}
