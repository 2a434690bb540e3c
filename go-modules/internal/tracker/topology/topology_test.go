package topology

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func everybody(int) bool { return true }

// drawShape draws trees for up to 300 peers.
func drawShape(t *rapid.T) Shape {
	return Shape{
		Stripes: rapid.IntRange(1, 9).Draw(t, "stripes"),
		Peers:   rapid.IntRange(1, 300).Draw(t, "peers"),
	}
}

// drawPresence makes some ranks holes, all but the given one.
func drawPresence(t *rapid.T, shape Shape, but int) func(int) bool {
	holes := map[int]bool{}
	for _, r := range rapid.SliceOfN(rapid.IntRange(0, shape.Peers-1), 0, 60).Draw(t, "holes") {
		holes[r] = r != but
	}
	if shape.Peers > 3 && rapid.Bool().Draw(t, "beginning is gone") {
		for r := range rapid.IntRange(0, shape.Peers/2).Draw(t, "gone") {
			holes[r] = r != but
		}
	}
	return func(r int) bool { return r < shape.Peers && !holes[r] }
}

func presentRanks(shape Shape, present func(int) bool) []int {
	var ranks []int
	for r := range shape.Peers {
		if present(r) {
			ranks = append(ranks, r)
		}
	}
	return ranks
}

// TestEveryStripeReachesEveryone walks up from every peer in every tree, whoever is absent: the way
// ends at the seeder, over present peers, and exactly one peer of each tree is fed by the seeder.
func TestEveryStripeReachesEveryone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		present := drawPresence(t, shape, -1)
		ranks := presentRanks(shape, present)
		parents := map[int][]int{}
		roots := make([]int, shape.Stripes)
		for _, r := range ranks {
			parents[r] = shape.Parents(r, present)
			for s, p := range parents[r] {
				if p == Seeder {
					roots[s]++
				} else if !present(p) {
					t.Fatalf("stripe %d: rank %d is fed by the absent rank %d", s, r, p)
				}
			}
		}
		for s := range shape.Stripes {
			if len(ranks) > 0 && roots[s] != 1 {
				t.Fatalf("stripe %d has %d roots", s, roots[s])
			}
			for _, r := range ranks {
				steps := 0
				for p := r; p != Seeder; p = parents[p][s] {
					if steps++; steps > len(ranks) {
						t.Fatalf("stripe %d goes round in circles above rank %d", s, r)
					}
				}
			}
		}
	})
}

// TestNobodyIsParentBeyondItsShare: with everybody present, all stripes together are k*(N-1) edges
// and k from the seeder, and no peer has more than k of them.
func TestNobodyIsParentBeyondItsShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		load := map[int]int{}
		for r := range shape.Peers {
			for _, p := range shape.Parents(r, everybody) {
				load[p]++
			}
		}
		if load[Seeder] != shape.Stripes {
			t.Fatalf("the seeder feeds %d, want %d", load[Seeder], shape.Stripes)
		}
		edges := 0
		for r := range shape.Peers {
			edges += load[r]
			if load[r] > shape.Stripes {
				t.Fatalf("rank %d of %d has %d children of %d stripes", r, shape.Peers, load[r], shape.Stripes)
			}
		}
		if want := shape.Stripes * (shape.Peers - 1); edges != want {
			t.Fatalf("%d edges, want %d", edges, want)
		}
	})
}

func TestChildrenAreWhoHasTheParent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		present := drawPresence(t, shape, -1)
		ranks := presentRanks(shape, present)
		want := map[int][]int{}
		for _, r := range ranks {
			for _, p := range shape.Parents(r, present) {
				if !slices.Contains(want[p], r) {
					want[p] = append(want[p], r)
				}
			}
		}
		for _, r := range ranks {
			got := shape.Children(r, present)
			slices.Sort(got)
			if !slices.Equal(got, want[r]) {
				t.Fatalf("children of rank %d are %v, but %v have it as a parent", r, got, want[r])
			}
		}
	})
}

// TestHoleMovesOnlyItsChildren: when one peer more is absent, only those that it fed get another
// parent. (In a tree without a single member that has children, any orphan may become the stand-in.)
func TestHoleMovesOnlyItsChildren(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		gone := rapid.IntRange(0, shape.Peers-1).Draw(t, "gone")
		before := drawPresence(t, shape, gone)
		after := func(r int) bool { return r != gone && before(r) }
		ranks := presentRanks(shape, after)
		for _, r := range ranks {
			was, is := shape.Parents(r, before), shape.Parents(r, after)
			for s := range was {
				if was[s] != is[s] && was[s] != gone && slices.ContainsFunc(ranks, func(m int) bool { return m%shape.Stripes == s }) {
					t.Fatalf("stripe %d: rank %d moves from %d to %d because %d left", s, r, was[s], is[s], gone)
				}
			}
		}
	})
}

