package tracker

import (
	"fmt"
	"math/rand/v2"

	"corvus.murder/internal/tracker/topology"
)

// ownPrefix begins the peer IDs of this program's peers, which follow the topology.
var ownPrefix = []byte("-MU")

const (
	noRank     = -1
	maxStripes = 1 << 10 // of a state file that is not damaged
	maxRank    = 1 << 20
	// strangers is how many peers outside the trees (foreign clients, for one) a peer is told of besides.
	strangers = 8
	// origins is how many seeders a peer that may ask the seeder is told of.
	origins = 2
)

// trees are the places of a swarm's peers in the topology.
type trees struct {
	stripes int // fixed at registration: all peers must agree; 0 means no topology
	ranks   topology.Ranks
	byRank  map[int]*Peer
}

// newTrees makes the trees of a torrent for so many peers to come, 0 when unknown.
func newTrees(expect int) trees {
	return trees{stripes: topology.Plan(expect).Stripes, byRank: map[int]*Peer{}}
}

// enter gives a downloading peer of this program a rank, the one it had if there is one.
func (t *trees) enter(p *Peer, had int) {
	switch {
	case had != noRank:
		p.rank = had
	case t.stripes > 0 && p.Left > 0 && p.ours():
		p.rank = t.ranks.Take()
	default:
		p.rank = noRank
		return
	}
	t.byRank[p.rank] = p
}

// restore gives a peer the rank that it had before the tracker was restarted.
func (t *trees) restore(p *Peer, rank int) error {
	if p.rank = rank; rank == noRank {
		return nil
	}
	if t.stripes == 0 || rank < 0 || rank >= maxRank || t.ranks.Present(rank) {
		return fmt.Errorf("rank %d of peer %s is given twice or out of range", rank, p.Addr)
	}
	t.ranks.Claim(rank)
	t.byRank[rank] = p
	return nil
}

// leave frees a peer's rank for the next one that joins.
func (t *trees) leave(p *Peer) {
	if p.rank != noRank {
		delete(t.byRank, p.rank)
		t.ranks.Free(p.rank)
	}
}

// neighbours are whom a ranked peer should be connected to: its place in the trees decides; and for
// any peer, some of those that have no place.
func (t *trees) neighbours(rng *rand.Rand, self *Peer, peers []*Peer) []*Peer {
	var chosen, outside []*Peer
	for _, p := range peers {
		if p.rank == noRank && !p.Origin {
			outside = append(outside, p)
		}
	}
	if self.rank != noRank {
		shape := topology.Shape{Stripes: t.stripes, Peers: t.ranks.Size()}
		present := func(rank int) bool {
			return t.ranks.Present(rank) && (t.byRank[rank] == nil || t.byRank[rank].Away == 0)
		}
		ranks := shape.Neighbours(self.rank, present)
		if self.Away > 0 {
			ranks = append(ranks, shape.Outside(self.aside(), present, t.aside())...)
		}
		for _, rank := range ranks {
			if rank == topology.Seeder {
				chosen = append(chosen, someOrigins(rng, self, peers)...)
			} else if p := t.byRank[rank]; p.ID != self.ID { // not itself, at an address that it had before
				chosen = append(chosen, p)
			}
		}
	}
	return append(chosen, Choose(rng, self, outside, strangers)...)
}

// aside are those who stay out of the trees.
func (t *trees) aside() (found []topology.Aside) {
	for _, p := range t.byRank {
		if p.Away > 0 {
			found = append(found, p.aside())
		}
	}
	return found
}

func (p *Peer) aside() topology.Aside { return topology.Aside{Rank: p.rank, Rate: p.Away} }

func someOrigins(rng *rand.Rand, self *Peer, peers []*Peer) []*Peer {
	var found []*Peer
	for _, p := range peers {
		if p.Origin {
			found = append(found, p)
		}
	}
	return Choose(rng, self, found, origins)
}

// follows reports whether a peer does what the topology says.
func (t *trees) follows(p *Peer) bool {
	return t.stripes > 0 && p.ours() && (p.rank != noRank || p.Seeder())
}
