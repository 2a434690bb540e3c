package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Startable says what Start would fail with for want of a place for the state or the log. It writes nothing.
func (i *Instance) Startable(logFile string) error {
	there, err := i.found()
	if err == nil && !there {
		err = makeable(filepath.Dir(i.dir))
	}
	if err == nil && logFile != "" {
		err = loggable(logFile)
	}
	if err != nil {
		return fmt.Errorf("%s would not start: %w", i.program(), err)
	}
	return nil
}

// makeable says what makeDir would say of a state directory.
func makeable(state string) error {
	for dir, what := state, "written to"; ; dir, what = filepath.Dir(dir), "made" {
		info, err := os.Stat(dir)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			continue // it ends at / at the latest
		case err != nil:
			return noStateDirectory(state, "made", errors.Unwrap(err))
		case !info.IsDir():
			return noStateDirectory(state, "made", syscall.ENOTDIR)
		case dir == state:
			err = trusted(state, info)
		}
		if err != nil {
			return err
		}
		if err := mayWrite(dir); err != nil {
			return noStateDirectory(state, what, err)
		}
		return nil
	}
}

// loggable says what openLog would say where it cannot make or open a file.
func loggable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return noLog(path, mayWrite(filepath.Dir(path)))
	case err != nil:
		return noLog(path, errors.Unwrap(err))
	case info.IsDir():
		return noLog(path, syscall.EISDIR)
	}
	return noLog(path, unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS))
}

// mayWrite says why this user cannot make anything in a directory.
func mayWrite(dir string) error {
	return unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
}