// TestNewcomerMovesFew: a newcomer changes the parents of its own group, and of one other peer for
// each stripe.
func TestNewcomerMovesFew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := drawShape(t)
		after := Shape{Stripes: before.Stripes, Peers: before.Peers + 1}
		newcomer := before.Peers
		moved := make([]int, before.Stripes)
		for r := range before.Peers {
			was, is := before.Parents(r, everybody), after.Parents(r, everybody)
			for s := range was {
				if was[s] != is[s] && r/before.Stripes != newcomer/before.Stripes {
					moved[s]++
				}
			}
		}
		for s, n := range moved {
			if n > 1 {
				t.Fatalf("rank %d joins %d others: %d of them move in stripe %d", newcomer, before.Peers, n, s)
			}
		}
	})
}

// TestBackupsOverloadNobody: when any one peer fails and its children go to their backups, every stripe still
// reaches everyone, and nobody has more than one child beyond its share.
func TestBackupsOverloadNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		if shape.Stripes == 1 {
			return // a chain: the one above takes over
		}
		failing := rapid.IntRange(0, shape.Peers-1).Draw(t, "failing")
		present := func(r int) bool { return r != failing }
		load, parents := firstChoices(shape, present)
		for r, above := range parents {
			for s, p := range above {
				for steps := 0; p != Seeder; p = parents[p][s] {
					if steps++; steps > shape.Peers {
						t.Fatalf("stripe %d goes round in circles above rank %d", s, r)
					}
				}
			}
			if load[r] > shape.Stripes+1 {
				t.Fatalf("rank %d has %d children of %d stripes", r, load[r], shape.Stripes)
			}
		}
	})
}

// firstChoices returns whom everybody that is present turns to first, and how many turn to each.
func firstChoices(shape Shape, present func(int) bool) (load map[int]int, parents map[int][]int) {
	load, parents = map[int]int{}, map[int][]int{}
	for r := range shape.Peers {
		if !present(r) {
			continue
		}
		for _, f := range shape.Feeders(r, present) {
			load[f[0]]++
			parents[r] = append(parents[r], f[0])
		}
	}
	return load, parents
}

// TestBackupsOfBackups: when a peer fails and then one to which a child of it had gone over, that child finds a free
// slot again: nobody has more than two children beyond its share, as when the two had failed far from each other.
func TestBackupsOfBackups(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		child := rapid.IntRange(0, shape.Peers-1).Draw(t, "child")
		stripe := rapid.IntRange(0, shape.Stripes-1).Draw(t, "stripe")
		parent := shape.parent(stripe, child)
		if shape.Stripes == 1 || parent == Seeder {
			return
		}
		backup, _ := shape.backup(stripe, child)
		present := func(r int) bool { return r != parent && r != backup }
		load, parents := firstChoices(shape, present)
		for r, n := range load {
			if r != Seeder && (!present(r) || n > shape.Stripes+2) {
				t.Fatalf("ranks %d and %d fail, and rank %d has %d children of %d stripes", parent, backup, r, n, shape.Stripes)
			}
		}
		if now := parents[child]; now[stripe] == child {
			t.Fatalf("rank %d feeds itself", child)
		}
	})
}

// TestLoadWhoeverIsAbsent: whatever ranks are absent, nobody has more children beyond its share than these are, not even the
// seeder; and no peer has more than twice its share with the one or two stripes that Plan lays, nor three times with more.
// Of small fleets everything that can be absent is tried.
func TestLoadWhoeverIsAbsent(t *testing.T) {
	for k := 1; k <= 4; k++ {
		for peers := 1; peers <= 9; peers++ {
			for gone := range 1 << peers {
				checkLoad(t, Shape{Stripes: k, Peers: peers}, func(r int) bool { return r < peers && gone>>r&1 == 0 })
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		if rapid.Bool().Draw(t, "as planned") {
			shape.Stripes = stripes
		}
		checkLoad(t, shape, drawPresence(t, shape, -1))
	})
}

func checkLoad(t rapid.TB, shape Shape, present func(int) bool) {
	t.Helper()
	absent := shape.Peers - len(presentRanks(shape, present))
	beyond := shape.Stripes // of its share
	if shape.Stripes > stripes {
		beyond *= 2
	}
	load, _ := firstChoices(shape, present)
	for r, n := range load {
		if r != Seeder && (!present(r) || n > shape.Stripes+beyond) || n > shape.Stripes+absent {
			t.Fatalf("%d of %d ranks are absent, and rank %d has %d children of %d stripes", absent, shape.Peers, r, n, shape.Stripes)
		}
	}
}

func TestDepth(t *testing.T) {
	for peers := 1; peers <= 1200; peers += 1 + peers/7 {
		for k := 2; k <= 8; k++ {
			shape := Shape{Stripes: k, Peers: peers}
			bound := 3 // from the seeder to the first group, to a leaf, and for the uneven last level
			for groups := (peers + k - 1) / k; groups > 1; groups = (groups + k - 2) / k {
				bound++
			}
			if peers%k != 0 {
				bound += k - 2 // the chain in the last group
			}
			if got := shape.Depth(); got > bound {
				t.Errorf("%d peers, %d stripes: depth %d, want at most %d", peers, k, got, bound)
			}
		}
	}
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		peers, pieces, stripes int
		delay                  float64 // at the most
	}{
		{1, 430, 1, 0.003},
		{2, 430, 2, 0.01},
		{11, 430, 2, 0.019},
		{50, 430, 2, 0.028},
		{200, 430, 2, 0.038},
		{10_000, 2400, 2, 0.012},
		{0, 430, 2, 0},
	} {
		shape := Plan(test.peers)
		if delay := shape.Delay(test.pieces); shape.Stripes != test.stripes || delay > test.delay {
			t.Errorf("%d peers, %d pieces: %+v with delay %.4f, want %d stripes and a delay up to %.4f",
				test.peers, test.pieces, shape, delay, test.stripes, test.delay)
		}
	}
}

