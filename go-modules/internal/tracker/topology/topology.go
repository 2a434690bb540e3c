// Package topology decides who fetches which part of a torrent from whom.
//
// It is pure: no clock, no network, no files, no randomness; the same ranks and the same presence
// give the same answer in the tracker, in every peer and in the simulator. It imports no other
// package of this project.
//
// # Why trees
//
// With equal links, N downlinks can only be full when the uplinks of the seeder and of almost all
// peers are full, from the first second to the last. A random mesh finds such an assignment only on
// average and pays with idle uplinks and doubled blocks; Meta's Owl (OSDI 2022), whose tracker
// decides who fetches from whom, measured two to three times the speed of BitTorrent. A chain is
// full but N deep; a tree of fan-out k is shallow, but a link of rate B feeds its k children with
// B/k each, and the leaves give nothing. Striped trees, as in SplitStream (SOSP 2003) and CoopNet
// (NOSSDAV 2002), cure both: the pieces are cut into k stripes (piece i belongs to stripe i mod k),
// each stripe flows down a tree of its own with the rate B/k, and every peer has children in one of
// the trees and is a leaf of the others. Then each peer sends k streams of B/k, and receives k.
//
// A peer passes a piece on when it has it whole, so a piece needs the time of k pieces for every
// edge, and the last peer ends at F/B * (1 + depth*k/M) for M pieces. Depth is about log_k(N/k)+2.
//
// # How the trees are built
//
// Peers have ranks, given in the order of joining. Ranks g*k to g*k+k-1 are group g. The groups
// form a heap: group g has the child groups g*k+1 to g*k+k. In stripe s, member s of each group is
// fed by member s of the parent group and feeds the rest: member s of the child groups, and the other
// members of its own group, its leaves. A group with c child groups has no capacity left for c-1 of
// its leaves, while each group without children has room for one more: leaf number o (counted
// around the group from s) is fed by the group that ends the path from the child group number o
// through first children. This is a bijection but for one group, so nobody has more than k children,
// and k*(N-1) edges fill k*N child slots. In the last group, when it has only b < k members, the stripes
// without a member of their own come in through member s mod b and run along a chain of its members:
// at most one more child for each of these k-b stripes, which again makes no more than k.
//
// Nothing but the last group depends on the number of peers, so a newcomer moves its own group and
// one leaf of each stripe, and everybody else keeps the parents there are. Nobody has to know how
// many peers will come.
//
// # Holes
//
// A rank whose peer left is a hole until the next newcomer takes it. In each tree the children of a
// hole are fed by the nearest ancestor that is present (Parents), which always makes a tree. Where no
// ancestor is left, the first present member s of a group stands in for the root, so that the
// seeder sends each stripe once.
//
// But that ancestor then has the children of two. A peer that is gone, or too slow to be a parent, also leaves a
// child slot free with each of its own parents, k in all, and has k children at the most. So every child
// of it has a backup (Feeders): one of these slots, dealt out in such a way that no circle arises.
// A peer whose stripe falls behind goes over to its backup by itself, without asking the tracker.
package topology

// Seeder stands for the origin of the artifact where a rank is expected. It has no rank.
const Seeder = -1

// Shape is the form of the trees. The zero value has no trees.
type Shape struct {
	// Stripes is k: the number of trees, and of child slots of a peer.
	Stripes int
	// Peers is the number of ranks in use: the highest rank given away plus one, holes included.
	Peers int
}

// group returns the group of a rank, the rank's place in it, and the number of its members.
func (t Shape) group(rank int) (g, member, size int) {
	k := t.Stripes
	g = rank / k
	return g, rank - g*k, min(k, t.Peers-g*k)
}

// kids is the number of child groups of a group.
func (t Shape) kids(g int) int {
	groups := (t.Peers + t.Stripes - 1) / t.Stripes
	return max(0, min(t.Stripes, groups-1-g*t.Stripes))
}

// last follows first children from a group to the one without children.
func (t Shape) last(g int) int {
	for t.kids(g) > 0 {
		g = g*t.Stripes + 1
	}
	return g
}

// tail is the rank in group g that takes in another group's leaf of a stripe.
func (t Shape) tail(stripe, g int) int {
	_, _, size := t.group(g * t.Stripes)
	if stripe < size {
		return g*t.Stripes + stripe
	}
	return g*t.Stripes + (stripe+size-1)%size
}

// above is the parent of the rank by which a stripe enters group g.
func (t Shape) above(stripe, g int) int {
	if g == 0 {
		return Seeder
	}
	return (g-1)/t.Stripes*t.Stripes + stripe
}

