package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/testarchive"
)

// left is how a killed run may have called the file that it was about to put at its place.
const left = ".murder-1234567890.part"

// TestNextRunRemovesWhatAKilledOneLeft in each directory that files are replaced in.
func TestNextRunRemovesWhatAKilledOneLeft(t *testing.T) {
	top := t.TempDir()
	one, oneFrom := version(t, "one")
	two, twoFrom := version(t, "two")
	keep := PlaceOptions{Dest: top + "/current", Keep: 1}
	p, records := placed(t, top)
	archive, err := unpack(t, top, testarchive.Tar(t, packed{Name: "f", Body: "x"}), PlaceOptions{Dest: top + "/unpacked"})
	must(t, err)
	must(t, archive.Place(t.Context()))
	must(t, archive.Remember())
	for _, c := range []struct {
		name, dir string
		run       func() error
	}{
		{"a torrent", "", func() error { _, err := one.WriteFile(top + "/app.torrent"); return err }},
		{"the same torrent", "", func() error { _, err := one.WriteFile(top + "/app.torrent"); return err }},
		{"a release", "releases", func() error { bring(t, one, oneFrom, keep); return nil }},
		{"the same release", "releases", func() error { bring(t, one, oneFrom, keep); return nil }},
		{"another release", "releases", func() error { bring(t, two, twoFrom, keep); return nil }},
		{"a rollback", "releases", func() error { _, err := RollBack(t.Context(), keep.Dest, "", false); return err }},
		{"no release any more", "releases", func() error { _, err := Forget(t.Context(), keep.Dest, "", false); return err }},
		{"a record", "state/placed", func() error { return records.Save(p.Placed()) }},
		{"what was unpacked", "state/unpacked", archive.Remember},
		{"nothing unpacked any more", "state/unpacked", func() error {
			_, err := ForgetUnpacked(top+"/state", archive.Dest, false)
			return err
		}},
		{"nothing unpacked at all", "state/unpacked", func() error {
			_, err := ForgetUnpacked(top+"/state", archive.Dest, false)
			return err
		}},
		{"no record any more", "state/placed", func() error { _, err := records.Forget(p.Dest, false); return err }},
	} {
		path := filepath.Join(top, c.dir, left)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("half"), 0o600))
		must(t, c.run())
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: it is still there", c.name)
			_ = os.Remove(path)
		}
	}
	if _, err := os.Lstat(top + "/state"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the state directory is still there")
	}
}

// TestOthersFilesStay: what a running process is about to put at its place, and what has such a name by chance.
func TestOthersFilesStay(t *testing.T) {
	top := t.TempDir()
	tree{
		left: "another run's", ".murder-mine.part": "x", ".murder-1.part": link("victim"), "victim": "x", ".murder-2.part/f": "x",
		".murder-3.part.old": "x",
	}.write(t, top)
	must(t, unix.Mkfifo(top+"/.murder-4.part", 0o600))
	before := len(listing(t, top))
	lock, err := os.Open(filepath.Join(top, left))
	must(t, err)
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	must(t, replace(top+"/file", []byte("x"), 0o600))
	if after := len(listing(t, top)); after != before+1 {
		t.Errorf("there were %d files, and now %d", before, after)
	}
	must(t, lock.Close())
	must(t, replace(top+"/file", []byte("x"), 0o600))
	if after := len(listing(t, top)); after != before {
		t.Errorf("there were %d files, and now %d, one less and one more", before, after)
	}
}

// TestWritersDoNotSweepEachOther: many write in one directory, and each finds the others' files there.
func TestWritersDoNotSweepEachOther(t *testing.T) {
	top := t.TempDir()
	sync1, sync2 := syncFile, syncDir
	t.Cleanup(func() { syncFile, syncDir = sync1, sync2 })
	syncFile, syncDir = func(*os.File) error { return nil }, func(int) error { return nil } // this is about names
	var writers sync.WaitGroup
	failed := make(chan error, 8)
	for i := range cap(failed) {
		writers.Go(func() {
			for range 200 {
				path := fmt.Sprintf("%s/%d", top, i%2)
				err := replace(path, bytes.Repeat([]byte{byte('0' + i)}, 1000), 0o600)
				data, readErr := os.ReadFile(path)
				if err = errors.Join(err, readErr, oneVersion(data, 1000)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	writers.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	noStaging(t, top)
}

// TestLinkOfAKilledRun: the next run removes it from the tree, whether that is the same version's or another's.
func TestLinkOfAKilledRun(t *testing.T) {
	for name, next := range map[string]func(t *testing.T, top string, p *Plan) error{
		"same": func(t *testing.T, top string, p *Plan) error {
			_, _, err := p.Attributes(true)
			return err
		},
		"another": func(t *testing.T, top string, p *Plan) error {
			must(t, os.WriteFile(top+"/src/e", []byte("other"), 0o644))
			torrent, source := build(t, top+"/src")
			p = plan(t, torrent, PlaceOptions{Dest: p.Dest})
			transfer(t, torrent, source, p)
			return p.Place(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			src := linkedTree(t, top)
			p := deploy(t, src, PlaceOptions{Dest: top + "/dest"})
			must(t, os.Remove(p.Dest+"/d/b"))
			must(t, os.WriteFile(p.Dest+"/d/b", []byte(content(40_000)), 0o644))
			must(t, os.Link(p.Dest+"/e", p.Dest+"/d/"+linkName("b")))
			must(t, next(t, top, p))
			noStaging(t, top+"/dest/d")
			if inode(t, p.Dest+"/d/b") != inode(t, p.Dest+"/a") || read(t, p.Dest+"/d/b") != content(40_000) {
				t.Error("d/b is no hard link of a")
			}
		})
	}
}

// TestOneBackupAfterAKill: a run that was killed when it had saved the old file, but not replaced it, leaves the backup to
// the next one.
func TestOneBackupAfterAKill(t *testing.T) {
	top := t.TempDir()
	const name, another = "/dest.1.2020-02-02@12:34:56~", "/dest.1.mine~"
	tree{"src": "new", "dest": "old", name[1:]: hard("dest"), another[1:]: hard("dest")}.write(t, top)
	p := deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", Backup: true})
	backups, err := filepath.Glob(top + "/dest.*~")
	must(t, err)
	if len(backups) != 2 || p.Backup() != top+name {
		t.Errorf("the backup is %s, and there are %q", p.Backup(), backups)
	}
	for path, want := range map[string]string{name: "old", another: "old", "/dest": "new"} {
		if got := read(t, top+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}
