package artifact

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/archive"
	"corvus.murder/internal/testarchive"
)

type packed = testarchive.Entry

// unpack brings an archive into the staging of a plan and unpacks it there.
func unpack(t *testing.T, top string, data []byte, o PlaceOptions) (*Plan, error) {
	t.Helper()
	must(t, os.WriteFile(top+"/app.tar", data, 0o644))
	torrent, source := build(t, top+"/app.tar")
	if o.Dest == "" {
		o.Dest = top + "/dest"
	}
	o.Unpack, o.StateDir = true, top+"/state"
	p := plan(t, torrent, o)
	store := transfer(t, torrent, source, p)
	return p, p.Unpack(t.Context(), store)
}

// unpacked unpacks and places, and demands that a second run finds all in place.
func unpacked(t *testing.T, top string, data []byte, o PlaceOptions) {
	t.Helper()
	p, err := unpack(t, top, data, o)
	must(t, err)
	must(t, p.Place(t.Context()))
	must(t, p.Remember())
	if o.Dest == "" {
		o.Dest = top + "/dest"
	}
	o.Unpack, o.StateDir = true, top+"/state"
	again := plan(t, p.incoming(), o)
	complete, err := again.Complete(t.Context())
	if err != nil || !complete {
		t.Errorf("not complete at once: %v", err)
	}
	if changed, diff, err := again.Attributes(false); changed || err != nil {
		t.Errorf("attributes differ at once: %v, %v", diff, err)
	}
	noStaging(t, top)
}

