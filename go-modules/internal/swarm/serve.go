package swarm

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
)

const (
	keepAliveEvery = 45 * time.Second
	writeTimeout   = 60 * time.Second
)

// outbox is what waits to be sent on one connection: messages first, then blocks in the order in
// which they were asked for. Sending never blocks the swarm's goroutine.
type outbox struct {
	mu     sync.Mutex
	msgs   []pp.Message
	serves []pp.RequestSpec
	closed bool
	wake   chan struct{}
	sent   atomic.Int64 // bytes of blocks
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) notify() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// send queues a message.
func (o *outbox) send(m pp.Message) {
	o.mu.Lock()
	if !o.closed {
		o.msgs = append(o.msgs, m)
	}
	o.mu.Unlock()
	o.notify()
}

// serve queues a block; it returns false if too many wait already.
func (o *outbox) serve(r pp.RequestSpec) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.serves) >= ownReqq {
		return false
	}
	o.serves = append(o.serves, r)
	o.notify()
	return true
}

// cancel takes a block out of the queue and, to a peer that knows the fast extension, says so.
func (o *outbox) cancel(r pp.RequestSpec, fast bool) {
	o.mu.Lock()
	i := slices.Index(o.serves, r)
	if i >= 0 {
		o.serves = slices.Delete(o.serves, i, i+1)
	}
	o.mu.Unlock()
	if i >= 0 && fast {
		o.send(reject(r))
	}
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed, o.msgs, o.serves = true, nil, nil
	o.mu.Unlock()
	o.notify()
}

// next takes all messages and one block from the queue.
func (o *outbox) next() (msgs []pp.Message, block pp.RequestSpec, serve, closed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	msgs, o.msgs = o.msgs, nil
	if len(o.serves) > 0 {
		block, serve = o.serves[0], true
		o.serves = o.serves[1:]
	}
	return msgs, block, serve, o.closed
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
	if !s.picker.Have(piece) || !c.out.serve(r) {
		if c.fast {
			c.out.send(reject(r))
		}
	}
	return nil
}

// writer sends what the outbox holds until the connection ends.
func (s *Swarm) writer(ctx context.Context, c *conn) {
	w := bufio.NewWriterSize(c.nc, 64<<10)
	keepAlive := time.NewTicker(keepAliveEvery)
	defer keepAlive.Stop()
	for {
		msgs, block, serve, closed := c.out.next()
		if closed || ctx.Err() != nil {
			return
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
		err := s.write(ctx, w, c, msgs, block, serve)
		if err == nil && len(msgs) == 0 && !serve {
			err = w.Flush()
			if err == nil {
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
func (s *Swarm) idle(ctx context.Context, w *bufio.Writer, c *conn, keepAlive <-chan time.Time) error {
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
func (s *Swarm) write(ctx context.Context, w *bufio.Writer, c *conn, msgs []pp.Message, r pp.RequestSpec, serve bool) error {
	for i := range msgs {
		if err := msgs[i].WriteTo(w); err != nil {
			return fmt.Errorf("send %v: %w", msgs[i].Type, err)
		}
	}
	if !serve {
		return nil
	}
	return s.sendBlock(ctx, w, c, r)
}
