package artifact

import (
	"context"
	"crypto/sha1"
	"errors"
	"hash"
	"io"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// reader reads all files of a source, one after the other, and makes sure that each is what the scan found.
type reader struct {
	root    *root // nil when the source is a single file
	path    string
	entries []entry
	skipped []string // what the scan left out
	cursor  cursor
	next    int         // index of the entry to open next
	file    *sourceFile // nil when the next one is to be opened
	whole   hash.Hash   // SHA-1 of all that was read of a single file
}

func newReader(ctx context.Context, path string, stat *unix.Stat_t, o *BuildOptions) (*reader, error) {
	r := &reader{path: path, whole: sha1.New()}
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		r.entries = []entry{newEntry("", stat)}
		return r, nil
	}
	var err error
	if r.root, err = openRoot(path); err != nil {
		return nil, because(err, "Source directory %s cannot be read", show(path))
	}
	r.cursor.root = r.root
	if r.entries, r.skipped, err = scan(ctx, r.root, o); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reader) size() (total int64) {
	for i := range r.entries {
		if r.entries[i].regular() {
			total += r.entries[i].size
		}
	}
	return total
}

// Read implements io.Reader over the bytes of all files.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.advance(); err != nil {
		return 0, err
	}
	n, err := r.file.Read(p)
	if r.root == nil {
		r.whole.Write(p[:n])
	}
	return n, err
}

// skip passes over the next n bytes if they are a hole of a sparse file.
func (r *reader) skip(n int64) (bool, error) {
	if err := r.advance(); err != nil {
		return false, err
	}
	f := r.file
	if f.left() < n || f.hole() < n {
		return false, nil
	}
	f.pos += n
	for left := n; left > 0 && r.root == nil; left -= int64(len(zeros)) {
		r.whole.Write(zeros[:min(left, int64(len(zeros)))])
	}
	return true, nil
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
		if e.regular() && e.size > 0 {
			return r.open(e)
		}
	}
	return io.EOF
}

// unchanged looks at the whole source once more: at every file, and for ones that came or went meanwhile.
func (r *reader) unchanged(ctx context.Context, o *BuildOptions) error {
	path, stat, err := openSource(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return vanished(r.path, during)
	} else if err != nil {
		return err
	}
	again, err := newReader(ctx, path, &stat, o)
	if err != nil {
		return err
	}
	defer again.close()
	for i := range min(len(r.entries), len(again.entries)) {
		before, after := &r.entries[i], &again.entries[i]
		switch order := comparePaths(before.path, after.path); {
		case order < 0:
			return vanished(r.join(before.path), during)
		case order > 0:
			return appeared(r.join(after.path))
		case before.mode != after.mode || before.link != after.link || before.hardlink != after.hardlink:
			return fault(ErrChanged, "Source %s changed %s (type, mode or link target); wait until it is complete and deploy again",
				show(r.join(before.path)), during)
		case before.dir():
			continue // what is in it counts, and each of its entries is compared
		}
		if err := changed(r.join(before.path), during, before.stamp, after.stamp); err != nil {
			return err
		}
	}
	switch n, m := len(r.entries), len(again.entries); {
	case n > m:
		return vanished(r.join(r.entries[m].path), during)
	case n < m:
		return appeared(r.join(again.entries[n].path))
	}
	return nil
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

func appeared(path string) error {
	return fault(ErrChanged, "Source %s changed %s (new); wait until it is complete and deploy again", show(path), during)
}

func (r *reader) join(path string) string { return filepath.Join(r.path, path) }

func (r *reader) closeFile() {
	if r.file != nil {
		unix.Close(r.file.fd)
		r.file = nil
	}
}

func (r *reader) close() {
	r.closeFile()
	r.cursor.close()
	if r.root != nil {
		r.root.Close()
	}
}
