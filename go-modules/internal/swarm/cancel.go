package swarm

import (
	"slices"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

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
