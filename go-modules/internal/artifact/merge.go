package artifact

import (
	"errors"
	"hash/maphash"
	"slices"

	"golang.org/x/sys/unix"
)

// merge keeps what the tree at Dest holds beside the artifact: files become hard links in the new tree, directories are made
// anew with the attributes they have. What has the path of an artifact's file is replaced. It runs more than once: what others
// have changed in the old tree since the last time it changes in the new one too, and says so. Live is for a new tree
// that is at Dest already: what others have changed in that one since is left as it is.
func (t *placer) merge(from, to *root, live bool) (changed bool, err error) {
	m := merger{placer: t, from: from, to: to, live: live, again: t.kept != nil}
	if t.kept == nil {
		t.kept = &kept{maphash.MakeSeed(), map[uint64]uint64{}}
	}
	if m.keeping, err = newKeeping(from); err != nil {
		return false, err
	}
	if err := unix.Fstat(t.staging.dir.fd(), &m.apart); err != nil {
		return false, err
	}
	err = m.directory("")
	return m.changed, err
}

type merger struct {
	*placer
	keeping
	from, to *root
	apart    unix.Stat_t // the staging, which may have come into the old tree
	again    bool        // it is not the first time
	live     bool
	changed  bool
}

// kept is what merge has given names in the new tree. There may be millions, so a path is only its hash here, and a file the
// hash of its inode and the time of its birth, for others may get the inode later. Should two paths have the same hash, what is
// there is taken for others', and left as it is.
type kept struct {
	seed   maphash.Seed
	inodes map[uint64]uint64
}

func (k *kept) at(path string) uint64       { return k.inodes[maphash.String(k.seed, path)] }
func (k *kept) note(path string, id uint64) { k.inodes[maphash.String(k.seed, path)] = id }

// identity is the hash of what is called name, whose inode has this number.
func (k *kept) identity(at int, name string, number uint64) uint64 {
	var more unix.Statx_t
	if unix.Statx(at, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &more) != nil {
		more.Btime = unix.StatxTimestamp{} // of a kernel that cannot tell
	}
	return maphash.Comparable(k.seed, [3]uint64{number, uint64(more.Btime.Sec), uint64(more.Btime.Nsec)})
}

// subdirectory is one to descend into; made says that it was made here and is a stranger's.
type subdirectory struct {
	path string
	made bool
	stat unix.Stat_t
}

func isDirectory(stat *unix.Stat_t) bool { return stat.Mode&unix.S_IFMT == unix.S_IFDIR }

