package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const selinuxXattr = "security.selinux"

// Where the kernel tells about SELinux, and about mounts.
var (
	selinuxfs = "/sys/fs/selinux"
	mountinfo = "/proc/self/mountinfo"
)

// secontext is the SELinux context to give: user, role, type and level. Parts that are "" stay as they are.
type secontext struct {
	parts    [4]string
	asked    bool      // a part is not ""
	byDef    bool      // a part is _default
	defaults *defaults // nil where nobody can be asked
}

// newContext returns nil where the host has no SELinux, as Ansible's own modules do.
func newContext(o PlaceOptions) (*secontext, error) {
	if !hasSELinux() {
		return nil, nil
	}
	c := &secontext{parts: [4]string{o.SEUser, o.SERole, o.SEType, o.SELevel}}
	for i, part := range c.parts {
		c.asked = c.asked || part != ""
		c.byDef = c.byDef || part == "_default"
		if i < 3 && strings.ContainsAny(part, ":\x00") {
			return nil, fault(nil, "Option %s is %q, which is no part of an SELinux context", []string{"seuser", "serole", "setype"}[i], part)
		}
	}
	return c, nil
}

// hasSELinux is false in a container too, where selinuxfs is read-only or missing: labels are the host's business there.
func hasSELinux() bool {
	var fs unix.Statfs_t
	return unix.Statfs(filepath.Join(selinuxfs, "enforce"), &fs) == nil && fs.Flags&unix.ST_RDONLY == 0
}

// keepsLabels says whether files of the filesystem at path have labels of their own; those of vfat, or of one that was mounted
// with context=, have not.
func keepsLabels(path string) bool {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return true // it is said by who meets it
	}
	defer unix.Close(fd)
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fd))
	_, id, found := strings.Cut(string(info), "mnt_id:")
	mounts, err2 := os.ReadFile(mountinfo)
	if err != nil || err2 != nil || !found {
		return true
	}
	id, _, _ = strings.Cut(strings.TrimSpace(id), "\n")
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == id {
			return slices.Contains(strings.Split(fields[len(fields)-1], ","), "seclabel")
		}
	}
	return true
}

// checkContext finds out before a download what cannot be: labels on this filesystem, which then are nobody's wish, as Ansible
// has it; _default without someone to ask; a context that the policy does not know, which a privileged user could even set.
func (p *Plan) checkContext() error {
	c, there := p.context, existing(p.Dest)
	if c == nil {
		return nil
	}
	if !keepsLabels(there) {
		p.context = nil
		return nil
	}
	c.defaults = newDefaults(p)
	if c.byDef && c.defaults == nil {
		return fault(nil, "_default takes the program matchpathcon, which is not on this host; install libselinux-utils "+
			"(Debian: selinux-utils), or name the parts of the context")
	}
	if !c.asked {
		return nil
	}
	now, err := readContext(unix.AT_FDCWD, there)
	if err != nil {
		return because(err, "Attributes of %s cannot be read", show(there))
	}
	var mode uint32 = unix.S_IFDIR
	if p.torrent.Single {
		mode = unix.S_IFREG
	}
	want, err := c.of(now, p.Dest, mode)
	if err != nil || want == now {
		return err
	}
	if file, err := os.OpenFile(filepath.Join(selinuxfs, "context"), os.O_WRONLY, 0); err == nil {
		defer file.Close()
		if _, err := file.Write([]byte(want)); errors.Is(err, unix.EINVAL) {
			return invalidContext(err, want, p.Dest)
		}
	}
	return nil
}

func invalidContext(err error, context, path string) error {
	return fault(err, "SELinux context %s for %s is not valid on this host; look at the options seuser, serole, setype and selevel",
		context, show(path))
}

// of is the context that a file should have when it has now, and is to lie at path. A policy without levels has no fourth part.
func (c *secontext) of(now, path string, mode uint32) (string, error) {
	have := strings.SplitN(now, ":", 4)
	if len(have) < 3 {
		return now, nil // it has none
	}
	var def []string
	if c.byDef {
		text, err := c.defaults.of(path, mode)
		if err != nil {
			return "", because(err, "The SELinux policy's context for %s cannot be found out", show(path))
		}
		if text != "" {
			def = strings.SplitN(text, ":", 4)
		}
	}
	for i := range have {
		switch part := c.parts[i]; {
		case part == "_default" && i < len(def):
			have[i] = def[i]
		case part != "" && part != "_default":
			have[i] = part
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

// label gives a staged entry that is to lie at path its context: that of what it replaces or, for a new one, that of the policy, as
// far as no option says something else.
func (c *secontext) label(staged spot, old *spot, path string, mode uint32) error {
	if c == nil {
		return nil
	}
	now, err := readContext(staged.at, staged.name)
	if err != nil {
		return err
	}
	if old != nil {
		kept, err := readContext(old.at, old.name)
		if err != nil {
			return err
		}
		return c.set(staged, now, kept, path, mode)
	}
	if def, err := c.defaults.of(path, mode); err == nil && def != "" {
		err = c.set(staged, now, def, path, mode)
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) {
			return err
		}
		// The policy does not let everybody give its own user part; the kernel's choice is next.
	}
	return c.set(staged, now, now, path, mode)
}

// set gives an entry, whose context is now, the one that the options make of base.
func (c *secontext) set(at spot, now, base, path string, mode uint32) error {
	want, err := c.of(base, path, mode)
	if err != nil || want == "" || want == now {
		return err
	}
	err = writeContext(at.at, at.name, want)
	if errors.Is(err, unix.EINVAL) {
		return invalidContext(err, want, path)
	}
	return err
}
