package swarm

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"

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

// TestWhoStepsAsideIsNoParent: rank 6 is fed by 2 and 7, and its backup for 2 is 9. It is told in the extension handshake, before or after
// it has settled, and again when the other one is back.
func TestWhoStepsAsideIsNoParent(t *testing.T) {
	for name, since := range map[string]time.Duration{"at the start": 0, "later": 2 * settling} {
		t.Run(name, func(t *testing.T) {
			s := ranked(t, 6, 11, announce.NoRank, 2, 7, 9)
			s.place.since = time.Now().Add(-since)
			for _, step := range []struct {
				away   int
				feeder int
			}{{0, 2}, {1, 9}, {0, 2}} {
				hello := extended{Murder: &murderKey{Rank: 2 + 1, Away: step.away}}
				s.extended(s.conns[1], &pp.Message{Type: pp.Extended, ExtendedPayload: bencode.MustMarshal(hello)})
				if feeder := s.conns[s.picker.Feeder(0)]; feeder == nil || feeder.rank != step.feeder {
					t.Errorf("away %d: stripe 0 is fed by %+v, want rank %d", step.away, feeder, step.feeder)
				}
				if !s.placed() {
					t.Errorf("away %d: it asks the tracker for others", step.away)
				}
			}
		})
	}
}

// TestTheOriginIsNoSubstituteFarDown: rank 14 is fed by 6 and 15; both step aside, and 17 and 7, who would take over, are not connected. The origin
// is, and is not asked for what others may have; the tracker is asked for these.
func TestTheOriginIsNoSubstituteFarDown(t *testing.T) {
	s := ranked(t, 14, 30, announce.NoRank, 6, 15)
	s.place.since = time.Now().Add(-2 * settling)
	if s.adopt(time.Now()); !s.placed() {
		t.Fatal("with both parents it is not placed")
	}
	for id := range policy.PeerID(3) {
		s.conns[id].away = int(id)
	}
	s.adopt(time.Now())
	for stripe := range 2 {
		if feeder := s.picker.Feeder(stripe); feeder != policy.NoPeer {
			t.Errorf("stripe %d is fed by connection %d", stripe, feeder)
		}
	}
	if s.placed() {
		t.Error("nobody feeds it, and it does not ask the tracker for others")
	}
}

// TestStepAside: everybody is told, and the tracker at once.
func TestStepAside(t *testing.T) {
	s := ranked(t, 6, 11, 2, 7)
	for _, c := range s.conns {
		c.ltep = true
	}
	s.tracker.next = time.Now().Add(time.Hour)
	s.place.away = 900 // so that it is back
	s.stepAside()
	if s.place.away > 0 || !s.tracker.next.IsZero() {
		t.Errorf("away is %d, the next announce at %v", s.place.away, s.tracker.next)
	}
	for _, c := range s.conns {
		var hello extended
		if len(c.out.msgs) != 1 {
			t.Fatalf("rank %d was sent %d messages, want 1", c.rank, len(c.out.msgs))
		}
		if err := bencode.Unmarshal(c.out.msgs[0].ExtendedPayload, &hello); err != nil || hello.Murder.Away != 0 || hello.Murder.Rank != 7 {
			t.Errorf("rank %d was told %+v, %v", c.rank, hello.Murder, err)
		}
	}
	s.place.away = 900
	s.hello(s.conns[0])
	var hello extended
	if err := bencode.Unmarshal(s.conns[0].out.msgs[1].ExtendedPayload, &hello); err != nil || hello.Murder.Away != 900 {
		t.Errorf("who is away tells %+v, %v", hello.Murder, err)
	}
	if s.announcement(announce.None).Away != 900 {
		t.Error("the tracker is not told")
	}
}

