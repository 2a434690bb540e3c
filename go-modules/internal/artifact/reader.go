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
	entries []entry // in the order of the scan, the source itself first
	order   []int32 // of the entries in the stream
	size    int64   // bytes of the stream
	skipped []string
	root    *root // nil when the source is a single file
	path    string
}

// take lists a source and puts what it holds in the order of the stream.
func take(ctx context.Context, path string, stat *unix.Stat_t, o *BuildOptions) (*snapshot, error) {
	c, root, err := survey(ctx, path, stat, o)
	if err != nil {
		return nil, err
	}
	s := &snapshot{entries: make([]entry, 0, c.count), root: root, path: path}
	err = c.each(func(e *entry) error {
		s.entries = append(s.entries, *e)
		return nil
	})
	for i := range c.special {
		s.skipped = append(s.skipped, c.special[i].path)
	}
	s.arrange()
	return s, err
}

// survey scans a source. The root is nil when that is a single file.
func survey(ctx context.Context, path string, stat *unix.Stat_t, o *BuildOptions) (c *catalog, r *root, err error) {
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		e := newEntry("", stat)
		e.linked = false
		return &catalog{batches: []*batch{{found: []entry{e}}}, count: 1}, nil, nil
	}
	if r, err = openRoot(path); err != nil {
		return nil, nil, because(err, "Source directory %s cannot be read", show(path))
	}
	if c, err = scan(ctx, r, o); err == nil && !o.SkipSpecial {
		err = c.refuseSpecial(r)
	}
	if err != nil {
		r.Close()
		return nil, nil, err
	}
	return c, r, nil
}

func (s *snapshot) close() {
	if s.root != nil {
		s.root.Close()
	}
}

// entry is the one that is number i in the stream.
func (s *snapshot) entry(i int) *entry { return &s.entries[s.order[i]] }

// at is the number of the entry that holds the byte of the stream at off.
func (s *snapshot) at(off int64) int {
	return sort.Search(len(s.order), func(i int) bool { return s.entry(i).offset+s.entry(i).bytes() > off })
}

// unchanged looks at the whole source once more: at every file, and for ones that came or went meanwhile.
func (s *snapshot) unchanged(ctx context.Context, o *BuildOptions) error {
	path, stat, err := openSource(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return vanished(s.path, during)
	} else if err != nil {
		return err
	}
	again, root, err := survey(ctx, path, &stat, o)
	if err != nil {
		return err
	}
	if root != nil {
		defer root.Close()
	}
	left := s.entries
	err = again.each(func(after *entry) error {
		if len(left) == 0 {
			return appeared(s.join(after.path))
		}
		err := s.compare(&left[0], after)
		left = left[1:]
		return err
	})
	if err == nil && len(left) > 0 {
		err = vanished(s.join(left[0].path), during)
	}
	return err
}

// compare says what has become of an entry in whose place another scan has found after.
func (s *snapshot) compare(before, after *entry) error {
	switch order := comparePaths(before.path, after.path); {
	case order < 0:
		return vanished(s.join(before.path), during)
	case order > 0:
		return appeared(s.join(after.path))
	case before.mode != after.mode || before.link != after.link:
		return fault(ErrChanged, "Source %s changed %s (type, mode or link target); wait until it is complete and deploy again",
			show(s.join(before.path)), during)
	case before.dir():
		return nil // what is in it counts, and each of its entries is compared
	}
	return changed(s.join(before.path), during, before.stamp, after.stamp)
}

func appeared(path string) error {
	return fault(ErrChanged, "Source %s changed %s (new); wait until it is complete and deploy again", show(path), during)
}

func (s *snapshot) join(path string) string { return filepath.Join(s.path, path) }

// reader reads the files of a source as one stream. It is for one goroutine.
type reader struct {
	*snapshot
	cursor cursor
	next   int         // number of the entry to open next
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
	for r.next < len(r.order) {
		e := r.entry(r.next)
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
