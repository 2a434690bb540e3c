package sim

import (
	"slices"

	"corvus.murder/internal/policy"
)

// serve is what a host does with a request: what it has goes into the queue, at once if it feeds the peer this stripe, else
// when its uplink is free; what it does not have waits until it does.
func (w *world) serve(c *conn, blk policy.Block) {
	switch {
	case !c.me.complete && !c.me.picker.Have(blk.Piece):
		c.held = append(c.held, blk)
	case w.cfg.Mesh > 0 || c.feeds(w, blk.Piece):
		w.enqueue(c, blk)
	default:
		c.extras = append(c.extras, blk)
		w.admit(c.me)
	}
}

// feeds tells whether the peer has chosen this host to feed it the stripe of a piece.
func (c *conn) feeds(w *world, piece int) bool {
	return !c.peer.complete && c.peer.picker.Feeder(piece%w.shape.Stripes) == c.back.id
}

// admit sends blocks that were asked for out of turn if nobody waits whom the host feeds, but for those who take much
// less than others: it is not they who fill the uplink.
func (w *world) admit(n *node) {
	if !slices.ContainsFunc(n.conns, func(c *conn) bool { return len(c.extras) > 0 }) {
		return
	}
	n.findSlow()
	if slices.ContainsFunc(n.sending, func(c *conn) bool { return !c.extra && !c.slow }) {
		return
	}
	for _, c := range n.conns {
		w.admitOne(c)
	}
}

// findSlow marks those who take much less than others. One that is alone is what it was among others.
func (n *node) findSlow() {
	if len(n.sending) < 2 {
		return
	}
	best := 0.0
	for _, c := range n.sending {
		best = max(best, c.rate)
	}
	for _, c := range n.sending {
		c.slow = c.rate*4 < best
	}
}

// admitOne sends a block that was asked for out of turn if the connection is idle.
func (w *world) admitOne(c *conn) {
	if len(c.extras) == 0 || len(c.queue) > 0 {
		return
	}
	blk := c.extras[0]
	c.extras = slices.Delete(c.extras, 0, 1)
	c.extra = true
	w.enqueue(c, blk)
}

// release serves the requests that have waited for a piece.
func (w *world) release(n *node, piece int) {
	for _, c := range n.conns {
		c.held = slices.DeleteFunc(c.held, func(blk policy.Block) bool {
			if blk.Piece != piece {
				return false
			}
			w.enqueue(c, blk)
			return true
		})
	}
}

// revoke cancels what was asked of peers that no longer feed the host.
func (w *world) revoke(n *node) {
	for _, r := range n.picker.Revoked() {
		if c := n.byID[r.Peer]; c != nil {
			w.at(w.now+int64(w.cfg.Latency), event{kind: evCancel, conn: c.back, blk: r.Block})
		}
	}
}
