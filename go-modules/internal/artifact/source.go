package artifact

import (
	"encoding/json"
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
//
// It can be marshalled as JSON to hand it to another process, which calls Bind with the torrent before anything else.
type Source struct {
	Root    string   // absolute path of the file or directory
	Skipped []string // relative paths of pipes, sockets and devices that were left out; only Build tells

	torrent *Torrent
	stamps  []stamp // one for each of the torrent's files; zero for symlinks
}

// sourceJSON keeps the stamps short: a tree may have hundreds of thousands of files.
type sourceJSON struct {
	Root   string     `json:"root"`
	Stamps [][3]int64 `json:"stamps"` // size, modification time, inode
}

// MarshalJSON writes the source without its torrent.
func (s *Source) MarshalJSON() ([]byte, error) {
	out := sourceJSON{Root: s.Root, Stamps: make([][3]int64, len(s.stamps))}
	for i, stamp := range s.stamps {
		out.Stamps[i] = [3]int64{stamp.size, stamp.mtime, int64(stamp.inode)}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote. The source is of no use before Bind.
func (s *Source) UnmarshalJSON(data []byte) error {
	var in sourceJSON
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*s = Source{Root: in.Root, stamps: make([]stamp, len(in.Stamps))}
	for i, values := range in.Stamps {
		s.stamps[i] = stamp{values[0], values[1], uint64(values[2])}
	}
	return nil
}

// Bind joins a source that has been unmarshalled to the torrent that was built with it.
func (s *Source) Bind(t *Torrent) error {
	if len(s.stamps) != len(t.Files) {
		return fmt.Errorf("bind source %s: it has %d files, the torrent %d", s.Root, len(s.stamps), len(t.Files))
	}
	s.torrent = t
	return nil
}

// Open returns a store that reads the source.
func (s *Source) Open() (*Store, error) { return OpenStore(s.torrent, s.Root, false) }

// Unchanged looks at every file and says ErrChanged, naming the file, when one is not what was hashed.
func (s *Source) Unchanged() error {
	for i := range s.torrent.Files {
		if err := s.check(i); err != nil {
			return err
		}
	}
	return nil
}

// UnchangedRange is Unchanged for the files that hold n bytes from off: one lstat(2) for each.
func (s *Source) UnchangedRange(off, n int64) error {
	for i := s.torrent.fileAt(off); i < len(s.torrent.Files) && s.torrent.Files[i].Offset < off+n; i++ {
		if err := s.check(i); err != nil {
			return err
		}
	}
	return nil
}

func (s *Source) check(i int) error {
	file := &s.torrent.Files[i]
	if !file.regular() {
		return nil
	}
	path := filepath.Join(s.Root, file.Path)
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
	now := stamp{stat.Size(), stat.ModTime().UnixNano(), sys.Ino}
	return changed(path, since, s.stamps[i], now)
}

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
