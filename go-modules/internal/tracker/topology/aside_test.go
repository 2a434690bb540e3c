package topology

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestOutsideIsAChain: whoever stays out of the trees is fed by the next faster of those who do, so that everybody feeds one at the most, and
// the fastest by somebody in the trees. Those who know only some of the others are never fed in a circle.
func TestOutsideIsAChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		ranks := rapid.SliceOfNDistinct(rapid.IntRange(0, shape.Peers-1), 1, min(shape.Peers, 20), rapid.ID).Draw(t, "aside")
		var all []Aside
		for _, r := range ranks {
			all = append(all, Aside{Rank: r, Rate: rapid.IntRange(1, 5).Draw(t, "rate")})
		}
		inTrees := func(r int) bool { return r >= 0 && r < shape.Peers && !slices.Contains(ranks, r) }
		fed := map[int]bool{}
		for _, a := range all {
			feeders := shape.Outside(a, inTrees, all)
			for _, f := range feeders {
				switch i := slices.Index(ranks, f); {
				case f == a.Rank:
					t.Fatalf("%+v feeds itself", a)
				case i < 0 && f != Seeder && !inTrees(f):
					t.Fatalf("%+v is fed by %d, who is not there", a, f)
				case i < 0 && f == Seeder && len(ranks) < shape.Peers:
					t.Fatalf("%+v is fed by the seeder though others are in the trees", a)
				case i < 0:
					continue
				case all[i].Rate < a.Rate:
					t.Fatalf("%+v is fed by a slower one, %+v", a, all[i])
				}
			}
			if slices.Contains(ranks, feeders[0]) {
				if fed[feeders[0]] {
					t.Fatalf("%d feeds two: %v", feeders[0], all)
				}
				fed[feeders[0]] = true
			}
			known := slices.DeleteFunc(slices.Clone(all), func(Aside) bool { return rapid.Bool().Draw(t, "unknown") })
			if f := shape.Outside(a, inTrees, known)[0]; slices.Contains(ranks, f) && !all[slices.Index(ranks, f)].before(a) {
				t.Fatalf("%+v, who knows %v, is fed by %d, who comes after it", a, known, f)
			}
		}
		if len(fed) != len(all)-1 {
			t.Fatalf("%d of %d feed somebody", len(fed), len(all))
		}
	})
}

// TestSpareHasRoom: with nobody missing, those who feed the first of those aside have as many child slots left as they are to feed stripes.
func TestSpareHasRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shape := drawShape(t)
		shape.Peers = max(shape.Peers, shape.Stripes+1)
		used := map[int]int{}
		for s := range shape.Stripes {
			for r := range shape.Peers {
				used[shape.parent(s, r)]++
			}
		}
		for _, f := range shape.Outside(Aside{Rank: shape.Peers}, func(r int) bool { return r < shape.Peers }, nil) {
			used[f]++
		}
		for r, n := range used {
			if n > shape.Stripes {
				t.Fatalf("%d of %d peers feeds %d children with %d slots", r, shape.Peers, n, shape.Stripes)
			}
		}
	})
}
