package artifact

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// merge keeps what the tree at Dest holds beside the artifact: files become hard links in the new tree, directories are made
// anew with the attributes they have. What has the path of an artifact's file is replaced.
func (t *placer) merge(from, to *root) error {
	var stat unix.Stat_t
	if err := unix.Fstat(from.fd(), &stat); err != nil {
		return err
	}
	m := merger{placer: t, from: from, to: to, device: stat.Dev, privileged: mayChown()}
	if err := unix.Fstat(t.staging.dir.fd(), &m.apart); err != nil {
		return err
	}
	return m.directory("")
}

type merger struct {
	*placer
	from, to *root
	apart    unix.Stat_t // the staging, which may have come into the old tree
	device   uint64
	// Privileged users may own and empty directories for others.
	privileged bool
}

// subdirectory is one to descend into; made says that it was made here and is a stranger's.
type subdirectory struct {
	path string
	made bool
	stat unix.Stat_t
}

func (m *merger) directory(path string) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	below, err := m.entries(path)
	if err != nil {
		return err
	}
	for i := range below {
		if err := m.directory(below[i].path); err != nil {
			return err
		}
		if !below[i].made {
			continue
		}
		if err := m.finish(&below[i]); err != nil {
			return m.cannot(below[i].path, err)
		}
	}
	return nil
}

// entries links the files of a directory and makes its subdirectories.
func (m *merger) entries(path string) (below []subdirectory, err error) {
	names, err := m.from.names(path)
	if err != nil {
		return nil, m.cannot(path, err)
	}
	from, err := m.from.open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, m.cannot(path, err)
	}
	defer unix.Close(from)
	to, err := m.to.open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, m.cannot(path, err)
	}
	defer unix.Close(to)
	for _, name := range names {
		sub := subdirectory{path: join(path, name)}
		if err := unix.Fstatat(from, name, &sub.stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			if errors.Is(err, unix.ENOENT) {
				continue // its owner has just removed it
			}
			return nil, m.cannot(sub.path, err)
		}
		directory := sub.stat.Mode&unix.S_IFMT == unix.S_IFDIR
		i, known := m.index()[sub.path]
		switch {
		case known && i >= 0 && directory:
			err = m.replaceable(sub.path)
		case known && !directory:
		case !directory && isLinkName(name): // of a run that was killed
		case !directory:
			err = unix.Linkat(from, name, to, name, 0)
		case sub.stat.Ino == m.apart.Ino && sub.stat.Dev == m.apart.Dev:
			continue
		case sub.stat.Dev != m.device:
			err = unix.EXDEV
		case !m.privileged && int(sub.stat.Uid) != os.Geteuid():
			err = unix.EPERM // it could neither be made anew as it is nor emptied
		default:
			if !known {
				err = unix.Mkdirat(to, name, 0o700)
				sub.made = err == nil
			}
			below = append(below, sub)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, m.cannot(sub.path, err)
		}
	}
	return below, nil
}

// replaceable refuses to lose the content of a directory; NewPlan has looked too, but that was a while ago.
func (m *merger) replaceable(path string) error {
	names, err := m.from.names(path)
	if err == nil && len(names) > 0 {
		err = unix.ENOTEMPTY
	}
	return err
}

func (m *merger) cannot(path string, err error) error {
	return because(err, "%s cannot be kept in the new tree; move it away and deploy again", show(m.from.join(path)))
}

// finish gives a stranger's directory the attributes it has in the old tree.
func (m *merger) finish(sub *subdirectory) error {
	copyDirectoryXattrs(m.from, m.to, sub.path)
	c := cursor{root: m.to}
	defer c.close()
	now, err := c.stat(sub.path)
	if err != nil {
		return err
	}
	at, name, err := c.at(sub.path)
	if err != nil {
		return err
	}
	want := look{mode: sub.stat.Mode & 0o7777, asked: nobody, kept: owner{int(sub.stat.Uid), int(sub.stat.Gid)}}
	if err := dress(at, name, &now, want); err != nil {
		return err
	}
	times := []unix.Timespec{sub.stat.Atim, sub.stat.Mtim}
	return unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW)
}
