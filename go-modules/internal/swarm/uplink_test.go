package swarm

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/policy"
)

func spec(index int) pp.RequestSpec {
	return pp.RequestSpec{Index: pp.Integer(index), Length: BlockSize}
}

// TestExtrasWait: what is asked out of turn is sent when nothing waits for those that we feed, or on demand.
func TestExtrasWait(t *testing.T) {
	var u uplink
	a, b := newOutbox(&u), newOutbox(&u)
	b.serve(asked{RequestSpec: spec(1)}, true)
	a.serve(asked{RequestSpec: spec(2)}, false)
	if u.free() {
		t.Error("the uplink is free although a block waits")
	}
	if got := b.next(u.free(), false, nil); got.serve || !got.extras {
		t.Errorf("an extra did not wait: %+v", got)
	}
	if got := a.next(u.free(), false, nil); !got.serve || got.block.RequestSpec != spec(2) {
		t.Errorf("the block of a peer that we feed is not next: %+v", got)
	}
	if u.free() {
		t.Error("the uplink is free while a block is being written")
	}
	freed := u.idle.Signaled()
	a.next(u.free(), false, nil) // it was written
	select {
	case <-freed:
	default:
		t.Error("nobody was told that the uplink is free")
	}
	if got := b.next(u.free(), false, nil); !got.serve || got.block.RequestSpec != spec(1) {
		t.Errorf("the extra is not next on a free uplink: %+v", got)
	}
}

// TestSlowPeerDoesNotHoldExtrasUp: it is not what fills the uplink.
func TestSlowPeerDoesNotHoldExtrasUp(t *testing.T) {
	var u uplink
	slow := newOutbox(&u)
	slow.serve(asked{RequestSpec: spec(1)}, false)
	slow.setSlow(true)
	if !u.free() {
		t.Error("a slow peer counts")
	}
	if !slow.waiting() {
		t.Error("nothing waits for a slow peer, so that the origin would not keep its stripe in step")
	}
	slow.setSlow(false)
	if u.free() {
		t.Error("a peer that is slow no longer does not count")
	}
	slow.close()
	if !u.free() {
		t.Error("a connection that has ended counts")
	}
}

// TestSlowPeerAlone: a slow peer stays what it was when it is the only one that is fed, until it can be compared again.
func TestSlowPeerAlone(t *testing.T) {
	s := &Swarm{conns: map[policy.PeerID]*conn{}}
	for id, rate := range []float64{100, 10} {
		s.conns[policy.PeerID(id)] = &conn{out: newOutbox(&s.uplink), upNow: 1, upRate: rate}
	}
	fast, slow := s.conns[0], s.conns[1]
	slow.out.serve(asked{RequestSpec: spec(1)}, false)
	s.findSlow()
	fast.upNow, fast.upRate = 0, 0
	s.findSlow()
	if !s.uplink.free() {
		t.Error("a slow peer that is alone holds up what is asked out of turn")
	}
	fast.upNow, fast.upRate = 1, 10
	s.findSlow()
	if s.uplink.free() {
		t.Error("a peer that is as fast as the other one does not count")
	}
}

type zeros struct{ Store }

func (zeros) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

// TestExtrasAreSentInTheEnd: what is asked out of turn waits for so long and no longer, each block for itself, whatever else
// the same peer is sent meanwhile.
func TestExtrasAreSentInTheEnd(t *testing.T) {
	for name, every := range map[string]time.Duration{"in silence": time.Hour, "among messages": extrasWait / 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Swarm{cfg: Config{Torrent: &artifact.Torrent{}, Store: zeros{}, Log: slog.New(slog.DiscardHandler)}}
				nc, peer := net.Pipe()
				c := &conn{nc: nc, out: newOutbox(&s.uplink)}
				newOutbox(&s.uplink).serve(asked{RequestSpec: spec(0)}, false) // nobody sends it: the uplink is never free
				ctx, end := context.WithCancel(t.Context())
				defer func() { end(); c.close(); _ = peer.Close() }()
				go s.writer(ctx, c)
				go func() {
					for news := time.NewTicker(every); ctx.Err() == nil; {
						select {
						case <-news.C:
							c.out.send(pp.Message{Type: pp.Have})
						case <-ctx.Done():
						}
					}
				}()
				began := time.Now()
				for n := range 3 {
					c.out.serve(asked{RequestSpec: spec(n)}, true)
				}
				dec := pp.Decoder{R: bufio.NewReader(peer), MaxLength: minMaxMessage}
				for sent := time.Duration(0); sent < 3; {
					var m pp.Message
					if err := dec.Decode(&m); err != nil {
						t.Fatal(err)
					}
					if m.Type == pp.Piece {
						sent++
					}
					took, due := time.Since(began), sent*extrasWait
					if took > due+extrasWait || (m.Type == pp.Piece && took != due) {
						t.Fatalf("%d blocks after %s, one is to be sent in each %s", sent, took, extrasWait)
					}
				}
			})
		})
	}
}

// TestExtrasAmongOwnBlocks: they do not wait until a peer has got all that we feed it, which may be at the end of the artifact.
func TestExtrasAmongOwnBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const fed, extras = 100, 3
		s := &Swarm{cfg: Config{Torrent: &artifact.Torrent{}, Store: zeros{}, Log: slog.New(slog.DiscardHandler)}}
		nc, peer := net.Pipe()
		c := &conn{nc: nc, out: newOutbox(&s.uplink)}
		ctx, end := context.WithCancel(t.Context())
		defer func() { end(); c.close(); _ = peer.Close() }()
		for n := range fed {
			c.out.serve(asked{RequestSpec: spec(n)}, false)
		}
		for n := range extras {
			c.out.serve(asked{RequestSpec: spec(fed + n)}, true)
		}
		go s.writer(ctx, c)
		began, block := time.Now(), time.NewTicker(extrasWait/10)
		dec := pp.Decoder{R: bufio.NewReader(peer), MaxLength: minMaxMessage}
		for n, own, next := 0, 0, fed; n < fed+extras; n++ {
			<-block.C // the peer's link takes so long for one
			var m pp.Message
			if err := dec.Decode(&m); err != nil {
				t.Fatal(err)
			}
			want := &own
			if int(m.Index) >= fed {
				want = &next
			}
			if int(m.Index) != *want {
				t.Fatalf("block %d comes, want %d", m.Index, *want)
			}
			*want++
			if due := time.Duration(next-fed+1) * extrasWait * 6 / 5; next < fed+extras && time.Since(began) > due {
				t.Fatalf("%d blocks out of turn have come after %s", next-fed, time.Since(began))
			}
		}
		if synctest.Wait(); !s.uplink.free() {
			t.Error("the uplink is not free although all is sent")
		}
	})
}