// TestWhoStoodStillDoesNotStepAside: parents get pieces, and nothing of what they were asked for has come. That is our link, unless
// this process had no time to take it.
func TestWhoStoodStillDoesNotStepAside(t *testing.T) {
	for _, late := range []bool{false, true} {
		s := ranked(t, 4, 11, 0, 5)
		for _, c := range s.conns {
			c.choked, c.reqq, c.maxRequest, c.depth = false, defaultReqq, maxRequest, startDepth
			s.picker.SetChoked(c.id, false)
		}
		pieces := s.cfg.Torrent.NumPieces()
		for had := 0; had+4 <= pieces; had += 4 {
			for _, c := range s.conns {
				for piece := had; piece < had+4; piece++ {
					s.picker.PeerHas(c.id, piece)
				}
				s.ask(c)
			}
			if s.ticked = time.Now(); late {
				s.ticked = s.ticked.Add(-2 * pausedFor)
			}
			if err := s.tick(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if (s.place.away > 0) == late {
			t.Errorf("its ticks were late: %v; it stays out of the trees: %v", late, s.place.away > 0)
		}
	}
}

// TestOutsideOfTheTrees: who has stepped aside is fed by those at the end of the trees' first branches, 6 and 7 of 11, or by the next faster one
// who has, and by nobody for as long as those may be about to be named.
func TestOutsideOfTheTrees(t *testing.T) {
	s := ranked(t, 4, 11, 0, 5, 6, 7, 9)
	for _, c := range s.conns {
		c.choked, c.reqq, c.maxRequest, c.depth = false, defaultReqq, maxRequest, startDepth
		s.picker.SetChoked(c.id, false)
	}
	for had := 0; s.place.away == 0; had += 4 {
		if had+4 > s.cfg.Torrent.NumPieces() {
			t.Fatal("it stays in the trees")
		}
		for _, c := range s.conns {
			for piece := had; piece < had+4; piece++ {
				s.picker.PeerHas(c.id, piece)
			}
			s.ask(c)
		}
		s.ticked = time.Now()
		if err := s.tick(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	fedBy := func(what string, want ...int) {
		t.Helper()
		s.adopt(time.Now())
		for stripe, rank := range want {
			c := s.conns[s.picker.Feeder(stripe)]
			if got := c != nil && c.rank == rank; got != (rank != announce.NoRank) {
				t.Errorf("%s: stripe %d comes from %+v, want rank %d", what, stripe, c, rank)
			}
		}
	}
	fedBy("alone", 6, 7)
	if !s.placed() {
		t.Error("it asks the tracker for others")
	}
	other := s.place.byRank[9]
	other.away = s.place.away - 1
	fedBy("beside a slower one", 6, 7)
	other.away = s.place.away + 1
	fedBy("beside a faster one", 9, 9)
	for _, rank := range []int{9, 7, 6} { // they are gone
		c := s.place.byRank[rank]
		delete(s.conns, c.id)
		s.picker.RemovePeer(c.id)
		s.forgetRank(c)
	}
	fedBy("with none of them", announce.NoRank, announce.NoRank)
	if s.placed() {
		t.Error("nobody feeds it, and it does not ask the tracker for others")
	}
	s.place.stepped = time.Now().Add(-settling)
	s.adopt(time.Now())
	if s.picker.Feeder(0) == policy.NoPeer {
		t.Error("after a while it is not fed by whom it is connected to")
	}
}

// TestPaused: a tick that comes much too late says that this process stood still, and the one after it does not.
func TestPaused(t *testing.T) {
	s := ranked(t, 6, 11, 2, 7)
	s.ticked = time.Now().Add(-pausedFor)
	if !s.paused() {
		t.Error("a tick after a pause was taken for any other")
	}
	if s.paused() {
		t.Error("a tick after a tick was taken for one after a pause")
	}
}

// TestFalseRankDoesNotStay: what a peer says of its rank makes the trees larger only within bounds, and until the tracker has
// told their size again. A newcomer's counts, which the tracker may not have known when it was asked.
func TestFalseRankDoesNotStay(t *testing.T) {
	s := ranked(t, 6, 11, announce.NoRank, 2, 7, 9)
	now := time.Now()
	s.place.since, s.tracker.asked = now.Add(-2*settling), now
	answer := announce.Response{Stripes: 2, Rank: 6, Size: 11}
	s.take(answer, now)
	liar, newcomer := s.conns[3], s.conns[0]
	s.meetRank(liar, 1<<20-1)
	if most := 2*11 + growth; s.place.size > most {
		t.Errorf("a peer makes the trees have %d places, want at most %d", s.place.size, most)
	}
	newcomer.since = now.Add(time.Second)
	s.meetRank(newcomer, 20)
	if s.take(answer, now); s.place.size != 21 {
		t.Errorf("there are %d places, want 21", s.place.size)
	}
	s.tracker.asked = now.Add(2 * time.Second)
	if s.take(answer, now); s.place.size != 11 || !s.placed() {
		t.Errorf("there are %d places, want 11; placed: %v", s.place.size, s.placed())
	}
}

// TestRankOfTwo: when the last of two peers that have told the same rank leaves, or tells another one, the first has it again.
func TestRankOfTwo(t *testing.T) {
	for name, leaves := range map[string]func(s *Swarm, c *conn){
		"it leaves":          func(s *Swarm, c *conn) { s.drop(c, "it has ended") },
		"it tells another":   func(s *Swarm, c *conn) { s.meetRank(c, 9) },
		"it has none":        func(s *Swarm, c *conn) { s.meetRank(c, announce.NoRank) },
		"it tells it twice":  func(s *Swarm, c *conn) { s.meetRank(c, 2); s.drop(c, "it has ended") },
		"the first was last": func(s *Swarm, c *conn) { s.meetRank(s.conns[1], 2); s.drop(c, "it has ended") },
	} {
		t.Run(name, func(t *testing.T) {
			s := ranked(t, 6, 11, announce.NoRank, 2, 7, 9)
			s.place.since = time.Now().Add(-2 * settling)
			first, last := s.conns[1], s.conns[3]
			last.nc, _ = net.Pipe()
			s.meetRank(last, 2)
			leaves(s, last)
			if s.place.byRank[2] != first || s.picker.Feeder(0) != first.id {
				t.Errorf("rank 2 is that of %+v, stripe 0 is fed by connection %d", s.place.byRank[2], s.picker.Feeder(0))
			}
		})
	}
}
