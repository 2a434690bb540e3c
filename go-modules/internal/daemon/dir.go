package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// found tells whether DIR is there, and refuses one that is not this user's own.
func (i *Instance) found() (bool, error) {
	info, err := os.Lstat(i.dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("instance directory %s cannot be read: %w", i.dir, errors.Unwrap(err))
	}
	return true, own(i.dir, info)
}

// makeDir makes the state directory and DIR in it; made tells that DIR is new.
func makeDir(dir string) (made bool, err error) {
	state := filepath.Dir(dir)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return false, noStateDirectory(state, "made", errors.Unwrap(err))
	}
	info, err := os.Stat(state)
	if err != nil {
		return false, fmt.Errorf("state directory %s cannot be read: %w", state, errors.Unwrap(err))
	}
	if err := trusted(state, info); err != nil {
		return false, err
	}
	err = os.Mkdir(dir, 0o700)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil // the state directory was removed meanwhile; the caller tries again
	case !errors.Is(err, fs.ErrExist):
		return false, noStateDirectory(state, "written to", errors.Unwrap(err))
	}
	if info, err = os.Lstat(dir); err != nil {
		return false, nil // removed meanwhile; the caller tries again
	}
	if err := own(dir, info); err != nil {
		return false, err
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return false, fmt.Errorf("close instance directory to others: %w", err)
		}
	}
	return false, nil
}

func noStateDirectory(dir, what string, err error) error {
	return fmt.Errorf("state directory %s cannot be %s: %w; give a state_dir that uid %d can write to", dir, what, err, os.Geteuid())
}

// own demands a real directory of this user: what stands in it is trusted.
func own(dir string, info fs.FileInfo) error {
	if !info.IsDir() {
		return fmt.Errorf("instance directory %s is not a directory; remove it or give another state_dir", dir)
	}
	if uid := owner(info); uid != os.Geteuid() {
		return foreign("instance directory", dir, uid)
	}
	return nil
}

// trusted refuses a state directory in which others could exchange DIR.
func trusted(dir string, info fs.FileInfo) error {
	if uid := owner(info); uid != os.Geteuid() && uid != 0 {
		return foreign("state directory", dir, uid)
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("state directory %s can be written to by everyone; close it (chmod o-w) or give another state_dir", dir)
	}
	return nil
}

func foreign(what, dir string, uid int) error {
	name := "uid " + strconv.Itoa(uid)
	if account, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		name = account.Username + " (" + name + ")"
	}
	return fmt.Errorf("%s %s belongs to %s, but this runs as uid %d; run it as that user (become_user) or give another state_dir",
		what, dir, name, os.Geteuid())
}

func owner(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// explain names the daemon in an error of the lock.
func (i *Instance) explain(doing string, err error) error {
	if pid, running, holderErr := i.Running(); errors.Is(err, ErrRunning) && holderErr == nil && running {
		return fmt.Errorf("%s %s: %s (pid %d) %w", doing, i.dir, i.program(), pid, err)
	}
	return fmt.Errorf("%s %s: %s %w", doing, i.dir, i.program(), err)
}
