package tracker

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"corvus.murder/internal/announce"
)

// member is a peer as a test knows it, with the rank that it must have.
type member struct {
	says announcement // without an event
	rank int
}

// fleet is a swarm of which the test knows what rank everybody must have.
type fleet struct {
	*rig
	t       *rapid.T
	members []*member
	came    int
}

const mostMembers = 60 // whose interval is 12 s

// comes has somebody join, from an address of its own or from one that a program had which is gone now.
func (f *fleet) comes(ours bool, left int64, instead *member) {
	f.came++
	m := &member{says: peer(f.came, left, announce.None)}
	if ours {
		m.says = own(f.came, left, announce.None)
	}
	if instead != nil {
		m.says.peer.Addr = instead.says.peer.Addr
		f.forget(instead)
	}
	m.rank = noRank
	if ours && left > 0 {
		m.rank = f.lowest()
	}
	f.members = append(f.members, m)
	f.says(m, announce.Started)
}

// lowest is the lowest rank that nobody has: a newcomer fills the place of a peer that left.
func (f *fleet) lowest() int {
	rank := 0
	for slices.ContainsFunc(f.members, func(m *member) bool { return m.rank == rank }) {
		rank++
	}
	return rank
}

func (f *fleet) forget(m *member) {
	f.members = slices.DeleteFunc(f.members, func(other *member) bool { return other == m })
}

// says has a member announce, and compares what it hears.
func (f *fleet) says(m *member, event announce.Event) {
	a := m.says
	a.event = event
	d, err := f.decide(a)
	if err != nil {
		f.t.Fatal(err)
	}
	if d.stripes > 0 && d.rank != m.rank {
		f.t.Fatalf("%s hears %q of rank %d, want %d", a.peer.Addr, event, d.rank, m.rank)
	}
}

func (f *fleet) somebody() *member { return rapid.SampledFrom(f.members).Draw(f.t, "who") }

// silent has all but one announce until that one counts as gone.
func (f *fleet) silent(gone *member) {
	f.forget(gone)
	for range 4 {
		f.clock.advance(10 * time.Second)
		for _, m := range f.members {
			f.says(m, announce.None)
		}
		f.expire()
	}
}

// step does one thing that changes the swarm.
func (f *fleet) step() {
	steps := []string{"comes", "comes", "comes", "leaves", "completes", "goes on", "anew", "silent"}
	switch rapid.SampledFrom(steps).Draw(f.t, "step") {
	case "comes":
		if len(f.members) < mostMembers {
			left := rapid.SampledFrom([]int64{1000, 1000, 1000, 0}).Draw(f.t, "left")
			f.comes(rapid.IntRange(0, 4).Draw(f.t, "ours") > 0, left, nil)
		}
	case "leaves":
		m := f.somebody()
		m.says.event = announce.Stopped
		if _, err := f.decide(m.says); err != nil {
			f.t.Fatal(err)
		}
		f.forget(m)
	case "completes": // and keeps its rank: it feeds others on
		m := f.somebody()
		m.says.peer.Left = 0
		f.says(m, announce.Completed)
	case "goes on":
		f.says(f.somebody(), announce.None)
	case "anew":
		f.comes(true, 1000, f.somebody())
	case "silent":
		f.silent(f.somebody())
	}
}

// holds fails if anybody has another rank than it was told.
func (f *fleet) holds() {
	w := &f.torrents[sample.Infohash].swarm
	ranked, size := 0, 0
	for _, m := range f.members {
		i, known := w.index[m.says.peer.Addr]
		if !known || w.peers[i].rank != m.rank {
			f.t.Fatalf("%s is known: %v, and does not have rank %d any more", m.says.peer.Addr, known, m.rank)
		}
		if m.rank != noRank {
			ranked, size = ranked+1, max(size, m.rank+1)
			if w.trees.byRank[m.rank] != w.peers[i] {
				f.t.Fatalf("rank %d is not that of %s", m.rank, m.says.peer.Addr)
			}
		}
	}
	if len(w.peers) != len(f.members) || len(w.trees.byRank) != ranked || w.trees.ranks.Size() != size {
		f.t.Fatalf("%d peers with %d ranks below %d, want %d, %d and %d", len(w.peers), len(w.trees.byRank), w.trees.ranks.Size(),
			len(f.members), ranked, size)
	}
}

// TestNobodyElsesRankMoves has peers come, go, fall silent, complete and start anew in any order, foreign clients and further
// seeders among them: whoever stays keeps its rank, and only who comes gets one, the lowest that is free.
func TestNobodyElsesRankMoves(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := &fleet{rig: registered(t, Config{Expect: rapid.IntRange(2, 100).Draw(rt, "expect")}), t: rt}
		f.comes(true, 0, nil) // the seeder
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			if len(f.members) == 0 {
				f.comes(true, 1000, nil)
			}
			f.step()
			f.holds()
		}
	})
}
