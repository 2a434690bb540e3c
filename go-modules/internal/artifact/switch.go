package artifact

import (
	"errors"

	"golang.org/x/sys/unix"
)

// switchOver puts the staged tree at Dest and removes the one that was there.
func (t *placer) switchOver() error {
	s := t.staging
	if err := t.ctx.Err(); err != nil {
		return err
	}
	leftover, err := s.switchTree(t.base, t.old != nil)
	switch {
	case errors.Is(err, unix.EEXIST):
		return fault(err, "Destination %s was made by someone else meanwhile; deploy again", show(t.Dest))
	case err != nil:
		return because(err, "Destination %s cannot be replaced", show(t.Dest))
	}
	// Renaming a directory into another one takes write permission on itself, so a mode without it is set only now.
	if t.rootMode != nil {
		if err := unix.Fchmod(s.content.fd(), *t.rootMode); err != nil {
			return because(err, "Attributes of %s cannot be set", show(t.Dest))
		}
	}
	if leftover == "" {
		return nil
	}
	// What came into the old tree while it was being replaced is not lost either.
	if err := t.merge(t.old, s.content); err != nil {
		return because(err, "%s is in place, but the old tree in %s holds files that came meanwhile and cannot be kept",
			show(t.Dest), show(s.dir.join(leftover)))
	}
	if err := s.dir.remove(leftover); err != nil {
		return because(err, "%s is in place, but the old tree cannot be removed from %s", show(t.Dest), show(s.dir.path))
	}
	return nil
}

// switchTree exchanges the staged tree with the destination called base in one step, or, where the filesystem cannot, in
// two. Leftover is the name of the old tree in the staging. After an error all is as before.
func (s *staging) switchTree(base string, exists bool) (leftover string, err error) {
	var stat unix.Stat_t
	if err := unix.Fstat(s.content.fd(), &stat); err != nil {
		return "", err
	}
	final := finalName(stat.Ino)
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
		leftover = oldName
		if err := unix.Renameat(s.parent.fd(), base, s.dir.fd(), oldName); err != nil {
			return "", err
		}
	}
	err = unix.Renameat(s.dir.fd(), final, s.parent.fd(), base)
	if err != nil && exists {
		err = errors.Join(err, unix.Renameat(s.dir.fd(), oldName, s.parent.fd(), base))
	}
	return leftover, err
}
