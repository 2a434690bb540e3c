package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	must(t, err)
	return string(data)
}

func modeAt(t testing.TB, path string) string {
	t.Helper()
	a, err := Describe(path)
	must(t, err)
	return a.Mode
}

func TestModeOfAPlacedFile(t *testing.T) {
	for _, c := range []struct {
		source, before os.FileMode // before 0: nothing is at dest
		option, want   string
	}{
		{0o640, 0, "", "0640"},
		{0o640, 0o600, "", "0600"},
		{0o640, 0o600, "preserve", "0640"},
		{0o640, 0o600, "0444", "0444"},
		{0o640, 0, "u=rwx,o=r", "0744"},
		{0o640, 0o755, "g-x", "0745"},
	} {
		top := t.TempDir()
		tree{"src": "new"}.write(t, top)
		must(t, os.Chmod(top+"/src", c.source))
		if c.before != 0 {
			must(t, os.WriteFile(top+"/dest", []byte("old"), 0o600))
			must(t, os.Chmod(top+"/dest", c.before))
		}
		p := deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", Mode: c.option})
		if got := modeAt(t, top+"/dest"); got != c.want || read(t, top+"/dest") != "new" {
			t.Errorf("%+v: mode is %s", c, got)
		}
		if changed, diff, err := p.Attributes(false); changed || err != nil {
			t.Errorf("%+v: attributes differ at once: %v, %v", c, diff, err)
		}
	}
}

// TestModeOfAPlacedDirectory: the directory at Dest, which others may use too, keeps its mode unless another is asked for; those in it
// have the source's.
func TestModeOfAPlacedDirectory(t *testing.T) {
	for _, c := range []struct {
		before       os.FileMode // 0: nothing is at dest
		option       string
		root, within string
	}{
		{0, "", "0750", "0710"},
		{0o700, "", "0700", "0710"},
		{0o700, "preserve", "0750", "0710"},
		{0o700, "0755", "0755", "0755"},
		{0o700, "g+x", "0710", "0710"},
	} {
		top := t.TempDir()
		tree{"src/d/f": "new"}.write(t, top)
		must(t, os.Chmod(top+"/src", 0o750))
		must(t, os.Chmod(top+"/src/d", 0o710))
		if c.before != 0 {
			tree{"dest/d/f": "old"}.write(t, top)
			must(t, os.Chmod(top+"/dest", c.before))
			must(t, os.Chmod(top+"/dest/d", c.before))
		}
		p := deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", DirectoryMode: c.option})
		if root, within := modeAt(t, top+"/dest"), modeAt(t, top+"/dest/d"); root != c.root || within != c.within {
			t.Errorf("%+v: modes are %s and %s", c, root, within)
		}
		if changed, diff, err := p.Attributes(false); changed || err != nil {
			t.Errorf("%+v: attributes differ at once: %v, %v", c, diff, err)
		}
		if c.option != "preserve" {
			continue
		}
		must(t, os.Chmod(top+"/dest", 0o700))
		if changed, _, err := p.Attributes(true); !changed || err != nil || modeAt(t, top+"/dest") != "0750" {
			t.Errorf("%+v: changed %v, %v, to mode %s", c, changed, err, modeAt(t, top+"/dest"))
		}
	}
}

// TestForeignTorrentsGetUsualModes: without modes of its own a file looks as any new file does.
func TestForeignTorrentsGetUsualModes(t *testing.T) {
	torrent, err := Parse(files(d{"path": []string{"d", "x"}, "length": 0, "attr": "x"}, entryOf("f", 0)))
	must(t, err)
	dest := t.TempDir() + "/dest"
	p := plan(t, torrent, PlaceOptions{Dest: dest, DirectoryMode: "g=rwx"})
	_, resumed, err := p.OpenStaging(t.Context())
	must(t, err)
	if resumed {
		t.Error("resumed from nothing")
	}
	must(t, p.Place(t.Context()))
	for path, want := range map[string]string{"": "0775", "/d": "0775", "/d/x": "0755", "/f": "0644"} {
		if got := modeAt(t, dest+path); got != want {
			t.Errorf("mode of %q is %s, want %s", path, got, want)
		}
	}
}

