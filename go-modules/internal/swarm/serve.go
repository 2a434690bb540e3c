package swarm

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

const (
	keepAliveEvery = 45 * time.Second
	writeTimeout   = 60 * time.Second
	keptMessages   = 64 // room for so many messages is kept with a connection: 14 KiB
	// mostAnswers is how many messages may wait to be sent on one connection, have messages aside: more than come of all that
	// a peer may ask of us, and that it may take back of it. 1.4 MiB.
	mostAnswers = 4 * ownReqq
)

// outbox is what waits to be sent on one connection: messages first, then blocks in the order in
// which they were asked for, those of stripes that we feed the peer before others that have not waited for too long. Sending
// never blocks the swarm's goroutine.
type outbox struct {
	uplink  *uplink
	mu      sync.Mutex
	msgs    []pp.Message
	answers int     // of msgs, those that are no have messages
	serves  []asked // of stripes that we feed it, or to a foreign client
	extras  []asked // asked of us although somebody else feeds it
	serving bool    // there are serves, or one is being sent
	busy    bool    // counted by the uplink
	slow    bool    // not to be counted by the uplink
	closed  bool
	unread  bool // too many messages wait; it belongs to the swarm's goroutine
	wake    chan struct{}
	sent    atomic.Int64 // bytes of blocks
	share   share        // of the uplink, if we are the origin
}

// asked is a block that a peer asks for.
type asked struct {
	pp.RequestSpec
	fresh bool // its piece has been written lately, so that no disk is needed to read it
}

// freshMemory is how many bytes of what we wrote last are taken for being in memory still.
const freshMemory = 64 << 20

// asked is what a peer asks for.
func (s *Swarm) asked(r pp.RequestSpec) asked {
	nth := s.written[r.Index]
	return asked{r, nth > 0 && int64(s.writes-nth)*s.cfg.Torrent.PieceLength < freshMemory}
}

func newOutbox(u *uplink) *outbox {
	o := &outbox{uplink: u, wake: make(chan struct{}, 1)}
	o.share.out = o
	return o
}

func (o *outbox) notify() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send queues a message. Whoever makes us answer all the time and does not read the answers is found out here: of have
// messages alone there are no more than pieces.
func (o *outbox) send(m pp.Message) {
	o.mu.Lock()
	if !o.closed {
		o.msgs = append(o.msgs, m)
		if m.Type != pp.Have {
			o.answers++
		}
		o.unread = o.answers > mostAnswers
	}
	o.mu.Unlock()
	o.notify()
}

// serve queues a block; it returns false if too many wait already.
func (o *outbox) serve(r asked, extra bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.serves)+len(o.extras) >= ownReqq {
		return false
	}
	if extra {
		o.extras = append(o.extras, r)
	} else {
		o.serves = append(o.serves, r)
		o.count(true)
	}
	o.notify()
	return true
}

// count tells the uplink whether there is something to send that goes before extras; mu is held.
func (o *outbox) count(serving bool) {
	o.serving = serving
	if busy := serving && !o.slow; busy != o.busy {
		o.busy = busy
		o.uplink.count(busy)
	}
}

// waiting tells whether there are blocks to send that go before extras.
func (o *outbox) waiting() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.serving
}

// setSlow says whether the peer takes much less than others, so that it is not what fills the uplink.
func (o *outbox) setSlow(slow bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.slow = slow
	o.count(o.serving)
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed, o.msgs, o.serves, o.extras = true, nil, nil, nil
	o.count(false)
	o.mu.Unlock()
	o.notify()
}

// turn is what a writer is to send next.
type turn struct {
	msgs   []pp.Message
	block  asked
	serve  bool // there is a block
	extra  bool // it is an extra
	extras bool // there are extras that have to wait
	closed bool
}

