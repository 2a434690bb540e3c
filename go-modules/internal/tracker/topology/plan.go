package topology

// stripes is k. Two stripes have the least delay, 2 * log2 N edges: simulated (go test -run - -bench Stripes -benchtime 1x ./internal/sim), the last
// of 3 to 40 equal hosts with 430 pieces ends at 1.019 F/B on the average, with three stripes at 1.024, with four at 1.084. They
// also have the fewest connections in each link, so that these share it more evenly: measured on links, the last of 11
// peers ends at 1.05 with two, at 1.08 with three. Only one, a chain, shares nothing at all, but its
// delay grows with N, and nothing in it shows that its first host is slow. With one slow host the others' last ends at (two, three stripes)
// 1.06 and 1.15 where it has a tenth of the link, 1.08 and 1.16 with half of it, 11 hosts; 1.08 and 1.13, 1.12 and 1.14 of 100.
// What three are better at is many hosts with half an uplink, a little: of 60 hosts a third anywhere 2.4 to 2.6 and 2.4, where 1.2 is possible, each
// fifth one 2.7 and 2.2. If these all feed the same stripe, that is better for whoever has it so: each third one 2.8 and 1.9, each fourth one 2.1 and 2.3.
const stripes = 2

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
