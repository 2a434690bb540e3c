package topology

// stripes is k. On paper two stripes have the least delay (2 * log2 N edges), but then a lost parent is half of
// the flow, and newcomers and departures disturb twice as much; more than three cost delay and fill the
// last group badly. Simulated, the last of 3 to 40 equal hosts with 430 pieces ends at 1.018 F/B on the average with
// two stripes, 1.028 with three, 1.060 with four, 1.073 with five; of 11 hosts that start in three
// batches at 1.07 to 1.14 with two and at 1.02 with three (package sim).
const stripes = 3

// Plan returns the trees of a fleet of so many peers; 0 means that nobody knows how many will come. Once
// chosen, the number of stripes of a torrent must not change: set Peers to the number of ranks given away (see
// Ranks) to see the trees of the moment.
func Plan(peers int) Shape {
	if peers <= 0 {
		return Shape{Stripes: stripes}
	}
	return Shape{Stripes: min(stripes, peers), Peers: peers}
}

// Level is the number of edges between the seeder and a rank in the tree of a stripe without holes.
func (t Shape) Level(stripe, rank int) int {
	t.Peers = max(t.Peers, rank+1)
	level := 1
	for p := t.parent(stripe, rank); p != Seeder; p = t.parent(stripe, p) {
		level++
	}
	return level
}

// Depth is the greatest of all levels.
func (t Shape) Depth() int {
	deepest := 0
	for s := range t.Stripes {
		for r := range t.Peers {
			deepest = max(deepest, t.Level(s, r))
		}
	}
	return deepest
}

// Delay estimates how much later than F/B the last of equal peers ends, as a share of F/B: a piece
// takes the time of one piece for every stripe and edge.
func (t Shape) Delay(pieces int) float64 {
	return float64(t.Depth()*t.Stripes) / float64(max(1, pieces))
}
