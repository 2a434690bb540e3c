package artifact

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTwoWriters(t *testing.T) {
	top := t.TempDir()
	tree{"one": "1", "two": "2", "dest": "old"}.write(t, top)
	one, source := build(t, top+"/one")
	two, _ := build(t, top+"/two")
	first := plan(t, one, PlaceOptions{Dest: top + "/dest"})
	transfer(t, one, source, first)
	for _, torrent := range []*Torrent{one, two} { // the same artifact, and another for the same destination
		p := plan(t, torrent, PlaceOptions{Dest: top + "/dest"})
		_, _, err := p.OpenStaging(t.Context())
		wantError(t, err, "Destination "+top+"/dest is being written to by another deploy (it holds "+first.Staging+"); wait until it ends")
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%v is not ErrBusy", err)
		}
	}
	wantError(t, plan(t, one, PlaceOptions{Dest: top + "/dest"}).Discard(), "is being written to by another deploy")
	elsewhere := plan(t, two, PlaceOptions{Dest: top + "/dest2"})
	_, _, err := elsewhere.OpenStaging(t.Context())
	must(t, err)
	must(t, elsewhere.Discard())
	must(t, first.Place(t.Context()))
	if read(t, top+"/dest") != "1" {
		t.Error("the first did not place")
	}
	noStaging(t, top)
}

