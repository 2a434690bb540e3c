package artifact

import (
	"context"
	"errors"
	"path"
	"path/filepath"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// local is a file or directory of this host that may hold parts of the artifact. Nothing in it is relied on: what is taken
// from it is hashed.
type local struct {
	root    *root
	file    string      // its name in root when it is a file, else ""
	noClone atomic.Bool // its filesystem cannot share blocks with the staging
}

// openLocal opens what is at path; symlinks on the way to it are followed, below it never.
func openLocal(path string) (*local, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err := unix.Lstat(real, &stat); err != nil {
		return nil, err
	}
	l := &local{}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
	case unix.S_IFREG:
		real, l.file = filepath.Split(real)
	default:
		return nil, errNotRegular
	}
	l.root, err = openRoot(real)
	return l, err
}

// place is where the file would be here if nobody has moved it, "" if it has no place.
func (l *local) place(t *Torrent, file *File) string {
	switch {
	case !t.Single && l.file != "":
		return "" // a single file is no part of a tree by its name
	case !t.Single:
		return file.Path
	case l.file != "":
		return l.file
	}
	return t.Name
}

// moved finds files by their size that are no longer, or not yet, where the torrent has them. It holds only what some file
// of the torrent may need, so that it does not grow with what else is there.
type moved struct {
	any    bool // something was found
	bySize map[int64][]stray
	byName map[namesake][]stray
}

type stray struct {
	in    *local
	path  string
	mtime int64 // seconds since 1970
}

// namesake is a size and the last component of a path.
type namesake struct {
	size int64
	name string
}

const (
	mostOfSize  = 8 // files of one size that are remembered
	mostOfName  = 4 // of one size and name
	mostChoices = 4 // that are tried for one file
)

// want makes room for what may be the file, which would be called as.
func (m *moved) want(file *File, as string) {
	m.bySize[file.Length] = nil
	m.byName[namesake{file.Length, path.Base(as)}] = nil
}

func (m *moved) add(size int64, f stray) {
	list, wanted := m.bySize[size]
	m.any = m.any || wanted
	if wanted && len(list) < mostOfSize {
		m.bySize[size] = append(list, f)
	}
	key := namesake{size, path.Base(f.path)}
	if list, wanted := m.byName[key]; wanted && len(list) < mostOfName {
		m.byName[key] = append(list, f)
	}
}

// walk adds the files of a directory and of those below it, as far as this user may read them. It passes over except.
func (m *moved) walk(ctx context.Context, in *local, dir string, except func(*unix.Stat_t) bool) {
	names, err := in.root.names(dir)
	if err != nil || ctx.Err() != nil {
		return // somebody else's directory, and of no use
	}
	c := cursor{root: in.root}
	directories := names[:0]
	for _, name := range names {
		stat, err := c.stat(join(dir, name))
		switch {
		case err != nil: // gone, or in a directory that may be listed but not entered
		case stat.Mode&unix.S_IFMT == unix.S_IFREG:
			m.add(stat.Size, stray{in, join(dir, name), stat.Mtim.Sec})
		case stat.Mode&unix.S_IFMT == unix.S_IFDIR && !except(&stat):
			directories = append(directories, name)
		}
	}
	c.close()
	for _, name := range directories {
		m.walk(ctx, in, join(dir, name), except)
	}
}

// choices are the files that are most likely the wanted one under another name, the best first: those of the same time, then
// those whose paths end like the wanted one's.
func (m *moved) choices(file *File, as string) []stray {
	name := path.Base(as)
	namesakes := m.byName[namesake{file.Length, name}]
	all := slices.Clone(namesakes)
	for _, f := range m.bySize[file.Length] {
		if path.Base(f.path) != name {
			all = append(all, f)
		}
	}
	score := func(f stray) int {
		n := commonEnd(f.path, as)
		if file.HasTime && f.mtime == file.ModTime {
			n += maxPath
		}
		return n
	}
	slices.SortStableFunc(all, func(a, b stray) int { return score(b) - score(a) })
	return all[:min(len(all), mostChoices)]
}

// commonEnd is the number of bytes that two paths have in common at their ends.
func commonEnd(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// cannotClone says whether an error means that the filesystem cannot share the blocks of two files, whatever the files.
func cannotClone(err error) bool {
	for _, never := range []error{unix.EOPNOTSUPP, unix.ENOTTY, unix.EXDEV, unix.ENOSYS, unix.EINVAL, unix.EPERM} {
		if errors.Is(err, never) {
			return true
		}
	}
	return false
}
