package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/testarchive"
)

// disk notes what is brought to disk, in order: what it is, by its path below top, and what a reader finds at dest in that very
// moment, which tells what is before the rename and what after it.
type disk struct {
	t         *testing.T
	top, dest string
	notes     []string
	staged    map[string]string // the listing of the artifact when it was last brought to disk
}

// changing are the parts of names that are others each time.
var changing = regexp.MustCompile(`[0-9]+\.part|[0-9a-f]{8}|[0-9]+\.[0-9]{4}-[-0-9@:]+~`)

// watchDisk begins to note, until the test is over.
func watchDisk(t *testing.T, top string) *disk {
	d := &disk{t: t, top: top, dest: top + "/dest"}
	file, dir, whole := syncFile, syncDir, syncTree
	t.Cleanup(func() { syncFile, syncDir, syncTree = file, dir, whole })
	syncFile = func(f *os.File) error { d.note("file", int(f.Fd())); return file(f) }
	syncDir = func(fd int) error { d.note("entries of", fd); return dir(fd) }
	syncTree = func(fd int) error { d.note("tree", fd); return whole(fd) }
	return d
}

func (d *disk) note(what string, fd int) {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	must(d.t, err)
	if filepath.Base(path) == contentName || path == d.dest {
		d.staged = flagged(d.t, path)
	}
	rel, err := filepath.Rel(d.top, path)
	must(d.t, err)
	d.notes = append(d.notes, what+" "+changing.ReplaceAllString(rel, "*")+", "+d.reader())
}

// reader tells what is at dest.
func (d *disk) reader() string {
	for _, path := range []string{d.dest, d.dest + "/f"} {
		if data, err := os.ReadFile(path); err == nil {
			return string(data)
		}
	}
	return "nothing"
}

// expect demands those notes, and that the artifact was on disk as it is at dest now, with all its attributes.
func (d *disk) expect(want ...string) {
	d.t.Helper()
	if !slices.Equal(d.notes, want) {
		d.t.Errorf("brought to disk: %q, want %q", d.notes, want)
	}
	placed, err := filepath.EvalSymlinks(d.dest)
	must(d.t, err)
	sameTree(d.t, d.staged, flagged(d.t, placed))
}

// flagged is a listing with the flags of files and directories, where the filesystem has any.
func flagged(t *testing.T, root string) map[string]string {
	lines := listing(t, root)
	for path, line := range lines {
		if line[0] != 'L' {
			flags, _ := flagsAt(t, filepath.Join(root, path))
			lines[path] = line + " " + flags
		}
	}
	return lines
}

// TestToDiskBeforeAndAfterTheRename: what is staged is on disk, whole and with its attributes, before it takes the place of the old, and
// the directory that the rename has changed is before anything else is done.
func TestToDiskBeforeAndAfterTheRename(t *testing.T) {
	const staged, place = ".dest.murder-*/content, ", "entries of ., new"
	const partial, apart = "partial", "partial/.dest-*.murder-*/content, "
	away := PlaceOptions{PartialDir: partial}
	busy := func(int, string, int, string, uint) error { return unix.EBUSY }
	file, new, old := tree{"src": "new"}, tree{"src/f": "new", "src/d/g": "x"}, tree{"dest/f": "old", "dest/stranger": "kept"}
	for name, c := range map[string]struct {
		src, before tree
		o           PlaceOptions
		renameat2   func(int, string, int, string, uint) error
		want        []string
	}{
		"new file":   {file, nil, PlaceOptions{}, nil, []string{"file " + staged + "nothing", place}},
		"file":       {file, tree{"dest": "old"}, PlaceOptions{Mode: "0604"}, nil, []string{"file " + staged + "old", place}},
		"saved file": {file, tree{"dest": "old"}, PlaceOptions{Backup: true}, nil, []string{"file " + staged + "old", place}},
		"in place": {file, tree{"dest": "old"}, PlaceOptions{UnsafeWrites: true, Mode: "0604"}, busy,
			[]string{"file " + staged + "old", "file dest, new", place}},
		"in place, saved": {file, tree{"dest": "old"}, PlaceOptions{UnsafeWrites: true, Backup: true}, busy,
			[]string{"file " + staged + "old", "file .dest.murder-*/saved, old", "entries of ., old", "file dest, new", place}},
		"new tree": {new, nil, PlaceOptions{}, nil, []string{"tree " + staged + "nothing", place}},
		"tree":     {new, old, PlaceOptions{Mode: "u=rw,go="}, nil, []string{"tree " + staged + "old", place}},
		"closed tree": {new, old, PlaceOptions{DirectoryMode: "0555"}, nil,
			[]string{"tree " + staged + "old", "entries of dest, new", place}},
		"saved tree":          {new, old, PlaceOptions{Backup: true}, nil, []string{"tree " + staged + "old", place}},
		"tree in two steps":   {new, old, PlaceOptions{Delete: true}, cannotExchange, []string{"tree " + staged + "old", place}},
		"file from apart":     {file, tree{"dest": "old"}, away, nil, []string{"file " + apart + "old", place}},
		"new tree from apart": {new, nil, away, nil, []string{"tree " + apart + "nothing", place}},
		"tree from apart":     {new, old, away, nil, []string{"tree " + apart + "old", place}},
		"saved tree from apart": {new, old, PlaceOptions{PartialDir: partial, Backup: true}, nil,
			[]string{"tree " + apart + "old", place}},
		"in place from apart": {file, tree{"dest": "old"}, PlaceOptions{PartialDir: partial, UnsafeWrites: true}, busy,
			[]string{"file " + apart + "old", "file dest, new", place}},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			reopen(t, top)
			c.before.write(t, top)
			torrent, source := build(t, c.src.write(t, t.TempDir())+"/src")
			c.o.Dest = top + "/dest"
			if c.o.PartialDir != "" {
				c.o.PartialDir = mkdir(t, top+"/"+partial)
			}
			p := plan(t, torrent, c.o)
			transfer(t, torrent, source, p)
			if c.renameat2 != nil {
				p.staging.renameat2 = c.renameat2
			}
			d := watchDisk(t, top)
			must(t, p.Place(t.Context()))
			d.expect(c.want...)
		})
	}
}