// parent is the parent of a rank in a tree without holes.
func (t Shape) parent(stripe, rank int) int {
	k := t.Stripes
	g, member, size := t.group(rank)
	first := g * k
	if stripe >= size {
		place := (member - stripe%size + size) % size // in the chain
		if place == 0 {
			return t.above(stripe, g)
		}
		return first + (member-1+size)%size
	}
	leaf := (member - stripe + k) % k
	switch {
	case leaf == 0:
		return t.above(stripe, g)
	case leaf < t.kids(g):
		return t.tail(stripe, t.last(first+1+leaf))
	}
	return first + stripe
}

// children appends the children of a rank in a tree without holes.
func (t Shape) children(stripe, rank int, to []int) []int {
	k := t.Stripes
	g, member, size := t.group(rank)
	first := g * k
	if stripe >= size {
		if next := (member + 1) % size; next != stripe%size {
			return append(to, first+next)
		}
		return t.adopted(stripe, g, to)
	}
	if member != stripe {
		return to
	}
	kids := t.kids(g)
	for i := range kids {
		to = append(to, t.entry(stripe, first+1+i))
	}
	for leaf := max(1, kids); leaf < k; leaf++ {
		if m := (stripe + leaf) % k; m < size {
			to = append(to, first+m)
		}
	}
	if kids == 0 {
		to = t.adopted(stripe, g, to)
	}
	return to
}

// entry is the rank by which a stripe enters group g.
func (t Shape) entry(stripe, g int) int {
	_, _, size := t.group(g * t.Stripes)
	return g*t.Stripes + stripe%size
}

// adopted appends the leaf of another group that is fed by the childless group g, if there is one.
func (t Shape) adopted(stripe, g int, to []int) []int {
	k := t.Stripes
	for g > 0 && (g-1)%k == 0 {
		g = (g - 1) / k
	}
	if g == 0 {
		return to
	}
	leaf := (g - 1) % k
	return append(to, (g-1)/k*k+(stripe+leaf)%k)
}

// Parents returns for each stripe the rank of whoever feeds the given rank, or Seeder. present
// tells which ranks have a peer now; it is not asked about the rank itself, nor about ranks outside
// of the shape. The shape grows to hold the rank.
func (t Shape) Parents(rank int, present func(rank int) bool) []int {
	t.Peers = max(t.Peers, rank+1)
	parents := make([]int, t.Stripes)
	for s := range parents {
		p := t.parent(s, rank)
		hole := false
		for p != Seeder && !present(p) {
			hole = true
			p = t.parent(s, p)
		}
		if hole && p == Seeder {
			if p = t.standIn(s, rank, present); p == rank {
				p = Seeder
			}
		}
		parents[s] = p
	}
	return parents
}

// standIn finds the rank that acts as the root of a tree without one: the first that would have
// children there, or else the first of all that has only holes above. self counts as present.
func (t Shape) standIn(stripe, self int, present func(int) bool) int {
	for r := stripe; r < t.Peers; r += t.Stripes {
		if r == self || present(r) {
			return r
		}
	}
	for r := range self {
		if present(r) && t.orphan(stripe, r, self, present) {
			return r
		}
	}
	return self
}

// orphan tells whether a rank has only holes above.
func (t Shape) orphan(stripe, rank, self int, present func(int) bool) bool {
	for p := t.parent(stripe, rank); p != Seeder; p = t.parent(stripe, p) {
		if p == self || present(p) {
			return false
		}
	}
	return true
}

// Children returns the ranks that the given rank feeds, each once, whatever the stripe. The
// arguments are those of Parents.
func (t Shape) Children(rank int, present func(rank int) bool) []int {
	t.Peers = max(t.Peers, rank+1)
	here := func(r int) bool { return r == rank || present(r) }
	var all []int
	for s, parent := range t.Parents(rank, present) {
		all = t.descend(s, rank, here, all)
		if parent == Seeder && t.parent(s, rank) != Seeder {
			// A stand-in has adopted whoever has only holes above.
			if root := t.entry(s, 0); root != rank {
				all = t.descend(s, root, here, all)
			}
		}
	}
	return distinct(rank, all)
}

// descend appends the present children of a rank, and in the place of absent ones theirs.
func (t Shape) descend(stripe, rank int, present func(int) bool, to []int) []int {
	for _, c := range t.children(stripe, rank, nil) {
		if present(c) {
			to = append(to, c)
		} else {
			to = t.descend(stripe, c, present, to)
		}
	}
	return to
}
