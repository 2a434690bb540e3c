package sim

import (
	"math/rand/v2"
	"time"

	"corvus.murder/internal/policy"
)

const (
	tickEvery    = 250 * time.Millisecond // as in the engine
	snubbedAfter = 10 * time.Second
	extrasWait   = 500 * time.Millisecond
	maxRequest   = 128 << 10
	worthPacket  = 32   // have messages
	standing     = 1e-3 // of its link is what a stalled host still uses
	untoldTicks  = 8    // after which any are sent
)

// node is a host: what package swarm is in reality.
type node struct {
	host      Host
	up, down  float64
	upMost    float64 // the largest share of the uplink that a connection has
	downMost  float64 // of the downlink
	serial    int
	rank      int
	ranked    bool
	here      bool
	complete  bool
	stepped   int64 // when it left the trees, or came back
	told      bool  // Host.Aside is over
	away      bool  // it stays out of the trees, and has told its peers
	done      int64
	picker    *policy.Picker // nil when complete
	conns     []*conn        // in the order of connecting
	byID      []*conn        // by PeerID
	dialing   map[int]bool   // ranks that it is about to be connected to
	seen      int            // ranks up to here exist
	lost      bool           // it is about to ask the tracker for a feeder
	telling   [][]news       // on their way
	sending   []*conn
	receiving []*conn // the senders' ends
}

func (w *world) newNode(h Host) *node {
	n := &node{host: h, up: h.Up, down: h.Down, serial: len(w.nodes) + 1}
	if n.up == 0 {
		n.up = w.cfg.Rate
	}
	if n.down == 0 {
		n.down = w.cfg.Rate
	}
	n.upMost, n.downMost = n.up, n.down
	return n
}

// begin makes a host start its download.
func (w *world) begin(n *node) {
	cfg := w.cfg
	blocks := cfg.PieceSize / cfg.BlockSize
	n.here = true
	n.dialing = make(map[int]bool)
	n.picker = policy.New(policy.Config{
		Pieces:  cfg.Pieces,
		Blocks:  func(int) int { return blocks },
		MaxOpen: max(2, cfg.Open/cfg.PieceSize),
		Rand:    rand.New(rand.NewPCG(cfg.Seed, uint64(n.serial))),
	})
	if cfg.Mesh == 0 {
		n.picker.SetStripes(w.shape.Stripes)
	}
	w.announce(n)
	w.at(w.now+int64(tickEvery), event{kind: evTick, node: n})
}

func (w *world) handle(e event) {
	switch n := e.node; e.kind {
	case evStart:
		w.begin(n)
	case evLeave:
		w.leave(n)
	case evGone:
		w.gone(n)
	case evStall:
		w.setLink(n, n.up*standing, n.down*standing)
	case evResume:
		w.setLink(n, n.up/standing, n.down/standing)
	case evOverdue:
		w.overdue(e.conn)
	case evMissing:
		w.announce(n)
	case evAnnounce:
		w.announced(n)
	case evConnect:
		w.connect(n, e.other)
	case evRequest:
		w.requested(e.conn, e.piece)
	case evCancel:
		w.dequeue(e.conn, e.blk)
	case evVerified:
		w.verified(n, e.piece)
	case evHave:
		w.tell(n)
	case evAside:
		w.stepAside(n)
	case evTick:
		w.tick(n)
	}
}

// ask fills a peer's pipeline of requests, once it is half empty; lead is how far the host's own
// time runs ahead of the world's.
func (w *world) ask(c *conn, lead int64) {
	n := c.me
	if n.complete || !n.here {
		return
	}
	owes := n.picker.Owes(c.id)
	blks := n.picker.Ahead(c.id, c.depth/2)
	if owes <= c.depth/2 {
		blks = append(n.picker.Pick(c.id, c.depth-owes), blks...)
	}
	if len(blks) == 0 {
		return
	}
	if owes == 0 {
		c.gotBlock = w.now
	}
	c.back.coming = append(c.back.coming, blks...)
	w.at(w.now+lead+int64(w.cfg.Latency), event{kind: evRequest, conn: c.back, piece: len(blks)})
}

// askAll asks everybody, beginning anywhere, so that nobody is always the first.
func (w *world) askAll(n *node, lead int64) {
	if len(n.conns) == 0 {
		return
	}
	first := w.rng.IntN(len(n.conns))
	for i := range n.conns {
		w.ask(n.conns[(first+i)%len(n.conns)], lead)
	}
}

// requested is the arrival of requests at the host that serves them.
func (w *world) requested(c *conn, n int) {
	blks := c.coming[:n]
	if c.me.here && c.peer.here {
		for _, blk := range blks {
			w.serve(c, blk)
		}
	}
	c.coming = c.coming[:copy(c.coming, c.coming[n:])]
}

