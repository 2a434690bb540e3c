package swarm

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// near is the round trip below which hosts count as being in one place.
const near = 20 * time.Millisecond

// calm chooses CUBIC for a connection to a host nearby, whatever the system's choice is. In the trees several
// connections meet on each downlink all the time, in front of the small buffers of a switch. BBR probes them all
// at once and sends up to a fifth of what it has sent again: with it, 50 peers on links of 20 Mbit/s took 1.3 to
// 1.4 times F/B, with CUBIC 1.1. Over long distances, where BBR has its merits, the system's choice stays; and
// where the system has no CUBIC or does not allow it.
//
// What counts is the shortest round trip so far, for in full links every other one is long: when 200 peers start together, many a handshake
// takes more than near. So the question is to be asked again as long as the answer is false, which says that the host seems far away.
func calm(nc net.Conn) bool {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return true // a test's pipe
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return true
	}
	settled := true
	_ = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		if settled = nearby(info); settled {
			_ = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
		}
	})
	return settled
}

// nearby tells whether a connection's shortest round trip is that of hosts in one place.
func nearby(info *unix.TCPInfo) bool { return time.Duration(info.Min_rtt)*time.Microsecond < near }
