package swarm

import (
	"slices"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/policy"
)

// takeBack cancels what a peer was asked for (BEP 3).
func (s *Swarm) takeBack(c *conn, blk policy.Block) {
	if c.fast {
		if c.cancelled == nil {
			c.cancelled = make(map[policy.Block]int)
		}
		c.cancelled[blk]++
	}
	c.out.send(s.request(blk, 1, pp.Cancel))
}

// retract cancels what is not wanted any more of those who were asked for it.
func (s *Swarm) retract() {
	for _, r := range s.picker.Revoked() {
		if c := s.conns[r.Peer]; c != nil {
			s.takeBack(c, r.Block)
		}
	}
}

// answered notes that a peer has sent or rejected a block, and tells whether that answers a request that was cancelled: every request
// gets one answer (BEP 6), in the order of asking. The same block may have been asked for again meanwhile, and
// that this first answer is a rejection says nothing about the second.
func (c *conn) answered(blk policy.Block) bool {
	n := c.cancelled[blk]
	if n > 1 {
		c.cancelled[blk] = n - 1
	} else {
		delete(c.cancelled, blk)
	}
	return n > 0
}

// rejected takes a peer's answer that it will not send something (BEP 6).
func (s *Swarm) rejected(c *conn, r pp.RequestSpec) {
	for blk := range s.blocks(r) {
		if !c.answered(blk) {
			s.picker.Rejected(c.id, blk)
		}
	}
}

// cancel takes back what a peer has asked for (BEP 3), and tells one that knows the fast extension so (BEP 6).
func (s *Swarm) cancel(c *conn, r pp.RequestSpec) {
	if (cut(&c.held, r) || c.out.cancel(r)) && c.fast {
		c.out.send(reject(r))
	}
}

// cancel takes blocks out of what waits to be sent; it returns false if they do not wait there.
func (o *outbox) cancel(r pp.RequestSpec) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return cut(&o.serves, r) || cut(&o.extras, r)
}

// cut takes blocks out of the first request of a list that covers them, and leaves the rest of it: our own peers ask for many
// blocks at once and may take back any of them. Only whole blocks are cut out, so that no peer can make
// the list grow to more than a few parts of each request. It returns false if there is no such request.
func cut(list *[]asked, r pp.RequestSpec) bool {
	from, to := int64(r.Begin), int64(r.Begin)+int64(r.Length)
	for i, a := range *list {
		first, last := int64(a.Begin), int64(a.Begin)+int64(a.Length)
		if a.Index != r.Index || from < first || to > last || from == to {
			continue
		}
		if (from != first && from%BlockSize != 0) || (to != last && to%BlockSize != 0) {
			continue
		}
		var rest []asked
		if from > first {
			before := a
			before.Length = pp.Integer(from - first)
			rest = append(rest, before)
		}
		if to < last {
			after := a
			after.Begin, after.Length = pp.Integer(to), pp.Integer(last-to)
			rest = append(rest, after)
		}
		*list = slices.Replace(*list, i, i+1, rest...)
		return true
	}
	return false
}
