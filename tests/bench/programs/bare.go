// bare does to the bytes of a file or a directory what cannot be left out, and nothing else: on one side reading and sending, with
// sendfile where there is one large file; on the other receiving, SHA-1 of each piece, making files, writing and dating them, by as many
// threads as there are processors. No choice, no protocol, no second peer; nothing survives a failure. It says what the machine
// can do at the most, for the scenarios that no link limits.
//
// usage: bare serve ADDRESS:PORT PATH | bare fetch ADDRESS:PORT PATH
package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const (
	pieceSize = 256 << 10
	pieces    = 16 // in memory at once
)

// manifest is what a client is told first.
type manifest struct {
	Files []file
	Size  int64  // bytes of all files
	Sums  []byte // SHA-1 of each piece of them
}

// file is one of the artifact, in the order of its bytes; Dir and Name are "" when it is the only one.
type file struct {
	Dir, Name      string
	Offset, Length int64
	Time           syscall.Timespec
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: bare serve|fetch ADDRESS:PORT PATH")
		os.Exit(2)
	}
	act := serve
	if os.Args[1] == "fetch" {
		act = fetch
	}
	if err := act(os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

// serve sends each client the manifest, and the bytes of all files.
func serve(address, path string) error {
	m, err := scan(path)
	if err != nil {
		return err
	}
	piece := make([]byte, pieceSize)
	err = m.read(path, piece, func(data []byte) error {
		sum := sha1.Sum(data)
		m.Sums = append(m.Sums, sum[:]...)
		return nil
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		if err = errors.Join(m.send(c, path, piece), c.Close()); err != nil {
			fmt.Fprintln(os.Stderr, "bare:", err)
		}
	}
}

// scan lists what is at path.
func scan(path string) (*manifest, error) {
	m := new(manifest)
	err := filepath.WalkDir(path, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		var stat syscall.Stat_t
		if err := syscall.Lstat(at, &stat); err != nil {
			return err
		}
		f := file{Offset: m.Size, Length: stat.Size, Time: stat.Mtim}
		if at != path {
			f.Name = filepath.Base(at)
			if f.Dir, err = filepath.Rel(path, filepath.Dir(at)); err != nil {
				return err
			}
		}
		m.Files, m.Size = append(m.Files, f), m.Size+f.Length
		return nil
	})
	return m, err
}

func (m *manifest) send(c net.Conn, path string, piece []byte) error {
	head := bufio.NewWriter(c)
	if err := errors.Join(gob.NewEncoder(head).Encode(m), head.Flush()); err != nil {
		return err
	}
	if len(m.Files) > 1 {
		return m.read(path, piece, func(data []byte) error {
			_, err := c.Write(data)
			return err
		})
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(c, f) // sendfile(2)
	return err
}

// read gives all bytes in pieces, which are good for one call.
func (m *manifest) read(path string, piece []byte, use func([]byte) error) error {
	from, full := directory{root: path}, 0
	defer from.close()
	for i := range m.Files {
		fd, err := from.open(&m.Files[i], syscall.O_RDONLY)
		if err != nil {
			return err
		}
		for {
			n, err := syscall.Read(fd, piece[full:])
			if err != nil {
				return err
			}
			if n == 0 {
				break
			}
			if full += n; full == len(piece) {
				if err := use(piece); err != nil {
					return err
				}
				full = 0
			}
		}
		if err := syscall.Close(fd); err != nil {
			return err
		}
	}
	if full > 0 {
		return use(piece[:full])
	}
	return nil
}

// directory opens files beneath a root, and keeps the last directory open.
type directory struct {
	root, name string
	fd         int
	isOpen     bool
}

func (d *directory) open(f *file, flags int) (int, error) {
	if f.Name == "" {
		return syscall.Open(d.root, flags, 0o644)
	}
	if !d.isOpen || f.Dir != d.name {
		d.close()
		path := filepath.Join(d.root, f.Dir)
		if flags&syscall.O_CREAT != 0 {
			if err := os.MkdirAll(path, 0o755); err != nil {
				return 0, err
			}
		}
		fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			return 0, err
		}
		d.name, d.fd, d.isOpen = f.Dir, fd, true
	}
	return syscall.Openat(d.fd, f.Name, flags, 0o644)
}

func (d *directory) close() {
	if d.isOpen {
		_ = syscall.Close(d.fd)
		d.isOpen = false
	}
}

// fetched is a piece that has been received.
type fetched struct {
	number int
	data   []byte
}

func fetch(address, path string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	buffered := bufio.NewReader(c) // gob reads no more than it needs from one that is buffered
	var m manifest
	if err = gob.NewDecoder(buffered).Decode(&m); err != nil {
		return err
	}
	written := make([]atomic.Int64, len(m.Files))
	free, whole, failed := make(chan []byte, pieces), make(chan fetched, pieces), make(chan error, runtime.NumCPU())
	for range pieces {
		free <- make([]byte, pieceSize)
	}
	var workers sync.WaitGroup
	for range runtime.NumCPU() {
		workers.Go(func() {
			to := directory{root: path}
			defer to.close()
			for p := range whole {
				err := m.keep(&to, p, written)
				free <- p.data[:pieceSize]
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	err = receive(buffered, m.Size, free, whole)
	close(whole)
	workers.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// receive fills pieces from the connection.
func receive(c io.Reader, size int64, free <-chan []byte, whole chan<- fetched) error {
	for n := 0; size > 0; n++ {
		p := (<-free)[:min(pieceSize, size)]
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		whole <- fetched{n, p}
		size -= int64(len(p))
	}
	return nil
}

// keep verifies a piece and writes it; whoever writes the last bytes of a file dates it.
func (m *manifest) keep(to *directory, p fetched, written []atomic.Int64) error {
	if sum := sha1.Sum(p.data); string(sum[:]) != string(m.Sums[p.number*sha1.Size:][:sha1.Size]) {
		return fmt.Errorf("piece %d is damaged", p.number)
	}
	at := int64(p.number) * pieceSize
	first := sort.Search(len(m.Files), func(i int) bool { return m.Files[i].Offset+m.Files[i].Length > at })
	for i := first; len(p.data) > 0; i++ {
		f := &m.Files[i]
		part := p.data[:min(f.Offset+f.Length-at, int64(len(p.data)))]
		fd, err := to.open(f, syscall.O_WRONLY|syscall.O_CREAT)
		if err != nil {
			return err
		}
		if _, err := syscall.Pwrite(fd, part, at-f.Offset); err != nil {
			return err
		}
		if written[i].Add(int64(len(part))) == f.Length {
			if err := date(fd, f.Time); err != nil {
				return err
			}
		}
		if err := syscall.Close(fd); err != nil {
			return err
		}
		at, p.data = at+int64(len(part)), p.data[len(part):]
	}
	return nil
}

// date sets the time of modification of an open file: futimens(3).
func date(fd int, modified syscall.Timespec) error {
	const omit = 1<<30 - 2 // UTIME_OMIT: the time of access stays
	times := [2]syscall.Timespec{{Nsec: omit}, modified}
	if _, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&times)), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
