package artifact

import (
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// smallFile is the most bytes of a file that is opened for each read anew: keeping it open costs more than opening it.
const smallFile = 64 << 10

// ReadAt implements io.ReaderAt. A file that is shorter than it should be gives io.ErrUnexpectedEOF, one of a Source that is not
// what was hashed any more ErrChanged.
func (s *Store) ReadAt(p []byte, off int64) (int, error) {
	want := int64(len(p))
	if off >= 0 && off <= s.torrent.Size {
		want = min(want, s.torrent.Size-off)
	}
	if off < 0 || want > s.torrent.Size-off {
		return 0, io.EOF
	}
	c := cursor{root: s.root}
	defer c.close()
	done := 0
	for i, segment := range s.torrent.parts(off, want) {
		part := p[done : done+int(segment.Length)]
		var n int
		var err error
		switch file := &s.torrent.Files[i]; {
		case file.Pad():
			clear(part)
			n = len(part)
		case file.Length <= smallFile && s.single == "": // see hold
			n, err = s.readSmall(&c, i, part, segment.Offset)
		default:
			n, err = s.readPart(i, part, segment.Offset)
		}
		if done += n; err != nil {
			return done, err
		}
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// readPart reads from a file that stays open.
func (s *Store) readPart(i int, p []byte, off int64) (n int, err error) {
	open, err := s.acquire(i, false)
	if err != nil {
		return 0, s.gone(i, err)
	}
	defer s.release(open)
	n, err = open.file.ReadAt(p, off)
	if s.source != nil {
		if changed := s.source.check(i); changed != nil {
			return n, changed
		}
	}
	if errors.Is(err, io.EOF) {
		err = &fs.PathError{Op: "read", Path: open.file.Name(), Err: io.ErrUnexpectedEOF}
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}

// readSmall opens a file, reads from it, and closes it again.
func (s *Store) readSmall(c *cursor, i int, p []byte, off int64) (n int, err error) {
	if !s.isOpen() {
		return 0, fs.ErrClosed
	}
	at, name, err := c.at(s.path(i))
	fd := -1
	if err == nil {
		fd, err = openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	}
	if err == nil {
		defer unix.Close(fd)
		n, err = s.pread(fd, i, p, off)
	}
	if err != nil && !errors.Is(err, ErrChanged) {
		err = s.gone(i, &fs.PathError{Op: "read", Path: s.root.join(s.path(i)), Err: err})
	}
	return n, err
}

// pread reads from the open file i. What was read counts only if the file is a source's that is unchanged afterwards.
func (s *Store) pread(fd, i int, p []byte, off int64) (n int, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return 0, err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return 0, errNotRegular
	}
	for n < len(p) && err == nil {
		var m int
		switch m, err = unix.Pread(fd, p[n:], off+int64(n)); {
		case errors.Is(err, unix.EINTR):
			err = nil
		case err == nil && m == 0:
			err = io.ErrUnexpectedEOF
		default:
			n += max(0, m)
		}
	}
	if s.source != nil {
		if serr := unix.Fstat(fd, &stat); serr != nil {
			return n, serr
		}
		if cerr := s.source.compare(i, stampOf(&stat)); cerr != nil {
			return n, cerr
		}
	}
	return n, err
}

// gone says that a source's file has changed, if it has, where reading it failed.
func (s *Store) gone(i int, err error) error {
	if s.source != nil {
		if changed := s.source.check(i); changed != nil {
			return changed
		}
	}
	return err
}

func (s *Store) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed
}
