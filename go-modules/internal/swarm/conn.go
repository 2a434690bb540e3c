package swarm

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/policy"
)

const (
	readTimeout = 150 * time.Second // BEP 3: peers send something every two minutes
	// minMaxMessage is the smallest bound on a message's length: a block, or an extension handshake.
	minMaxMessage = maxRequest + 64
	startDepth    = 32  // requests kept with a peer at first
	maxDepth      = 512 // and at the most
	defaultReqq   = 250 // requests that a client keeps if it does not say
	ownReqq       = 2048
)

// conn is a connection whose handshake is over. Its fields belong to the swarm's goroutine, except
// out, which is shared with the writer.
type conn struct {
	id     policy.PeerID
	nc     net.Conn
	r      *bufio.Reader
	addr   netip.AddrPort
	dialed bool // we connected to it
	peerID [20]byte
	fast   bool // BEP 6
	ltep   bool // BEP 10
	out    *outbox

	client     string
	rank       int                  // its place in the trees, or announce.NoRank
	away       int                  // but it stays out of them, and so many KiB a second came to it then; 0: it is in them
	fed        []bool               // stripes that it wants us to feed it
	feeds      []int                // stripes that it was told to feed us
	feedID     pp.ExtensionNumber   // of the feed message, as it wants it; 0: it does not know it
	held       []asked              // its requests for what we do not have yet
	cancelled  map[policy.Block]int // by us, and not answered yet
	haves      []int                // pieces that it is to be told of with the next tick
	untold     int                  // ticks since it was told of any
	upSeen     int64                // of what was sent to it, at the last tick
	upNow      int64                // of what was sent to it, in the last tick
	upRate     float64              // bytes a second
	calm       bool                 // its congestion control is chosen
	owed       bool                 // it owed us blocks at the last tick
	ours       bool                 // it is a peer of this program
	seeder     bool                 // the origin of the artifact
	choked     bool                 // it does not serve us
	interested bool                 // we told it that we want something
	listens    netip.AddrPort       // where it accepts connections, if known
	maxRequest int                  // the longest request that it serves, in bytes
	reqq       int                  // how many requests it keeps, as it says
	depth      int                  // how many requests we keep with it
	down       int64
	downSeen   int64 // of down, at the last tick
	rate       float64
	since      time.Time // when it joined
	lastBlock  time.Time
	stopReader context.CancelFunc
}

// event is a message from a connection, or its end.
type event struct {
	c   *conn
	msg pp.Message
	err error
}

// close ends the connection's reader and writer.
func (c *conn) close() {
	if c.stopReader != nil {
		c.stopReader()
	}
	c.out.close()
	_ = c.nc.Close()
}

// blockPool keeps buffers that blocks are received into and sent from. Unlike a sync.Pool it does not lose them to the collector, which
// would have all the more to do then.
type blockPool chan *[]byte

const keptBlocks = 32 // 4 MiB

var blocks = make(blockPool, keptBlocks)

func (p blockPool) Get() *[]byte {
	select {
	case b := <-p:
		return b
	default:
		b := make([]byte, maxRequest)
		return &b
	}
}

func (p blockPool) Put(b *[]byte) {
	select {
	case p <- b:
	default:
	}
}

// reader decodes messages and hands them to the swarm's goroutine until the connection ends.
func (s *Swarm) reader(ctx context.Context, c *conn) {
	dec := pp.Decoder{R: c.r, Pool: blocks, MaxLength: s.maxMessage()}
	taken := intake{nc: c.nc}
	var ev event // one for all messages, for it cannot stay on the stack
	for {
		ev = event{c: c}
		_ = c.nc.SetReadDeadline(time.Now().Add(readTimeout))
		ev.err = dec.Decode(&ev.msg)
		if ev.err == nil && ev.msg.Type == pp.Piece && !ev.msg.Keepalive {
			if err := s.download.wait(ctx, taken.more(s.download, len(ev.msg.Piece))); err != nil {
				return
			}
		}
		select {
		case s.events <- ev:
		case <-ctx.Done():
			return
		}
		if ev.err != nil {
			return
		}
	}
}

