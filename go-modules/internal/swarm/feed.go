package swarm

import (
	"slices"

	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/policy"
)

// The extension message murder_feed (BEP 10) names the stripes that its sender wants the receiver to feed it, a
// bencoded list, instead of those named before. Requests for their pieces are answered before all others, and
// kept if the piece is not there yet, until it is.
const (
	feedName = "murder_feed"
	feedID   = 1
	// mostStripes bounds what a peer may name.
	mostStripes = 64
)

// subscribe tells peers which stripes they are to feed us, where that has changed, asks them at once, and cancels what
// was asked of those that no longer feed us.
func (s *Swarm) subscribe() {
	s.retract()
	for _, c := range s.conns {
		var stripes []int
		for stripe := range s.place.stripes {
			if s.picker.Feeder(stripe) == c.id && s.picker.Missing() > 0 {
				stripes = append(stripes, stripe)
			}
		}
		if slices.Equal(stripes, c.feeds) {
			continue
		}
		c.feeds = stripes
		if c.feedID != 0 {
			c.out.send(pp.Message{Type: pp.Extended, ExtendedID: c.feedID, ExtendedPayload: bencode.MustMarshal(stripes)})
		}
		s.ask(c)
	}
}

// feed takes a peer's murder_feed message. Nothing of it can do harm: what is out of range means nothing.
func (s *Swarm) feed(c *conn, payload []byte) {
	var stripes []int
	if err := bencode.Unmarshal(payload, &stripes); err != nil {
		s.cfg.Log.Debug("peer's feed message cannot be read", "addr", c.addr, "err", err)
		return
	}
	c.fed = make([]bool, mostStripes)
	for _, stripe := range stripes {
		if stripe >= 0 && stripe < mostStripes {
			c.fed[stripe] = true
		}
	}
	c.held = slices.DeleteFunc(c.held, func(r asked) bool {
		if len(stripes) > 0 && (s.place.stripes == 0 || s.feeds(c, int(r.Index))) {
			return false
		}
		c.out.send(reject(r.RequestSpec))
		return true
	})
}

// feeds tells whether we feed a peer the stripe of a piece.
func (s *Swarm) feeds(c *conn, piece int) bool {
	k := s.place.stripes
	return k > 0 && piece%k < len(c.fed) && c.fed[piece%k]
}

// hold keeps a request of a peer that we feed until its piece is there; it returns false if too many are kept already.
func (c *conn) hold(r pp.RequestSpec) bool {
	if !slices.Contains(c.fed, true) || len(c.held) >= ownReqq {
		return false
	}
	c.held = append(c.held, asked{RequestSpec: r})
	return true
}

// release serves the requests for a piece that have waited for it. What there is to tell goes in the same packet, which wakes the
// peer anyway.
func (s *Swarm) release(c *conn, piece int) {
	if !slices.ContainsFunc(c.held, func(r asked) bool { return int(r.Index) == piece }) {
		return
	}
	s.flushHaves(c)
	c.held = slices.DeleteFunc(c.held, func(r asked) bool {
		if int(r.Index) != piece {
			return false
		}
		if !c.out.serve(s.asked(r.RequestSpec), false) {
			c.out.send(reject(r.RequestSpec))
		}
		return true
	})
}

// findSlow marks the peers that take much less than the others: the uplink is not full because they wait. One that is alone is what it
// was among others. Who stays out of the trees takes what is left, unless we are out there, too. Otherwise a slow one would hold up all that is asked of us out of turn as soon as nobody else is fed.
func (s *Swarm) findSlow() {
	const slowBy = 4
	best, active := 0.0, 0
	for _, c := range s.conns {
		best = max(best, c.upRate)
		if c.upNow > 0 {
			active++
		}
	}
	for _, c := range s.conns {
		if aside := c.away > 0 && s.place.away == 0; aside || active > 1 {
			c.out.setSlow(aside || c.upRate*slowBy < best)
		}
	}
}

// askAhead asks a feeder for what it will have next.
func (s *Swarm) askAhead(c *conn) []policy.Block {
	if c.feedID == 0 {
		return nil
	}
	return s.picker.Ahead(c.id, c.depth/2)
}
