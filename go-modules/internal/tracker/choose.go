package tracker

import "math/rand/v2"

// Choose returns up to want of the peers that self may connect to, a random subset in random order.
// It never returns self, known by its ID or its address, and never a seeder to a seeder, for these two
// have nothing to give each other. It only reads its arguments and asks nothing but rng.
func Choose(rng *rand.Rand, self *Peer, peers []*Peer, want int) []*Peer {
	if want <= 0 {
		return nil
	}
	candidates := make([]*Peer, 0, len(peers))
	for _, p := range peers {
		if p.ID == self.ID || p.Addr == self.Addr || (p.Seeder() && self.Seeder()) {
			continue
		}
		candidates = append(candidates, p)
	}
	// The first steps of a Fisher-Yates shuffle: as random as a whole one, at the price of those wanted.
	want = min(want, len(candidates))
	for i := range want {
		j := i + rng.IntN(len(candidates)-i)
		candidates[i], candidates[j] = candidates[j], candidates[i]
	}
	return candidates[:want]
}
