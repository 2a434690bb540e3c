package sim

import (
	"math"
	"slices"

	"corvus.murder/internal/policy"
)

// conn is one end of a connection: what it sends, and how its host sees the other end.
type conn struct {
	serial   int
	me, peer *node
	back     *conn         // the other end
	id       policy.PeerID // of peer, in the Picker of me

	queue  []policy.Block // what peer asked for and me has not sent, the block under way included
	extras []policy.Block // what peer asked for out of turn and has to wait
	until  int64          // so long; 0: nothing does
	extra  int            // so many of the first in the queue are such
	slow   bool           // peer takes much less than others
	held   []policy.Block // what peer asked for and me does not have yet
	haves  []int          // pieces that peer is to be told of
	untold int            // ticks since it was told of any
	coming []policy.Block // requests of peer on their way to me

	place    int // in the heap; -1: sends nothing
	finish   int64
	left     float64 // bytes of the block under way, as of since
	since    int64
	rate     float64 // the lesser of the two shares, bytes a second
	upShare  float64
	dnShare  float64
	got      int64   // bytes received from peer
	gotSeen  int64   // of these, at the last tick
	gotRate  float64 // bytes a second, averaged as the engine does
	owed     bool    // peer owed blocks at the last tick
	depth    int
	gotBlock int64 // when the last block came, or the first was asked for
}

// enqueue makes a block wait to be sent.
func (w *world) enqueue(c *conn, blk policy.Block) {
	c.queue = append(c.queue, blk)
	if len(c.queue) > 1 {
		return
	}
	c.left, c.since, c.rate = float64(w.cfg.BlockSize), w.now, 0
	c.upShare, c.dnShare = 0, 0
	c.finish = math.MaxInt64
	w.finishes.add(c)
	c.me.sending = append(c.me.sending, c)
	c.peer.receiving = append(c.peer.receiving, c)
	w.shareUp(c.me)
	w.shareDown(c.peer)
}

// fallSilent ends the sending of a connection whose queue is empty. Others of its host may have been held back by it, which their other
// ends have taken for all that they could have.
func (w *world) fallSilent(c *conn) {
	w.finishes.remove(c)
	c.me.sending = without(c.me.sending, c)
	c.peer.receiving = without(c.peer.receiving, c)
	w.shareUp(c.me)
	w.shareDown(c.peer)
	for _, o := range c.me.sending {
		w.shareDown(o.peer)
	}
	w.shareUp(c.me)
}

func without(list []*conn, c *conn) []*conn {
	i := slices.Index(list, c)
	return slices.Delete(list, i, i+1)
}

// dequeue takes a block out of the queue before it was sent, if it is not under way yet.
func (w *world) dequeue(c *conn, blk policy.Block) {
	if i := slices.Index(c.queue, blk); i > 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		if i < c.extra {
			c.extra--
		}
	}
	for _, waiting := range []*[]policy.Block{&c.extras, &c.held} {
		if i := slices.Index(*waiting, blk); i >= 0 {
			*waiting = slices.Delete(*waiting, i, i+1)
		}
	}
	if len(c.extras) == 0 {
		c.until = 0
	}
}

// sentBlock goes on to the next block and hands the one that was sent to its receiver.
func (w *world) sentBlock(c *conn) {
	blk := c.queue[0]
	c.queue = c.queue[:copy(c.queue, c.queue[1:])]
	c.extra = max(0, c.extra-1)
	if len(c.queue) == 0 {
		w.fallSilent(c)
	} else {
		c.left, c.since = float64(w.cfg.BlockSize), w.now
		w.expect(c)
	}
	if c.me == w.seeder {
		w.sent += int64(w.cfg.BlockSize)
	}
	w.admit(c.me)
	w.receive(c.back, blk)
}

// expect computes when the block under way will have been sent.
func (w *world) expect(c *conn) {
	if c.rate <= 0 {
		c.finish = math.MaxInt64
	} else {
		c.finish = c.since + int64(c.left/c.rate*1e9)
	}
	w.finishes.fix(c)
}

// setRate applies new shares.
func (w *world) setRate(c *conn) {
	rate := min(c.upShare, c.dnShare)
	if rate == c.rate {
		return
	}
	c.left = max(0, c.left-c.rate*float64(w.now-c.since)/1e9)
	c.since, c.rate = w.now, rate
	w.expect(c)
}

// shareUp divides a host's uplink anew. A connection can use as much as the most that any has of the other end's
// downlink, for nobody there has a right to more than another.
func (w *world) shareUp(n *node) {
	var room [64]float64
	limits := room[:0]
	for _, c := range n.sending {
		limits = append(limits, max(c.dnShare, c.peer.downMost))
	}
	n.upMost = divide(n.up, limits)
	for i, c := range n.sending {
		c.upShare = limits[i]
		w.setRate(c)
	}
}

// shareDown divides a host's downlink anew.
func (w *world) shareDown(n *node) {
	var room [64]float64
	limits := room[:0]
	for _, c := range n.receiving {
		limits = append(limits, max(c.upShare, c.me.upMost))
	}
	n.downMost = divide(n.down, limits)
	for i, c := range n.receiving {
		c.dnShare = limits[i]
		w.setRate(c)
	}
}

// setLink changes what a host can send and receive.
func (w *world) setLink(n *node, up, down float64) {
	n.up, n.down = up, down
	w.shareUp(n)
	w.shareDown(n)
	for _, c := range n.conns {
		w.shareUp(c.peer)
		w.shareDown(c.peer)
	}
}

// divide replaces limits by shares of a capacity: equal ones, but what some cannot use is for the
// others, and what is left in the end is for all. It returns the largest share, or the capacity if there are no limits.
func divide(capacity float64, limits []float64) float64 {
	if len(limits) == 0 {
		return capacity
	}
	left, n := capacity, len(limits)
	var fixed [64]bool
	done := fixed[:]
	if n > len(fixed) {
		done = make([]bool, n)
	}
	for again := true; again && n > 0; {
		again = false
		share := left / float64(n)
		for i, limit := range limits {
			if !done[i] && limit < share*(1-1e-9) {
				done[i], again = true, true
				left -= limit
				n--
			}
		}
	}
	extra := 0.0
	if n == 0 {
		extra = max(0, left) / float64(max(1, len(limits)))
	}
	for i := range limits {
		if done[i] {
			limits[i] += extra
		} else {
			limits[i] = left / float64(n)
		}
	}
	return slices.Max(limits)
}
