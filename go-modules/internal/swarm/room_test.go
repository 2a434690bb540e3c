package swarm

import (
	"net"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"corvus.murder/internal/announce"
)

// TestRoomForOtherHosts: whoever holds more than another one makes room for that, the least useful connection first, and
// hosts that seem to be one do not drive each other out.
func TestRoomForOtherHosts(t *testing.T) {
	for name, row := range map[string]struct {
		hosts []byte // the last parts of the addresses
		from  byte
		gone  int // the connection that makes room, or -1
	}{
		"all from one host":               {[]byte{1, 1, 1}, 1, -1},
		"another host":                    {[]byte{1, 1, 1}, 2, 2},
		"which has fewer":                 {[]byte{1, 2, 1, 1}, 2, 3},
		"which would have as many":        {[]byte{1, 2, 1}, 2, -1},
		"each has one":                    {[]byte{1, 2, 3}, 4, -1},
		"the one that has most":           {[]byte{3, 1, 1, 2, 1}, 1, -1},
		"not the one with the most bytes": {[]byte{1, 1, 2, 3}, 4, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := joining(t)
			for i, host := range row.hosts {
				c := knock(t, s, [20]byte{byte(i)}, false)
				c.id, c.rank, c.addr = s.nextID, announce.NoRank, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, host}), uint16(i))
				c.down = int64(-i) // the last is the least useful
				s.nextID++
				s.conns[c.id] = c
				s.picker.AddPeer(c.id)
			}
			made := s.makeRoom(netip.AddrFrom4([4]byte{192, 0, 2, row.from}))
			if made != (row.gone >= 0) {
				t.Errorf("room was made: %v", made)
			}
			for i := range row.hosts {
				if gone := s.connOf([20]byte{byte(i)}) == nil; gone != (i == row.gone) {
					t.Errorf("connection %d is gone: %v", i, gone)
				}
			}
		})
	}
}

// visitor is a connection that comes from somewhere.
type visitor struct {
	net.Conn
	from   netip.Addr
	closed bool
}

func (v *visitor) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(v.from, 1))
}
func (v *visitor) Close() error { v.closed = true; return nil }

// TestLobby: one host that says nothing does not keep others from shaking hands, and whoever they are there is a bound.
func TestLobby(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lobby{in: make(map[net.Conn]netip.Addr)}
		silent := netip.MustParseAddr("192.0.2.1")
		for range 2 * maxConns {
			l.enter(&visitor{from: silent})
		}
		others := rapid.SliceOfNDistinct(rapid.Byte(), 1, maxConns/2, rapid.ID).Draw(t, "hosts")
		for _, host := range others {
			v := &visitor{from: netip.AddrFrom4([4]byte{198, 51, 100, host})}
			if !l.enter(v) || v.closed {
				t.Fatalf("host %d is kept out by one that holds %d of %d", host, maxConns-len(others), maxConns)
			}
			if rapid.Bool().Draw(t, "done") {
				l.leave(v)
			}
		}
		if len(l.in) > maxConns {
			t.Fatalf("%d handshakes are under way", len(l.in))
		}
		for nc := range l.in {
			if nc.(*visitor).closed {
				t.Fatal("a connection was closed and counts")
			}
		}
	})
}

// TestLobbyOfOneAddress: behind a NAT, or on loopback, nobody makes another one go.
func TestLobbyOfOneAddress(t *testing.T) {
	l := lobby{in: make(map[net.Conn]netip.Addr)}
	from := netip.MustParseAddr("127.0.0.1")
	for n := range maxConns + 10 {
		if v := (&visitor{from: from}); l.enter(v) != (n < maxConns) || v.closed {
			t.Fatalf("number %d: %d are in", n, len(l.in))
		}
	}
}