// receive takes a block whose last byte was sent now: it arrives one latency later.
func (w *world) receive(c *conn, blk policy.Block) {
	n := c.me
	if !n.here {
		return
	}
	lat := int64(w.cfg.Latency)
	size := int64(w.cfg.BlockSize)
	w.received += size
	c.got += size
	c.gotBlock = w.now
	if n.complete {
		w.twice += size
		return
	}
	r := n.picker.Received(c.id, blk)
	if !r.Wanted {
		w.twice += size
		w.ask(c, lat)
		return
	}
	if r.Cancel != policy.NoPeer {
		w.at(w.now+2*lat, event{kind: evCancel, conn: n.byID[r.Cancel].back, blk: blk})
	}
	if r.Whole {
		if w.cfg.Verify == 0 {
			w.verified(n, blk.Piece)
		} else {
			w.at(w.now+int64(w.cfg.Verify), event{kind: evVerified, node: n, piece: blk.Piece})
		}
	}
	w.ask(c, lat)
}

// verified is a piece that is there now.
func (w *world) verified(n *node, piece int) {
	if !n.here || n.complete {
		return
	}
	lat := int64(w.cfg.Latency)
	n.picker.Verified(piece, true)
	for _, c := range n.conns {
		if !c.peer.complete {
			c.haves = append(c.haves, piece)
		}
	}
	w.release(n, piece)
	if n.picker.Missing() > 0 {
		w.flushHaves(n, func(c *conn) bool {
			return w.cfg.Mesh > 0 || (c.feeds(w, piece) && len(c.queue) == 0 && !n.picker.PeerHasPiece(c.id, piece))
		})
		w.askAll(n, lat)
		return
	}
	w.flushHaves(n, func(*conn) bool { return true })
	n.complete, n.done = true, w.now+lat
	n.picker = nil
	if n.host.Leave == 0 {
		w.waiting--
	}
}

// news are pieces that one peer is told of.
type news struct {
	to     *conn
	pieces []int
}

// worthTelling is asked once a tick.
func (w *world) worthTelling(c *conn) bool {
	c.untold++
	return c.fed(w) || len(c.haves) >= worthPacket || c.untold >= untoldTicks
}

// flushHaves tells some of those connected of the pieces that came since the last time.
func (w *world) flushHaves(n *node, worth func(*conn) bool) {
	var told []news
	for _, c := range n.conns {
		if worth(c) && len(c.haves) > 0 {
			told = append(told, news{c, c.haves})
			c.haves, c.untold = nil, 0
		}
	}
	if len(told) > 0 {
		n.telling = append(n.telling, told)
		w.at(w.now+2*int64(w.cfg.Latency), event{kind: evHave, node: n})
	}
}

// fed tells whether the peer has chosen this host to feed it anything.
func (c *conn) fed(w *world) bool {
	for s := range w.shape.Stripes {
		if c.feeds(w, s) {
			return true
		}
	}
	return false
}

// tell is the arrival of have messages.
func (w *world) tell(n *node) {
	told := n.telling[0]
	n.telling = n.telling[1:]
	if !n.here {
		return
	}
	for _, t := range told {
		if p := t.to.peer; !p.complete && p.here && p.connectedTo(n) == t.to.back {
			for _, piece := range t.pieces {
				p.picker.PeerHas(t.to.back.id, piece)
			}
			if p.picker.Interesting(t.to.back.id) {
				w.ask(t.to.back, 0)
			}
		}
	}
}

// tick is what the engine does four times a second.
func (w *world) tick(n *node) {
	if !n.here || n.complete {
		return
	}
	w.at(w.now+int64(tickEvery), event{kind: evTick, node: n})
	w.flushHaves(n, w.worthTelling)
	n.picker.Tick()
	w.revoke(n)
	n.told = n.told || (n.host.Aside > 0 && w.now >= int64(n.host.Start+n.host.Aside))
	if n.outside() != n.away {
		n.stepped = w.now
		n.lost = true
		w.announce(n)
		w.arrange(n)
		w.at(w.now+int64(w.cfg.Latency), event{kind: evAside, node: n})
	}
	block := float64(w.cfg.BlockSize)
	for _, c := range n.conns {
		rate := float64(c.got-c.gotSeen) / tickEvery.Seconds()
		c.gotSeen = c.got
		c.gotRate += (rate - c.gotRate) / 4
		c.depth = max(w.cfg.MinDepth, min(w.cfg.MaxDepth, int(c.gotRate/block)))
		owes := n.picker.Owes(c.id) > 0
		if owes && !c.owed {
			c.gotBlock = w.now
		}
		if owes && c.owed {
			n.picker.SetRate(c.id, c.gotRate/block)
		}
		if owes && w.now-c.gotBlock > int64(snubbedAfter) {
			n.picker.FellSilent(c.id)
			w.revoke(n)
			c.gotBlock = w.now
		}
		if n.picker.Silent(c.id) {
			c.depth = 1
		}
		c.owed = owes
	}
	w.askAll(n, 0)
	w.shareUp(n)
	w.shareDown(n)
	w.shareUp(w.seeder) // which has no ticks of its own
}

// outside tells that a host is to stay out of the trees.
func (n *node) outside() bool { return n.told || n.picker.Away() }

// stepAside is when its peers hear that a host stays out of the trees, or comes back.
func (w *world) stepAside(n *node) {
	if !n.here || n.complete || n.outside() == n.away {
		return
	}
	n.away = !n.away
	for _, c := range n.conns {
		if c.peer.here && !c.peer.complete {
			w.arrange(c.peer)
			w.askAll(c.peer, 0)
		}
	}
}