// TestFlagsToDisk: those that keep a file from being renamed come after the rename, and are brought to disk then.
func TestFlagsToDisk(t *testing.T) {
	needFlags(t)
	needRoot(t, "make files immutable")
	for path, want := range map[string][]string{
		"/src":   {"tree .dest.murder-*/content, old", "tree dest, new", "entries of ., new"},
		"/src/f": {"file .dest.murder-*/content, old", "file dest, new", "entries of ., new"},
	} {
		t.Run(path, func(t *testing.T) {
			top := t.TempDir()
			torrent, source := build(t, tree{"src/f": "new", "src/d/g": "x"}.write(t, t.TempDir())+path)
			tree{map[bool]string{true: "dest", false: "dest/f"}[torrent.Single]: "old"}.write(t, top)
			p := plan(t, torrent, PlaceOptions{Dest: top + "/dest", Attributes: "+i"})
			transfer(t, torrent, source, p)
			d := watchDisk(t, top)
			t.Cleanup(func() { // or the directory could not be removed
				_, _, err := plan(t, torrent, PlaceOptions{Dest: d.dest, Attributes: "-i"}).Attributes(true)
				must(t, err)
			})
			must(t, p.Place(t.Context()))
			d.expect(want...)
			if flags, _ := flagsAt(t, d.dest); flags != "i" {
				t.Errorf("%s has %q", d.dest, flags)
			}
		})
	}
}

// TestReleasesToDisk: a release and the record of it are on disk before the link leads to it, and so is the record of a rollback.
func TestReleasesToDisk(t *testing.T) {
	top := t.TempDir()
	o := PlaceOptions{Dest: top + "/dest", Keep: 1}
	first, source := version(t, "old")
	bring(t, first, source, o)
	second, source := version(t, "new")
	p := plan(t, second, o)
	transfer(t, second, source, p)
	d := watchDisk(t, top)
	must(t, p.Place(t.Context()))
	const record, releases = "file releases/.murder-*, ", "entries of releases, "
	d.expect("tree releases/.app-*.murder-*/content, old", releases+"old", record+"old", releases+"old", "entries of ., new")
	d.notes = nil
	_, err := RollBack(t.Context(), d.dest, "", false)
	must(t, err)
	if want := []string{record + "new", releases + "new", "entries of ., old"}; !slices.Equal(d.notes, want) {
		t.Errorf("a rollback brought to disk: %q, want %q", d.notes, want)
	}
}

// TestUnpackedToDisk: the same of what is in an archive, and then of the record of it.
func TestUnpackedToDisk(t *testing.T) {
	top := t.TempDir()
	tree{"dest/f": "old"}.write(t, top)
	data := testarchive.Tar(t, packed{Name: "f", Body: "new", Mode: 0o640}, packed{Name: "d/g", Body: "x", Mode: 0o600})
	p, err := unpack(t, top, data, PlaceOptions{})
	must(t, err)
	d := watchDisk(t, top)
	must(t, p.Place(t.Context()))
	d.expect("tree .dest.murder-*/content, old", "entries of ., new")
	d.notes = nil
	must(t, p.Remember())
	if len(d.notes) != 2 {
		t.Errorf("the record brought to disk: %q", d.notes)
	}
}
