package topology

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestChoices: a peer asks those of its feeders that it is connected to, and fewer of them while somebody is about to connect or stays out of
// the trees.
func TestChoices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		rank := rapid.IntRange(0, shape.Peers-1).Draw(t, "rank")
		present := drawPresence(t, shape, rank)
		far := rapid.SliceOf(rapid.IntRange(Seeder, shape.Peers-1)).Draw(t, "not connected")
		connected := func(r int) bool { return !slices.Contains(far, r) }
		view := View{present, connected, rapid.Bool().Draw(t, "early"), rapid.Bool().Draw(t, "aside")}
		choices := shape.Choices(rank, view)
		for s, feeders := range shape.Feeders(rank, present) {
			if view.Aside && shape.Level(s, rank) > nearOrigin {
				feeders = slices.DeleteFunc(feeders, func(r int) bool { return r == Seeder })
			}
			want := slices.DeleteFunc(slices.Clone(feeders), func(r int) bool { return !connected(r) })
			switch {
			case view.Early && len(feeders) > 0 && !connected(feeders[0]):
				want = nil
			case view.Aside && len(want) > 1:
				want = want[:1]
			}
			if !slices.Equal(choices[s], want) {
				t.Fatalf("rank %d of %d, stripe %d: %v, want %v (%+v)", rank, shape.Peers, s, choices[s], want, view)
			}
		}
	})
}

// TestChoicesOfAChild: rank 4 of 11 with two stripes is fed by 0 and 5, and their backups.
func TestChoicesOfAChild(t *testing.T) {
	shape := Shape{Stripes: 2, Peers: 11}
	all := shape.Choices(4, View{Present: everybody, Connected: everybody})
	for s, ranks := range all {
		if len(ranks) != 2 {
			t.Fatalf("stripe %d: %v, want a parent and its backup", s, ranks)
		}
		parent, backup := ranks[0], ranks[1]
		without := func(rank int) func(int) bool { return func(r int) bool { return r != rank } }
		for name, c := range map[string]struct {
			view View
			want []int
		}{
			"parent not connected":                  {View{everybody, without(parent), false, false}, []int{backup}},
			"parent about to connect":               {View{everybody, without(parent), true, false}, nil},
			"backup about to connect":               {View{everybody, without(backup), true, false}, []int{parent}},
			"somebody is aside":                     {View{everybody, everybody, false, true}, []int{parent}},
			"the parent is aside":                   {View{without(parent), without(parent), false, true}, []int{backup}},
			"nobody is connected":                   {View{everybody, func(int) bool { return false }, false, false}, nil},
			"nobody is connected, somebody aside":   {View{everybody, func(int) bool { return false }, false, true}, nil},
			"nobody but the seeder, somebody aside": {View{func(r int) bool { return r == 4 }, func(r int) bool { return r == Seeder }, false, true}, nil},
		} {
			if name == "nobody but the seeder, somebody aside" && shape.Level(s, 4) <= nearOrigin {
				c.want = []int{Seeder}
			}
			if got := shape.Choices(4, c.view)[s]; !slices.Equal(got, c.want) {
				t.Errorf("stripe %d, %s: %v, want %v", s, name, got, c.want)
			}
		}
	}
}
