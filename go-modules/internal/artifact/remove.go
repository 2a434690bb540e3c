package artifact

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// clone opens the root once more, for an owner that closes it on its own.
func (r *root) clone() (*root, error) {
	fd, err := unix.FcntlInt(uintptr(r.fd()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: r.path, Err: err}
	}
	return &root{os.NewFile(uintptr(fd), r.path), r.path}, nil
}

// remove removes path and all below it, also from directories that this user has made read-only. What is not there is no error.
func (r *root) remove(path string) error {
	c := cursor{root: r}
	defer c.close()
	at, name, err := c.at(path)
	if err == nil {
		err = unix.Unlinkat(at, name, 0)
	}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT):
		return nil
	case !errors.Is(err, unix.EISDIR):
		return &os.PathError{Op: "remove", Path: r.join(path), Err: err}
	}
	if err := r.empty(path); err != nil {
		return err
	}
	if err := unix.Unlinkat(at, name, unix.AT_REMOVEDIR); err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "remove", Path: r.join(path), Err: err}
	}
	return nil
}

// empty removes all that a directory holds. It keeps one descriptor open, however deep the tree.
func (r *root) empty(path string) error {
	names, err := r.names(path)
	if errors.Is(err, unix.EACCES) {
		if err = r.unlock(path); err == nil {
			names, err = r.names(path)
		}
	}
	if err != nil {
		return err
	}
	fd, err := r.open(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: r.join(path), Err: err}
	}
	directories := names[:0]
	for _, name := range names {
		err := unix.Unlinkat(fd, name, 0)
		if errors.Is(err, unix.EACCES) {
			if err = r.unlock(path); err == nil {
				err = unix.Unlinkat(fd, name, 0)
			}
		}
		if errors.Is(err, unix.EISDIR) {
			directories = append(directories, name)
		} else if err != nil && !errors.Is(err, unix.ENOENT) {
			unix.Close(fd)
			return &os.PathError{Op: "remove", Path: r.join(join(path, name)), Err: err}
		}
	}
	unix.Close(fd)
	for _, name := range directories {
		if err := r.remove(join(path, name)); err != nil {
			return err
		}
	}
	return nil
}

// unlock lets the owner of a directory change it.
func (r *root) unlock(path string) error {
	c := cursor{root: r}
	defer c.close()
	at, name, err := c.at(path)
	if err == nil {
		err = chmod(at, name, 0o700)
	}
	if err != nil {
		return &os.PathError{Op: "chmod", Path: r.join(path), Err: err}
	}
	return nil
}
