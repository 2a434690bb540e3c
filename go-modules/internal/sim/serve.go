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
		w.await(c)
	}
}

// await notes until when what was asked out of turn waits.
func (w *world) await(c *conn) {
	if len(c.extras) > 0 && c.until == 0 {
		c.until = w.now + int64(extrasWait)
		w.at(c.until, event{kind: evOverdue, conn: c})
	}
}

// overdue sends the first request of those that have waited for long enough, after the block under way.
func (w *world) overdue(c *conn) {
	switch {
	case c.until != w.now: // it was sent, or taken back
	case len(c.queue) == 0:
		w.admitOne(c)
	default:
		first := w.firstExtra(c)
		c.queue = slices.Insert(c.queue, 1, first...)
		if c.extra > 0 {
			c.extra += len(first)
		}
		w.await(c)
	}
}

// firstExtra takes the first request of those that wait, which is for several blocks as the engine makes it.
func (w *world) firstExtra(c *conn) []policy.Block {
	n := 1
	for n < len(c.extras) && n*w.cfg.BlockSize < maxRequest && c.extras[n].Piece == c.extras[0].Piece && c.extras[n].Index == c.extras[n-1].Index+1 {
		n++
	}
	first := slices.Clone(c.extras[:n])
	c.extras, c.until = slices.Delete(c.extras, 0, n), 0
	return first
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
	if slices.ContainsFunc(n.sending, func(c *conn) bool { return len(c.queue) > c.extra && !c.slow }) {
		return
	}
	for _, c := range n.conns {
		w.admitOne(c)
	}
}

// findSlow marks those who take much less than others, and whoever stays out of the trees, if this host does not. One that is alone is what it
// was among others.
func (n *node) findSlow() {
	best := 0.0
	for _, c := range n.sending {
		best = max(best, c.rate)
	}
	for _, c := range n.sending {
		if aside := c.peer.away && !n.away; aside || len(n.sending) > 1 {
			c.slow = aside || c.rate*4 < best
		}
	}
}

// admitOne sends a request that was made out of turn if the connection is idle.
func (w *world) admitOne(c *conn) {
	if len(c.extras) == 0 || len(c.queue) > 0 {
		return
	}
	for _, blk := range w.firstExtra(c) {
		c.extra++
		w.enqueue(c, blk)
	}
	w.await(c)
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
