package artifact

import (
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
func (k *keeping) noLink(at int, name string, stat *unix.Stat_t) error {
	if closed, _, err := closing(at, name); err == nil && closed != 0 {
		return unix.EPERM
	}
	const setGroup = unix.S_ISGID | unix.S_IXGRP
	switch {
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

// checkStrangers finds before a download what merge could not keep of the tree at Dest.
func (p *Plan) checkStrangers(dest *root) error {
	k, err := newKeeping(dest)
	if err != nil {
		return because(err, "Destination %s cannot be read", show(p.Dest))
	}
	return p.checkStrangersIn(&k, dest, "")
}

func (p *Plan) checkStrangersIn(k *keeping, dest *root, dir string) error {
	names, err := dest.names(dir)
	if err != nil {
		return unreadable(err, dest.join(dir))
	}
	c := cursor{root: dest}
	defer c.close()
	var below []string
	for _, name := range names {
		path := join(dir, name)
		i, known := p.index()[path]
		if known && i >= 0 {
			continue
		}
		stat, err := c.stat(path)
		if ignoreMissing(err) == nil && err != nil {
			continue // its owner has just removed it
		}
		switch {
		case err != nil:
		case isDirectory(&stat):
			err = k.noDirectory(&stat)
			below = append(below, path)
		case !known && !isLinkName(name):
			var at int
			if at, name, err = c.at(path); err == nil {
				err = k.noLink(at, name, &stat)
			}
		}
		if err != nil {
			return cannotKeep(err, dest.join(path))
		}
	}
	for _, path := range below {
		if err := p.checkStrangersIn(k, dest, path); err != nil {
			return err
		}
	}
	return nil
}

func cannotKeep(err error, path string) error {
	return because(err, "%s cannot be kept in the new tree; move it away and deploy again", show(path))
}
