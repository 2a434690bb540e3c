package swarm

import (
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"

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
	if got := b.next(u.free(), nil); got.serve || !got.extras {
		t.Errorf("an extra did not wait: %+v", got)
	}
	if got := a.next(u.free(), nil); !got.serve || got.block.RequestSpec != spec(2) {
		t.Errorf("the block of a peer that we feed is not next: %+v", got)
	}
	if u.free() {
		t.Error("the uplink is free while a block is being written")
	}
	freed := u.idle.Signaled()
	a.next(u.free(), nil) // it was written
	select {
	case <-freed:
	default:
		t.Error("nobody was told that the uplink is free")
	}
	if got := b.next(u.free(), nil); !got.serve || got.block.RequestSpec != spec(1) {
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