func TestStrangersStay(t *testing.T) {
	for _, rename := range everyRename {
		top := t.TempDir()
		src := tree{"a": "new", "d/f": "new", "was a link/f": "new", "was a file/f": "new", "was empty": "new", "l": link("a")}.write(t, top+"/src")
		dest := tree{
			"a": "old", "d/stranger": "kept", "d/f": "old", "own/deep/file": "kept", "own/link": link("/nowhere"), "own/none": dir(0o1770),
			"was a link": link("own"), "was a file": "gone", "was empty": dir(0o755), "l": link("gone"), "old release": "kept",
		}.write(t, top+"/dest")
		must(t, unix.Mkfifo(dest+"/pipe", 0o600))
		must(t, os.Chmod(dest, 0o750))
		_ = unix.Setxattr(dest+"/own", "user.murder", []byte("kept"), 0) // where the filesystem can
		strangers := []string{"d/stranger", "own/deep/file", "own/link", "pipe", "old release"}
		inodes := map[string]uint64{}
		for _, path := range strangers {
			inodes[path] = inode(t, filepath.Join(dest, path))
		}
		before := listingOf(t, dest, "own")
		torrent, source := build(t, src)
		p := plan(t, torrent, PlaceOptions{Dest: dest})
		transfer(t, torrent, source, p)
		p.staging.renameat2 = rename
		must(t, p.Place(t.Context()))
		for _, path := range strangers {
			if inode(t, filepath.Join(dest, path)) != inodes[path] {
				t.Errorf("%s is another file now", path)
			}
		}
		sameTree(t, listingOf(t, dest, "own"), before)
		for path, want := range map[string]string{"a": "new", "d/f": "new", "was a link/f": "new", "was a file/f": "new", "was empty": "new", "l": "new"} {
			if got := read(t, filepath.Join(dest, path)); got != want {
				t.Errorf("%s is %q", path, got)
			}
		}
		if got := modeAt(t, dest); got != "0750" {
			t.Errorf("the directory's mode became %s", got)
		}
		value := make([]byte, 10)
		if n, err := unix.Getxattr(dest+"/own", "user.murder", value); string(value[:max(n, 0)]) != "kept" && !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("the extended attribute is %q, %v", value[:max(n, 0)], err)
		}
		noStaging(t, top)
	}
}

func listingOf(t *testing.T, root, path string) map[string]string {
	return listing(t, filepath.Join(root, path))
}

// TestLateStrangersStay: a file that is made in the old tree in the very moment of the switch.
func TestLateStrangersStay(t *testing.T) {
	top := t.TempDir()
	src, dest := tree{"f": "new"}.write(t, top+"/src"), tree{"f": "old"}.write(t, top+"/dest")
	torrent, source := build(t, src)
	p := plan(t, torrent, PlaceOptions{Dest: dest})
	transfer(t, torrent, source, p)
	p.staging.renameat2 = func(fromDir int, from string, toDir int, to string, flags uint) error {
		must(t, os.Mkdir(dest+"/late", 0o700))
		must(t, os.WriteFile(dest+"/late/log", []byte("line"), 0o600))
		return unix.Renameat2(fromDir, from, toDir, to, flags)
	}
	must(t, p.Place(t.Context()))
	if read(t, dest+"/f") != "new" || read(t, dest+"/late/log") != "line" {
		t.Error("lost")
	}
	noStaging(t, top)
}

