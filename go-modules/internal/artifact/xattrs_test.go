package artifact

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// aclFor lets user 33 do what the bits say, and the mask is rwx.
func aclFor(bits uint16) string {
	const owner, user, group, mask, other, nobody = 1, 2, 4, 16, 32, 1<<32 - 1
	acl := binary.LittleEndian.AppendUint32(nil, 2) // version
	for _, e := range []struct {
		tag, bits uint16
		id        uint32
	}{{owner, 7, nobody}, {user, bits, 33}, {group, 5, nobody}, {mask, 7, nobody}, {other, 5, nobody}} {
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.bits)
		acl = binary.LittleEndian.AppendUint32(acl, e.id)
	}
	return string(acl)
}

// needXattrs skips a test where the filesystem cannot have these attributes. There is nothing to keep on such a one, and make test
// counts the test as skipped.
func needXattrs(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		err := unix.Setxattr(t.TempDir(), name, []byte(aclFor(7)), 0)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("the temporary directory's filesystem has no " + name)
		}
		must(t, err)
	}
}

// xattrAt reads an attribute, "" for none.
func xattrAt(t *testing.T, path, name string) string {
	t.Helper()
	value := make([]byte, 1000)
	n, err := unix.Getxattr(path, name, value)
	if errors.Is(err, unix.ENODATA) {
		return ""
	}
	must(t, err)
	return string(value[:n])
}

// TestDirectoriesKeepTheirXattrs: the one at Dest and those of the artifact, as if they were still the same directories.
func TestDirectoriesKeepTheirXattrs(t *testing.T) {
	has := map[string]string{acls[0]: aclFor(7), acls[1]: aclFor(5), "user.murder": "kept"}
	needXattrs(t, acls[0], acls[1], "user.murder")
	for _, o := range []PlaceOptions{{}, {Delete: true}, {Backup: true}} {
		asUser(t, func(top string) {
			src := tree{"d/f": "new", "new/f": "new", "was a file/f": "new"}.write(t, top+"/src")
			must(t, os.Chmod(src+"/d", 0o775)) // the mask of the ACL is a part of the mode
			o.Dest = tree{"d/f": "old", "was a file": "old"}.write(t, top+"/dest")
			for _, path := range []string{o.Dest, o.Dest + "/d"} {
				for name, value := range has {
					must(t, unix.Setxattr(path, name, []byte(value), 0))
				}
			}
			p := deploy(t, src, o)
			for path, kept := range map[string]bool{"": true, "/d": true, "/new": false, "/was a file": false} {
				for name, value := range has {
					if got := xattrAt(t, p.Dest+path, name); got != map[bool]string{true: value}[kept] {
						t.Errorf("%+v: %s of %q is %q", o, name, path, got)
					}
				}
			}
			if root, d := modeAt(t, p.Dest), modeAt(t, p.Dest+"/d"); root != "0775" || d != "0775" {
				t.Errorf("the modes are %s and %s", root, d)
			}
			if changed, diff, err := p.Attributes(false); changed || err != nil {
				t.Errorf("attributes differ at once: %v, %v", diff, err)
			}
		})
	}
}

// TestDirectoriesGetNoACLsFromAbove: the directory above hands its default ACL on to what is made in it, not to what was there
// before.
func TestDirectoriesGetNoACLsFromAbove(t *testing.T) {
	needXattrs(t, acls[1])
	top := t.TempDir()
	src := tree{"d/f": "new", "new/f": "new"}.write(t, top+"/src")
	dest := tree{"d/f": "old", "own/f": "x"}.write(t, top+"/dest")
	must(t, unix.Setxattr(top, acls[1], []byte(aclFor(7)), 0))
	deploy(t, src, PlaceOptions{Dest: dest})
	for _, path := range []string{"", "/d", "/own"} {
		for _, name := range acls {
			if got := xattrAt(t, dest+path, name); got != "" {
				t.Errorf("%s of %q is %q", name, path, got)
			}
		}
	}
}