// maxMessage is the longest message that a peer may send, in bytes.
func (s *Swarm) maxMessage() pp.Integer {
	return pp.Integer(max(minMaxMessage, s.cfg.Torrent.NumPieces()/8+64))
}

// join takes a connection into the swarm.
func (s *Swarm) join(ctx context.Context, c *conn) {
	if c.dialed {
		s.dialEnded(c.addr)
	}
	if why := s.refuse(c); why != "" {
		s.cfg.Log.Debug("dropped a new connection", "addr", c.addr, "dialed", c.dialed, "why", why)
		_ = c.nc.Close()
		return
	}
	c.id, c.rank = s.nextID, announce.NoRank
	s.nextID++
	c.choked, c.depth, c.reqq, c.maxRequest = true, startDepth, defaultReqq, BlockSize
	c.since = time.Now()
	c.lastBlock, c.calm = c.since, calm(c.nc)
	s.conns[c.id] = c
	s.picker.AddPeer(c.id)
	s.greet(c)
	rctx, stop := context.WithCancel(ctx)
	c.stopReader = stop
	s.workers.Go(func() { s.reader(rctx, c) })
	s.workers.Go(func() { s.writer(rctx, c) })
	s.cfg.Log.Debug("peer joined", "addr", c.addr, "dialed", c.dialed)
}

// refuse says why a new connection is not taken; empty if it is. The one to the same peer that it replaces ends.
func (s *Swarm) refuse(c *conn) (why string) {
	if c.peerID == s.peerID {
		if c.dialed {
			s.own[c.addr] = true
			delete(s.candidates, c.addr)
		}
		return "it leads to myself"
	}
	other := s.connOf(c.peerID)
	switch {
	case other != nil && s.keepFirst(other, c):
		if c.dialed {
			other.listens = c.addr // under one of its addresses, which need not be the one that it connected from
		}
		why = "there is another one to the same peer"
	case other != nil:
		s.drop(other, "a second connection replaces it")
	case s.banned[c.peerID]:
		why = "its peer is banned"
	case len(s.conns) >= maxConns && !s.makeRoom(c.addr.Addr()):
		why = "there are too many"
	}
	if cand := s.candidates[c.addr]; why != "" && c.dialed && cand != nil {
		cand.putOff()
	}
	return why
}

// connOf finds the connection to a peer by its id.
func (s *Swarm) connOf(peerID [20]byte) *conn {
	for _, c := range s.conns {
		if c.peerID == peerID {
			return c
		}
	}
	return nil
}

// keepFirst decides which of two connections to the same peer stays. When both sides dialed, each
// must come to the same answer, so it is the one that the smaller peer id dialed.
func (s *Swarm) keepFirst(first, second *conn) bool {
	if first.dialed == second.dialed {
		return true
	}
	iAmSmaller := string(s.peerID[:]) < string(first.peerID[:])
	return first.dialed == iAmSmaller
}

// drop ends a connection and frees what it owes.
func (s *Swarm) drop(c *conn, why string) {
	if s.conns[c.id] != c {
		return
	}
	s.cfg.Log.Debug("peer left", "addr", c.addr, "why", why)
	delete(s.conns, c.id)
	s.forgetRank(c)
	s.picker.RemovePeer(c.id)
	c.close()
	s.totals.BytesUp += c.out.sent.Load()
	s.totals.LastPeer = time.Now()
	if cand := s.candidates[c.addr]; cand != nil && c.dialed {
		cand.ended(s.totals.LastPeer.Sub(c.since))
	}
	s.adopt(s.totals.LastPeer)
	s.subscribe()
	for _, other := range s.conns {
		s.ask(other)
	}
}

// ban drops a peer that sent damaged data, and does not talk to it again. It is known by its id, not
// by its IP address, which several honest peers may share.
func (s *Swarm) ban(c *conn, piece int) {
	s.cfg.Log.Warn("peer sent damaged data and is banned", "addr", c.addr, "piece", piece)
	s.banned[c.peerID] = true
	delete(s.candidates, c.addr)
	s.drop(c, fmt.Sprintf("damaged piece %d", piece))
}