// next takes all messages and one block from the queue: an extra if one is overdue, or if the uplink is free and nothing else waits. The
// messages of the turn before, which have been sent, make room for those that come now: without that, they were half of all that a peer
// allocated.
func (o *outbox) next(free, overdue bool, sent []pp.Message) turn {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := turn{msgs: o.msgs, closed: o.closed}
	o.msgs, o.answers = nil, 0
	if cap(sent) <= keptMessages {
		clear(sent)
		o.msgs = sent[:0]
	}
	switch {
	case len(o.extras) > 0 && (overdue || (free && len(o.serves) == 0)):
		o.count(len(o.serves) > 0)
		t.block, t.serve, t.extra = o.extras[0], true, true
		o.extras = o.extras[1:]
	case len(o.serves) > 0:
		t.block, t.serve = o.serves[0], true
		o.serves = o.serves[1:]
	default: // what was taken before has been written by now
		o.count(false)
	}
	t.extras = len(o.extras) > 0
	return t
}

func reject(r pp.RequestSpec) pp.Message {
	return pp.Message{Type: pp.Reject, Index: r.Index, Begin: r.Begin, Length: r.Length}
}

// serve queues a block that a peer asks for. An error means that the peer breaks the protocol.
func (s *Swarm) serve(c *conn, r pp.RequestSpec) error {
	t := s.cfg.Torrent
	piece := int(r.Index)
	if piece >= t.NumPieces() || r.Length == 0 || r.Length > maxRequest ||
		int64(r.Begin)+int64(r.Length) > t.PieceSize(piece) {
		return fmt.Errorf("it asks for %v, which is not in the torrent", r)
	}
	have := s.picker.Have(piece)
	if !have && c.hold(r) {
		return nil
	}
	if !have || !c.out.serve(s.asked(r), c.ours && s.place.stripes > 0 && !s.feeds(c, piece)) {
		if c.fast {
			c.out.send(reject(r))
		}
	}
	return nil
}

// writer sends what the outbox holds until the connection ends.
func (s *Swarm) writer(ctx context.Context, c *conn) {
	w := newBlockWriter(c.nc)
	keepAlive := time.NewTicker(keepAliveEvery)
	defer keepAlive.Stop()
	var until time.Time // for so long extras wait for the uplink to be free; zero: none do
	var t turn
	for {
		overdue := !until.IsZero() && !time.Now().Before(until)
		t = c.out.next(s.uplink.free(), overdue, t.msgs)
		until = t.bound(until)
		if t.closed || ctx.Err() != nil {
			return
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		err := s.write(ctx, w, c, t)
		if t.serve && err == nil {
			s.yield(ctx, c, int64(t.block.Length))
		}
		if err == nil && len(t.msgs) == 0 && !t.serve {
			err = w.Flush()
			if err == nil && t.extras {
				s.await(ctx, c, until)
			} else if err == nil {
				err = s.idle(ctx, w, c, keepAlive.C)
			}
		}
		if err != nil {
			// The reader notices the closed connection and reports the end.
			s.cfg.Log.Debug("cannot send", "addr", c.addr, "err", err)
			_ = c.nc.Close()
			return
		}
	}
}

// idle waits for something to send, and keeps the connection alive meanwhile.
func (s *Swarm) idle(ctx context.Context, w *blockWriter, c *conn, keepAlive <-chan time.Time) error {
	select {
	case <-c.out.wake:
	case <-ctx.Done():
	case <-keepAlive:
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, _ = w.Write(make([]byte, 4)) // a message of length 0; Flush tells of an error
		return w.Flush()
	}
	return nil
}

// write sends messages, then one block.
func (s *Swarm) write(ctx context.Context, w *blockWriter, c *conn, t turn) error {
	for i := range t.msgs {
		if err := t.msgs[i].WriteTo(w); err != nil {
			return fmt.Errorf("send %v: %w", t.msgs[i].Type, err)
		}
	}
	if !t.serve {
		return nil
	}
	return s.sendBlock(ctx, w, c, t.block)
}
