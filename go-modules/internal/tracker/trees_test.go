package tracker

import (
	"slices"
	"testing"

	"corvus.murder/internal/announce"
)

// own makes an announcement of one of this program's peers.
func own(n int, left int64, event announce.Event) announcement {
	a := peer(n, left, event)
	copy(a.peer.ID[:], append(ownPrefix[:3:3], a.peer.ID[:17]...))
	return a
}

// seederSays makes an announcement of the artifact's seeder.
func seederSays(event announce.Event) announcement {
	a := own(0, 0, event)
	a.peer.Origin = true
	return a
}

func TestPlacesInTheTrees(t *testing.T) {
	r := registered(t, Config{Expect: 100})
	origin := r.mustDecide(t, seederSays(announce.Started))
	if origin.stripes == 0 || origin.rank != noRank || len(origin.peers) != 0 {
		t.Errorf("the seeder got rank %d of %d stripes and %d peers; want no rank and nobody", origin.rank, origin.stripes, len(origin.peers))
	}
	for n := 1; n <= 100; n++ {
		if d := r.mustDecide(t, own(n, 1000, announce.Started)); d.rank != n-1 || d.stripes != origin.stripes || d.size != n {
			t.Fatalf("peer %d got rank %d of %d, %d stripes", n, d.rank, d.size, d.stripes)
		}
	}
	again := r.mustDecide(t, own(7, 500, announce.None))
	if again.rank != 6 || len(again.peers) == 0 || len(again.peers) > 60 {
		t.Errorf("peer 7 announced again and got rank %d and %d neighbours", again.rank, len(again.peers))
	}
	for _, p := range again.peers {
		if p.ID == own(7, 0, announce.None).peer.ID {
			t.Error("peer 7 is its own neighbour")
		}
	}
	if done := r.mustDecide(t, own(7, 0, announce.Completed)); done.rank != 6 {
		t.Errorf("the peer that completed has rank %d, want 6 as before", done.rank)
	}
	r.mustDecide(t, own(3, 1000, announce.Stopped))
	if d := r.mustDecide(t, own(200, 1000, announce.Started)); d.rank != 2 {
		t.Errorf("the newcomer got rank %d, want the free 2", d.rank)
	}
}

// TestWhoStepsAside: of 40 peers, rank 30 has its stripes from 14 and 31. When 14 is too slow, it is told of others instead, until 14 is back.
func TestWhoStepsAside(t *testing.T) {
	r := registered(t, Config{Expect: 40})
	r.mustDecide(t, seederSays(announce.Started))
	for rank := range 40 {
		r.mustDecide(t, own(rank+1, 1000, announce.Started))
	}
	told := func() map[[20]byte]bool {
		ids := map[[20]byte]bool{}
		for _, p := range r.mustDecide(t, own(30+1, 1000, announce.None)).peers {
			ids[p.ID] = true
		}
		return ids
	}
	parent := own(14+1, 1000, announce.None)
	before := told()
	if !before[parent.peer.ID] {
		t.Fatal("rank 30 was not told of its parent")
	}
	parent.peer.Away = 900
	r.mustDecide(t, parent)
	aside := told()
	others := 0
	for id := range aside {
		if !before[id] {
			others++
		}
	}
	if aside[parent.peer.ID] || others == 0 {
		t.Errorf("the parent stepped aside; it is told of: %v; of others: %d", aside[parent.peer.ID], others)
	}
	slower := own(3+1, 1000, announce.None)
	slower.peer.Away = 500
	spare, faster := own(30+1, 0, announce.None).peer.ID, parent.peer.ID
	for whom, outside := range map[*announcement]map[[20]byte]bool{&parent: {spare: true, faster: false}, &slower: {faster: true}} {
		got := map[[20]byte]bool{}
		for _, p := range r.mustDecide(t, *whom).peers {
			got[p.ID] = true
		}
		for id, want := range outside {
			if got[id] != want {
				t.Errorf("whom %d KiB a second came to is told of %x: %v, want %v", whom.peer.Away, id, got[id], want)
			}
		}
	}
	r.mustDecide(t, own(14+1, 1000, announce.None))
	if back := told(); !back[parent.peer.ID] {
		t.Error("the parent is back, and is not told of")
	}
}

