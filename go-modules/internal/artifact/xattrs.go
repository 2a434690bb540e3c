package artifact

import (
	"strings"

	"golang.org/x/sys/unix"
)

// acls are the names of what a directory may hand on to those that are made in it.
var acls = []string{"system.posix_acl_access", "system.posix_acl_default"}

// copyDirectoryXattrs gives a directory the extended attributes of another, and its ACLs instead of those that it has got from
// the directory above, as far as this user may. Nothing happens where one of the two is no directory.
func copyDirectoryXattrs(from, to *root, path string) {
	source, err := from.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer unix.Close(source)
	target, err := to.open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return
	}
	defer unix.Close(target)
	for _, name := range acls {
		_ = unix.Fremovexattr(target, name)
	}
	copyXattrs(source, target)
}

// copyXattrs copies extended attributes, ACLs among them, between open files, as far as this user may.
func copyXattrs(source, target int) {
	if n, err := unix.Flistxattr(source, nil); err != nil || n == 0 {
		return
	}
	names := make([]byte, 64<<10) // the most that the kernel lists
	n, err := unix.Flistxattr(source, names)
	if err != nil {
		return
	}
	value := make([]byte, 64<<10) // the most that one can hold
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if n, err := unix.Fgetxattr(source, name, value); err == nil {
			_ = unix.Fsetxattr(target, name, value[:n], 0)
		}
	}
}
