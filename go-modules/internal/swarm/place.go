package swarm

import (
	"math"
	"slices"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/policy"
	"corvus.murder/internal/tracker/topology"
)

// settling is how long neighbours that the tracker named count as present although they are not
// connected yet. Without it everybody would take the seeder for its parent at the start.
const settling = 2 * time.Second

// growth is by how many ranks a swarm may be larger than twice what the tracker has said, for all that a peer claims: each
// rank costs time in adopt.
const growth = 1 << 10

// place is where the tracker has put this peer in the trees of the topology. Everybody works out its
// own parents from the ranks that it is connected to, so that they are right the moment a connection
// comes or goes.
type place struct {
	stripes int // 0: no topology
	rank    int // announce.NoRank for the seeder
	told    int // ranks in use, as the tracker said
	size    int // the same, as far as known
	since   time.Time
	byRank  map[int]*conn
	away    int       // we stay out of the trees, and have said so; see murderKey
	stepped time.Time // when we left them, or came back
}

// take acts on the place that an announce was answered with.
func (s *Swarm) take(r announce.Response, now time.Time) {
	p := &s.place
	if r.Stripes == 0 {
		return
	}
	if p.stripes != r.Stripes {
		p.stripes, p.since = r.Stripes, now
		s.picker.SetStripes(r.Stripes)
	}
	known := p.rank
	p.rank, p.told = r.Rank, max(p.told, r.Size)
	p.size = p.told
	for rank, c := range p.byRank {
		if c.since.After(s.tracker.asked) { // of others the tracker has known, if it is true
			p.grow(rank)
		}
	}
	if p.rank != known {
		for _, c := range s.conns {
			s.hello(c) // BEP 10: a handshake may be sent again when something has changed
		}
	}
	s.adopt(now)
}

// meetRank notes the rank that a peer has told of itself.
func (s *Swarm) meetRank(c *conn, rank int) {
	s.forgetRank(c)
	if rank >= 0 && rank < 1<<20 {
		c.rank = rank
		s.place.byRank[rank] = c
		s.place.grow(rank)
	}
	s.adopt(time.Now())
}

// grow notes that somebody has told us of a rank: newcomers may, before the tracker does.
func (p *place) grow(rank int) {
	p.size = max(p.size, min(rank+1, 2*p.told+growth))
}

// anybody tells whether any peer that we are connected to is such a one.
func (s *Swarm) anybody(such func(*conn) bool) bool {
	for _, c := range s.conns {
		if such(c) {
			return true
		}
	}
	return false
}

// stepAside tells everybody when we stay out of the trees because we are too slow for them, and when we come back.
func (s *Swarm) stepAside() {
	if away := s.picker.Away(); away != (s.place.away > 0) {
		if s.place.away = 0; away {
			rate := s.picker.Before(float64(time.Second/tickEvery)) * float64(s.cfg.Torrent.PieceLength) / 1024
			s.place.away = int(min(max(rate, 1), math.MaxInt32))
			s.cfg.Log.Info("stays out of the trees for a while: pieces come more slowly than to others, for the link or the processors of this host are slow")
		} else {
			s.cfg.Log.Info("is in the trees again")
		}
		for _, c := range s.conns {
			s.hello(c)
		}
		s.tracker.next = time.Time{} // the tracker is to name others for us
		s.place.stepped = time.Now()
		s.adopt(s.place.stepped)
	}
}

// forgetRank takes a peer out of the trees. Another one that has told the same rank is there in its place.
func (s *Swarm) forgetRank(c *conn) {
	rank := c.rank
	c.rank = announce.NoRank
	if rank == announce.NoRank || s.place.byRank[rank] != c {
		return
	}
	delete(s.place.byRank, rank)
	for _, other := range s.conns {
		if other.rank == rank {
			s.place.byRank[rank] = other
		}
	}
}

// adopt works out who the origin is, and who feeds us which stripe.
func (s *Swarm) adopt(now time.Time) {
	p := &s.place
	origins := s.origins()
	s.picker.SetOrigin(origins[0], origins[1:]...)
	if p.stripes == 0 || p.rank == announce.NoRank || s.picker.Missing() == 0 {
		return
	}
	view := topology.View{
		Early:     now.Sub(p.since) < settling,
		Aside:     s.anybody(func(c *conn) bool { return c.away > 0 }),
		Connected: func(rank int) bool { return s.feeder(rank) != policy.NoPeer },
	}
	view.Present = func(rank int) bool {
		if c := p.byRank[rank]; c != nil {
			return c.away == 0
		}
		return view.Early || rank == p.rank
	}
	shape := topology.Shape{Stripes: p.stripes, Peers: p.size}
	if s.picker.Away() {
		for stripe, rank := range s.outside(shape, now) {
			if c := p.byRank[rank]; c != nil {
				s.picker.SetParents(stripe, shape.Level(stripe, rank)+1, c.id)
			}
		}
		s.subscribe()
		return
	}
	for stripe, ranks := range shape.Choices(p.rank, view) {
		var parents []policy.PeerID
		for _, rank := range ranks {
			parents = append(parents, s.feeder(rank))
		}
		s.picker.SetParents(stripe, shape.Level(stripe, p.rank), parents...)
	}
	s.subscribe()
}

// outside are those who feed us while we stay out of the trees: those that the tracker is about to name, and after a while whom we are
// connected to.
func (s *Swarm) outside(shape topology.Shape, now time.Time) []int {
	var others []topology.Aside
	for rank, c := range s.place.byRank {
		if c.away > 0 {
			others = append(others, topology.Aside{Rank: rank, Rate: c.away})
		}
	}
	present := func(rank int) bool {
		if c := s.place.byRank[rank]; c != nil {
			return c.away == 0
		}
		return now.Sub(s.place.stepped) < settling
	}
	return shape.Outside(topology.Aside{Rank: s.place.rank, Rate: s.place.away}, present, others)
}

// placed tells whether we have the neighbours that we need, so that there is no hurry to ask the tracker again: in the trees, those
// that would feed us if nobody were missing.
func (s *Swarm) placed() bool {
	p := &s.place
	if p.stripes == 0 || p.rank == announce.NoRank {
		return len(s.conns) >= moreWanted
	}
	shape := topology.Shape{Stripes: p.stripes, Peers: p.size}
	if p.away > 0 {
		return !slices.ContainsFunc(s.outside(shape, p.stepped), func(rank int) bool { return p.byRank[rank] == nil })
	}
	there := func(rank int) bool { return p.byRank[rank] == nil || p.byRank[rank].away == 0 }
	return !slices.ContainsFunc(shape.Feeders(p.rank, there), func(ranks []int) bool { return s.feeder(ranks[0]) == policy.NoPeer })
}

// feeder is the connection to a rank, or to the seeder, that may feed us; or NoPeer.
func (s *Swarm) feeder(rank int) policy.PeerID {
	if rank == topology.Seeder {
		return s.origin()
	}
	if c := s.place.byRank[rank]; c != nil && c.away == 0 {
		return c.id
	}
	return policy.NoPeer
}

// origin is the connection to the seeder, or NoPeer.
func (s *Swarm) origin() policy.PeerID { return s.origins()[0] }

// origins are the connections to seeders of this program, in the order in which they were made, or NoPeer. The first is the
// origin to us as long as it is there: two that take turns would be told to feed us, and not to, several times a second.
func (s *Swarm) origins() []policy.PeerID {
	var ids []policy.PeerID
	for id, c := range s.conns {
		if c.ours && c.seeder {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return []policy.PeerID{policy.NoPeer}
	}
	slices.Sort(ids)
	return ids
}
