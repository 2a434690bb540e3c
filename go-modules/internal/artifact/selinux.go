package artifact

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const selinuxXattr = "security.selinux"

// selinuxfs is where the kernel tells about SELinux.
var selinuxfs = "/sys/fs/selinux"

// secontext is the SELinux context to give: user, role, type and level. Parts that are "" stay as they are.
type secontext struct {
	parts [4]string
	byDef bool // a part is _default
}

// newContext returns nil where the host has no SELinux, as Ansible's own modules do.
func newContext(o PlaceOptions) (*secontext, error) {
	if _, err := os.Stat(filepath.Join(selinuxfs, "enforce")); err != nil {
		return nil, nil
	}
	c := &secontext{parts: [4]string{o.SEUser, o.SERole, o.SEType, o.SELevel}}
	for i, part := range c.parts {
		c.byDef = c.byDef || part == "_default"
		if i < 3 && strings.ContainsAny(part, ":\x00") {
			return nil, fault(nil, "Option %s is %q, which is no part of an SELinux context", []string{"seuser", "serole", "setype"}[i], part)
		}
	}
	if c.byDef {
		if _, err := exec.LookPath("matchpathcon"); err != nil {
			return nil, fault(err, "_default takes the program matchpathcon, which is not on this host; install libselinux-utils, or name the parts of the context")
		}
	}
	return c, nil
}

// of is the context that a file should have when it has now, and is to lie at path.
func (c *secontext) of(now, path string) (string, error) {
	have := strings.SplitN(now, ":", 4)
	if len(have) < 3 {
		return now, nil // it has none
	}
	var def []string
	if c.byDef {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, "matchpathcon", "-n", path).Output()
		if err != nil {
			return "", because(err, "The SELinux policy's context for %s cannot be found out", show(path))
		}
		def = strings.SplitN(string(bytes.TrimSpace(out)), ":", 4)
	}
	for i, part := range c.parts {
		if part == "_default" {
			if part = ""; i < len(def) {
				part = def[i]
			}
		}
		switch {
		case part == "":
		case i < len(have):
			have[i] = part
		default:
			have = append(have, part)
		}
	}
	return strings.Join(have, ":"), nil
}

// procPath is a path to a file for calls that have no *at form; done must be called.
func procPath(at int, name string) (path string, done func(), err error) {
	fd, err := openat(at, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/fd/" + strconv.Itoa(fd), func() { unix.Close(fd) }, nil
}

// readContext is "" for a file without one.
func readContext(at int, name string) (string, error) {
	path, done, err := procPath(at, name)
	if err != nil {
		return "", err
	}
	defer done()
	value := make([]byte, 4096)
	n, err := unix.Getxattr(path, selinuxXattr, value)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", nil
	}
	return strings.TrimRight(string(value[:max(n, 0)]), "\x00"), err
}

func writeContext(at int, name, value string) error {
	path, done, err := procPath(at, name)
	if err != nil {
		return err
	}
	defer done()
	return unix.Setxattr(path, selinuxXattr, []byte(value), 0)
}

// spot is a file as the *at system calls name it.
type spot struct {
	at   int
	name string
}

// label gives a staged file that is to lie at path its context: that of what it replaces, if anything, as far as no
// option says something else.
func (c *secontext) label(staged spot, old *spot, path string) error {
	if c == nil {
		return nil
	}
	now, err := readContext(staged.at, staged.name)
	if err != nil {
		return err
	}
	kept := now
	if old != nil {
		if kept, err = readContext(old.at, old.name); err != nil {
			return err
		}
	}
	want, err := c.of(kept, path)
	if err != nil || want == "" || want == now {
		return err
	}
	err = writeContext(staged.at, staged.name, want)
	if errors.Is(err, unix.EINVAL) {
		return fault(err, "SELinux context %s for %s is not valid on this host; look at the options seuser, serole, setype and selevel", want, show(path))
	}
	return err
}
