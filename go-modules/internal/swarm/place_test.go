package swarm

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/policy"
)

type nowhere struct{ Announcer }

// ranked makes a swarm with a place in the trees that is not running, and the connections that it has: of these ranks, or of the origin.
func ranked(t *testing.T, rank, size int, ranks ...int) *Swarm {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	src := filepath.Join(t.TempDir(), "artifact")
	if err = os.WriteFile(src, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	torrent, _, err := artifact.Build(t.Context(), src, artifact.BuildOptions{PieceLength: 1 << 16, Announce: "http://127.0.0.1:8998/announce"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{
		Torrent: torrent,
		Store:   struct{ Store }{}, Announcer: nowhere{}, Listener: ln, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.place.stripes, s.place.rank, s.place.size = 2, rank, size
	s.picker.SetStripes(2)
	for i, r := range ranks {
		c := &conn{id: policy.PeerID(i), rank: r, ours: true, seeder: r == announce.NoRank, choked: true, out: newOutbox(&s.uplink)}
		s.conns[c.id] = c
		s.picker.AddPeer(c.id)
		if c.seeder {
			s.picker.SetOrigin(c.id)
		} else {
			s.place.byRank[r] = c
		}
	}
	return s
}

// TestOnlyRootsAreHeldBack: the origin feeds ranks 0 and 1, and for a moment rank 5 too.
func TestOnlyRootsAreHeldBack(t *testing.T) {
	for name, row := range map[string]struct {
		seeder bool
		behind int // the connection that is sent nothing
		ahead  []bool
	}{
		"a root is behind":        {true, 1, []bool{true, false, false}},
		"somebody else is behind": {true, 2, []bool{false, false, false}},
		"not the origin":          {false, 1, []bool{false, false, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := ranked(t, announce.NoRank, 6, 0, 1, 5)
			s.cfg.Seeder = row.seeder
			for _, c := range s.conns {
				c.fed = []bool{true}
				c.out.serve(asked{}, false)
			}
			now := time.Now()
			s.keepBalance(now)
			for id, c := range s.conns {
				if int(id) != row.behind {
					s.balance.count(&c.out.share, (leadMost+1)*s.cfg.Torrent.PieceLength, now)
				}
			}
			for id, want := range row.ahead {
				if got := s.balance.ahead(&s.conns[policy.PeerID(id)].out.share, waiting, now); got != want {
					t.Errorf("connection %d is held back: %v, want %v", id, got, want)
				}
			}
		})
	}
}

// TestBackupsAreNotForTheStart: ranks 2 and 3 are fed by 0 and 1, which in turn are fed by the origin.
func TestBackupsAreNotForTheStart(t *testing.T) {
	for name, row := range map[string]struct {
		ranks   []int
		settled bool
		fed     bool // both stripes, by anybody
		placed  bool
	}{
		"parents have not connected yet":    {[]int{announce.NoRank}, false, false, false},
		"parents are missing":               {[]int{announce.NoRank}, true, true, false},
		"parents have connected":            {[]int{announce.NoRank, 0, 3}, false, true, true},
		"parents have connected long since": {[]int{announce.NoRank, 0, 3}, true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := ranked(t, 2, 4, row.ranks...)
			if now := time.Now(); row.settled {
				s.place.since = now.Add(-2 * settling)
			} else {
				s.place.since = now
			}
			s.adopt(time.Now())
			for stripe := range 2 {
				if feeder := s.picker.Feeder(stripe); (feeder != policy.NoPeer) != row.fed {
					t.Errorf("stripe %d is fed by connection %d", stripe, feeder)
				}
			}
			if s.placed() != row.placed {
				t.Errorf("placed is %v, want %v", !row.placed, row.placed)
			}
		})
	}
}
