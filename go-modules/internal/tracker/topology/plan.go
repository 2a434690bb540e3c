package topology

const (
	leastStripes = 3 // a lost parent costs a third of the flow at the most
	mostStripes  = 8 // each stripe is one more connection to fill
	// cheap is the delay, as a share of F/B, that more stripes may cost: they make a lost or slow parent
	// matter less.
	cheap = 0.01
)

// Plan chooses the number of stripes for a fleet: peers is how many are expected (0: unknown), pieces
// the number of pieces of the torrent. It minimises the delay of the last peer, and takes more
// stripes than that needs while they cost next to nothing. The shape it returns is that of the
// whole fleet; set Peers to the number of ranks given away to see that of the moment.
func Plan(peers, pieces int) Shape {
	const unknown = 100 // the best number of stripes hardly depends on the number of peers
	if peers <= 0 {
		peers = unknown
	}
	best := Shape{Stripes: min(leastStripes, peers), Peers: peers}
	for k := best.Stripes + 1; k <= min(mostStripes, peers); k++ {
		t := Shape{Stripes: k, Peers: peers}
		if t.Delay(pieces) <= max(best.Delay(pieces), cheap) {
			best = t
		}
	}
	return best
}

// Depth is the number of edges between the seeder and the farthest peer.
func (t Shape) Depth() int {
	deepest := 0
	for s := range t.Stripes {
		for r := range t.Peers {
			d := 1
			for p := t.parent(s, r); p != Seeder; p = t.parent(s, p) {
				d++
			}
			deepest = max(deepest, d)
		}
	}
	return deepest
}

// Delay estimates how much later than F/B the last of equal peers ends, as a share of F/B: a piece
// takes the time of one piece for every stripe and edge.
func (t Shape) Delay(pieces int) float64 {
	return float64(t.Depth()*t.Stripes) / float64(max(1, pieces))
}