func TestForeignClientsAreOutsideTheTrees(t *testing.T) {
	r := registered(t, Config{Expect: 10})
	r.mustDecide(t, seederSays(announce.Started))
	r.mustDecide(t, own(1, 1000, announce.Started))
	foreign := r.mustDecide(t, peer(2, 1000, announce.Started))
	if foreign.stripes != 0 || len(foreign.peers) != 2 {
		t.Errorf("a foreign client got %d stripes and %d peers, want none and both others", foreign.stripes, len(foreign.peers))
	}
	if d := r.mustDecide(t, seederSays(announce.None)); len(d.peers) != 1 || d.peers[0].ID != peer(2, 0, announce.None).peer.ID {
		t.Errorf("the seeder is told of %d peers, want the foreign one", len(d.peers))
	}
}

// TestOnlyTheSeederIsTheOrigin: whoever came with everything is no seeder of the artifact, for the trees do not begin with it.
func TestOnlyTheSeederIsTheOrigin(t *testing.T) {
	r := registered(t, Config{Expect: 60})
	r.mustDecide(t, seederSays(announce.Started))
	for n := 1; n <= 50; n++ {
		r.mustDecide(t, own(n, 0, announce.Started))
	}
	for n := 51; n <= 60; n++ {
		told := r.mustDecide(t, own(n, 1000, announce.Started)).peers
		if !slices.ContainsFunc(told, func(p *Peer) bool { return p.ID == seederSays(announce.None).peer.ID }) {
			t.Errorf("rank %d is not told of the seeder", n-51)
		}
	}
}

// TestNobodyIsItsOwnNeighbour: the one that announced from another address before has another rank there.
func TestNobodyIsItsOwnNeighbour(t *testing.T) {
	r := registered(t, Config{Expect: 10})
	moved := own(1, 1000, announce.Started)
	r.mustDecide(t, moved)
	r.mustDecide(t, own(2, 1000, announce.Started))
	moved.peer.Addr = own(3, 0, announce.None).peer.Addr
	if d := r.mustDecide(t, moved); d.rank != 2 || len(d.peers) != 1 || d.peers[0].ID == moved.peer.ID {
		t.Errorf("rank %d is told of %d peers, want 2, and the other one alone", d.rank, len(d.peers))
	}
}

func TestRanksSurviveARestart(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir(), Expect: 10})
	for n := 1; n <= 5; n++ {
		r.mustDecide(t, own(n, 1000, announce.Started))
	}
	r.mustDecide(t, seederSays(announce.Started))
	before := r.mustDecide(t, own(4, 1000, announce.None))
	if err := r.savePeers(); err != nil {
		t.Fatal(err)
	}
	next := r.again(t)
	if !slices.ContainsFunc(next.torrents[sample.Infohash].swarm.peers, func(p *Peer) bool { return p.Origin }) {
		t.Error("nobody is the seeder any more")
	}
	after := next.mustDecide(t, own(4, 900, announce.None))
	if after.rank != before.rank || after.stripes != before.stripes || after.size != before.size {
		t.Errorf("rank %d of %d in %d stripes became %d of %d in %d", before.rank, before.size, before.stripes, after.rank, after.size, after.stripes)
	}
}

func TestRanksOfADamagedStateAreRefused(t *testing.T) {
	for name, rank := range map[string]int{"twice": 3, "negative": -5, "huge": 1 << 30} {
		trees := newTrees(10)
		if err := trees.restore(&Peer{}, 3); err != nil {
			t.Fatal(err)
		}
		if err := trees.restore(&Peer{}, rank); err == nil {
			t.Errorf("%s: rank %d was taken", name, rank)
		}
	}
}
