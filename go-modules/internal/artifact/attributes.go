package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Attributes are what Ansible's file modules return about a path.
type Attributes struct {
	Owner, Group string
	Mode         string // four octal digits
	UID, GID     int
	Size         int64
	Context      []string // SELinux: user, role, type, level; nil without
}

// Describe reads the attributes of what is at path.
func Describe(path string) (Attributes, error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return Attributes{}, because(err, "Destination %s cannot be read", show(path))
	}
	sys := stat.Sys().(*syscall.Stat_t)
	a := Attributes{
		Owner: userName(int(sys.Uid)), Group: groupName(int(sys.Gid)), Mode: octal(sys.Mode & 0o7777),
		UID: int(sys.Uid), GID: int(sys.Gid), Size: stat.Size(),
	}
	if c, err := newContext(PlaceOptions{}); err == nil && c != nil {
		if context, err := readContext(unix.AT_FDCWD, path); err == nil && context != "" {
			a.Context = strings.SplitN(context, ":", 4)
		}
	}
	return a, nil
}

func octal(mode uint32) string { return fmt.Sprintf("%04o", mode) }

// Diff is what Ansible shows with --diff: attributes that differ, never content. Before and After have the same keys: path,
// and mode, owner or group for a file; for a tree files, a map of such maps by path, and more, the number of
// entries beyond the first hundred.
type Diff struct {
	Before map[string]any `json:"before"`
	After  map[string]any `json:"after"`
}

const mostInDiff = 100

// differences collects a Diff.
type differences struct {
	count         int
	lenient       bool           // what is not there yet is no error
	before, after map[string]any // by path
}

func (d *differences) add(path string, before, after map[string]any) {
	if was, twice := d.before[path].(map[string]any); twice {
		maps.Copy(was, before)
		maps.Copy(d.after[path].(map[string]any), after)
		return
	}
	if d.count++; d.count <= mostInDiff {
		d.before[path], d.after[path] = before, after
	}
}

func (d *differences) diff(p *Plan) Diff {
	if d.count == 0 {
		return Diff{}
	}
	out := Diff{Before: map[string]any{}, After: map[string]any{}}
	if p.torrent.Single {
		out.Before, out.After = d.before[p.Dest].(map[string]any), d.after[p.Dest].(map[string]any)
	} else {
		out.Before["files"], out.After["files"] = d.before, d.after
		if more := d.count - mostInDiff; more > 0 {
			out.Before["more"], out.After["more"] = more, more
		}
	}
	out.Before["path"], out.After["path"] = p.Dest, p.Dest
	return out
}

// Attributes compares mode, owner and group of what is at Dest with the options and, in a tree, the modes that the torrent
// carries, and changes them when apply says so. It is for an artifact that is Complete.
func (p *Plan) Attributes(apply bool) (changed bool, diff Diff, err error) {
	if p.settled {
		return false, Diff{}, nil
	}
	return p.compareAttributes(apply, false)
}

// compareAttributes is Attributes; lenient, it passes over what is not there.
func (p *Plan) compareAttributes(apply, lenient bool) (changed bool, diff Diff, err error) {
	top := p.Dest
	if p.torrent.Single {
		top = p.dir
	}
	dest, err := openRoot(top)
	if err != nil {
		return false, Diff{}, because(err, "Destination %s cannot be read", show(p.Dest))
	}
	defer dest.Close()
	c := &cursor{root: dest}
	defer c.close()
	d := &differences{before: map[string]any{}, after: map[string]any{}, lenient: lenient}
	if p.torrent.Single {
		meta := p.torrent.Files[0].Meta
		meta.HasMode = meta.HasMode && p.preserve
		err = p.adjust(c, p.base, p.Dest, meta, apply, d)
	} else {
		err = p.adjustTree(c, apply, d)
	}
	return d.count > 0, d.diff(p), err
}

func (p *Plan) adjustTree(c *cursor, apply bool, d *differences) error {
	if err := p.adjust(c, "", ".", p.rootMeta(), apply, d); err != nil {
		return err
	}
	for i := range p.torrent.Dirs {
		dir := &p.torrent.Dirs[i]
		if err := p.adjust(c, dir.Path, dir.Path, dir.Meta, apply, d); err != nil {
			return err
		}
	}
	for i := range p.torrent.Files {
		file := &p.torrent.Files[i]
		if file.Pad() {
			continue
		}
		if err := p.adjust(c, file.Path, file.Path, file.Meta, apply, d); err != nil {
			return err
		}
	}
	return p.relink(c, apply, d)
}

// rootMeta is what the torrent says of the directory at Dest, as far as it counts for one that is there already: others may use it too, so
// its mode stays, unless directory_mode is preserve.
func (p *Plan) rootMeta() Meta {
	if p.asked.DirectoryMode == "preserve" {
		return p.torrent.Root.Meta
	}
	return Meta{}
}

