package swarm

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCalm: both ends of a connection over loopback use CUBIC where a process may choose it, else what they used before.
func TestCalm(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialed, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dialed.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	for _, nc := range []net.Conn{dialed, accepted} {
		want := congestion(t, nc)
		if allowed(t) {
			want = "cubic"
		}
		if !calm(nc) {
			t.Error("a host on loopback is said to be far away")
		}
		if got := congestion(t, nc); got != want {
			t.Errorf("congestion control is %s, want %s", got, want)
		}
	}
}

// TestCalmLater: a host that seemed to be far away is looked at again when something has been sent to it.
func TestCalmLater(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := ranked(t, 0, 2, 1)
	c := s.conns[0]
	if c.nc, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	defer c.nc.Close()
	if s.tickConn(c, time.Now()); c.calm {
		t.Error("nothing was sent, and yet the connection was looked at")
	}
	c.out.sent.Add(1)
	if s.tickConn(c, time.Now()); !c.calm {
		t.Error("the connection was not looked at again")
	}
}

// TestNearby: what counts is the shortest round trip, not the one of the moment.
func TestNearby(t *testing.T) {
	for _, row := range []struct {
		shortest, now uint32 // microseconds
		want          bool
	}{{100, 100, true}, {8_000, 105_000, true}, {19_999, 20_000, true}, {20_000, 20_000, false}, {80_000, 90_000, false}} {
		if got := nearby(&unix.TCPInfo{Min_rtt: row.shortest, Rtt: row.now}); got != row.want {
			t.Errorf("shortest %d µs, now %d µs: %v", row.shortest, row.now, got)
		}
	}
}

// allowed tells whether this process may choose CUBIC: root may load it, others may use what the administrator allows.
func allowed(t *testing.T) bool {
	name := "tcp_allowed_congestion_control"
	if os.Geteuid() == 0 {
		name = "tcp_available_congestion_control"
	}
	list, err := os.ReadFile("/proc/sys/net/ipv4/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(strings.Fields(string(list)), "cubic")
}

// congestion returns the name of a connection's congestion control.
func congestion(t *testing.T, nc net.Conn) (name string) {
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		name, failed = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	})
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return strings.TrimRight(name, "\x00")
}