func TestUnpackLinksAndRepeats(t *testing.T) {
	top := t.TempDir()
	unpacked(t, top, testarchive.Tar(t,
		packed{Name: "a", Body: "first", Mode: 0o644}, packed{Name: "b", Type: tar.TypeLink, Link: "a", Mode: 0o600},
		packed{Name: "c", Body: "again", Mode: 0o644}, packed{Name: "d", Type: tar.TypeLink, Link: "c"}, packed{Name: "c", Body: "and again", Mode: 0o600},
		packed{Name: "s", Type: tar.TypeSymlink, Link: "/etc/passwd"}, packed{Name: "t", Type: tar.TypeLink, Link: "s"}, packed{Name: "s", Body: "mine", Mode: 0o600},
		packed{Name: "e/", Mode: 0o700}, packed{Name: "e/f", Mode: 0o644}, packed{Name: "e/", Mode: 0o500}), PlaceOptions{})
	dest := top + "/dest/"
	reopen(t, dest)
	for name, want := range map[string]string{"a": "first", "b": "first", "c": "and again", "d": "again", "s": "mine", "e/f": ""} {
		if got := read(t, dest+name); got != want {
			t.Errorf("%s holds %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"b": "0644", "c": "0600", "d": "0644", "e": "0500"} {
		if got := modeAt(t, dest+name); got != want {
			t.Errorf("mode of %s is %s, want %s", name, got, want)
		}
	}
	if inode(t, dest+"a") != inode(t, dest+"b") || inode(t, dest+"c") == inode(t, dest+"d") {
		t.Error("what is linked to what is wrong")
	}
	if target, err := os.Readlink(dest + "t"); err != nil || target != "/etc/passwd" {
		t.Errorf("t is %q, %v", target, err)
	}
}

// TestUnpackPermissions: as tar and unzip do it, root gets everything from a tar archive, set-user-ID and owners among it, others
// what their umask leaves.
func TestUnpackPermissions(t *testing.T) {
	entries := []packed{
		{Name: "suid", Mode: 0o6755, Body: "x", UID: 1234, GID: 2345}, {Name: "open", Mode: 0o666, User: "daemon", UID: 77},
		{Name: "nameless", Mode: 0o644, User: "no such user here", UID: 4321}, {Name: "drop/", Mode: 0o1777},
	}
	owner := func(path string) string {
		a, err := Describe(path)
		must(t, err)
		return fmt.Sprintf("%s %d %d", a.Mode, a.UID, a.GID)
	}
	check := func(t *testing.T, dest string, want map[string]string) {
		t.Helper()
		for name, want := range want {
			if got := owner(dest + "/" + name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	}
	asUser(t, func(top string) {
		unpacked(t, top, testarchive.Tar(t, entries...), PlaceOptions{})
		me := fmt.Sprintf(" %d %d", os.Geteuid(), os.Getegid())
		check(t, top+"/dest", map[string]string{"suid": "0755" + me, "open": "0644" + me, "nameless": "0644" + me, "drop": "0755" + me})
	})
	t.Run("root's", func(t *testing.T) {
		needRoot(t, "give files away")
		top := t.TempDir()
		unpacked(t, top, testarchive.Tar(t, entries...), PlaceOptions{})
		check(t, top+"/dest", map[string]string{"suid": "6755 1234 2345", "open": "0666 1 0", "nameless": "0644 4321 0", "drop": "1777 0 0"})
		unpacked(t, top, testarchive.Tar(t, entries...), PlaceOptions{Owner: "12", Mode: "u=rwX,go=rX"})
		check(t, top+"/dest", map[string]string{"suid": "0755 12 2345", "open": "0644 12 0", "nameless": "0644 12 0"})
		top = t.TempDir()
		unpacked(t, top, testarchive.Zip(t, entries...), PlaceOptions{})
		check(t, top+"/dest", map[string]string{"suid": "0755 0 0", "open": "0666 0 0"})
	})
}

func TestUnpackDevices(t *testing.T) {
	pipe := packed{Name: "pipe", Type: tar.TypeFifo, Mode: 0o640}
	_, err := unpack(t, t.TempDir(), testarchive.Tar(t, pipe), PlaceOptions{})
	wantError(t, err, `Archive app.tar holds the named pipe "pipe"; set unpack_devices`)
	made := func(t *testing.T, entries ...packed) {
		top := t.TempDir()
		unpacked(t, top, testarchive.Tar(t, entries...), PlaceOptions{UnpackDevices: true})
		for _, e := range entries {
			stat, err := os.Lstat(top + "/dest/" + e.Name)
			must(t, err)
			sys := stat.Sys().(*syscall.Stat_t)
			if int64(unix.Major(sys.Rdev)) != e.Major || int64(unix.Minor(sys.Rdev)) != e.Minor || stat.Mode().IsRegular() ||
				int64(stat.Mode().Perm()) != e.Mode {
				t.Errorf("%s is %v, device %x", e.Name, stat.Mode(), sys.Rdev)
			}
		}
	}
	made(t, pipe)
	t.Run("nodes", func(t *testing.T) {
		needRoot(t, "make device nodes")
		made(t, pipe, packed{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3, Mode: 0o666},
			packed{Name: "disk", Type: tar.TypeBlock, Major: 259, Minor: 300, Mode: 0o600})
	})
	asUser(t, func(top string) {
		_, err := unpack(t, top, testarchive.Tar(t, packed{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3}), PlaceOptions{UnpackDevices: true})
		wantError(t, err, `The character device "null" of archive app.tar cannot be made by user`, "run with become as root")
	})
}

// TestBomb has 100 MB of zeros in an archive of some KB, on a disk of 10 MB.
func TestBomb(t *testing.T) {
	mount := mountTmpfs(t, "size=10m")
	zeros := strings.Repeat("\x00", 50<<20)
	for name, data := range testarchive.Formats(t, packed{Name: "small", Body: "x"}, packed{Name: "zeros", Body: zeros}, packed{Name: "more", Body: zeros}) {
		if name == ".tar" {
			continue // it does not fit itself
		}
		top := t.TempDir()
		p, err := unpack(t, top, data, PlaceOptions{Dest: mount + "/dest"})
		if !errors.Is(err, ErrNoSpace) {
			t.Errorf("%s: %v", name, err)
		}
		wantError(t, err, "Not enough space on "+show(mount)+" for "+show(mount+"/dest"), `"zeros" of archive app.tar takes 52.4 MB, `, " MB free; 1 bytes are unpacked already")
		must(t, p.Discard())
		noStaging(t, mount)
	}
	// Many small files fill a disk, too.
	inodes := mountTmpfs(t, "size=10m,nr_inodes=50")
	var many []packed
	for i := range 100 {
		many = append(many, packed{Name: fmt.Sprint(i)})
	}
	_, err := unpack(t, t.TempDir(), testarchive.Tar(t, many...), PlaceOptions{Dest: inodes + "/dest"})
	wantError(t, err, "Not enough inodes on "+show(inodes))
}

// TestUnpackMakesHoles of blocks of zeros, wherever they are in a file, as in a tree that is deployed.
func TestUnpackMakesHoles(t *testing.T) {
	hole := strings.Repeat("\x00", 1<<20)
	files := map[string]string{
		"begins": hole + content(5000), "ends": content(5000) + hole, "holds": content(9000) + hole + content(70_000), "only": hole,
		"odd": "x" + hole[:300_001] + "y" + hole[:5] + "z", "small": "\x00\x00", "none": content(300_000), "empty": "",
	}
	var entries []packed
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entries = append(entries, packed{Name: name, Body: files[name], Mode: 0o644})
	}
	for name, data := range testarchive.Formats(t, entries...) {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			unpacked(t, top, data, PlaceOptions{})
			for name, want := range files {
				if got := read(t, top+"/dest/"+name); got != want {
					t.Errorf("%s has %d bytes, want %d, or others", name, len(got), len(want))
				}
				most := int64(0) // the blocks that hold something
				for block := range slices.Chunk([]byte(want), holeSize) {
					if !isZero(block) {
						most += holeSize
					}
				}
				if took := blocks(t, top+"/dest/"+name); took > most {
					t.Errorf("%s takes %d bytes of disk, want %d at the most", name, took, most)
				}
			}
		})
	}
}

func TestUnpackLeavesNothingOnFailure(t *testing.T) {
	top := t.TempDir()
	tree{"dest/kept": "old"}.write(t, top)
	data := testarchive.Tar(t, packed{Name: "new", Body: "x"}, packed{Name: "a/../../b", Body: "x"})
	p, err := unpack(t, top, data, PlaceOptions{})
	wantError(t, err, `Archive app.tar holds the name "a/../../b", which leads out of its directory ("..")`)
	if p.staging.dir.has(contentName) || !p.staging.dir.has(archiveName) {
		t.Error("the staging does not hold the archive alone")
	}
	if err := p.Place(t.Context()); err == nil {
		t.Error("half a tree was placed")
	}
	if got := read(t, top+"/dest/kept"); got != "old" {
		t.Errorf("kept is %q", got)
	}
	must(t, p.Discard())
	noStaging(t, top)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	p, err = unpack(t, top, testarchive.Tar(t, packed{Name: "new"}), PlaceOptions{})
	must(t, err)
	if err := p.Unpack(cancelled, p.store); !errors.Is(err, context.Canceled) || p.staging.dir.has(contentName) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestNamesThatAreTheSame: on some filesystems "a" and "A" are. Here the name is taken in another way.
func TestNamesThatAreTheSame(t *testing.T) {
	p, err := unpack(t, t.TempDir(), testarchive.Tar(t, packed{Name: "a/b", Body: "x"}), PlaceOptions{})
	must(t, err)
	x := newExtractor(t.Context(), p)
	defer x.at.close()
	for _, e := range []archive.Entry{{Path: "a", Kind: archive.Directory}, {Path: "a/b", Kind: archive.File}, {Path: "a/b", Kind: archive.Symlink, Link: "x"}} {
		err := x.entry(nil, &e)
		wantError(t, err, fmt.Sprintf("Archive app.tar holds %q and another name for the same", e.Path))
		if !errors.Is(err, ErrArchive) {
			t.Error("is not ErrArchive")
		}
	}
}

// TestArchiveIsSeededAfterItIsGone: a store reads the archive for as long as it is open.
func TestArchiveIsSeededAfterItIsGone(t *testing.T) {
	top := t.TempDir()
	p, err := unpack(t, top, testarchive.Tar(t, packed{Name: "a", Body: content(100_000)}), PlaceOptions{})
	must(t, err)
	store := p.store
	must(t, p.Place(t.Context()))
	noStaging(t, top)
	have, err := Verify(t.Context(), p.incoming(), store, 1)
	must(t, err)
	for i, ok := range have {
		if !ok {
			t.Errorf("piece %d is not there any more", i)
		}
	}
}

func TestUnpackTakesSpaceForTheArchive(t *testing.T) {
	mount := mountTmpfs(t, "size=1m")
	top := t.TempDir()
	must(t, os.WriteFile(top+"/app.tar", []byte(content(3e6)), 0o644))
	torrent, _ := build(t, top+"/app.tar")
	p := plan(t, torrent, PlaceOptions{Dest: mount + "/dest", Unpack: true})
	wantError(t, p.Space(), "3.0 MB needed, 1.0 MB free")
}
