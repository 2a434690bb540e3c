package artifact

import (
	"errors"
	"io"
	"io/fs"

	"golang.org/x/sys/unix"
)

// WriteAt implements io.WriterAt. Blocks of zeros become holes, bytes of padding go nowhere. A full disk is ErrNoSpace.
func (s *Store) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || int64(len(p)) > s.torrent.Size-off {
		return 0, s.fail(&fs.PathError{Op: "write", Path: s.root.path, Err: io.ErrShortWrite})
	}
	c := cursor{root: s.root}
	defer c.close()
	done := 0
	for i, segment := range s.torrent.parts(off, int64(len(p))) {
		part := p[done : done+int(segment.Length)]
		made := s.torrent.Files[i].Pad()
		var err error
		if !made && segment.Length == s.torrent.Files[i].Length {
			made, err = s.writeNew(&c, i, part)
		}
		if !made && err == nil {
			err = s.writePart(i, part, segment.Offset)
		}
		if err != nil {
			return done, s.fail(err)
		}
		done += len(part)
	}
	return done, nil
}

// writePart writes into a file, which it makes if there is none.
func (s *Store) writePart(i int, p []byte, off int64) error {
	open, err := s.acquire(i, true)
	if err != nil {
		return err
	}
	defer s.release(open)
	if err := writeSparse(int(open.file.Fd()), p, off); err != nil {
		return &fs.PathError{Op: "write", Path: open.file.Name(), Err: err}
	}
	return nil
}

// writeNew writes a whole file if there is none yet, and gives it the look that Place will want, as far as it is known. Trees are
// mostly files that are shorter than a piece: a third of the system calls that writePart makes do for them.
func (s *Store) writeNew(c *cursor, i int, p []byte) (made bool, err error) {
	if !s.writing() {
		return false, nil
	}
	path := s.path(i)
	at, name, err := c.at(path)
	if errors.Is(err, unix.ENOENT) {
		if err = s.root.mkdirs(parent(path)); err == nil {
			at, name, err = c.at(path)
		}
	}
	if err != nil {
		return false, err
	}
	want := look{mode: 0o600}
	if s.look != nil {
		want = s.look(&s.torrent.Files[i])
		want.mode |= 0o600 // until Place: it is read for others, and perhaps written once more
	}
	fd, err := openat(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, want.mode)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err == nil {
		if p[len(p)-1] == 0 { // a hole at the end does not make the file longer
			err = unix.Ftruncate(fd, int64(len(p)))
		}
		if err == nil {
			err = writeSparse(fd, p, 0)
		}
		err = errors.Join(err, unix.Close(fd))
	}
	if err == nil && want.hasTime {
		err = want.setTime(at, name)
	}
	if err != nil {
		return false, &fs.PathError{Op: "write", Path: s.root.join(path), Err: err}
	}
	return true, nil
}

func (s *Store) writing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.write && !s.closed
}
