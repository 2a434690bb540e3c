package swarm

import (
	"bufio"
	"io"
	"net"
	"unsafe"

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
	direct
	ready func(fd uintptr) bool
	lowat int32 // as it is set
	heard int   // bytes, until there are enough
}

// newReader returns the buffered reader of a connection.
func newReader(nc net.Conn) *bufio.Reader {
	p := &patientReader{direct: newDirect(nc), lowat: 1}
	p.ready = p.read
	return bufio.NewReaderSize(p, messageBuffer)
}

// Read is io.Reader's.
func (p *patientReader) Read(b []byte) (n int, err error) {
	if p.socket == nil {
		return p.nc.Read(b)
	}
	p.buf = b
	n, err = p.outcome("read", p.socket.Read(p.ready))
	if n == 0 && err == nil && len(b) > 0 {
		return 0, io.EOF
	}
	if p.heard < settled {
		p.heard += n
	}
	return n, err
}

// read takes what there is. Only for the rest of a block does bufio ask for more than its buffer holds.
func (p *patientReader) read(fd uintptr) (done bool) {
	lowat := int32(1)
	if len(p.buf) > messageBuffer && p.heard >= settled {
		lowat = int32(min(len(p.buf), wakeAt))
	}
	if lowat != p.lowat {
		_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT,
			uintptr(unsafe.Pointer(&lowat)), unsafe.Sizeof(lowat), 0)
		if errno == 0 { // without it, reading is only slower
			p.lowat = lowat
		}
	}
	return p.attempt(unix.SYS_READ, fd, 0)
}
