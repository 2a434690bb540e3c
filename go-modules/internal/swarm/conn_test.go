package swarm

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
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
