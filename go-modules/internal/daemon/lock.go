package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// The lock is a POSIX record lock (fcntl): unlike flock it names its holder, and
// the kernel drops it however the process dies. It has one trap: closing any
// descriptor of the file drops it too, so the daemon opens the file once.

const (
	daemonLock = unix.F_SETLK     // names the process
	cleanLock  = unix.F_OFD_SETLK // anonymous: nobody shall take who cleans up for the daemon, and signal it
)

// tryLock takes the lock of an existing DIR, or fails with ErrRunning. A nil
// error means that the lock is held and that its file is the one in DIR.
func tryLock(dir string, kind int) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.FcntlFlock(f.Fd(), kind, &unix.Flock_t{Type: unix.F_WRLCK})
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		err = ErrRunning
	case err != nil:
		err = fmt.Errorf("lock %s: %w", path, err)
	default:
		// A predecessor may have removed the file between open and lock.
		err = sameFile(f, path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func sameFile(f *os.File, path string) error {
	ours, err := f.Stat()
	if err != nil {
		return fmt.Errorf("stat lock: %w", err)
	}
	there, err := os.Lstat(path)
	if err == nil && !os.SameFile(ours, there) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("lock %s was replaced: %w", path, err)
	}
	return nil
}

// acquire makes DIR and takes its lock, inside the daemon. It waits for a
// predecessor that is ending, but not for one that works. fresh tells that DIR
// did not exist.
func acquire(ctx context.Context, dir string) (lock *os.File, fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lockBound)
	defer cancel()
	for {
		made, err := makeDir(dir)
		if err != nil {
			return nil, false, err
		}
		fresh = fresh || made
		lock, err := tryLock(dir, daemonLock)
		switch {
		case err == nil:
			return lock, fresh, nil
		case errors.Is(err, ErrRunning):
			fresh = false
			if answers(ctx, dir) {
				return nil, false, ErrRunning
			}
		case !errors.Is(err, fs.ErrNotExist): // else DIR was removed under our hands
			return nil, fresh, err
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return nil, false, fmt.Errorf("%w, but does not answer; it did not end within %v", ErrRunning, lockBound)
		}
	}
}

// holder asks the kernel who holds the lock of DIR.
func holder(dir string) (pid int, held bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("open lock: %w", err)
	}
	defer f.Close()
	query := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &query); err != nil {
		return 0, false, fmt.Errorf("query lock %s: %w", f.Name(), err)
	}
	if query.Type == unix.F_UNLCK {
		return 0, false, nil
	}
	return max(int(query.Pid), 0), true, nil
}

// removeTree removes DIR, whose lock the caller holds. The lock file goes last, so
// that nobody starts in a directory that is half removed. When a successor has
// made a new lock file since, DIR is his and stays.
func removeTree(dir string, lock *os.File) error {
	if err := sameFile(lock, filepath.Join(dir, lockName)); err != nil {
		return nil // somebody removed DIR by hand; what stands there now is not ours
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list instance directory: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("remove instance directory: %w", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, lockName)); err != nil {
		return fmt.Errorf("remove lock: %w", err)
	}
	err = os.Remove(dir)
	if err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove instance directory: %w", err)
	}
	_ = os.Remove(filepath.Dir(dir)) // the state directory, if this was the last; makeDir makes it again
	return nil
}
