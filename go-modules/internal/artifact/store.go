package artifact

import (
	"container/list"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// openFiles bounds the descriptors that a store keeps open.
const openFiles = 64

// Store is the torrent's stream of bytes laid over files. It is an io.ReaderAt and io.WriterAt, safe for concurrent use.
//
// Files are opened when they are first touched, beneath the root and never through a symlink. A store for writing makes
// directories (0700) and files (0600, sparse, of their full size) as they are written to.
type Store struct {
	torrent *Torrent
	root    *root
	single  string                // name of the single file in root
	fail    func(err error) error // makes a failed write into a message
	look    func(*File) look      // what a new file is to look like, as far as that is known; nil for nothing special
	staged  bool                  // hard links are not made yet: their bytes are those of the first
	source  *Source               // files must still be what they were when they were hashed; nil for a store of another kind

	mu     sync.Mutex
	write  bool
	closed bool
	files  map[int]*openFile
	recent *list.List // of *openFile, the last used in front
}

// openFile is a file of the store that is or was open. It is closed when it is neither in the cache nor in use.
type openFile struct {
	index   int
	write   bool // open for writing
	create  bool // made if it is missing: readers must not
	open    sync.Once
	file    *os.File
	err     error
	users   int // guarded by Store.mu, as are the next two
	cached  bool
	element *list.Element
}

// Segment is a part of one file. File is nil for padding, which reads as zeros.
type Segment struct {
	File   *os.File
	Offset int64 // in the file
	Length int64
}

// OpenStore opens the artifact at root: the file itself when the torrent is Single, else the directory.
func OpenStore(t *Torrent, path string, write bool) (*Store, error) {
	single := ""
	if t.Single {
		real, err := filepath.EvalSymlinks(path)
		if err == nil {
			path = real
		} else if !errors.Is(err, fs.ErrNotExist) || !write {
			return nil, because(err, "%s cannot be opened", show(path))
		}
		path, single = filepath.Dir(path), filepath.Base(path)
	}
	r, err := openRoot(path)
	if err != nil {
		return nil, because(err, "%s cannot be opened", show(path))
	}
	return newStore(t, r, single, write), nil
}

// newStore takes over the root.
func newStore(t *Torrent, r *root, single string, write bool) *Store {
	return &Store{
		torrent: t, root: r, single: single, write: write, staged: write,
		fail:  func(err error) error { return err },
		files: map[int]*openFile{}, recent: list.New(),
	}
}

// fileAt is the index of the file that holds the byte at off, or the number of files when off is at the end.
func (t *Torrent) fileAt(off int64) int {
	return sort.Search(len(t.Files), func(i int) bool { return t.Files[i].Offset+t.Files[i].Length > off })
}

// Segments gives the parts of files that hold n bytes from off, in order. A Segment's file is open during its turn of the
// loop only; its position (lseek) is nobody's, so use calls that take an offset. After an error the iteration ends. That a file is
// not what was hashed any more is ErrChanged, where the store is a Source's.
func (s *Store) Segments(off, n int64) iter.Seq2[Segment, error] { return s.segments(off, n, false) }

func (s *Store) segments(off, n int64, create bool) iter.Seq2[Segment, error] {
	return func(yield func(Segment, error) bool) {
		if off < 0 || n < 0 || n > s.torrent.Size-off {
			yield(Segment{}, io.EOF)
			return
		}
		for i, segment := range s.torrent.parts(off, n) {
			if !s.turn(i, segment, create, yield) {
				return
			}
		}
	}
}

// parts gives the files that n bytes from off lie in, by index, and their parts in each. All of the bytes must be the torrent's.
func (t *Torrent) parts(off, n int64) iter.Seq2[int, Segment] {
	return func(yield func(int, Segment) bool) {
		for i := t.fileAt(off); n > 0; i++ {
			file := &t.Files[i]
			segment := Segment{Offset: off - file.Offset}
			segment.Length = min(n, file.Length-segment.Offset)
			if segment.Length == 0 {
				continue
			}
			if !yield(i, segment) {
				return
			}
			off += segment.Length
			n -= segment.Length
		}
	}
}

// Runs divides n bytes from off, which must all be the torrent's, into parts of files that are at least as large as given,
// one for each, and what lies between them, however many small files that are. It gives the length of each run, in order.
func (t *Torrent) Runs(off, n, large int64) iter.Seq2[int64, bool] {
	return func(yield func(n int64, large bool) bool) {
		small := int64(0)
		for _, segment := range t.parts(off, n) {
			if segment.Length < large {
				small += segment.Length
				continue
			}
			if small > 0 && !yield(small, false) || !yield(segment.Length, true) {
				return
			}
			small = 0
		}
		if small > 0 {
			yield(small, false)
		}
	}
}

// turn is one turn of the loop: it holds the file open until the loop's body is done with it.
func (s *Store) turn(i int, segment Segment, create bool, yield func(Segment, error) bool) bool {
	if s.torrent.Files[i].Pad() {
		return yield(segment, nil)
	}
	open, err := s.acquire(i, create)
	if err != nil {
		yield(Segment{}, err)
		return false
	}
	defer s.release(open)
	if s.source != nil {
		err = s.source.check(i)
	}
	segment.File = open.file
	return yield(segment, err)
}

// acquire returns the open file i, which must be released.
func (s *Store) acquire(i int, create bool) (*openFile, error) {
	for {
		open, err := s.lookUp(i, create)
		if err != nil {
			return nil, err
		}
		open.open.Do(func() { open.file, open.err = s.openFile(open) })
		if open.err == nil {
			return open, nil
		}
		s.mu.Lock()
		s.drop(open) // so that the next one tries again
		s.mu.Unlock()
		s.release(open)
		if create && !open.create && errors.Is(open.err, fs.ErrNotExist) {
			continue // a reader was first, and may not make the file
		}
		return nil, open.err
	}
}

// lookUp finds file i in the cache, or puts it there, and counts its new user.
func (s *Store) lookUp(i int, create bool) (*openFile, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fs.ErrClosed
	}
	open := s.files[i]
	if open == nil {
		open = &openFile{index: i, write: s.write, create: create, cached: true}
		open.element = s.recent.PushFront(open)
		s.files[i] = open
		if s.recent.Len() > openFiles {
			s.drop(s.recent.Back().Value.(*openFile))
		}
	} else {
		s.recent.MoveToFront(open.element)
	}
	open.users++
	return open, nil
}

