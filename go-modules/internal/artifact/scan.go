package artifact

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// stamp is what tells that a file is still the one that was hashed.
type stamp struct {
	size  int64
	mtime int64 // nanoseconds since 1970
	inode uint64
}

func stampOf(stat *unix.Stat_t) stamp {
	return stamp{stat.Size, unix.TimespecToNsec(stat.Mtim), stat.Ino}
}

// entry is one file, symlink or directory of a source.
type entry struct {
	path   string // relative, "" for the source itself
	link   string // a symlink's target; of a regular file, the path of the entry before that is the same file
	offset int64  // of its first byte in the stream
	device uint64
	mode   uint32 // st_mode
	sparse bool   // it may have holes
	linked bool   // there are more names of it
	stamp
}

func newEntry(path string, stat *unix.Stat_t) entry {
	return entry{
		path: path, device: stat.Dev, mode: stat.Mode, sparse: stat.Blocks*512 < stat.Size, linked: stat.Nlink > 1, stamp: stampOf(stat),
	}
}

// bytes is how many bytes of the stream are the entry's.
func (e *entry) bytes() int64 {
	if e.regular() {
		return e.size
	}
	return 0
}

func (e *entry) dir() bool { return e.mode&unix.S_IFMT == unix.S_IFDIR }

func (e *entry) regular() bool { return e.mode&unix.S_IFMT == unix.S_IFREG }

func (e *entry) symlink() bool { return e.mode&unix.S_IFMT == unix.S_IFLNK }

// special says whether no torrent can carry the entry.
func (e *entry) special() bool { return !e.regular() && !e.dir() && !e.symlink() }

// meta returns permission bits and modification time as the torrent carries them.
func (e *entry) meta() (mode uint32, mtime, nsec int64) {
	mtime, nsec = e.mtime/1e9, e.mtime%1e9
	if nsec < 0 {
		mtime, nsec = mtime-1, nsec+1e9
	}
	return e.mode & 0o7777, mtime, nsec
}

// scanner lists a source tree, several directories at once. Symlinks are listed, never followed.
type scanner struct {
	ctx     context.Context
	root    *root
	exclude []string
	slots   chan struct{} // for goroutines beside the first; nil for none
	group   sync.WaitGroup
}

// batch is what some of the names in a directory stand for, and what lies below each directory among them. All batches of a directory
// together are in the order of comparePaths.
type batch struct {
	found []entry
	below [][]*batch
	err   error
}

// scan lists the tree in the order of comparePaths, the source itself first.
func scan(ctx context.Context, r *root, o *BuildOptions) (*catalog, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(r.fd(), &stat); err != nil {
		return nil, because(err, "Source %s cannot be read", show(r.path))
	}
	s := scanner{ctx: ctx, root: r, exclude: o.Exclude}
	if n := processors(o.Workers); n > 1 {
		s.slots = make(chan struct{}, n) // this goroutine soon does nothing but wait
	}
	below := s.directory("")
	s.group.Wait()
	return newCatalog([]*batch{{found: []entry{newEntry("", &stat)}, below: [][]*batch{below}}})
}

// directory lists a directory and has others look at its entries, as long as there are slots.
func (s *scanner) directory(dir string) (batches []*batch) {
	names, err := s.root.names(dir)
	if err == nil {
		err = s.ctx.Err()
	}
	if err != nil {
		return []*batch{{err: because(err, "Source directory %s cannot be read", show(s.root.join(dir)))}}
	}
	const most = 1000
	for names := range slices.Chunk(names, most) {
		b := &batch{}
		batches = append(batches, b)
		select {
		case s.slots <- struct{}{}:
			s.group.Go(func() {
				b.err = s.visitAll(b, dir, names)
				<-s.slots
			})
		default:
			b.err = s.visitAll(b, dir, names)
		}
	}
	return batches
}

func (s *scanner) visitAll(b *batch, dir string, names []string) error {
	c := cursor{root: s.root}
	defer c.close()
	b.found = make([]entry, 0, len(names))
	for _, name := range names {
		if err := s.visit(&c, b, join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) visit(c *cursor, b *batch, path string) error {
	stat, err := c.stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return vanished(s.root.join(path), during)
	} else if err != nil {
		return because(err, "Source %s cannot be read", show(s.root.join(path)))
	}
	e := newEntry(path, &stat)
	if excluded(s.exclude, path, e.dir()) {
		return nil
	}
	if len(path) > maxPath {
		return fault(nil, "Source %s has a path of %d bytes; at most %d can be deployed", show(s.root.join(path)), len(path), maxPath)
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		b.below = append(b.below, s.directory(path))
	case unix.S_IFLNK:
		if e.link, err = c.readlink(path); err != nil {
			return because(err, "Source %s cannot be read", show(s.root.join(path)))
		}
		e.size = 0
	}
	b.found = append(b.found, e)
	return nil
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// excluded matches the patterns, as path.Match understands them, against the name and against the path from the root, where "**" stands
// for any directories. As in .gitignore, "/" at a pattern's end means directories only, and at its start the path only.
func excluded(patterns []string, name string, dir bool) bool {
	for _, pattern := range patterns {
		pattern, only := strings.CutSuffix(pattern, "/")
		if only && !dir {
			continue
		}
		pattern, anchored := strings.CutPrefix(pattern, "/")
		if matchPath(pattern, name) {
			return true
		}
		if match, _ := path.Match(pattern, path.Base(name)); match && !anchored {
			return true
		}
	}
	return false
}

func matchPath(pattern, name string) bool {
	if !strings.Contains(pattern, "**") {
		match, _ := path.Match(pattern, name)
		return match
	}
	first, rest, more := strings.Cut(pattern, "/")
	component, below, deeper := strings.Cut(name, "/")
	if first == "**" {
		return !more || matchPath(rest, name) || deeper && matchPath(pattern, below)
	}
	match, _ := path.Match(first, component)
	return match && more == deeper && (!more || matchPath(rest, below))
}

func checkPatterns(patterns []string) error {
	for _, pattern := range patterns {
		if _, err := path.Match(pattern, ""); err != nil {
			return fault(err, "Exclude pattern %q is not valid; patterns are like *.log, .git or build/cache", pattern)
		}
	}
	return nil
}

// fileMode translates the type and permissions of st_mode.
func fileMode(mode uint32) fs.FileMode {
	kind := map[uint32]fs.FileMode{
		unix.S_IFDIR: os.ModeDir, unix.S_IFLNK: os.ModeSymlink, unix.S_IFIFO: os.ModeNamedPipe, unix.S_IFSOCK: os.ModeSocket,
		unix.S_IFCHR: os.ModeDevice | os.ModeCharDevice, unix.S_IFBLK: os.ModeDevice,
	}
	return kind[mode&unix.S_IFMT] | fs.FileMode(mode&0o777)
}
