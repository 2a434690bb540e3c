package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// snapshot is what is at a source.
type snapshot struct {
	catalog
	scanned []entry // in the order of the scan, once arrange has made another
	root    *root   // nil when the source is a single file
	path    string
}

func take(ctx context.Context, path string, stat *unix.Stat_t, o *BuildOptions) (*snapshot, error) {
	s := &snapshot{path: path}
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		e := newEntry("", stat)
		e.linked = false
		s.append(&e)
		return s, nil
	}
	var err error
	if s.root, err = openRoot(path); err != nil {
		return nil, because(err, "Source directory %s cannot be read", show(path))
	}
	if s.catalog, err = scan(ctx, s.root, o); err == nil && !o.SkipSpecial {
		err = s.refuseSpecial(s.root)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *snapshot) close() {
	if s.root != nil {
		s.root.Close()
	}
}

// at is the index of the entry that holds the byte of the stream at off.
func (s *snapshot) at(off int64) int {
	return sort.Search(len(s.entries), func(i int) bool { return s.entries[i].offset+s.entries[i].bytes() > off })
}

// unchanged looks at the whole source once more: at every file, and for ones that came or went meanwhile.
func (s *snapshot) unchanged(ctx context.Context, o *BuildOptions) error {
	path, stat, err := openSource(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return vanished(s.path, during)
	} else if err != nil {
		return err
	}
	again, err := take(ctx, path, &stat, o)
	if err != nil {
		return err
	}
	defer again.close()
	for i := range min(len(s.scanned), len(again.entries)) {
		before, after := &s.scanned[i], &again.entries[i]
		switch order := comparePaths(before.path, after.path); {
		case order < 0:
			return vanished(s.join(before.path), during)
		case order > 0:
			return appeared(s.join(after.path))
		case before.mode != after.mode || before.link != after.link || before.hardlink != after.hardlink:
			return fault(ErrChanged, "Source %s changed %s (type, mode or link target); wait until it is complete and deploy again",
				show(s.join(before.path)), during)
		case before.dir():
			continue // what is in it counts, and each of its entries is compared
		case before.stamp != after.stamp:
			return changed(s.join(before.path), during, before.stamp, after.stamp)
		}
	}
	switch n, m := len(s.scanned), len(again.entries); {
	case n > m:
		return vanished(s.join(s.scanned[m].path), during)
	case n < m:
		return appeared(s.join(again.entries[n].path))
	}
	return nil
}

func appeared(path string) error {
	return fault(ErrChanged, "Source %s changed %s (new); wait until it is complete and deploy again", show(path), during)
}

func (s *snapshot) join(path string) string { return filepath.Join(s.path, path) }

// reader reads the files of a source as one stream. It is for one goroutine.
type reader struct {
	*snapshot
	cursor cursor
	next   int         // index of the entry to open next
	file   *sourceFile // nil when the next one is to be opened
}

func newReader(s *snapshot) *reader { return &reader{snapshot: s, cursor: cursor{root: s.root}} }

// seek sets the offset in the stream of the next Read or skip, which must not lie before the last.
func (r *reader) seek(off int64) error {
	if r.file != nil && off < r.file.entry.offset+r.file.entry.size {
		r.file.pos = off - r.file.entry.offset
		return nil
	}
	r.closeFile()
	r.next = r.at(off)
	if err := r.advance(); err != nil {
		return err
	}
	r.file.pos = off - r.file.entry.offset
	return nil
}

// Read implements io.Reader over the bytes of all files.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.advance(); err != nil {
		return 0, err
	}
	return r.file.Read(p)
}

// skip passes over the next n bytes if they are a hole of a sparse file.
func (r *reader) skip(n int64) bool {
	if r.file.left() < n || r.file.hole() < n {
		return false
	}
	r.file.pos += n
	return true
}

// advance opens the file that holds the next byte; io.EOF says that there is none.
func (r *reader) advance() error {
	if r.file != nil && r.file.left() > 0 {
		return nil
	}
	r.closeFile()
	for r.next < len(r.entries) {
		e := &r.entries[r.next]
		r.next++
		if e.bytes() > 0 {
			return r.open(e)
		}
	}
	return io.EOF
}

// open opens the source file of an entry. Whether it is the one that the scan saw, unchanged shows when all is read.
func (r *reader) open(e *entry) error {
	const flags = unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := -1, error(nil)
	if r.root == nil {
		fd, err = openat(unix.AT_FDCWD, r.path, flags, 0)
	} else if at, name, aerr := r.cursor.at(e.path); aerr != nil {
		err = aerr
	} else {
		fd, err = openat(at, name, flags|unix.O_NOFOLLOW, 0)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return vanished(r.join(e.path), during)
	case err != nil:
		return because(err, "Source %s cannot be read", show(r.join(e.path)))
	}
	r.file = &sourceFile{reader: r, entry: e, fd: fd}
	return nil
}

// sourceFile reads as many bytes as the file had when it was scanned.
type sourceFile struct {
	reader    *reader
	entry     *entry
	fd        int
	pos       int64
	known     int64 // where the hole, or the data, at pos ends
	knownHole bool
}

func (f *sourceFile) left() int64 { return f.entry.size - f.pos }

// hole is how many bytes from pos are a hole, which need not be read; 0 where there is none or the filesystem cannot tell.
func (f *sourceFile) hole() int64 {
	if !f.entry.sparse {
		return 0
	}
	if f.pos >= f.known {
		data, err := unix.Seek(f.fd, f.pos, unix.SEEK_DATA)
		switch {
		case errors.Is(err, unix.ENXIO):
			f.known, f.knownHole = f.entry.size, true
		case err == nil && data > f.pos:
			f.known, f.knownHole = min(data, f.entry.size), true
		default:
			end, err := unix.Seek(f.fd, f.pos, unix.SEEK_HOLE)
			if err != nil || end <= f.pos {
				end = f.entry.size
			}
			f.known, f.knownHole = end, false
		}
	}
	if !f.knownHole {
		return 0
	}
	return f.known - f.pos
}

func (f *sourceFile) Read(p []byte) (int, error) {
	p = p[:min(int64(len(p)), f.left())]
	if hole := f.hole(); hole > 0 {
		n := min(int64(len(p)), hole)
		clear(p[:n])
		f.pos += n
		return int(n), nil
	}
	if f.entry.sparse {
		p = p[:min(int64(len(p)), f.known-f.pos)]
	}
	n, err := unix.Pread(f.fd, p, f.pos)
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil:
		return 0, because(err, "Source %s cannot be read", show(f.path()))
	case n == 0:
		return 0, f.short()
	}
	f.pos += int64(n)
	return n, nil
}

// short says why a file ended before it should.
func (f *sourceFile) short() error {
	var stat unix.Stat_t
	if err := unix.Fstat(f.fd, &stat); err != nil {
		return because(err, "Source %s cannot be read", show(f.path()))
	}
	if err := changed(f.path(), during, f.entry.stamp, stampOf(&stat)); err != nil {
		return err
	}
	return fault(ErrChanged, "Source %s ended %d bytes early while it was being read", show(f.path()), f.left())
}

func (f *sourceFile) path() string { return f.reader.join(f.entry.path) }

func (r *reader) closeFile() {
	if r.file != nil {
		unix.Close(r.file.fd)
		r.file = nil
	}
}

func (r *reader) close() {
	r.closeFile()
	r.cursor.close()
}
