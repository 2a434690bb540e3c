package artifact

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// root is an open directory beneath which files are reached by relative path, never through a symlink.
type root struct {
	dir  *os.File
	path string // for messages
}

func openRoot(path string) (*root, error) {
	// O_PATH takes no permission to read: a file in a directory that cannot be listed can still be used.
	fd, err := openat(unix.AT_FDCWD, path, unix.O_DIRECTORY|unix.O_PATH, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return &root{os.NewFile(uintptr(fd), path), path}, nil
}

func (r *root) fd() int      { return int(r.dir.Fd()) }
func (r *root) Close() error { return r.dir.Close() }

// noOpenat2 is set once the kernel has said that it has no openat2. The seccomp filters of old container runtimes say
// EPERM instead, which may as well be about the file, so that answer is asked for again each time.
var noOpenat2 atomic.Bool

// open opens path ("" is the root itself) as openat(2) does, but fails with ELOOP or ENOTDIR where a symlink is met.
func (r *root) open(path string, flags int, perm uint32) (int, error) {
	if path == "" {
		path = "."
	}
	if !noOpenat2.Load() {
		how := unix.OpenHow{
			Flags:   uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW),
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
		}
		if flags&unix.O_CREAT != 0 {
			how.Mode = uint64(perm)
		}
		for {
			fd, err := unix.Openat2(r.fd(), path, &how)
			switch {
			case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
				continue // EAGAIN: a rename elsewhere made the kernel unsure that it stayed beneath
			case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
				noOpenat2.Store(errors.Is(err, unix.ENOSYS))
			case errors.Is(err, unix.ENAMETOOLONG):
			default:
				return fd, err
			}
			break
		}
	}
	return r.walk(path, flags, perm)
}

// walk opens path one component at a time: for kernels without openat2, and for paths longer than the kernel takes at once.
func (r *root) walk(path string, flags int, perm uint32) (int, error) {
	at := r.fd()
	for {
		name, rest, more := strings.Cut(path, "/")
		how, mode := flags, perm
		if more {
			how, mode = unix.O_PATH|unix.O_DIRECTORY, 0
		}
		fd, err := openat(at, name, how|unix.O_NOFOLLOW, mode)
		if at != r.fd() {
			unix.Close(at)
		}
		if err != nil || !more {
			return fd, err
		}
		at, path = fd, rest
	}
}

func openat(at int, name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, perm)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// file opens a regular file beneath the root. A pipe or device in its place is refused without waiting for it.
func (r *root) file(path string, flags int) (*os.File, os.FileInfo, error) {
	fd, err := r.open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0o600)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: r.join(path), Err: err}
	}
	file := os.NewFile(uintptr(fd), r.join(path))
	stat, err := file.Stat()
	if err == nil && !stat.Mode().IsRegular() {
		err = &os.PathError{Op: "open", Path: r.join(path), Err: errNotRegular}
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, stat, nil
}

var errNotRegular = errors.New("not a regular file")

func (r *root) join(path string) string {
	if path == "" {
		return r.path
	}
	return strings.TrimSuffix(r.path, "/") + "/" + path
}

// mkdirs makes the directory path and those above it beneath the root, 0700. Directories that exist are left as they are.
func (r *root) mkdirs(path string) error {
	if path == "" {
		return nil
	}
	c := cursor{root: r}
	defer c.close()
	at, name, err := c.at(path)
	if errors.Is(err, unix.ENOENT) {
		if err = r.mkdirs(parent(path)); err == nil {
			at, name, err = c.at(path)
		}
	}
	if err == nil {
		err = unix.Mkdirat(at, name, 0o700)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return &os.PathError{Op: "mkdir", Path: r.join(path), Err: err}
	}
	return nil
}

func parent(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '/'))]
}

// cursor reaches one path after the other beneath a root and keeps the last parent directory open, which makes passes
// over many files in order cheap. It is for one goroutine.
type cursor struct {
	root   *root
	dir    string
	opened int // descriptor of dir, valid when dir is not ""
}

// at returns a descriptor of the directory that holds path and path's name in it, for the *at system calls.
// The root itself is "." in itself.
func (c *cursor) at(path string) (int, string, error) {
	if path == "" {
		return c.root.fd(), ".", nil
	}
	dir := parent(path)
	if dir == "" {
		return c.root.fd(), path, nil
	}
	if dir != c.dir {
		c.close()
		fd, err := c.root.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return -1, "", &os.PathError{Op: "open", Path: c.root.join(dir), Err: err}
		}
		c.dir, c.opened = dir, fd
	}
	return c.opened, path[len(dir)+1:], nil
}

// stat is lstat(2) of path.
func (c *cursor) stat(path string) (stat unix.Stat_t, err error) {
	at, name, err := c.at(path)
	if err != nil {
		return stat, err
	}
	if err := unix.Fstatat(at, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return stat, &os.PathError{Op: "lstat", Path: c.root.join(path), Err: err}
	}
	return stat, nil
}

func (c *cursor) close() {
	if c.dir != "" {
		unix.Close(c.opened)
		c.dir = ""
	}
}

// readlink returns the text of a symlink.
func (c *cursor) readlink(path string) (string, error) {
	at, name, err := c.at(path)
	if err != nil {
		return "", err
	}
	text := make([]byte, maxPath+1)
	n, err := unix.Readlinkat(at, name, text)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: c.root.join(path), Err: err}
	}
	return string(text[:n]), nil
}

// sync brings the root's own entries to disk, where the filesystem can and the user may read the directory.
func (r *root) sync() error {
	fd, err := r.open("", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		err = syncDir(fd)
		unix.Close(fd)
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// bare says whether there is nothing in a directory, or no such directory.
func (r *root) bare(path string) bool {
	fd, err := r.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return true
	}
	dir := os.NewFile(uintptr(fd), path)
	defer dir.Close()
	names, _ := dir.Readdirnames(1)
	return len(names) == 0
}

// names lists a directory in byte order.
func (r *root) names(path string) ([]string, error) {
	fd, err := r.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: r.join(path), Err: err}
	}
	dir := os.NewFile(uintptr(fd), r.join(path))
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}
