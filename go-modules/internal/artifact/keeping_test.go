package artifact

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/testarchive"
)

// TestStrangersThatCannotBeKept: the plan knows before a download what the kernel will not let a user link, and only that.
func TestStrangersThatCannotBeKept(t *testing.T) {
	needRoot(t, "make files that belong to someone else")
	if strings.TrimSpace(read(t, "/proc/sys/fs/protected_hardlinks")) != "1" {
		// It is the whole machine's setting, so a test leaves it alone: there is nothing to foresee then, and make test counts it as skipped.
		t.Skip("the kernel lets everybody link every file (fs.protected_hardlinks)")
	}
	top := t.TempDir()
	must(t, os.Chmod(filepath.Dir(top), 0o755))
	torrent, source := build(t, tree{"f": "new", "d/f": "new"}.write(t, top+"/src"))
	for name, c := range map[string]struct {
		is      tree
		mode    fs.FileMode // of the first
		path    string      // that belongs to root
		deletes bool
		kept    bool
	}{
		"a user's own":          {is: tree{"d/x": "x"}, mode: 0o400, kept: true},
		"to read":               {is: tree{"d/x": "x"}, path: "d/x", mode: 0o644},
		"in a stranger's":       {is: tree{"own/deep/x": "x"}, path: "own/deep/x", mode: 0o644},
		"to write":              {is: tree{"d/x": "x"}, path: "d/x", mode: 0o666, kept: true},
		"set-user-ID":           {is: tree{"d/x": "x"}, path: "d/x", mode: 0o777 | fs.ModeSetuid},
		"set-group-ID":          {is: tree{"d/x": "x"}, path: "d/x", mode: 0o777 | fs.ModeSetgid},
		"mandatory lock":        {is: tree{"d/x": "x"}, path: "d/x", mode: 0o666 | fs.ModeSetgid, kept: true},
		"link":                  {is: tree{"d/x": link("../mine"), "mine": "x"}, path: "d/x"},
		"directory":             {is: tree{"own/x": dir(0o777)}, path: "own/x"},
		"the artifact's":        {is: tree{"d/f": "old"}, path: "d/f", mode: 0o644, kept: true},
		"in the way of none":    {is: tree{"d": "old"}, path: "d", mode: 0o644, kept: true},
		"to read, but it goes":  {is: tree{"d/x": "x"}, path: "d/x", mode: 0o644, deletes: true, kept: true},
		"left by a killed run":  {is: tree{"d/.murder-0123abcd": "x"}, path: "d/.murder-0123abcd", mode: 0o644, kept: true},
		"the artifact's folder": {is: tree{"d/x": "x"}, path: "d"},
	} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(top, strings.ReplaceAll(name, " ", "-"))
			dest := c.is.write(t, at+"/dest")
			must(t, filepath.WalkDir(at, func(path string, _ fs.DirEntry, err error) error {
				if path == filepath.Join(dest, c.path) && c.path != "" {
					return err
				}
				return errors.Join(err, os.Lchown(path, 65534, 65534))
			}))
			for path := range c.is {
				if c.mode != 0 {
					must(t, os.Chmod(filepath.Join(dest, path), c.mode))
				}
			}
			asUser(t, func(string) {
				p := plan(t, torrent, PlaceOptions{Dest: dest, Delete: c.deletes})
				before := p.Space()
				transfer(t, torrent, source, p)
				placed := p.Place(t.Context())
				if c.kept {
					must(t, errors.Join(before, placed))
					return
				}
				for _, err := range []error{before, placed} {
					wantError(t, err, dest+"/"+c.path+" cannot be kept in the new tree; move it away and deploy again: operation not permitted")
				}
			})
		})
	}
}