// TestNeighbours: everybody who feeds a peer is its neighbour, and from any peer the neighbours
// lead to all others, also when many are gone.
func TestNeighbours(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		present := drawPresence(t, shape, -1)
		ranks := presentRanks(shape, present)
		for _, r := range ranks {
			near := shape.Neighbours(r, present)
			for _, must := range append(shape.Parents(r, present), shape.Children(r, present)...) {
				if !slices.Contains(near, must) {
					t.Fatalf("rank %d lacks its neighbour %d", r, must)
				}
			}
			for i, n := range near {
				if n == r || slices.Contains(near[:i], n) || (n != Seeder && !present(n)) {
					t.Fatalf("neighbours of rank %d: %v", r, near)
				}
			}
		}
	})
}

// TestBackupsKnowWhomTheyBackUp: whoever comes later tells the other.
func TestBackupsKnowWhomTheyBackUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		for r := range shape.Peers {
			for s, feeders := range shape.Feeders(r, everybody) {
				if len(feeders) < 2 || feeders[1] == Seeder || feeders[1] == r {
					continue
				}
				if !slices.Contains(shape.Neighbours(feeders[1], everybody), r) {
					t.Fatalf("rank %d is the backup of rank %d in stripe %d and does not know it", feeders[1], r, s)
				}
			}
		}
	})
}

func TestNeighboursAreFew(t *testing.T) {
	shape := Plan(10_000)
	most, seeders := 0, 0
	for r := range shape.Peers {
		near := shape.Neighbours(r, everybody)
		most = max(most, len(near))
		if slices.Contains(near, Seeder) {
			seeders++
		}
	}
	if most > 5*shape.Stripes+crossLinks || seeders > nearSeeder+shape.Stripes {
		t.Errorf("a peer has %d neighbours, and the seeder %d", most, seeders)
	}
}

// TestRanks compares with a plain set.
func TestRanks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ranks Ranks
		used := map[int]bool{}
		for range rapid.IntRange(0, 300).Draw(t, "events") {
			if rapid.IntRange(0, 2).Draw(t, "event") == 0 {
				r := rapid.IntRange(-1, 200).Draw(t, "rank")
				ranks.Free(r)
				delete(used, r)
				continue
			}
			want := 0
			for used[want] {
				want++
			}
			if got := ranks.Take(); got != want {
				t.Fatalf("took rank %d, want %d", got, want)
			}
			used[want] = true
		}
		data, err := json.Marshal(ranks)
		if err != nil {
			t.Fatal(err)
		}
		var again Ranks
		if err := json.Unmarshal(data, &again); err != nil || !slices.Equal(again.Used, ranks.Used) {
			t.Fatalf("read back %s as %v: %v", data, again, err)
		}
		var claimed Ranks
		for r := range used {
			claimed.Claim(r)
		}
		if !slices.Equal(claimed.Used, ranks.Used) {
			t.Fatalf("claimed one by one, the ranks are %v, want %v", claimed.Used, ranks.Used)
		}
		size := 0
		got := map[int]bool{}
		for r := range 400 {
			if used[r] {
				size = r + 1
			}
			if again.Present(r) {
				got[r] = true
			}
		}
		if !reflect.DeepEqual(got, used) || again.Size() != size {
			t.Fatalf("ranks %v of size %d, want %v of size %d", got, again.Size(), used, size)
		}
	})
}

func BenchmarkNeighbours(b *testing.B) {
	shape := Plan(10_000)
	for i := range b.N {
		shape.Neighbours(i%shape.Peers, everybody)
	}
}
