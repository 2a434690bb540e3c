package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrLeft is the kind of a failure to tidy up that does no other harm: something that nobody needs is left, and the message
// says where.
var ErrLeft = errors.New("something is left behind")

// Warnings are what went wrong beside a deploy that has succeeded, and what was left where, for the user.
func (p *Plan) Warnings() []string { return p.warnings }

// note makes an ErrLeft a warning.
func (p *Plan) note(err error) error {
	if !errors.Is(err, ErrLeft) {
		return err
	}
	p.warn(err)
	return nil
}

func (p *Plan) warn(errs ...error) {
	for _, err := range errs {
		p.warnings = append(p.warnings, err.Error())
	}
}

// discard removes from the staging what nobody needs any more, such as the tree that the one now at base has replaced. What
// cannot be removed, such as another user's directory or an immutable file, is put beside the staging, where it is in no later
// run's way; then the error is ErrLeft.
func (s *staging) discard(name, base string) error {
	err := s.dir.remove(name)
	if err == nil {
		return nil
	}
	left, moved := s.leave(name, base)
	if moved != nil {
		return err
	}
	what := left
	var where *os.PathError
	if errors.As(err, &where) {
		what = filepath.Join(what, strings.TrimPrefix(where.Path, s.dir.join(name)))
	}
	return fault(errors.Join(ErrLeft, err), "The old content of %s is left in %s, for %s cannot be removed (%s); remove it by hand",
		show(s.parent.join(base)), show(left), show(what), reason(err))
}

// leave puts what no later run may touch beside the staging, and says where it is then.
func (s *staging) leave(name, base string) (path string, err error) {
	stat, err := statAt(s.dir.fd(), name)
	if err == nil && stat == nil {
		err = unix.ENOENT
	}
	if err != nil {
		return s.dir.join(name), err
	}
	left := leftName(base, stat.Ino)
	if err := unix.Renameat(s.dir.fd(), name, s.home.fd(), left); err != nil {
		return s.dir.join(name), err
	}
	return s.home.join(left), nil
}

// leftName is free, for the inode is that of what is about to be called so.
func leftName(base string, inode uint64) string {
	const marks = len(".") + len(".murder-left-") + 20
	return "." + base[:min(len(base), maxName-marks)] + ".murder-left-" + strconv.FormatUint(inode, 10)
}

// unseal takes the flags from a release that keep everybody from removing it. Whatever fails shows when it is removed.
func (r *root) unseal(path string) {
	c := cursor{root: r}
	at, name, err := c.at(path)
	if err != nil {
		return
	}
	stat, err := statAt(at, name)
	kind := uint32(0)
	if err == nil && stat != nil {
		kind = stat.Mode & unix.S_IFMT
	}
	if kind == unix.S_IFDIR || kind == unix.S_IFREG {
		_ = (&flagChange{clear: flagsOfClosing}).setFlags(at, name, kind == unix.S_IFDIR, flagsOfClosing)
	}
	c.close()
	if kind != unix.S_IFDIR {
		return
	}
	names, _ := r.names(path)
	for _, name := range names {
		r.unseal(join(path, name))
	}
}
