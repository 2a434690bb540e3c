package topology

import "math/bits"

// Ranks gives ranks to peers in the order in which they join. The zero value is ready for use; it
// is kept as JSON like any struct.
type Ranks struct {
	// Used has a bit for each rank that is taken.
	Used []uint64 `json:"used"`
}

// Take gives away the lowest free rank: a newcomer fills the place of a peer that left.
func (r *Ranks) Take() int {
	for w, word := range r.Used {
		if word != ^uint64(0) {
			rank := w*64 + bits.TrailingZeros64(^word)
			r.Used[w] |= 1 << (rank % 64)
			return rank
		}
	}
	r.Used = append(r.Used, 1)
	return (len(r.Used) - 1) * 64
}

// Claim gives away a certain rank, one that was in use before a restart.
func (r *Ranks) Claim(rank int) {
	for rank/64 >= len(r.Used) {
		r.Used = append(r.Used, 0)
	}
	r.Used[rank/64] |= 1 << (rank % 64)
}

// Free takes a rank back. It does nothing if the rank is not in use.
func (r *Ranks) Free(rank int) {
	if !r.Present(rank) {
		return
	}
	r.Used[rank/64] &^= 1 << (rank % 64)
	for n := len(r.Used); n > 0 && r.Used[n-1] == 0; n-- {
		r.Used = r.Used[:n-1]
	}
}

// Present tells whether a rank is in use.
func (r *Ranks) Present(rank int) bool {
	return rank >= 0 && rank/64 < len(r.Used) && r.Used[rank/64]&(1<<(rank%64)) != 0
}

// Size is the highest rank in use plus one: the Peers of a Shape.
func (r *Ranks) Size() int {
	n := len(r.Used)
	if n == 0 {
		return 0
	}
	return (n-1)*64 + bits.Len64(r.Used[n-1])
}
