package topology

import "slices"

// nearOrigin is the lowest level in a tree that the seeder stands in for a parent on who has stepped aside. Farther down it would only seem to
// be next: there are others in between, who are no neighbours of ours.
const nearOrigin = 2

// View is what a peer sees of the others.
type View struct {
	// Present tells whether a rank counts as one that may feed others; the peer's own does.
	Present func(rank int) bool
	// Connected tells whether the peer is connected to a rank, or to Seeder, and may be fed by it.
	Connected func(rank int) bool
	// Early means that somebody who is present and not connected is about to be.
	Early bool
	// Aside means that some neighbour stays out of the trees.
	Aside bool
}

// Choices returns for each stripe those of a peer's Feeders whom it may ask now, the first choice first. The rank is its own.
//
// What is late while somebody has stepped aside is so, most likely, because of that. Whoever is the next choice has nothing to spare as long as the
// feeder is there, and would be late to its own children. So there is no next choice then.
func (t Shape) Choices(rank int, v View) [][]int {
	choices := t.Feeders(rank, v.Present)
	for s, ranks := range choices {
		if v.Aside && t.Level(s, rank) > nearOrigin {
			ranks = slices.DeleteFunc(ranks, func(r int) bool { return r == Seeder })
		}
		if v.Early && len(ranks) > 0 && !v.Connected(ranks[0]) {
			ranks = nil // the backup, often the seeder itself, is not for those whose parent is about to connect
		}
		ranks = slices.DeleteFunc(ranks, func(r int) bool { return !v.Connected(r) })
		if v.Aside && len(ranks) > 1 {
			ranks = ranks[:1]
		}
		choices[s] = ranks
	}
	return choices
}
