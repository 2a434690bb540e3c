package swarm

import (
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// A peer whose host or link is gone says nothing any more. Who waits for it finds out by probes, who sends to it by what is not
// acknowledged; both well within ten seconds, and together: the kernel counts probes against userTimeout too (tcp(7)).
const (
	userTimeout  = 7 * time.Second // after which unacknowledged data means a dead peer (RFC 5482)
	probeAfter   = 4 * time.Second // of silence
	probeEvery   = 2 * time.Second
	probesAtMost = 2
	// notSent is how many bytes may wait in the kernel: enough to keep a link busy, little enough that a piece is not
	// long on its way down a tree, for every edge adds what is queued there.
	notSent = 32 << 10
)

// tune makes the kernel give up on a peer that has fallen silent, and keep little that waits to be
// sent: what is queued there cannot be cancelled and delays everything behind it.
func tune(nc net.Conn) error {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return nil // a test's pipe
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("tune connection: %w", err)
	}
	alive := tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: probesAtMost})
	var timeout, waiting error
	err = raw.Control(func(fd uintptr) {
		timeout = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
		waiting = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
	})
	if err = errors.Join(err, alive, timeout, waiting); err != nil {
		return fmt.Errorf("tune connection: %w", err)
	}
	return nil
}

// narrow bounds what a connection may receive before it is read. Otherwise peers fill buffers of many megabytes at full
// speed, whatever the limit is.
func (t *throttle) narrow(nc net.Conn) error {
	tcp, ok := nc.(*net.TCPConn)
	if t == nil || !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("bound the buffer of a connection: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			failed = err
			return
		}
		window := t.window(time.Duration(info.Rtt) * time.Microsecond)
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, min(window, math.MaxInt32/2))
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("bound the buffer of a connection: %w", err)
	}
	return nil
}

// intake counts what a connection has brought: also what the kernel has taken in and nobody has read, for that has come over the link. A
// connection may bring 64 KiB before we can say that it shall be less, half a tenth of what 10 Mbit/s allow in a second.
type intake struct {
	nc     net.Conn
	unread int // bytes, when it was last looked at
}

// more is how many bytes have come since the last time, if n of them were read since; without a limit nobody asks.
func (in *intake) more(limit *throttle, n int) int {
	if limit == nil {
		return n
	}
	before := in.unread
	in.unread = queued(in.nc)
	return max(0, n+in.unread-before)
}

// queued is how many bytes of a connection wait in the kernel to be read.
func queued(nc net.Conn) (n int) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
		}
	}
	return n
}
