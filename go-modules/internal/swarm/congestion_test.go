package swarm

import (
	"net"
	"os"
	"slices"
	"strings"
	"testing"

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
		if err := tune(nc); err != nil {
			t.Fatal(err)
		}
		if got := congestion(t, nc); got != want {
			t.Errorf("congestion control is %s, want %s", got, want)
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