// adjust compares one file or directory, called label in the diff, with what is asked for.
func (p *Plan) adjust(c *cursor, path, label string, meta Meta, apply bool, d *differences) error {
	stat, err := c.stat(path)
	if d.lenient && ignoreMissing(err) == nil && err != nil {
		return nil
	}
	if err != nil {
		return because(err, "Destination %s cannot be read", show(c.root.join(path)))
	}
	mode := p.modeFor(&stat, meta)
	before, after := map[string]any{}, map[string]any{}
	if mode != stat.Mode&0o7777 {
		before["mode"], after["mode"] = octal(stat.Mode&0o7777), octal(mode)
	}
	want := p.owner(meta)
	if want.uid != keep && want.uid != int(stat.Uid) {
		before["owner"], after["owner"] = userName(int(stat.Uid)), userName(want.uid)
	}
	if want.gid != keep && want.gid != int(stat.Gid) {
		before["group"], after["group"] = groupName(int(stat.Gid)), groupName(want.gid)
	}
	at, name, err := c.at(path)
	if err != nil {
		return because(err, "Destination %s cannot be read", show(c.root.join(path)))
	}
	trim, err := p.trim(spot{at, name}, &stat, c.root.join(path), before, after)
	if err != nil {
		return because(err, "Attributes of %s cannot be read", show(c.root.join(path)))
	}
	if len(after) == 0 {
		return nil
	}
	d.add(label, before, after)
	if !apply {
		return nil
	}
	if err = trim.open(); err == nil {
		err = dress(at, name, &stat, look{mode: mode, asked: want, kept: nobody})
	}
	if err == nil {
		err = trim.apply()
	}
	if err != nil {
		return because(err, "Attributes of %s cannot be changed", show(c.root.join(path)))
	}
	return nil
}

// modeFor is the permission bits that an entry shall have.
func (p *Plan) modeFor(stat *unix.Stat_t, meta Meta) uint32 {
	dir := stat.Mode&unix.S_IFMT == unix.S_IFDIR
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return stat.Mode & 0o7777 // links have none of their own
	}
	if option := p.option(dir); option != nil {
		return option(stat.Mode&0o7777, dir)
	}
	if meta.HasMode {
		return uint32(meta.Mode)
	}
	return stat.Mode & 0o7777
}

func (p *Plan) option(dir bool) modeOf {
	if dir {
		return p.dirMode
	}
	return p.mode
}

// owner is a user and a group, each of which may be keep.
type owner struct{ uid, gid int }

var nobody = owner{keep, keep}

func (o owner) differs(stat *unix.Stat_t) bool {
	return o.uid != keep && o.uid != int(stat.Uid) || o.gid != keep && o.gid != int(stat.Gid)
}

// owner is who shall own an entry: whom the options name, else whom an archive names.
func (p *Plan) owner(meta Meta) owner {
	want := owner{p.uid, p.gid}
	if meta.owner != nil && want.uid == keep {
		want.uid = meta.owner.uid
	}
	if meta.owner != nil && want.gid == keep {
		want.gid = meta.owner.gid
	}
	return want
}

// look is how a file or directory is to look.
type look struct {
	mode    uint32
	asked   owner         // by an option, so that failing to set it is an error
	kept    owner         // of what was there before: as far as this user may
	mtime   unix.Timespec // with hasTime
	hasTime bool
}

// worn says whether a file or symlink whose attributes are now has this look.
func (l *look) worn(now *unix.Stat_t) bool {
	return !l.kept.differs(now) && !l.asked.differs(now) && (!l.hasTime || now.Mtim == l.mtime) &&
		(now.Mode&unix.S_IFMT == unix.S_IFLNK || now.Mode&0o7777 == l.mode)
}

// dress gives the file called name, whose attributes are now, its look. Links have no mode.
func dress(at int, name string, now *unix.Stat_t, want look) error {
	chowned := false
	for _, o := range []owner{want.kept, want.asked} {
		if !o.differs(now) {
			continue
		}
		if err := chown(at, name, o, o == want.asked); err != nil {
			return fmt.Errorf("change owner: %w", err)
		}
		chowned = true
	}
	// chown(2) clears set-id bits, so the mode is set after it in any case.
	if now.Mode&unix.S_IFMT != unix.S_IFLNK && (chowned || now.Mode&0o7777 != want.mode) {
		if err := chmod(at, name, want.mode); err != nil {
			return fmt.Errorf("change mode: %w", err)
		}
	}
	if want.hasTime && now.Mtim != want.mtime {
		return want.setTime(at, name)
	}
	return nil
}

func (l *look) setTime(at int, name string) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, l.mtime}
	if err := unix.UtimesNanoAt(at, name, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("change modification time: %w", err)
	}
	return nil
}

// chmod changes permission bits and never follows a symlink.
func chmod(at int, name string, mode uint32) error {
	err := unix.Fchmodat(at, name, mode, unix.AT_SYMLINK_NOFOLLOW)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EPERM) {
		return err
	}
	// Before Linux 6.6 the kernel could not; there the open file is addressed through /proc.
	fd, err := openat(at, name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return err
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return unix.ELOOP
	}
	err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
	if errors.Is(err, fs.ErrNotExist) {
		return unix.EOPNOTSUPP // no /proc
	}
	return err
}
