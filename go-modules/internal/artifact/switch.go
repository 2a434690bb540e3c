package artifact

import (
	"errors"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// switchOver puts the staged tree at Dest and removes the one that was there, or makes it the backup.
func (t *placer) switchOver() error {
	s := t.staging
	if err := t.ctx.Err(); err != nil {
		return err
	}
	var stat unix.Stat_t
	var old *unix.Stat_t
	if t.old != nil && unix.Fstat(t.old.fd(), &stat) == nil {
		old = &stat
	}
	suffix := t.backupSuffix(old)
	if err := t.dropManifest(); err != nil {
		return err
	}
	leftover, err := s.switchTree(t.base, t.old != nil, suffix)
	switch {
	case errors.Is(err, unix.EEXIST):
		return fault(err, "Destination %s was made by someone else meanwhile; deploy again", show(t.Dest))
	case errors.Is(err, unix.EXDEV) && t.old != nil:
		return fault(err, "Destination %s cannot be replaced, for its filesystem does not rename this directory, as overlayfs does none of an image; "+
			"make it a new one (cp -a, rm -r, mv) and deploy again, without a download", show(t.Dest))
	case err != nil:
		return because(err, "Destination %s cannot be replaced", show(t.Dest))
	}
	// Renaming a directory into another one takes write permission on itself, so a mode without it is set only now.
	if t.rootMode != nil {
		err := unix.Fchmod(s.content.fd(), *t.rootMode)
		if err == nil {
			err = syncDir(s.content.fd()) // that of the directory above is of its name alone
		}
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return because(err, "Attributes of %s cannot be set", show(t.Dest))
		}
	}
	if leftover != "" {
		if err := t.putAway(leftover, suffix); err != nil {
			return err
		}
	}
	return t.closeFlags(s.content)
}

// putAway removes the old tree, or makes it the backup.
func (t *placer) putAway(leftover, suffix string) error {
	s := t.staging
	var late error
	if !t.asked.Delete {
		// What came into the old tree while it was being replaced is not lost either.
		_, late = t.merge(t.old, s.content, true)
	}
	if suffix != "" {
		if err := s.rename(leftover, t.base+suffix); err != nil {
			return because(err, "%s is in place, but the old tree in %s cannot be made its backup", show(t.Dest), show(s.dir.join(leftover)))
		}
		t.backup = filepath.Join(t.dir, t.base+suffix)
		return t.missed(late, t.backup)
	}
	if late != nil {
		left, err := s.leave(leftover, t.base)
		return errors.Join(t.missed(late, left), err)
	}
	if err := t.note(s.discard(leftover, t.base)); err != nil {
		return because(err, "%s is in place, but the old tree cannot be removed from %s", show(t.Dest), show(s.dir.path))
	}
	return nil
}

// missed is the failure to bring to the tree in place what others have changed meanwhile in the old one, which is left for them then.
func (t *placer) missed(err error, old string) error {
	if err == nil {
		return nil
	}
	return fault(err, "%s is in place, but not all that others have changed meanwhile in the old tree could be brought there (%s); "+
		"the old tree is %s now: look there for what is missing", show(t.Dest), err, show(old))
}

// rename moves something from the staging to a name in the destination's directory.
func (s *staging) rename(from, to string) error {
	return s.renameat2(s.dir.fd(), from, s.parent.fd(), to, 0)
}

// renameat2 is the system call; old kernels, which lack it, can still rename.
func renameat2(fromDir int, from string, toDir int, to string, flags uint) error {
	if flags == 0 {
		return unix.Renameat(fromDir, from, toDir, to)
	}
	return unix.Renameat2(fromDir, from, toDir, to, flags)
}

// switchTree exchanges the staged tree with the destination called base in one step, or, where the filesystem cannot, in
// two. Leftover is the name of the old tree in the staging; it ends with suffix, so that after a crash one can tell that it
// is to be kept. After an error all is as before.
func (s *staging) switchTree(base string, exists bool, suffix string) (leftover string, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(s.content.fd(), &stat); err != nil {
		return "", err
	}
	final := finalName(stat.Ino) + suffix
	if err := unix.Renameat(s.dir.fd(), contentName, s.dir.fd(), final); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unix.Renameat(s.dir.fd(), final, s.dir.fd(), contentName))
		}
	}()
	flags, leftover := uint(unix.RENAME_NOREPLACE), ""
	if exists {
		flags, leftover = unix.RENAME_EXCHANGE, final
	}
	err = s.renameat2(s.dir.fd(), final, s.parent.fd(), base, flags)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return leftover, err
	}
	if exists {
		leftover = oldName + suffix
		if err := unix.Renameat(s.parent.fd(), base, s.dir.fd(), leftover); err != nil {
			return "", err
		}
	}
	err = s.rename(final, base)
	if err != nil && exists {
		err = errors.Join(err, unix.Renameat(s.dir.fd(), leftover, s.parent.fd(), base))
	}
	return leftover, err
}
