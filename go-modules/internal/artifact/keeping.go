package artifact

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// keeping knows what of others' files and directories this user can keep in a new tree.
type keeping struct {
	device uint64 // of the tree
	chown  bool   // own and empty directories for others
	link   bool   // link any file
}

func newKeeping(dest *root) (keeping, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(dest.fd(), &stat); err != nil {
		return keeping{}, &os.PathError{Op: "lstat", Path: dest.path, Err: err}
	}
	protected, _ := os.ReadFile("/proc/sys/fs/protected_hardlinks")
	link := capable(unix.CAP_FOWNER) || strings.TrimSpace(string(protected)) != "1"
	return keeping{stat.Dev, mayChown(), link}, nil
}

// noDirectory says why a directory cannot be kept, nil when it can.
func (k *keeping) noDirectory(stat *unix.Stat_t) error {
	switch {
	case stat.Dev != k.device:
		return unix.EXDEV
	case !k.chown && int(stat.Uid) != os.Geteuid():
		return unix.EPERM // it could neither be made anew as it is nor emptied
	}
	return nil
}

// noLink says why the kernel will not link a file, as far as that can be known beforehand: see protected_hardlinks in
// proc_sys_fs(5).
func (k *keeping) noLink(at int, name string, stat *unix.Stat_t, flags uint32) error {
	const setGroup = unix.S_ISGID | unix.S_IXGRP
	switch {
	case flags != 0:
		return unix.EPERM
	case k.link, int(stat.Uid) == os.Geteuid():
		return nil
	case stat.Mode&unix.S_IFMT != unix.S_IFREG, stat.Mode&unix.S_ISUID != 0, stat.Mode&setGroup == setGroup:
		return unix.EPERM
	}
	if unix.Faccessat(at, name, unix.R_OK|unix.W_OK, unix.AT_EACCESS) != nil {
		return unix.EPERM
	}
	return nil
}

// obstacles are what one walk over the tree at Dest looks for before a download: what keeps it from being replaced.
type obstacles struct {
	*Plan
	keeping
	dest    *root
	removes bool // it goes, so nothing in it may have a flag of closing; as a backup it is only moved
	keeps   bool // what is not the artifact's stays, so the new tree must be able to have it: nothing is ever lost, unless delete says so
}

// checkTree looks for obstacles, unless it has found none before.
func (p *Plan) checkTree() error {
	o := obstacles{Plan: p, removes: !p.asked.Backup, keeps: !p.asked.Delete}
	if !p.exists || p.torrent.Single || p.cleared || !o.removes && !o.keeps {
		return nil
	}
	dest, err := openRoot(p.Dest)
	if err == nil {
		defer dest.Close()
		o.keeping, err = newKeeping(dest)
	}
	if err != nil {
		return because(err, "Destination %s cannot be read", show(p.Dest))
	}
	o.dest = dest
	err = o.directory("")
	p.cleared = err == nil
	return err
}

// checkLinks looks once more for obstacles where the filesystem turns out to have no hard links, as vfat and exfat, for then no file of
// others can be kept. Only a try tells, so it is made in the staging, before the download.
func (p *Plan) checkLinks() error {
	if !p.exists || p.torrent.Single || p.asked.Delete {
		return nil
	}
	at := p.staging.dir.fd()
	const probe = "probe"
	_ = unix.Unlinkat(at, probe, 0) // a killed run's
	err := linkat(at, lockName, at, probe, 0)
	_ = unix.Unlinkat(at, probe, 0)
	if !cannotLink(err) {
		return nil
	}
	p.noHardLinks, p.cleared = true, false
	return p.checkTree()
}

func (o *obstacles) directory(dir string) error {
	names, err := o.dest.names(dir)
	if err != nil && o.keeps { // else it shows when it is removed
		return unreadable(err, o.dest.join(dir))
	}
	c := cursor{root: o.dest}
	defer c.close()
	var below []string
	for _, name := range names {
		path := join(dir, name)
		descend, err := o.entry(&c, path)
		if err != nil {
			return err
		}
		if descend {
			below = append(below, path)
		}
	}
	for _, path := range below {
		if err := o.directory(path); err != nil {
			return err
		}
	}
	return nil
}

// entry looks at what has a path, and says whether it is a directory to descend into.
func (o *obstacles) entry(c *cursor, path string) (descend bool, err error) {
	at, name, err := c.at(path)
	var stat unix.Stat_t
	var flags uint32
	if err == nil {
		stat, flags, err = inspect(at, name)
	}
	switch {
	case err != nil && (!o.keeps || ignoreMissing(err) == nil): // its owner has just removed it
		return false, nil
	case err != nil:
		return false, cannotKeep(err, o.dest.join(path))
	case o.removes && flags != 0:
		return false, fault(unix.EPERM, "Destination %s holds %s, which has the attribute %s and cannot be replaced; "+
			"take that from it first (chattr -R -ia %s)", show(o.Dest), show(path), showFlags(flags), show(o.Dest))
	case !o.keeps:
		return isDirectory(&stat), nil
	}
	i, known := o.index()[path]
	switch {
	case o.unpack != nil: // what is in the archive nobody knows before it has come
		return isDirectory(&stat), o.noArchive(path, &stat)
	case known && i >= 0:
		return false, o.noFile(path, &stat)
	case isDirectory(&stat):
		err = o.noDirectory(&stat)
	case !known && !isLinkName(name) && o.noHardLinks:
		return false, fault(unix.EOPNOTSUPP, "%s cannot be kept in the new tree, for its filesystem has no hard links; move it away and deploy again, "+
			"or give delete: true to have it removed", show(o.dest.join(path)))
	case !known && !isLinkName(name):
		err = o.noLink(at, name, &stat, flags)
	}
	if err != nil {
		return false, cannotKeep(err, o.dest.join(path))
	}
	return isDirectory(&stat), nil
}

// noFile says why a file or symlink of the artifact cannot take the place of what is there, nil when it can.
func (o *obstacles) noFile(path string, stat *unix.Stat_t) error {
	if !isDirectory(stat) {
		return nil
	}
	if names, err := o.dest.names(path); err == nil && len(names) == 0 {
		return nil
	}
	return fault(unix.ENOTEMPTY, "Destination %s is a directory that is not empty, but a file of that name is to be placed; remove it first",
		show(o.dest.join(path)))
}

// noArchive says why something cannot be kept whatever is in an archive, nil where that is not known. Only an empty directory may have to
// make way for a file.
func (o *obstacles) noArchive(path string, stat *unix.Stat_t) error {
	if !isDirectory(stat) || o.dest.bare(path) {
		return nil
	}
	if err := o.noDirectory(stat); err != nil {
		return cannotKeep(err, o.dest.join(path))
	}
	return nil
}

// inspect is lstat(2), as far as obstacles ask for it, and tells which of the flags of closing something has: statx(2) has them under
// the same bits. A kernel without it tells of none.
func inspect(at int, name string) (stat unix.Stat_t, flags uint32, err error) {
	var all unix.Statx_t
	err = unix.Statx(at, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_UID, &all)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		err = unix.Fstatat(at, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
		return stat, 0, err
	}
	stat.Mode, stat.Uid, stat.Dev = uint32(all.Mode), all.Uid, unix.Mkdev(all.Dev_major, all.Dev_minor)
	return stat, uint32(all.Attributes) & flagsOfClosing, err
}

func cannotKeep(err error, path string) error {
	return because(err, "%s cannot be kept in the new tree; move it away and deploy again", show(path))
}
