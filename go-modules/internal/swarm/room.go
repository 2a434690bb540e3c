package swarm

import (
	"iter"
	"maps"
	"net"
	"net/netip"
	"sync"
)

// crowd finds where room is made for one more from an address: at the one that most come from, if more do than would then come from
// the other. So no host keeps others out, and hosts that have one address, as behind a NAT, do not drive each other out.
func crowd(from netip.Addr, all iter.Seq[netip.Addr]) (netip.Addr, bool) {
	count := make(map[netip.Addr]int)
	most := from
	for addr := range all {
		if count[addr]++; count[addr] > count[most] {
			most = addr
		}
	}
	return most, count[most] > count[from]+1
}

// makeRoom drops a connection for one from another address: that which has brought and taken least. It returns false if none is
// to go.
func (s *Swarm) makeRoom(from netip.Addr) bool {
	most, found := crowd(from, func(yield func(netip.Addr) bool) {
		for _, c := range s.conns {
			if !yield(c.addr.Addr()) {
				return
			}
		}
	})
	if !found {
		return false
	}
	var least *conn
	for _, c := range s.conns {
		if c.addr.Addr() == most && (least == nil || c.down+c.out.sent.Load() < least.down+least.out.sent.Load()) {
			least = c
		}
	}
	s.drop(least, "it makes room for one of another host")
	return true
}

// lobby holds the incoming connections whose handshakes are under way, and from where they come.
type lobby struct {
	mu sync.Mutex
	in map[net.Conn]netip.Addr
}

// enter returns false if there is no room.
func (l *lobby) enter(nc net.Conn) bool {
	from := remote(nc).Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.in) >= maxConns {
		most, found := crowd(from, maps.Values(l.in))
		if !found {
			return false
		}
		for other, addr := range l.in {
			if addr == most {
				delete(l.in, other)
				_ = other.Close() // which ends its handshake
				break
			}
		}
	}
	l.in[nc] = from
	return true
}

func (l *lobby) leave(nc net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.in, nc)
}

// remote is the far end of a connection.
func remote(nc net.Conn) netip.AddrPort {
	addr := nc.RemoteAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}