// TestStagingIsNeverShared lets many writers open and remove one staging as fast as they can.
func TestStagingIsNeverShared(t *testing.T) {
	top := t.TempDir()
	tree{"src": "x"}.write(t, top)
	torrent, _ := build(t, top+"/src")
	var holder sync.Mutex
	var group sync.WaitGroup
	var won atomic.Int64
	for range 8 {
		group.Go(func() {
			for range 100 {
				p, err := NewPlan(torrent, PlaceOptions{Dest: top + "/dest"})
				if err != nil {
					t.Error(err)
					return
				}
				store, _, err := p.OpenStaging(t.Context())
				if errors.Is(err, ErrBusy) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				if !holder.TryLock() {
					t.Error("two hold the staging")
					return
				}
				won.Add(1)
				holder.Unlock()
				if err := errors.Join(store.Close(), p.Discard()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if won.Load() == 0 {
		t.Error("nobody ever held it")
	}
	noStaging(t, top)
}

func TestResume(t *testing.T) {
	top := t.TempDir()
	src := tree{"a/b": content(3 * MinPieceLength), "c": content(MinPieceLength), "e": ""}.write(t, top+"/src")
	for _, path := range []string{src, src + "/a/b"} {
		torrent, source := build(t, path)
		from, err := source.Open()
		must(t, err)
		defer from.Close()
		piece := make([]byte, MinPieceLength)
		_, err = from.ReadAt(piece, MinPieceLength)
		must(t, err)
		o := PlaceOptions{Dest: top + "/dest"}
		for run := range 3 {
			p := plan(t, torrent, o)
			store, resumed, err := p.OpenStaging(t.Context())
			must(t, err)
			if resumed != (run > 0) {
				t.Errorf("run %d: resumed is %v", run, resumed)
			}
			have, err := Verify(t.Context(), torrent, store, 1)
			must(t, err)
			if have[0] || have[1] != (run > 0) {
				t.Errorf("run %d: pieces are %v", run, have)
			}
			_, err = store.WriteAt(piece, MinPieceLength)
			must(t, err)
			must(t, store.Close())
			must(t, p.Release())
		}
		must(t, plan(t, torrent, o).Discard())
		must(t, plan(t, torrent, o).Discard()) // quiet when there is none
		noStaging(t, top)
	}
}

// TestKilledDuringTheSwitch stops after each of its steps and looks at what the next run makes of it.
func TestKilledDuringTheSwitch(t *testing.T) {
	for name, steps := range map[string]func(staging, final, dest string) error{
		"before the exchange": func(staging, final, _ string) error { return os.Rename(staging+"/content", staging+"/"+final) },
		"after the exchange": func(staging, final, dest string) error {
			return errors.Join(os.Rename(staging+"/content", staging+"/"+final),
				unix.Renameat2(unix.AT_FDCWD, staging+"/"+final, unix.AT_FDCWD, dest, unix.RENAME_EXCHANGE))
		},
		"between two renames": func(staging, final, dest string) error {
			return errors.Join(os.Rename(staging+"/content", staging+"/"+final), os.Rename(dest, staging+"/old"))
		},
		"after two renames": func(staging, final, dest string) error {
			return errors.Join(os.Rename(staging+"/content", staging+"/"+final), os.Rename(dest, staging+"/old"), os.Rename(staging+"/"+final, dest))
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			src := tree{"f": "new"}.write(t, top+"/src")
			dest := tree{"f": "old", "stranger": "kept"}.write(t, top+"/dest")
			torrent, source := build(t, src)
			o := PlaceOptions{Dest: dest}
			p := plan(t, torrent, o)
			transfer(t, torrent, source, p)
			must(t, os.Link(dest+"/stranger", p.Staging+"/content/stranger"))
			final := finalName(inode(t, p.Staging+"/content"))
			must(t, p.Release())
			must(t, steps(p.Staging, final, dest))

			again := plan(t, torrent, o)
			complete, err := again.Complete(t.Context())
			must(t, err)
			if !complete {
				store, resumed, err := again.OpenStaging(t.Context())
				must(t, err)
				defer store.Close()
				if read(t, dest+"/f") != "old" {
					t.Error("the old tree is not at its place")
				}
				ok, err := verifyAll(t.Context(), torrent, store)
				if !resumed || !ok || err != nil {
					t.Errorf("resumed %v, whole %v, %v", resumed, ok, err)
				}
				must(t, again.Place(t.Context()))
			} else {
				must(t, again.Discard())
			}
			if read(t, dest+"/f") != "new" || read(t, dest+"/stranger") != "kept" {
				t.Error("lost")
			}
			noStaging(t, top)
		})
	}
}

// TestOldTreeIsNeverDiscarded: a killed run of another version left the only copy of the old tree in its staging.
func TestOldTreeIsNeverDiscarded(t *testing.T) {
	for _, discard := range []bool{true, false} {
		top := t.TempDir()
		one, _ := build(t, tree{"f": "1"}.write(t, top+"/one"))
		two, _ := build(t, tree{"f": "2"}.write(t, top+"/two"))
		p := plan(t, one, PlaceOptions{Dest: top + "/dest"})
		tree{"f": "old"}.write(t, p.Staging+"/old")
		if discard {
			must(t, p.Discard())
		} else {
			next := plan(t, two, PlaceOptions{Dest: top + "/dest"})
			_, _, err := next.OpenStaging(t.Context())
			must(t, err)
			must(t, next.Discard())
		}
		if read(t, top+"/dest/f") != "old" {
			t.Error("lost")
		}
		noStaging(t, top)
	}
}

// TestLeftoversAreNotTrusted plants things in a staging that a writer must not write to.
func TestLeftoversAreNotTrusted(t *testing.T) {
	top := t.TempDir()
	src := tree{"a": "new", "b": "new", "d/c": "new", "e": "new"}.write(t, top+"/src")
	outside := tree{"a": "outside", "c": "outside"}.write(t, top+"/outside")
	torrent, source := build(t, src)
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest"})
	staged := tree{"b": link("../../outside/a"), "d": link("../../outside"), "e/full": "x", "unknown": "x", "closed/x": "x"}.write(t, p.Staging+"/content")
	must(t, os.Link(outside+"/a", staged+"/a"))
	must(t, os.WriteFile(p.Staging+"/unknown", nil, 0o600))
	transfer(t, torrent, source, p)
	must(t, p.Place(t.Context()))
	sameTree(t, listing(t, top+"/dest"), listing(t, src))
	if read(t, outside+"/a") != "outside" || read(t, outside+"/c") != "outside" {
		t.Error("written outside")
	}
	one, source := build(t, src+"/a")
	file := plan(t, one, PlaceOptions{Dest: top + "/file"})
	must(t, os.Mkdir(file.Staging, 0o700))
	must(t, os.Symlink(outside+"/a", file.Staging+"/content"))
	transfer(t, one, source, file)
	must(t, file.Place(t.Context()))
	if read(t, outside+"/a") != "outside" || read(t, top+"/file") != "new" {
		t.Error("written through a link")
	}
	noStaging(t, top)
}

func TestStagingsThatAreRefused(t *testing.T) {
	top := t.TempDir()
	tree{"src": "x", "elsewhere": dir(0o755)}.write(t, top)
	torrent, _ := build(t, top+"/src")
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest"})
	must(t, os.Symlink("elsewhere", p.Staging))
	_, _, err := p.OpenStaging(t.Context())
	wantError(t, err, "Staging "+p.Staging+" is not a directory; remove it and deploy again")
	t.Run("another user's", func(t *testing.T) {
		needRoot(t, "give a directory away")
		must(t, os.Remove(p.Staging))
		must(t, os.Mkdir(p.Staging, 0o777))
		must(t, os.Chown(p.Staging, 65534, 65534))
		_, _, err = p.OpenStaging(t.Context())
		wantError(t, err, "Staging "+p.Staging+" belongs to user ", "; remove it and deploy again")
		wantError(t, p.Discard(), "belongs to user")
	})
}

// TestSweep: an interrupted deploy of an older version is not left for ever.
func TestSweep(t *testing.T) {
	top := t.TempDir()
	tree{"one": content(50_000), "two": "2", ".dest.murder-mine": "x", ".dest.murder-0123456789": "x", ".other.murder-01234567": dir(0o700)}.write(t, top)
	one, source := build(t, top+"/one")
	two, _ := build(t, top+"/two")
	p := plan(t, one, PlaceOptions{Dest: top + "/dest"})
	transfer(t, one, source, p)
	must(t, p.Release())
	next := plan(t, two, PlaceOptions{Dest: top + "/dest"})
	_, _, err := next.OpenStaging(t.Context())
	must(t, err)
	if _, err := os.Lstat(p.Staging); !errors.Is(err, os.ErrNotExist) {
		t.Error("the staging of the older version is still there")
	}
	for _, name := range []string{".dest.murder-mine", ".dest.murder-0123456789", ".other.murder-01234567"} {
		if _, err := os.Lstat(filepath.Join(top, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestForget(t *testing.T) {
	top := t.TempDir()
	tree{"one": "1", "two": "2", "dest": "old", "link": link("dest"), ".dest.murder-mine": "x"}.write(t, top)
	for _, name := range []string{"/one", "/two"} { // as two killed runs leave them
		torrent, _ := build(t, top+name)
		must(t, os.MkdirAll(plan(t, torrent, PlaceOptions{Dest: top + "/dest"}).Staging+"/content/deep", 0o700))
	}
	for _, c := range []struct {
		dest   string
		dryRun bool
		want   int
	}{{"/dest", true, 2}, {"/none/dest", false, 0}, {"/one", false, 0}, {"/link", false, 2}, {"/dest", false, 0}} {
		found, err := Forget(t.Context(), top+c.dest, "", c.dryRun)
		must(t, err)
		if found != c.want {
			t.Errorf("Forget(%s, %v) found %d, want %d", c.dest, c.dryRun, found, c.want)
		}
	}
	if read(t, top+"/dest") != "old" || read(t, top+"/.dest.murder-mine") != "x" {
		t.Error("touched what is not ours")
	}
	torrent, _ := build(t, top+"/one")
	_, _, err := plan(t, torrent, PlaceOptions{Dest: top + "/dest"}).OpenStaging(t.Context())
	must(t, err)
	if _, err := Forget(t.Context(), top+"/dest", "", false); !errors.Is(err, ErrBusy) {
		t.Errorf("one in use: %v", err)
	}
}

func TestNameOfTheStaging(t *testing.T) {
	torrent, _ := build(t, tree{"f": "x"}.write(t, t.TempDir())+"/f")
	top := t.TempDir()
	p := plan(t, torrent, PlaceOptions{Dest: top + "/a"})
	if want := top + "/.a.murder-" + hex.EncodeToString(torrent.Infohash[:4]); p.Staging != want {
		t.Errorf("the staging is %s, want %s", p.Staging, want)
	}
	long, other := strings.Repeat("n", 254), strings.Repeat("n", 255)
	a, b := plan(t, torrent, PlaceOptions{Dest: top + "/" + long}), plan(t, torrent, PlaceOptions{Dest: top + "/" + other})
	if a.Staging == b.Staging {
		t.Error("two destinations share a staging")
	}
	for _, p := range []*Plan{a, b} {
		_, _, err := p.OpenStaging(t.Context())
		must(t, err)
		must(t, p.Discard())
	}
}
