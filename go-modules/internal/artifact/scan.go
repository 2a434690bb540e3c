package artifact

import (
	"context"
	"errors"
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
	path string // relative, "" for the source itself
	link string // a symlink's target
	mode uint32 // st_mode
	stamp
}

func (e *entry) dir() bool { return e.mode&unix.S_IFMT == unix.S_IFDIR }

// meta returns permission bits and modification time as the torrent carries them.
func (e *entry) meta() (mode uint32, mtime int64) {
	return e.mode & 0o7777, floorSeconds(e.mtime)
}

func floorSeconds(ns int64) int64 {
	seconds := ns / 1e9
	if ns%1e9 < 0 {
		seconds--
	}
	return seconds
}

// scanner lists a source tree in the order of comparePaths, the source itself first. Symlinks are listed, never followed.
type scanner struct {
	ctx     context.Context
	root    *root
	exclude []string
	entries []entry
}

func scan(ctx context.Context, r *root, exclude []string) ([]entry, error) {
	s := scanner{ctx: ctx, root: r, exclude: exclude}
	var stat unix.Stat_t
	if err := unix.Fstat(r.fd(), &stat); err != nil {
		return nil, because(err, "Source %s cannot be read", show(r.path))
	}
	s.entries = append(s.entries, entry{mode: stat.Mode, stamp: stampOf(&stat)})
	err := s.directory("")
	return s.entries, err
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
	e := entry{path: path, mode: stat.Mode, stamp: stampOf(&stat)}
	if excluded(s.exclude, path, e.dir()) {
		return nil
	}
	if len(path) > maxPath {
		return fault(nil, "Source %s has a path of %d bytes; at most %d can be deployed", show(s.root.join(path)), len(path), maxPath)
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		s.entries = append(s.entries, e)
		return s.directory(path)
	case unix.S_IFLNK:
		if e.link, err = c.readlink(path); err != nil {
			return because(err, "Source %s cannot be read", show(s.root.join(path)))
		}
		e.size = 0
	default:
		return fault(nil, "Source %s is a %s and cannot be deployed; remove it or exclude it",
			show(s.root.join(path)), kindOf(fileMode(stat.Mode)))
	}
	s.entries = append(s.entries, e)
	return nil
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
