package topology

import "slices"

// deepest bounds how many absent backups are followed.
const deepest = 16

// Feeders returns for each stripe who may feed a rank, the first choice first: its parent, then the backup that
// takes over without anybody being overloaded when the parent is slow or gone. It may be one rank or
// Seeder alone. A parent that is a hole gives way to the backup, and then comes the nearest present ancestor.
// Unlike Parents, the backups of several holes might form a circle: whoever finds that nothing comes
// must go on to the next choice. The arguments are those of Parents.
func (t Shape) Feeders(rank int, present func(rank int) bool) [][]int {
	t.Peers = max(t.Peers, rank+1)
	feeders := make([][]int, t.Stripes)
	for s, parent := range t.Parents(rank, present) {
		feeders[s] = []int{parent}
		wanted := t.parent(s, rank)
		if wanted == Seeder {
			continue
		}
		if wanted == parent {
			if backup, _ := t.backup(s, rank); backup == Seeder || present(backup) {
				feeders[s] = append(feeders[s], backup)
			}
			continue
		}
		if backup := t.substitute(s, rank, present); backup != parent {
			feeders[s] = []int{backup, parent}
		}
	}
	return feeders
}

// substitute is the backup of a rank, or if that is absent too, who feeds it in the place that the rank has taken over:
// with a backup it takes the slot that was its failing parent's in some other stripe.
func (t Shape) substitute(stripe, rank int, present func(rank int) bool) int {
	self := rank
	for range deepest {
		failing := t.parent(stripe, rank)
		feeder, of := t.backup(stripe, rank)
		if feeder == Seeder || (feeder != self && present(feeder)) {
			return feeder
		}
		stripe, rank = of, failing
	}
	return Seeder
}

// backup is who feeds a rank in a stripe when its parent fails, and in which stripe that one feeds the parent. The
// failing parent leaves one child slot free with each of its own parents, as many as it has children: each of
// its children gets one of these. The tree falls into the part above and the subtrees of the children, and
// the own parents of the failing one lie in any of these; so children are attached one by one, with a slot in
// what is attached.
func (t Shape) backup(stripe, rank int) (feeder, of int) {
	failing := t.parent(stripe, rank)
	orphans := t.children(stripe, failing, nil)
	type slot struct{ owner, stripe int }
	free := make([]slot, 0, t.Stripes) // that of the stripe itself first
	for s := range t.Stripes {
		s = (stripe + s) % t.Stripes
		free = append(free, slot{t.parent(s, failing), s})
	}
	first := free[0]
	attached := []int{Seeder} // heads of parts; Seeder: that above
	for len(orphans) > 0 {
		i := slices.IndexFunc(free, func(q slot) bool { return slices.Contains(attached, t.part(stripe, q.owner, failing)) })
		taken := first
		if i >= 0 {
			taken = free[i]
			free = slices.Delete(free, i, i+1)
		}
		// First those whose parts bring slots with them.
		o := slices.IndexFunc(orphans, func(c int) bool {
			return slices.ContainsFunc(free, func(q slot) bool { return t.part(stripe, q.owner, failing) == c })
		})
		o = max(o, 0)
		if orphans[o] == rank {
			return taken.owner, taken.stripe
		}
		attached = append(attached, orphans[o])
		orphans = slices.Delete(orphans, o, o+1)
	}
	return first.owner, first.stripe
}

// part tells in which part of a tree a rank is when one rank fails: the child of the failing one that
// it is below, or Seeder.
func (t Shape) part(stripe, rank, failing int) int {
	for rank != Seeder {
		p := t.parent(stripe, rank)
		if p == failing {
			return rank
		}
		rank = p
	}
	return Seeder
}