// TestFailureLeavesTheOld fails every step of the switch; afterwards the old is untouched, and the next try succeeds.
func TestFailureLeavesTheOld(t *testing.T) {
	for name, fail := range map[string]func(p *Plan, dest string) (undo func()){
		"exchange": func(p *Plan, _ string) func() {
			p.staging.renameat2 = func(int, string, int, string, uint) error { return unix.EXDEV }
			return func() { p.staging.renameat2 = unix.Renameat2 }
		},
		"second of two renames": func(p *Plan, dest string) func() {
			p.staging.renameat2 = func(_ int, _ string, _ int, _ string, flags uint) error {
				if flags != 0 {
					return unix.EINVAL
				}
				if _, err := os.Lstat(dest); err == nil {
					t.Error("the old tree is not away yet")
				}
				return unix.EIO
			}
			return func() { p.staging.renameat2 = cannotExchange }
		},
		"a directory comes into the way": func(_ *Plan, dest string) func() {
			must(t, errors.Join(os.Remove(dest+"/f"), os.MkdirAll(dest+"/f/full", 0o755)))
			return func() { must(t, errors.Join(os.RemoveAll(dest+"/f"), os.WriteFile(dest+"/f", []byte("old"), 0o644))) }
		},
		"staged file is cut short": func(p *Plan, _ string) func() {
			path := p.Staging + "/content/f"
			must(t, os.Truncate(path, 1))
			return func() { must(t, os.WriteFile(path, []byte("new"), 0o600)) }
		},
		"staged file is missing": func(p *Plan, _ string) func() {
			must(t, os.Rename(p.Staging+"/content/f", p.Staging+"/content/away"))
			return func() { must(t, os.Rename(p.Staging+"/content/away", p.Staging+"/content/f")) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			src := tree{"f": "new", "l": link("f"), "e/x": ""}.write(t, top+"/src")
			dest := tree{"f": "old", "own/stranger": "kept"}.write(t, top+"/dest")
			torrent, source := build(t, src)
			p := plan(t, torrent, PlaceOptions{Dest: dest})
			transfer(t, torrent, source, p)
			undo := fail(p, dest)
			before, number := listing(t, dest), inode(t, dest)
			err := p.Place(t.Context())
			wantError(t, err, dest)
			sameTree(t, listing(t, dest), before)
			if inode(t, dest) != number {
				t.Error("the directory is another one")
			}
			undo()
			must(t, p.Place(t.Context()))
			if read(t, dest+"/f") != "new" || read(t, dest+"/own/stranger") != "kept" {
				t.Error("the second try did not place it")
			}
			noStaging(t, top)
		})
	}
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	top := t.TempDir()
	tree{"src": "new", "dest": "old"}.write(t, top)
	torrent, source := build(t, top+"/src")
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest"})
	transfer(t, torrent, source, p)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Place(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	must(t, errors.Join(os.Remove(top+"/dest"), os.MkdirAll(top+"/dest/full", 0o755)))
	wantError(t, p.Place(t.Context()), "Destination "+top+"/dest cannot be replaced: ")
	must(t, os.RemoveAll(top+"/dest"))
	must(t, p.Place(t.Context()))
	if read(t, top+"/dest") != "new" {
		t.Error("not placed")
	}
	noStaging(t, top)
}

// TestSeedingGoesOn reads the artifact through the staging's store after it was placed.
func TestSeedingGoesOn(t *testing.T) {
	top := t.TempDir()
	src := manyFiles().write(t, top+"/src")
	for _, path := range []string{src, src + "/d0/e/f0"} {
		torrent, source := build(t, path)
		p := plan(t, torrent, PlaceOptions{Dest: top + "/dest-" + filepath.Base(path)})
		store := transfer(t, torrent, source, p)
		must(t, p.Place(t.Context()))
		ok, err := verifyAll(t.Context(), torrent, store)
		if !ok || err != nil {
			t.Errorf("%s: pieces right: %v, %v", path, ok, err)
		}
		if _, err := store.WriteAt([]byte("x"), torrent.Size-1); err == nil && !torrent.Single {
			t.Error("the store can still be written to")
		}
	}
}

func TestAttributes(t *testing.T) {
	top := t.TempDir()
	src := tree{"bin/run": script("x"), "f": "x", "l": link("f")}.write(t, top+"/src")
	p := deploy(t, src, PlaceOptions{Dest: top + "/dest", DirectoryMode: "0750"})
	must(t, os.Chmod(p.Dest+"/bin/run", 0o600))
	must(t, os.Chmod(p.Dest+"/bin", 0o700))
	for _, apply := range []bool{false, true} {
		changed, diff, err := p.Attributes(apply)
		must(t, err)
		before, after := diff.Before["files"].(map[string]any), diff.After["files"].(map[string]any)
		if !changed || len(before) != 2 || diff.After["path"] != p.Dest ||
			before["bin/run"].(map[string]any)["mode"] != "0600" || after["bin/run"].(map[string]any)["mode"] != "0755" ||
			before["bin"].(map[string]any)["mode"] != "0700" || after["bin"].(map[string]any)["mode"] != "0750" {
			t.Errorf("apply %v: changed %v, %v", apply, changed, diff)
		}
	}
	if changed, diff, err := p.Attributes(true); changed || err != nil || diff.Before != nil {
		t.Errorf("applied, and changed again: %v, %v", diff, err)
	}
	one, _ := build(t, src+"/f")
	file := plan(t, one, PlaceOptions{Dest: p.Dest + "/f", Mode: "u+x"})
	changed, diff, err := file.Attributes(true)
	must(t, err)
	if !changed || diff.Before["mode"] != "0644" || diff.After["mode"] != "0744" || modeAt(t, p.Dest+"/f") != "0744" {
		t.Errorf("changed %v, %v, mode is %s", changed, diff, modeAt(t, p.Dest+"/f"))
	}
}

func TestOwnersOfWhatIsPlaced(t *testing.T) {
	needRoot(t, "give files away")
	top := t.TempDir()
	src := tree{"d/f": "x", "l": link("d"), "new": "x"}.write(t, top+"/src")
	dest := tree{"d/f": "old", "stranger/f": "x"}.write(t, top+"/dest")
	for _, path := range []string{"", "/d", "/d/f", "/stranger", "/stranger/f"} {
		must(t, os.Chown(dest+path, 1111, 2222))
	}
	owners := func(path string) [2]int {
		a, err := Describe(dest + path)
		must(t, err)
		return [2]int{a.UID, a.GID}
	}
	expect := func(want map[string][2]int) {
		t.Helper()
		for path, owner := range want {
			if got := owners(path); got != owner {
				t.Errorf("%q belongs to %v, want %v", path, got, owner)
			}
		}
	}
	old, mine := [2]int{1111, 2222}, [2]int{0, 0}
	deploy(t, src, PlaceOptions{Dest: dest})
	expect(map[string][2]int{"": old, "/d": old, "/d/f": old, "/stranger": old, "/stranger/f": old, "/l": mine, "/new": mine})
	must(t, os.Remove(dest+"/new"))
	p := deploy(t, src, PlaceOptions{Dest: dest, Owner: "3333"})
	expect(map[string][2]int{"": {3333, 2222}, "/d/f": {3333, 2222}, "/stranger": old, "/l": {3333, 0}, "/new": {3333, 0}})
	p = plan(t, p.torrent, PlaceOptions{Dest: dest, Owner: "root", Group: "4444"})
	changed, diff, err := p.Attributes(true)
	must(t, err)
	if !changed || diff.After["files"].(map[string]any)["d/f"].(map[string]any)["owner"] != "root" {
		t.Errorf("changed %v, %v", changed, diff)
	}
	expect(map[string][2]int{"": {0, 4444}, "/d": {0, 4444}, "/d/f": {0, 4444}, "/l": {0, 4444}, "/stranger": old})
}

// TestPlacingAsAUser does all of it without root's powers, with directories that their owner has closed.
func TestPlacingAsAUser(t *testing.T) {
	asUser(t, func(top string) {
		src := tree{"closed/f": "new", "closed": dir(0o555), "f": "new"}.write(t, top+"/src")
		must(t, os.Chmod(src, 0o555))
		deploy(t, src, PlaceOptions{Dest: top + "/dest"})
		sameTree(t, listing(t, top+"/dest"), listing(t, src))
		must(t, os.Chmod(top+"/dest", 0o755))
		deploy(t, src, PlaceOptions{Dest: top + "/dest"}) // over an old tree that has closed directories
		noStaging(t, top)
		reopen(t, top)
	})
}
