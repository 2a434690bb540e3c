package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

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
	path     string // relative, "" for the source itself
	link     string // a symlink's target
	hardlink string // path of the entry before that is the same file
	mode     uint32 // st_mode
	sparse   bool   // it may have holes
	stamp
}

func newEntry(path string, stat *unix.Stat_t) entry {
	return entry{path: path, mode: stat.Mode, sparse: stat.Blocks*512 < stat.Size, stamp: stampOf(stat)}
}

func (e *entry) dir() bool { return e.mode&unix.S_IFMT == unix.S_IFDIR }

func (e *entry) regular() bool { return e.mode&unix.S_IFMT == unix.S_IFREG }

// meta returns permission bits and modification time as the torrent carries them.
func (e *entry) meta() (mode uint32, mtime, nsec int64) {
	mtime, nsec = e.mtime/1e9, e.mtime%1e9
	if nsec < 0 {
		mtime, nsec = mtime-1, nsec+1e9
	}
	return e.mode & 0o7777, mtime, nsec
}

// scanner lists a source tree in the order of comparePaths, the source itself first. Symlinks are listed, never followed.
type scanner struct {
	ctx     context.Context
	root    *root
	exclude []string
	entries []entry
	special []entry             // what cannot be deployed
	linked  map[identity]string // paths of files with more than one link
}

// identity is what hard links of one file have in common.
type identity struct{ device, number uint64 }

// scan returns what is to be deployed, and the pipes, sockets and devices that are left out, which is refused unless
// options say to skip them.
func scan(ctx context.Context, r *root, o *BuildOptions) (entries []entry, skipped []string, err error) {
	s := scanner{ctx: ctx, root: r, exclude: o.Exclude, linked: map[identity]string{}}
	var stat unix.Stat_t
	if err := unix.Fstat(r.fd(), &stat); err != nil {
		return nil, nil, because(err, "Source %s cannot be read", show(r.path))
	}
	s.entries = append(s.entries, newEntry("", &stat))
	if err := s.directory(""); err != nil {
		return nil, nil, err
	}
	if len(s.special) > 0 && !o.SkipSpecial {
		return nil, nil, s.refusal()
	}
	for _, e := range s.special {
		skipped = append(skipped, e.path)
	}
	return s.entries, skipped, nil
}

// refusal names what cannot be deployed.
func (s *scanner) refusal() error {
	const most = 5
	var others strings.Builder
	for i, e := range s.special[1:] {
		if i == most {
			fmt.Fprintf(&others, " and %d more", len(s.special)-1-most)
			break
		}
		fmt.Fprintf(&others, ", %s (%s)", show(s.root.join(e.path)), kindOf(fileMode(e.mode)))
	}
	also := strings.Replace(others.String(), ",", "; nor can", 1)
	first := &s.special[0]
	return fault(nil, "Source %s is a %s and cannot be deployed%s; remove it, exclude it, or leave such files out (special=skip)",
		show(s.root.join(first.path)), kindOf(fileMode(first.mode)), also)
}

func (s *scanner) directory(dir string) error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	names, err := s.root.names(dir)
	if err != nil {
		return because(err, "Source directory %s cannot be read", show(s.root.join(dir)))
	}
	c := cursor{root: s.root}
	defer c.close()
	for _, name := range names {
		if err := s.visit(&c, join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) visit(c *cursor, path string) error {
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
	case unix.S_IFREG:
		if stat.Nlink > 1 {
			e.hardlink = s.first(identity{stat.Dev, stat.Ino}, path)
		}
	case unix.S_IFDIR:
		s.entries = append(s.entries, e)
		return s.directory(path)
	case unix.S_IFLNK:
		if e.link, err = c.readlink(path); err != nil {
			return because(err, "Source %s cannot be read", show(s.root.join(path)))
		}
		e.size = 0
	default:
		s.special = append(s.special, e)
		return nil
	}
	s.entries = append(s.entries, e)
	return nil
}

// first returns the path under which the scan has met a file before, "" when this is the first time.
func (s *scanner) first(file identity, path string) string {
	before, met := s.linked[file]
	if !met {
		s.linked[file] = path
	}
	return before
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// excluded matches the patterns, as path.Match understands them, against the name and against the path from the root.
// As in .gitignore, "/" at a pattern's end means directories only, and at its start the path only.
func excluded(patterns []string, name string, dir bool) bool {
	for _, pattern := range patterns {
		pattern, only := strings.CutSuffix(pattern, "/")
		if only && !dir {
			continue
		}
		pattern, anchored := strings.CutPrefix(pattern, "/")
		if match, _ := path.Match(pattern, name); match {
			return true
		}
		if match, _ := path.Match(pattern, path.Base(name)); match && !anchored {
			return true
		}
	}
	return false
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