// TestStrangersBesideWhatIsClosed: a directory that its owner cannot list is in nobody's way, whether the old tree has it or not.
func TestStrangersBesideWhatIsClosed(t *testing.T) {
	needRoot(t, "be another user and read what that one cannot")
	top := t.TempDir()
	must(t, os.Chmod(filepath.Dir(top), 0o755))
	src := tree{"d": dir(0o311), "d/f": "new", "fresh": dir(0o311), "fresh/f": "new"}.write(t, top+"/src")
	torrent, source := build(t, src)
	dest := tree{"d/f": "old", "d/x": "x", "stranger": "x"}.write(t, top+"/dest")
	for _, path := range []string{"", "/dest", "/dest/d", "/dest/d/f", "/dest/d/x", "/dest/stranger"} {
		must(t, os.Chown(top+path, 65534, 65534))
	}
	asUser(t, func(string) {
		p := plan(t, torrent, PlaceOptions{Dest: dest})
		transfer(t, torrent, source, p)
		must(t, p.Place(t.Context()))
	})
	for path, want := range map[string]string{"d/f": "new", "d/x": "x", "fresh/f": "new", "stranger": "x"} {
		if got := read(t, dest+"/"+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if modeAt(t, dest+"/d") != "0311" || modeAt(t, dest+"/fresh") != "0311" {
		t.Error("what the artifact closes is open")
	}
}

// TestStrangersInTheWayOfAnArchive: nobody knows beforehand what is in it, but a directory that is not empty has to be kept in any case.
func TestStrangersInTheWayOfAnArchive(t *testing.T) {
	needRoot(t, "make directories that belong to someone else")
	data := testarchive.Tar(t, packed{Name: "theirs", Body: "new", Mode: 0o644})
	for name, is := range map[string]tree{"full": {"theirs/mine": "x"}, "empty": {"theirs": dir(0o755)}, "unreadable": {"theirs": dir(0o700)}} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			must(t, os.Chmod(filepath.Dir(top), 0o755))
			is.write(t, top+"/dest")
			for _, path := range []string{"", "/dest", "/dest/theirs/mine"} {
				must(t, ignoreMissing(os.Chown(top+path, 65534, 65534)))
			}
			asUser(t, func(string) {
				p, err := unpack(t, top, data, PlaceOptions{})
				must(t, err)
				before := plan(t, p.incoming(), PlaceOptions{Dest: p.Dest, Unpack: true}).Space()
				placed := p.Place(t.Context())
				switch name {
				case "empty":
					must(t, errors.Join(before, placed))
				case "full":
					wantError(t, before, top+"/dest/theirs cannot be kept in the new tree; move it away and deploy again: operation not permitted")
				default:
					wantError(t, before, "Destination "+top+"/dest/theirs cannot be read: permission denied")
				}
				if name != "empty" {
					wantError(t, placed, top+"/dest/theirs cannot be kept in the new tree; move it away and deploy again")
				}
			})
		})
	}
}

// TestImmutableStrangers: nobody can link what is immutable or append-only, also where the old tree is only moved, as a backup.
func TestImmutableStrangers(t *testing.T) {
	needFlags(t)
	needRoot(t, "make files immutable")
	for _, flag := range []string{"i", "a"} {
		top := t.TempDir()
		torrent, source := build(t, tree{"f": "new"}.write(t, top+"/src"))
		dest := tree{"f": "old", "d/log": "lines"}.write(t, top+"/dest")
		set := func(text string) {
			change, err := parseFlags(text)
			must(t, err)
			must(t, change.setFlags(unix.AT_FDCWD, dest+"/d/log", false, ^uint32(0)))
		}
		set("+" + flag)
		t.Cleanup(func() { set("-" + flag) }) // or the directory could not be removed
		p := plan(t, torrent, PlaceOptions{Dest: dest, Backup: true})
		want := dest + "/d/log cannot be kept in the new tree; move it away and deploy again: operation not permitted"
		wantError(t, p.Space(), want)
		transfer(t, torrent, source, p)
		wantError(t, p.Place(t.Context()), want)
		must(t, p.Discard())
	}
}

// TestStrangersWithoutHardLinks: where a filesystem has none, others' files are refused before the download, and only they.
func TestStrangersWithoutHardLinks(t *testing.T) {
	torrent, source := build(t, tree{"f": "new", "d/f": "new"}.write(t, t.TempDir()+"/src"))
	for _, reason := range []error{unix.EPERM, unix.EOPNOTSUPP, unix.ENOSYS} {
		cannotLinkAnything(t, reason)
		for name, c := range map[string]struct {
			is      tree
			deletes bool
			refused string
		}{
			"a file":            {is: tree{"f": "old", "d/x": "x"}, refused: "d/x"},
			"a link":            {is: tree{"own/x": link("y")}, refused: "own/x"},
			"it goes":           {is: tree{"d/x": "x"}, deletes: true},
			"a directory":       {is: tree{"own": dir(0o755)}},
			"the artifact's":    {is: tree{"f": "old", "d/f": "old"}},
			"of a killed run's": {is: tree{"d/.murder-0123abcd": "x"}},
			"nothing":           {},
		} {
			top := t.TempDir()
			dest := top + "/dest"
			if c.is != nil {
				c.is.write(t, dest)
			}
			before := listing(t, top)
			p := plan(t, torrent, PlaceOptions{Dest: dest, Delete: c.deletes})
			must(t, p.Space())
			if c.refused != "" {
				_, _, err := p.OpenStaging(t.Context())
				wantError(t, err, dest+"/"+c.refused+" cannot be kept in the new tree, for its filesystem has no hard links", "delete: true")
				after := listing(t, top)
				before["."], after["."] = "", "" // its time
				sameTree(t, after, before)
				continue
			}
			transfer(t, torrent, source, p)
			if err := p.Place(t.Context()); err != nil || read(t, dest+"/d/f") != "new" {
				t.Errorf("%s: %v", name, err)
			}
			noStaging(t, top)
		}
	}
}
