package artifact

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// reader reads all files of a source, one after the other, and makes sure that each is what the scan found.
type reader struct {
	root    *root // nil when the source is a single file
	path    string
	entries []entry
	next    int // index of the entry to open next
	file    *sourceFile
}

func newReader(ctx context.Context, path string, stat *unix.Stat_t, exclude []string) (*reader, error) {
	r := &reader{path: path}
	if stat.Mode&unix.S_IFMT == unix.S_IFREG {
		r.entries = []entry{{mode: stat.Mode, stamp: stampOf(stat)}}
		return r, nil
	}
	var err error
	if r.root, err = openRoot(path); err != nil {
		return nil, because(err, "Source directory %s cannot be read", show(path))
	}
	if r.entries, err = scan(ctx, r.root, exclude); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reader) size() (total int64) {
	for _, e := range r.entries {
		if e.mode&unix.S_IFMT == unix.S_IFREG {
			total += e.size
		}
	}
	return total
}

// Read implements io.Reader over the bytes of all files.
func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.file == nil {
			if r.next == len(r.entries) {
				return 0, io.EOF
			}
			e := &r.entries[r.next]
			r.next++
			if e.mode&unix.S_IFMT != unix.S_IFREG {
				continue
			}
			file, err := r.open(e)
			if err != nil {
				return 0, err
			}
			r.file = file
		}
		n, err := r.file.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		err = r.file.finish()
		r.file = nil
		if err != nil {
			return 0, err
		}
	}
}

// unchanged looks at the whole source once more: at every file, and for ones that came or went meanwhile.
func (r *reader) unchanged(ctx context.Context, exclude []string) error {
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return err // of the last file, or of an empty one after it
	}
	path, stat, err := openSource(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return vanished(r.path, during)
	} else if err != nil {
		return err
	}
	again, err := newReader(ctx, path, &stat, exclude)
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
		case before.mode != after.mode || before.link != after.link:
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

// open opens the source file of an entry, which must still be what the scan saw.
func (r *reader) open(e *entry) (*sourceFile, error) {
	path := r.join(e.path)
	var file *os.File
	var err error
	if r.root == nil {
		file, err = os.Open(path)
	} else {
		file, _, err = r.root.file(e.path, unix.O_RDONLY)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, vanished(path, during)
	case err != nil:
		return nil, because(err, "Source %s cannot be read", show(path))
	}
	f := &sourceFile{file: file, path: path, before: e.stamp, left: e.size}
	if err := f.unchanged(); err != nil {
		file.Close()
		return nil, err
	}
	return f, nil
}

// sourceFile reads as many bytes as the file had when it was scanned.
type sourceFile struct {
	file   *os.File
	path   string
	before stamp
	left   int64
}

func (f *sourceFile) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n, err := f.file.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF):
		if err := f.unchanged(); err != nil {
			return n, err
		}
		return n, fault(ErrChanged, "Source %s ended %d bytes early while it was being read", show(f.path), f.left)
	case err != nil:
		return n, because(err, "Source %s cannot be read", show(f.path))
	}
	return n, nil
}

func (f *sourceFile) unchanged() error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.file.Fd()), &stat); err != nil {
		return because(err, "Source %s cannot be read", show(f.path))
	}
	return changed(f.path, during, f.before, stampOf(&stat))
}

// finish makes sure that the file has not changed while it was read, and closes it.
func (f *sourceFile) finish() error {
	defer f.file.Close()
	return f.unchanged()
}

func appeared(path string) error {
	return fault(ErrChanged, "Source %s changed %s (new); wait until it is complete and deploy again", show(path), during)
}

func (r *reader) join(path string) string { return filepath.Join(r.path, path) }

func (r *reader) close() {
	if r.file != nil {
		r.file.file.Close()
	}
	if r.root != nil {
		r.root.Close()
	}
}
