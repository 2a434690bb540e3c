package swarm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
	"golang.org/x/sys/unix"

	"corvus.murder/internal/artifact"
)

// worthSendfile is the number of bytes from which on the kernel's copy is cheaper than ours: below, what counts is the
// number of system calls, and ours gathers many small files in one.
const worthSendfile = 32 << 10

// How the kernel is told to send what may have to be read from a disk, and what was just written. Tests look on.
var sendFiled, sendFresh = unix.Sendfile, sendDirect

// filed is a Store whose bytes lie in files, which the kernel can send without copying them through
// this program; *artifact.Store is one.
type filed interface {
	Segments(off, n int64) iter.Seq2[artifact.Segment, error]
}

// sendBlock sends a block: by sendfile where the store's bytes lie in files, else by way of memory.
func (s *Swarm) sendBlock(ctx context.Context, w *blockWriter, c *conn, r asked) error {
	n := int64(r.Length)
	if s.upload != nil {
		if err := w.Flush(); err != nil { // what waits must not wait for the limit too
			return err
		}
		if err := s.upload.wait(ctx, int(n)); err != nil {
			return err
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	var head [13]byte // length, type, index, begin (BEP 3)
	binary.BigEndian.PutUint32(head[0:], uint32(9+n))
	head[4] = byte(pp.Piece)
	binary.BigEndian.PutUint32(head[5:], uint32(r.Index))
	binary.BigEndian.PutUint32(head[9:], uint32(r.Begin))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	off := int64(r.Index)*s.cfg.Torrent.PieceLength + int64(r.Begin)
	if err := s.sendRange(w, c, off, n, r.fresh); err != nil {
		return fmt.Errorf("send piece %d: %w", r.Index, err)
	}
	c.out.sent.Add(n)
	return nil
}

func (s *Swarm) sendRange(w *blockWriter, c *conn, off, n int64, fresh bool) error {
	store, ok := s.cfg.Store.(filed)
	tcp, isTCP := c.nc.(*net.TCPConn)
	if !ok || !isTCP {
		return s.copyRange(w, off, n)
	}
	for n, large := range s.cfg.Torrent.Runs(off, n, worthSendfile) {
		var err error
		if large {
			err = s.sendLarge(w, tcp, store, off, n, fresh)
		} else {
			err = s.copyRange(w, off, n)
		}
		if err != nil {
			return err
		}
		off += n
	}
	return nil
}

// sendLarge sends what lies in one file.
func (s *Swarm) sendLarge(w *blockWriter, tcp *net.TCPConn, store filed, off, n int64, fresh bool) error {
	send := sendFiled
	if fresh { // just written: nobody waits for a disk
		send = sendFresh
	}
	for segment, err := range store.Segments(off, n) {
		if err == nil && segment.File == nil { // padding
			err = s.copyRange(w, off, segment.Length)
		} else if err == nil {
			if err = w.flushMore(); err == nil {
				err = sendFile(tcp, segment.File, segment.Offset, segment.Length, send)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyRange sends by way of a buffer.
func (s *Swarm) copyRange(w *blockWriter, off, n int64) error {
	b := blocks.Get()
	defer blocks.Put(b)
	buf := (*b)[:n]
	if _, err := s.cfg.Store.ReadAt(buf, off); err != nil {
		return err
	}
	_, err := w.Write(buf)
	return err
}

// sendFile has the kernel send n bytes of a file by send, which is sendfile(2), and reads and writes what a filesystem
// without support for that leaves to be sent.
func sendFile(tcp *net.TCPConn, f *os.File, off, n int64, send func(socket, file int, off *int64, n int) (int, error)) error {
	socket, err := tcp.SyscallConn()
	if err != nil {
		return fmt.Errorf("sendfile: %w", err)
	}
	end := off + n
	var failed error
	err = socket.Write(func(fd uintptr) (done bool) {
		for off < end {
			m, err := send(int(fd), int(f.Fd()), &off, int(end-off))
			switch {
			case errors.Is(err, unix.EAGAIN):
				// What begins within a page comes in two parts, and the kernel keeps what of the first is less than a packet until
				// the second. Where a packet is larger than notSent (loopback) there is no room for the second, and the kernel
				// would find out by a timer, after 200 ms for each block: this option lets go of what is kept.
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
				return false
			case errors.Is(err, unix.EINTR):
			case err != nil:
				failed = err
				return true
			case m == 0:
				failed = io.ErrUnexpectedEOF
				return true
			}
		}
		return true
	})
	if errors.Is(failed, unix.EINVAL) || errors.Is(failed, unix.ENOSYS) {
		_, failed = io.CopyN(tcp, io.NewSectionReader(f, off, end-off), end-off)
	}
	return errors.Join(err, failed)
}
