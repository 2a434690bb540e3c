package artifact

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// File flags that chattr(1) sets, by its letters, in the order in which lsattr(1) shows them.
var flagLetters = []struct {
	letter    byte
	bit       uint32
	directory bool // of directories only
}{
	{'s', 0x1, false}, {'u', 0x2, false}, {'S', 0x8, false}, {'D', 0x10000, true}, {'i', flagImmutable, false},
	{'a', flagAppend, false}, {'d', 0x40, false}, {'A', 0x80, false}, {'c', 0x4, false}, {'j', 0x4000, false},
	{'t', 0x8000, false}, {'T', 0x20000, true}, {'e', flagExtents, false}, {'C', 0x800000, false},
	{'x', 0x2000000, false}, {'F', 0x40000000, true}, {'m', 0x400, false}, {'P', 0x20000000, true},
}

const (
	flagImmutable = 0x10
	flagAppend    = 0x20
	flagExtents   = 0x80000

	// flagsOfClosing are those that keep a file from being written to, renamed or removed.
	flagsOfClosing = flagImmutable | flagAppend
)

// flagChange is a parsed option attributes: the flags to set and to clear.
type flagChange struct{ set, clear uint32 }

// parseFlags understands chattr's +, - and =, which may be left out; nil for "".
func parseFlags(text string) (*flagChange, error) {
	if text == "" {
		return nil, nil
	}
	op, letters := byte('='), text
	if strings.IndexByte("+-=", text[0]) >= 0 {
		op, letters = text[0], text[1:]
	}
	var bits, all uint32
	for _, known := range flagLetters {
		if known.bit != flagExtents {
			all |= known.bit
		}
		if strings.IndexByte(letters, known.letter) >= 0 {
			bits |= known.bit
			letters = strings.ReplaceAll(letters, string(known.letter), "")
		}
	}
	if letters != "" || bits == 0 && op != '=' {
		return nil, fault(nil, "Option attributes is %q, which chattr(1) would not take; write letters of aAcCdDijmPsStTuxFe with +, - or = before them", text)
	}
	switch op {
	case '+':
		return &flagChange{set: bits}, nil
	case '-':
		return &flagChange{clear: bits}, nil
	}
	// How a filesystem lays out a file (extents) is not touched unless it is asked for.
	return &flagChange{set: bits, clear: all &^ bits}, nil
}

func (f *flagChange) apply(flags uint32, dir bool) uint32 {
	flags = flags&^f.clear | f.set
	for _, known := range flagLetters {
		if known.directory && !dir {
			flags &^= known.bit & f.set
		}
	}
	return flags
}

// showFlags writes flags as lsattr(1) does, without the dashes.
func showFlags(flags uint32) string {
	var text strings.Builder
	for _, known := range flagLetters {
		if flags&known.bit != 0 {
			text.WriteByte(known.letter)
		}
	}
	return text.String()
}

// openFlags opens a file or directory for its flags to be read or changed.
func openFlags(at int, name string) (int, error) {
	return openat(at, name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_NOFOLLOW, 0)
}

func readFlags(fd int) (uint32, error) {
	value, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	return uint32(value), err
}

// setFlags changes the flags of a file or directory, those in mask only, and says whether it had to.
func (f *flagChange) setFlags(at int, name string, dir bool, mask uint32) error {
	fd, err := openFlags(at, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	now, err := readFlags(fd)
	if err != nil {
		return err
	}
	want := now&^mask | f.apply(now, dir)&mask
	if want == now {
		return nil
	}
	return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(int32(want)))
}

// flagsOf reads the flags of a file or directory; 0 where there are none.
func flagsOf(at int, name string) (uint32, error) {
	fd, err := openFlags(at, name)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return readFlags(fd)
}

// checkFlags refuses the option attributes where it cannot be followed.
func (p *Plan) checkFlags() error {
	if p.flags == nil {
		return nil
	}
	_, err := flagsOf(unix.AT_FDCWD, existing(p.dir))
	switch {
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EOPNOTSUPP):
		return fault(err, "Option attributes cannot be followed: the filesystem of %s has no such attributes", show(p.Dest))
	case errors.Is(err, unix.EACCES): // a directory that cannot be listed
		return nil
	case err != nil:
		return because(err, "The attributes of %s cannot be read", show(p.dir))
	}
	if p.flags.set&flagsOfClosing != 0 && !capable(unix.CAP_LINUX_IMMUTABLE) {
		return fault(unix.EPERM, "Option attributes is %q, but the attributes a and i take root's powers; run with become", p.asked.Attributes)
	}
	return nil
}

// immutable says why a destination cannot be replaced although its directory can be written to.
func immutable(path string) error {
	flags, err := flagsOf(unix.AT_FDCWD, path)
	if err != nil || flags&flagsOfClosing == 0 {
		return nil
	}
	return fault(unix.EPERM, "Destination %s has the attribute %s and cannot be replaced; take that from it first (chattr -R -ia %s)",
		show(path), showFlags(flags&flagsOfClosing), show(path))
}

// closeFlags sets the flags that can be set only when all else is done, on an artifact that is in place beneath top, and brings
// them to disk.
func (p *Plan) closeFlags(top *root) error {
	if p.flags == nil || p.flags.set&flagsOfClosing == 0 {
		return nil
	}
	c := cursor{root: top}
	defer c.close()
	err := p.entries(func(path string, dir bool) error {
		at, name, err := c.at(path)
		if err == nil {
			err = p.flags.setFlags(at, name, dir, flagsOfClosing)
		}
		if err != nil {
			return because(err, "%s is in place, but its attributes cannot be set", show(top.join(path)))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.torrent.Single {
		var file *os.File
		if file, _, err = top.file(p.base, unix.O_RDONLY); err == nil {
			err = errors.Join(syncFile(file), file.Close())
		}
	} else {
		err = syncTree(top.fd())
	}
	if err != nil {
		return p.writeError(err)
	}
	return nil
}

// entries calls visit for what of the artifact has flags: files, then directories, children first. Paths are beneath the
// tree, or for a single file its name in its directory.
func (p *Plan) entries(visit func(path string, dir bool) error) error {
	if p.torrent.Single {
		return visit(p.base, false)
	}
	for i := range p.torrent.Files {
		if file := &p.torrent.Files[i]; file.regular() {
			if err := visit(file.Path, false); err != nil {
				return err
			}
		}
	}
	for i := len(p.torrent.Dirs) - 1; i >= 0; i-- {
		if err := visit(p.torrent.Dirs[i].Path, true); err != nil {
			return err
		}
	}
	return visit("", true)
}
