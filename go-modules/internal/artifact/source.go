package artifact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Source is where an artifact was built from, with enough about every file to tell later whether it has changed.
type Source struct {
	Root    string   // absolute path of the file or directory
	Skipped []string // relative paths of pipes, sockets and devices that were left out; only Build tells

	torrent *Torrent
	stamps  []byte // one for each of the torrent's files, encoded; zero for symlinks
}

// stampSize is the number of bytes of an encoded stamp: size, modification time and inode.
const stampSize = 3 * 8

func (s *Source) add(now stamp) {
	s.stamps = binary.LittleEndian.AppendUint64(s.stamps, uint64(now.size))
	s.stamps = binary.LittleEndian.AppendUint64(s.stamps, uint64(now.mtime))
	s.stamps = binary.LittleEndian.AppendUint64(s.stamps, now.inode)
}

// stamp is what file i was when it was hashed.
func (s *Source) stamp(i int) stamp {
	b := s.stamps[i*stampSize:]
	number := binary.LittleEndian.Uint64
	return stamp{size: int64(number(b)), mtime: int64(number(b[8:])), inode: number(b[16:])}
}

// Encode writes the source without its torrent, for DecodeSource in another process. There may be hundreds of thousands of files.
func (s *Source) Encode() []byte { return append(s.stamps[:len(s.stamps):len(s.stamps)], s.Root...) }

// DecodeSource reads what Encode wrote of the source that the torrent was built from.
func DecodeSource(b []byte, t *Torrent) (*Source, error) {
	stamps := stampSize * len(t.Files)
	if len(b) <= stamps {
		return nil, fmt.Errorf("decode source: it has %d bytes, too few for the torrent's %d files", len(b), len(t.Files))
	}
	return &Source{torrent: t, stamps: b[:stamps], Root: string(b[stamps:])}, nil
}

// Open returns a store that reads the source, and says ErrChanged, naming the file, when one is not what was hashed.
func (s *Source) Open() (*Store, error) {
	store, err := OpenStore(s.torrent, s.Root, false)
	if err == nil {
		store.source = s
	}
	return store, err
}

// Unchanged looks at every file and says ErrChanged, naming the file, when one is not what was hashed.
func (s *Source) Unchanged() error {
	for i := range s.torrent.Files {
		if err := s.check(i); err != nil {
			return err
		}
	}
	return nil
}

// check looks at file i where it is.
func (s *Source) check(i int) error {
	file := &s.torrent.Files[i]
	if !file.regular() {
		return nil
	}
	path := s.path(i)
	lookup := os.Lstat
	if file.Path == "" {
		lookup = os.Stat // the source itself may be given as a symlink
	}
	stat, err := lookup(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return vanished(path, since)
	case err != nil:
		return because(err, "Source %s cannot be read", show(path))
	case !stat.Mode().IsRegular():
		return fault(ErrChanged, "Source %s changed %s (it is a %s now); deploy again", show(path), since, kindOf(stat.Mode()))
	}
	sys := stat.Sys().(*syscall.Stat_t)
	return s.compare(i, stamp{stat.Size(), stat.ModTime().UnixNano(), sys.Ino})
}

func (s *Source) compare(i int, now stamp) error {
	if before := s.stamp(i); now != before {
		return changed(s.path(i), since, before, now)
	}
	return nil
}

func (s *Source) path(i int) string { return filepath.Join(s.Root, s.torrent.Files[i].Path) }

// When a source was found to have changed, in the words of the message.
const (
	during = "while it was being read"
	since  = "since it was hashed"
)

// changed compares a file with what it was; nil when it is the same.
func changed(path, when string, before, after stamp) error {
	var what string
	switch {
	case before == after:
		return nil
	case before.size != after.size:
		what = fmt.Sprintf("size %d -> %d bytes", before.size, after.size)
	case before.inode != after.inode:
		what = "replaced by another file"
	default:
		what = fmt.Sprintf("modified %s -> %s", clock(before.mtime), clock(after.mtime))
	}
	return fault(ErrChanged, "Source %s changed %s (%s); wait until it is complete and deploy again", show(path), when, what)
}

func vanished(path, when string) error {
	return fault(ErrChanged, "Source %s changed %s (removed); wait until it is complete and deploy again", show(path), when)
}

func clock(ns int64) string { return time.Unix(0, ns).Format("15:04:05.000000000") }

// openSource opens what is to be hashed. The source itself may be a symlink, to be followed as copy does.
func openSource(src string) (path string, stat unix.Stat_t, err error) {
	if path, err = filepath.Abs(src); err != nil {
		return path, stat, fmt.Errorf("find working directory: %w", err)
	}
	err = unix.Stat(path, &stat)
	switch kind := stat.Mode & unix.S_IFMT; {
	case errors.Is(err, fs.ErrNotExist):
		err = fault(err, "Source %s not found", show(path))
	case err != nil:
		err = because(err, "Source %s cannot be read", show(path))
	case kind != unix.S_IFREG && kind != unix.S_IFDIR:
		err = fault(nil, "Source %s is a %s; only files and directories can be deployed", show(path), kindOf(fileMode(stat.Mode)))
	}
	return path, stat, err
}
