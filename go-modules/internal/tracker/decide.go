package tracker

import (
	"time"

	"corvus.murder/internal/announce"
)

const (
	// A swarm lives for seconds, so peers ask often. How often in a larger one is a matter of bytes: an answer
	// with all its packets has nearly 1 KB, and mostly leaves by the seeder's own link. With 200 peers on links of 5 Mbit/s, 100
	// a second took an eighth of it. So few a second come from downloads. Those that are
	// complete wait to hear that all others are, and at that time the link is free.
	leastInterval    = 5 * time.Second
	mostInterval     = 60 * time.Second
	downloadsASecond = 5
	completeASecond  = 50
)

// interval is the time between two announces of a peer in a swarm of so many.
func interval(peers int, complete bool) time.Duration {
	most := time.Duration(downloadsASecond)
	if complete {
		most = completeASecond
	}
	return min(max(time.Duration(peers)*time.Second/most, leastInterval), mostInterval)
}

// minInterval is how soon a peer that has not found its place in the trees yet may ask again.
func minInterval(peers int) time.Duration { return interval(peers, true) / 2 }

// decision is what an accepted announce is answered.
type decision struct {
	interval, minimum    time.Duration // between two announces
	seeders, leechers    int
	completed            int
	finished             bool // every expected peer has completed
	peers                []*Peer
	rank, stripes, size  int // the peer's place in the trees; stripes 0 means that it has none
	compact, withPeerIDs bool
}

// decide admits an announce, records it and chooses the peers it gets. Unlike other trackers it
// records before it answers: when a whole fleet announces at once, the second of two peers must find the first.
func (s *Server) decide(a announcement) (decision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.admit(a)
	if err != nil {
		return decision{}, err
	}
	now := s.now()
	s.active = now
	s.announces++
	s.dirty = true
	w := &t.swarm
	w.record(a, now, s.limits.peers)
	d := decision{
		interval:    interval(len(w.peers), a.peer.Seeder()),
		minimum:     minInterval(len(w.peers)),
		seeders:     w.seeders,
		leechers:    len(w.peers) - w.seeders,
		completed:   w.completed,
		finished:    t.expect > 0 && w.completed >= t.expect && w.seeders == len(w.peers),
		compact:     a.compact,
		withPeerIDs: a.withIDs,
	}
	if a.event != announce.Stopped {
		s.introduce(&d, w, a)
	}
	return d, nil
}

// introduce decides whom a peer is told of: its neighbours in the trees if it follows them, else anybody.
func (s *Server) introduce(d *decision, w *swarm, a announcement) {
	self := w.peers[w.index[a.peer.Addr]]
	if a.want == 0 || !w.trees.follows(self) {
		d.peers = Choose(s.rng, &a.peer, w.peers, a.want)
		return
	}
	d.peers = w.trees.neighbours(s.rng, self, w.peers)
	d.rank, d.stripes, d.size = self.rank, w.trees.stripes, w.trees.ranks.Size()
}

func (s *Server) admit(a announcement) (*torrent, error) {
	t, ok := s.torrents[a.infohash]
	if !ok {
		return nil, refuse("Torrent %x is not registered with this tracker; start its seeder first", a.infohash)
	}
	if !t.withdrawn.IsZero() {
		return nil, refuse("Torrent %x was withdrawn: %s", a.infohash, t.reason)
	}
	if _, known := t.swarm.index[a.peer.Addr]; !known && len(t.swarm.peers) >= s.limits.peers && a.event != announce.Stopped {
		return nil, refuse("Torrent %x has %d peers, which is the most this tracker takes; try again when some have left",
			a.infohash, len(t.swarm.peers))
	}
	return t, nil
}

// counts are the numbers of registered torrents for a scrape; no infohashes means all.
func (s *Server) counts(infohashes [][20]byte) map[[20]byte]announce.Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(infohashes) == 0 {
		for infohash := range s.torrents {
			infohashes = append(infohashes, infohash)
		}
	}
	counts := map[[20]byte]announce.Counts{}
	for _, infohash := range infohashes {
		if t, ok := s.torrents[infohash]; ok && t.withdrawn.IsZero() {
			w := &t.swarm
			counts[infohash] = announce.Counts{Complete: w.seeders, Downloaded: w.completed, Incomplete: len(w.peers) - w.seeders}
		}
	}
	return counts
}
