package swarm

import (
	"bufio"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	messageBuffer = 4 << 10  // bytes: every message but blocks and large bitfields fits
	wakeAt        = 64 << 10 // bytes of a block that are worth waking up for
	// settled is how many bytes a connection must have brought before it is read with few wake-ups. The kernel lets it
	// have more under way as long as each round trip brings more than the one before; while that is no more than
	// wakeAt, waiting for so much would keep it there, which at 50 ms is a tenth of a link of 100 Mbit/s.
	settled = 1 << 20
)

// patientReader reads a connection with few wake-ups. On a link of 100 Mbit/s data comes in drops of a
// few KiB; to be woken for each costs more than everything else that is done with it. So while it
// waits for the rest of a block, it asks the kernel to be woken for no less than wakeAt bytes or that
// rest (SO_RCVLOWAT, which epoll respects since Linux 4.17).
type patientReader struct {
	nc     net.Conn
	socket syscall.RawConn // nil where there is no socket to tune
	lowat  int             // as it is set
	heard  int             // bytes, until there are enough
}

// newReader returns the buffered reader of a connection.
func newReader(nc net.Conn) *bufio.Reader {
	p := &patientReader{nc: nc, lowat: 1}
	if tcp, ok := nc.(*net.TCPConn); ok {
		if socket, err := tcp.SyscallConn(); err == nil {
			p.socket = socket
		}
	}
	return bufio.NewReaderSize(p, messageBuffer)
}

// Read is io.Reader's. Only for the rest of a block does bufio ask for more than its buffer holds.
func (p *patientReader) Read(b []byte) (int, error) {
	lowat := 1
	if len(b) > messageBuffer && p.heard >= settled {
		lowat = min(len(b), wakeAt)
	}
	if p.socket != nil && lowat != p.lowat {
		err := p.socket.Control(func(fd uintptr) {
			// Without it, reading is only slower.
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVLOWAT, lowat) == nil {
				p.lowat = lowat
			}
		})
		if err != nil {
			return 0, err
		}
	}
	n, err := p.nc.Read(b)
	if p.heard < settled {
		p.heard += n
	}
	return n, err
}