func (s *Store) release(open *openFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	open.users--
	open.closeUnused()
}

// drop takes a file out of the cache. The caller holds mu.
func (s *Store) drop(open *openFile) {
	if !open.cached {
		return
	}
	open.cached = false
	s.recent.Remove(open.element)
	delete(s.files, open.index)
	open.closeUnused()
}

func (f *openFile) closeUnused() {
	if f.users == 0 && !f.cached && f.file != nil {
		f.file.Close()
	}
}

func (s *Store) path(i int) string {
	if s.single != "" {
		return s.single
	}
	file := &s.torrent.Files[i]
	if first := file.Hardlink(); s.staged && first != "" {
		return first
	}
	return file.Path
}

func (s *Store) openFile(open *openFile) (*os.File, error) {
	path := s.path(open.index)
	if !open.write {
		file, _, err := s.root.file(path, unix.O_RDONLY)
		return file, err
	}
	flags := unix.O_RDWR
	if open.create {
		flags |= unix.O_CREAT
	}
	file, stat, err := s.root.file(path, flags)
	if open.create && errors.Is(err, fs.ErrNotExist) {
		if err = s.root.mkdirs(parent(path)); err != nil {
			return nil, err
		}
		file, stat, err = s.root.file(path, flags)
	}
	if err != nil {
		return nil, err
	}
	if length := s.torrent.Files[open.index].Length; stat.Size() != length {
		if err := file.Truncate(length); err != nil {
			file.Close()
			return nil, err
		}
	}
	return file, nil
}

// seal ends writing: files are opened anew, for reading only.
func (s *Store) seal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write = false
	for _, open := range s.files {
		s.drop(open)
	}
}

// hold has the single file open from now on: the path that the store knows is about to go.
func (s *Store) hold() {
	if open, err := s.acquire(0, false); err == nil {
		s.release(open)
	}
}

// Close closes all files. Those in use by a loop over Segments are closed when its turn ends.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, open := range s.files {
		s.drop(open)
	}
	return s.root.Close()
}
