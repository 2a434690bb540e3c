package topology

import (
	"math/bits"
	"slices"
)

const (
	// meshed is the number of peers up to which everybody is everybody's neighbour: so few
	// connections cost nothing, and any peer can stand in for any other at once.
	meshed = 24
	// crossLinks is the number of neighbours outside of the trees.
	crossLinks = 4
	// nearSeeder is the number of first ranks that know the seeder although they may not be fed by it:
	// enough to survive the loss of all roots, few enough for the seeder's connections.
	nearSeeder = 32
)

// Neighbours returns the ranks that a peer should be connected to, the most important first: its
// parents, its children, the backups of its parents, those that it is a backup for, and a few links across the trees,
// over which pieces arrive when a parent fails. Seeder is among them for ranks that may have to ask it. Each is named
// once; all are present, and nobody is a neighbour of a peer without knowing it for long, since one of
// both is told. The arguments are those of Parents.
func (t Shape) Neighbours(rank int, present func(rank int) bool) []int {
	t.Peers = max(t.Peers, rank+1)
	parents := t.Parents(rank, present)
	all := slices.Concat(parents, t.Children(rank, present))
	if rank < nearSeeder {
		all = append(all, Seeder)
	}
	if t.Peers <= meshed {
		for r := range t.Peers {
			if r != rank && present(r) {
				all = append(all, r)
			}
		}
		return distinct(rank, all)
	}
	for _, feeders := range t.Feeders(rank, present) {
		all = append(all, feeders...)
	}
	all = t.backed(rank, present, all)
	return distinct(rank, append(all, t.across(rank, present)...))
}

// backed appends the ranks that the given one is the backup for: children of its children. They may have come when it was
// not there yet, and do not hear of it before their next announce.
func (t Shape) backed(rank int, present func(int) bool, to []int) []int {
	for s := range t.Stripes {
		for _, child := range t.children(s, rank, nil) {
			for of := range t.Stripes {
				for _, c := range t.children(of, child, nil) {
					if feeder, _ := t.backup(of, c); feeder == rank && present(c) {
						to = append(to, c)
					}
				}
			}
		}
	}
	return to
}

// across returns neighbours that differ from the rank in one of its highest bits. These links form
// a part of a hypercube: whoever is on the one end knows that the other is too, newcomers do not move them
// (but for the highest bit, when the number of peers passes a power of two), and few
// steps lead everywhere.
func (t Shape) across(rank int, present func(int) bool) []int {
	var links []int
	for bit := bits.Len(uint(t.Peers-1)) - 1; bit >= 0 && len(links) < crossLinks; bit-- {
		if r := rank ^ 1<<bit; r < t.Peers && present(r) {
			links = append(links, r)
		}
	}
	return links
}

// distinct keeps the first of equal ranks and drops the rank itself.
func distinct(rank int, ranks []int) []int {
	kept := ranks[:0]
	for _, r := range ranks {
		if r != rank && !slices.Contains(kept, r) {
			kept = append(kept, r)
		}
	}
	return kept
}
