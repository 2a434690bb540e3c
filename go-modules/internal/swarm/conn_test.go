package swarm

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"
)

// Peers whose ids are smaller and larger than ours, which begins with -MU.
var smaller, larger = [20]byte{1}, [20]byte{0xff}

var peerAddr = netip.MustParseAddrPort("192.0.2.1:10000")

// knock makes a connection to a peer whose handshake is over: one that we dialed, or that came from another port.
func knock(t *testing.T, s *Swarm, peerID [20]byte, dialed bool) *conn {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	c := &conn{nc: near, r: newReader(near), addr: peerAddr, dialed: dialed, peerID: peerID, fast: true, out: newOutbox(&s.uplink)}
	if dialed {
		c.listens = peerAddr
		s.dialing++
	} else {
		c.addr = netip.AddrPortFrom(peerAddr.Addr(), 54321)
	}
	return c
}

// joining makes a swarm that is not running, and takes connections until the test ends.
func joining(t *testing.T) (*Swarm, func(...*conn)) {
	t.Helper()
	s := ranked(t, 0, 2)
	ctx, end := context.WithCancel(t.Context())
	t.Cleanup(func() {
		end()
		for _, c := range s.conns {
			c.close()
		}
		s.workers.Wait()
	})
	return s, func(all ...*conn) {
		for _, c := range all {
			s.join(ctx, c)
		}
	}
}

// idle demands that no dial is under way, and that none is begun now.
func idle(t *testing.T, s *Swarm) {
	t.Helper()
	if s.dialing != 0 {
		t.Errorf("%d dials are said to be under way", s.dialing)
	}
	ctx, end := context.WithCancel(t.Context())
	end() // so that a dial ends at once
	if s.dialMore(ctx, time.Now()); s.dialing != 0 {
		t.Error("the same address is dialed again at once")
	}
}

// TestRefusedAfterTheHandshake: whatever becomes of a connection that was dialed, the dial is over, and its address has to wait.
func TestRefusedAfterTheHandshake(t *testing.T) {
	for name, row := range map[string]struct {
		peerID [20]byte
		before func(s *Swarm, join func(...*conn))
		conns  int
	}{
		"the peer is connected from another address": {smaller, func(s *Swarm, join func(...*conn)) {
			join(knock(t, s, smaller, false)) // the one that it dialed counts
		}, 1},
		"it is banned":             {larger, func(s *Swarm, _ func(...*conn)) { s.banned[larger] = true }, 0},
		"the address is forgotten": {smaller, func(s *Swarm, _ func(...*conn)) { delete(s.candidates, peerAddr) }, 1},
		"it is taken":              {smaller, func(*Swarm, func(...*conn)) {}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, join := joining(t)
			s.candidates[peerAddr] = &candidate{dialing: true}
			row.before(s, join)
			join(knock(t, s, row.peerID, true))
			if len(s.conns) != row.conns {
				t.Errorf("it has %d connections, want %d", len(s.conns), row.conns)
			}
			idle(t, s)
		})
	}
}

// TestTheAddressOfAPeerIsKnown: a peer that is connected from elsewhere is found under the address that was dialed, also later.
func TestTheAddressOfAPeerIsKnown(t *testing.T) {
	s, join := joining(t)
	s.candidates[peerAddr] = &candidate{dialing: true}
	join(knock(t, s, smaller, false), knock(t, s, smaller, true))
	// It tells its port again, as it does when its rank has changed.
	hello := pp.Message{Type: pp.Extended, ExtendedPayload: bencode.MustMarshal(extended{Port: 10001})}
	s.extended(s.connOf(smaller), &hello)
	s.candidates[peerAddr].next = time.Time{}
	idle(t, s)
}

// TestOwnAddress: whoever has dialed itself does not do so again, although the tracker names that address.
func TestOwnAddress(t *testing.T) {
	s, join := joining(t)
	s.meet(peerAddr)
	join(knock(t, s, s.peerID, true))
	s.meet(peerAddr)
	if idle(t, s); len(s.candidates) != 0 || len(s.conns) != 0 {
		t.Errorf("%d addresses are known, %d connections are left", len(s.candidates), len(s.conns))
	}
	join(knock(t, s, s.peerID, false)) // the other end of it
	if len(s.conns) != 0 {
		t.Error("it is connected to itself")
	}
}

// TestSimultaneousDials: when two peers dial each other, both keep the connection that the smaller id dialed, whichever comes
// first, and neither dials again.
func TestSimultaneousDials(t *testing.T) {
	for name, row := range map[string]struct {
		peerID [20]byte
		first  bool // dialed
		keeps  bool // dialed
	}{
		"ours counts and is first":    {larger, true, true},
		"ours counts and is second":   {larger, false, true},
		"theirs counts and is first":  {smaller, false, false},
		"theirs counts and is second": {smaller, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, join := joining(t)
			s.candidates[peerAddr] = &candidate{dialing: true}
			join(knock(t, s, row.peerID, row.first))
			join(knock(t, s, row.peerID, !row.first))
			if c := s.connOf(row.peerID); len(s.conns) != 1 || c == nil || c.dialed != row.keeps {
				t.Errorf("of two connections %d are left: %+v", len(s.conns), c)
			}
			idle(t, s)
		})
	}
}

// TestConnectionsThatDoNotLast: who hangs up at once is dialed later and later, who stays for a while at once.
func TestConnectionsThatDoNotLast(t *testing.T) {
	s, join := joining(t)
	cand := &candidate{}
	s.candidates[peerAddr] = cand
	for failures := 1; failures <= 3; failures++ {
		join(knock(t, s, larger, true))
		s.drop(s.connOf(larger), "both are complete")
		if idle(t, s); cand.failures != failures {
			t.Errorf("%d failures are counted, want %d", cand.failures, failures)
		}
	}
	cand.next = time.Time{}
	join(knock(t, s, larger, true))
	c := s.connOf(larger)
	c.since = time.Now().Add(-passing)
	if s.drop(c, "it has ended"); cand.failures != 0 || !cand.next.IsZero() {
		t.Errorf("after a while it counts as %d failures, and is not to be dialed before %v", cand.failures, cand.next)
	}
}