func (m *merger) directory(path string) error {
	if err := m.ctx.Err(); err != nil && !m.live { // the new tree is in place, whoever would like to stop
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
	from := -1
	if err == nil {
		from, err = m.from.open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // its owner has just removed it
	} else if err != nil {
		return nil, m.cannot(path, err)
	}
	defer unix.Close(from)
	to, err := m.to.open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if m.live && ignoreMissing(err) == nil && err != nil {
		return nil, nil // its owner has removed the new one
	} else if err != nil {
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
		descend, err := m.entry(from, to, name, &sub)
		if err != nil {
			return nil, m.cannot(sub.path, err)
		}
		if descend {
			below = append(below, sub)
		}
	}
	if m.again {
		err = m.gone(path, names)
	}
	return below, err
}

// entry keeps what is called name, and says whether it is a directory to descend into.
func (m *merger) entry(from, to int, name string, sub *subdirectory) (descend bool, err error) {
	i, known := m.index()[sub.path]
	directory := isDirectory(&sub.stat)
	switch {
	case known && i >= 0 && directory:
		return false, m.replaceable(sub.path)
	case known && !directory && i < 0 && m.again: // what was in the directory has gone
		return false, m.drop(sub.path)
	case known && !directory, !directory && isLinkName(name): // replaced, or of a run that was killed
		return false, nil
	case !directory:
		return false, m.link(from, to, name, sub)
	case sub.stat.Ino == m.apart.Ino && sub.stat.Dev == m.apart.Dev:
		return false, nil
	}
	if err := m.noDirectory(&sub.stat); err != nil {
		return false, err
	}
	if known {
		return true, nil
	}
	return m.mkdir(to, name, sub)
}

// link gives a stranger's file its name in the new tree, where an earlier one may have it.
func (m *merger) link(from, to int, name string, sub *subdirectory) error {
	id := m.kept.identity(from, name, sub.stat.Ino)
	if m.kept.at(sub.path) == id {
		return nil
	}
	err := linkat(from, name, to, name, 0)
	if errors.Is(err, unix.EEXIST) {
		now, err2 := statAt(to, name)
		switch {
		case err2 != nil:
			return err2
		case now == nil, now.Ino != sub.stat.Ino && !m.ours(sub.path, to, name, now):
			return nil
		case now.Ino == sub.stat.Ino:
			m.kept.note(sub.path, id)
			return nil
		case isDirectory(now):
			if err = m.drop(sub.path); err == nil {
				err = linkat(from, name, to, name, 0)
			}
		default:
			err = linkOver(from, to, name)
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return nil // its owner has just removed it
	} else if err != nil {
		return err
	}
	m.kept.note(sub.path, id)
	m.changed = true
	return nil
}

// linkOver links a file to its name in another directory, in one step with the end of what is called so there.
func linkOver(from, to int, name string) error {
	temporary := linkName(name)
	_ = unix.Unlinkat(to, temporary, 0)
	if err := linkat(from, name, to, temporary, 0); err != nil {
		return err
	}
	err := unix.Renameat(to, temporary, to, name)
	if err != nil {
		_ = unix.Unlinkat(to, temporary, 0)
	}
	return err
}

// mkdir makes a stranger's directory in the new tree. It is finished once more when it has changed since.
func (m *merger) mkdir(to int, name string, sub *subdirectory) (descend bool, err error) {
	now, err := statAt(to, name)
	switch {
	case err != nil:
		return false, err
	case now == nil && m.live && m.kept.at(sub.path) != 0:
		return false, nil // its owner has removed the new one
	case now != nil && !isDirectory(now):
		if !m.ours(sub.path, to, name, now) {
			return false, nil
		}
		if err := unix.Unlinkat(to, name, 0); err != nil {
			return false, err
		}
	}
	err = unix.Mkdirat(to, name, 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return false, err
	}
	sub.made = err == nil
	if now, err = statAt(to, name); err != nil || now == nil {
		return false, err
	}
	m.kept.note(sub.path, m.kept.identity(to, name, now.Ino))
	if was := &sub.stat; !m.live {
		sub.made = sub.made || now.Mode != was.Mode || now.Uid != was.Uid || now.Gid != was.Gid || now.Mtim != was.Mtim
	}
	m.changed = m.changed || sub.made
	return true, nil
}

// ours says whether what has a path in the new tree was brought there by merge.
func (m *merger) ours(path string, at int, name string, now *unix.Stat_t) bool {
	id := m.kept.at(path)
	return id != 0 && (!m.live || id == m.kept.identity(at, name, now.Ino))
}

// gone removes from a directory of the new tree what has left the old one, which has these names.
func (m *merger) gone(path string, names []string) error {
	if len(m.kept.inodes) == 0 {
		return nil
	}
	there, err := m.to.names(path)
	if err != nil && !errors.Is(err, unix.EACCES) { // the artifact may have closed it to its owner
		return m.cannot(path, err)
	}
	for _, name := range there {
		if _, found := slices.BinarySearch(names, name); found {
			continue
		}
		if err := m.drop(join(path, name)); err != nil && m.live {
			return m.cannot(join(path, name), err)
		} else if err != nil {
			return because(err, "%s is not at %s any more, but cannot be removed from the new tree; deploy again",
				show(join(path, name)), show(m.Dest))
		}
	}
	return nil
}

// drop removes from the new tree what merge has brought to a path and below it. All else stays, and the directories that
// hold it.
func (m *merger) drop(path string) error {
	i, known := m.index()[path]
	if known && i >= 0 {
		return nil
	}
	c := cursor{root: m.to}
	defer c.close()
	now, err := c.stat(path)
	if err != nil {
		return ignoreMissing(err)
	}
	at, name, err := c.at(path)
	if err != nil {
		return ignoreMissing(err)
	}
	ours, directory := !known && m.ours(path, at, name, &now), isDirectory(&now)
	switch {
	case ours && !(m.live && directory):
		m.changed = true
		m.forget(path, directory)
		return m.to.remove(path)
	case !directory, !known && !ours:
		return nil
	}
	names, err := m.to.names(path)
	if err != nil && !errors.Is(err, unix.EACCES) {
		return ignoreMissing(err)
	}
	for _, name := range names {
		if err := m.drop(join(path, name)); err != nil {
			return err
		}
	}
	if known {
		return nil
	}
	m.forget(path, false)
	err = unix.Unlinkat(at, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	return ignoreMissing(err)
}

// forget is for what goes from a path in the new tree: the same may come back to it in the old one.
func (m *merger) forget(path string, directory bool) {
	delete(m.kept.inodes, maphash.String(m.kept.seed, path))
	if !directory {
		return
	}
	names, _ := m.to.names(path)
	c := cursor{root: m.to}
	defer c.close()
	for _, name := range names {
		stat, err := c.stat(join(path, name))
		m.forget(join(path, name), err == nil && isDirectory(&stat))
	}
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
	if m.live { // missed says the rest
		return fault(err, "%s: %s", show(path), reason(err))
	}
	return cannotKeep(err, m.from.join(path))
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
