package artifact

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// strangersAtWork is what others have in a tree, and work is what they do there: files are replaced by a rename, a log is
// rotated, and all kinds of things come and go.
func strangersAtWork() tree {
	return tree{
		"f": "old", "d/f": "old", "state": "1", "d/state": "1", "own/deep/state": "1", "log": "lines", "stays": "x", "own/stays": "x",
		"gone": "x", "d/gone/deep": "x", "cache/c": "x", "cache/deep/c": "x", "a file/f": "x", "a directory": "x", "e/gone": "x",
	}
}

func work(t *testing.T, at string) {
	t.Helper()
	for _, state := range []string{"/state", "/d/state", "/own/deep/state"} {
		must(t, os.WriteFile(at+state+".tmp", []byte("2"), 0o600))
		must(t, os.Rename(at+state+".tmp", at+state))
	}
	must(t, errors.Join(os.Rename(at+"/log", at+"/log.1"), os.WriteFile(at+"/log", []byte("fresh"), 0o600)))
	must(t, errors.Join(os.Remove(at+"/gone"), os.RemoveAll(at+"/d/gone"), os.RemoveAll(at+"/e")))
	must(t, errors.Join(os.Rename(at+"/cache", at+"/cache.old"), os.Chmod(at+"/cache.old/deep", 0o700)))
	must(t, errors.Join(os.RemoveAll(at+"/a file"), os.WriteFile(at+"/a file", []byte("by now"), 0o600)))
	must(t, errors.Join(os.Remove(at+"/a directory"), os.MkdirAll(at+"/a directory/by/now", 0o750)))
	must(t, os.WriteFile(at+"/d/late", []byte("x"), 0o600))
}

// moments calls the functions that are not nil while a tree is brought to disk, and right before and right after the old one is
// exchanged for it, with the path of the old one.
func moments(t *testing.T, p *Plan, disk, before, after func(old string)) {
	tree, rename := syncTree, p.staging.renameat2
	t.Cleanup(func() { syncTree = tree })
	call := func(f *func(string), old string) {
		if *f != nil {
			(*f)(old)
		}
		*f = nil
	}
	syncTree = func(fd int) error {
		call(&disk, p.Dest)
		return tree(fd)
	}
	p.staging.renameat2 = func(fromDir int, from string, toDir int, to string, flags uint) error {
		call(&before, p.Dest)
		err := rename(fromDir, from, toDir, to, flags)
		if old := p.Staging + "/" + oldName; err == nil && p.staging.dir.has(oldName) {
			call(&after, old)
		} else if err == nil {
			call(&after, p.Staging+"/"+from)
		}
		return err
	}
}

// timeless is a listing without times.
func timeless(lines map[string]string) map[string]string {
	for path, line := range lines {
		mode, rest, _ := strings.Cut(line, " ")
		_, content, _ := strings.Cut(rest, " ")
		lines[path] = mode + " " + content
	}
	return lines
}

// TestStrangersAtWork: whatever they do, and whenever it is, the new tree is what the old one was in the end.
func TestStrangersAtWork(t *testing.T) {
	for i, rename := range everyRename {
		for moment, name := range []string{"while it is brought to disk", "before the switch", "after the switch"} {
			t.Run(fmt.Sprintf("%s, rename %d", name, i), func(t *testing.T) {
				top := t.TempDir()
				src := tree{"f": "new", "d/f": "new", "e/f": "new"}.write(t, top+"/src")
				torrent, source := build(t, src)
				p := plan(t, torrent, PlaceOptions{Dest: strangersAtWork().write(t, top+"/dest")})
				transfer(t, torrent, source, p)
				p.staging.renameat2 = rename
				var want map[string]string
				var at [3]func(string)
				at[moment] = func(old string) {
					work(t, old)
					want = listing(t, old)
				}
				moments(t, p, at[0], at[1], at[2])
				must(t, p.Place(t.Context()))
				maps.Copy(want, listing(t, src))
				got := listing(t, p.Dest)
				if moment > 0 { // others may have the new tree by then, and see its directories change
					got, want = timeless(got), timeless(want)
				}
				sameTree(t, got, want)
				noStaging(t, top)
			})
		}
	}
}

// TestStrangersThatComeBack: what was away when the old tree was looked at a second time, and is back at the third, is the same as before. So is
// a directory that is made anew. What was in a directory of the artifact that is a file by then has gone.
func TestStrangersThatComeBack(t *testing.T) {
	for _, rename := range everyRename {
		top := t.TempDir()
		src := tree{"f": "new", "d/f": "new"}.write(t, top+"/src")
		torrent, source := build(t, src)
		p := plan(t, torrent, PlaceOptions{Dest: strangersAtWork().write(t, top+"/dest")})
		transfer(t, torrent, source, p)
		p.staging.renameat2 = rename
		var want map[string]string
		moments(t, p, func(old string) {
			must(t, errors.Join(os.Rename(old+"/state", old+"/aside"), os.Rename(old+"/own", old+"/away"), os.RemoveAll(old+"/cache")))
		}, func(old string) {
			must(t, errors.Join(os.Rename(old+"/aside", old+"/state"), os.Rename(old+"/away", old+"/own")))
			must(t, errors.Join(os.RemoveAll(old+"/d"), os.WriteFile(old+"/d", nil, 0o600)))
		}, func(old string) {
			must(t, os.MkdirAll(old+"/cache/deep", 0o755))
			want = listing(t, old)
		})
		must(t, p.Place(t.Context()))
		maps.Copy(want, listing(t, src))
		sameTree(t, timeless(listing(t, p.Dest)), timeless(want))
		noStaging(t, top)
	}
}

// TestOthersChangeTheNewTree: what they do in the tree that is in place already comes before what was in the old one.
func TestOthersChangeTheNewTree(t *testing.T) {
	for _, rename := range everyRename {
		top := t.TempDir()
		torrent, source := build(t, tree{"f": "new", "d/f": "new", "e/f": "new"}.write(t, top+"/src"))
		p := plan(t, torrent, PlaceOptions{Dest: strangersAtWork().write(t, top+"/dest")})
		transfer(t, torrent, source, p)
		p.staging.renameat2 = rename
		moments(t, p, nil, nil, func(old string) {
			for path, state := range map[string]string{old: "older", p.Dest: "newer"} {
				must(t, os.WriteFile(path+"/tmp", []byte(state), 0o600))
				must(t, os.Rename(path+"/tmp", path+"/state"))
			}
			must(t, errors.Join(os.Remove(p.Dest+"/gone"), os.Remove(p.Dest+"/d/gone/deep")))
			must(t, errors.Join(os.Rename(p.Dest+"/log", p.Dest+"/log.1"), os.WriteFile(p.Dest+"/log", []byte("fresh"), 0o600)))
			must(t, errors.Join(os.RemoveAll(p.Dest+"/own"), os.RemoveAll(p.Dest+"/e")))
			must(t, errors.Join(os.RemoveAll(old+"/cache"), os.WriteFile(p.Dest+"/cache/mine", nil, 0o600)))
			must(t, errors.Join(os.RemoveAll(p.Dest+"/a file"), os.WriteFile(p.Dest+"/a file", []byte("by now"), 0o600)))
		})
		must(t, p.Place(t.Context()))
		for path, want := range map[string]string{
			"state": "newer", "log": "fresh", "log.1": "lines", "cache/mine": "", "a file": "by now", "stays": "x", "f": "new",
		} {
			if got := read(t, p.Dest+"/"+path); got != want {
				t.Errorf("%s is %q, want %q", path, got, want)
			}
		}
		for _, path := range []string{"gone", "d/gone/deep", "cache/c", "cache/deep", "own", "e"} {
			if _, err := os.Lstat(p.Dest + "/" + path); err == nil {
				t.Errorf("%s is there again", path)
			}
		}
		noStaging(t, top)
	}
}

// TestStoppedAfterTheSwitch: what came into the old tree at the last moment is brought over all the same.
func TestStoppedAfterTheSwitch(t *testing.T) {
	for _, rename := range everyRename {
		top := t.TempDir()
		torrent, source := build(t, tree{"f": "new"}.write(t, top+"/src"))
		p := plan(t, torrent, PlaceOptions{Dest: tree{"f": "old"}.write(t, top+"/dest")})
		transfer(t, torrent, source, p)
		p.staging.renameat2 = rename
		ctx, cancel := context.WithCancel(t.Context())
		moments(t, p, nil, func(old string) { must(t, os.WriteFile(old+"/late", []byte("x"), 0o600)) }, func(string) { cancel() })
		must(t, p.Place(ctx))
		if read(t, p.Dest+"/f") != "new" || read(t, p.Dest+"/late") != "x" {
			t.Error("what came late is lost")
		}
		noStaging(t, top)
	}
}

// TestLateStrangersThatCannotBeKept: the old tree that holds them stays, also when the next run comes.
func TestLateStrangersThatCannotBeKept(t *testing.T) {
	for _, rename := range everyRename {
		for _, backup := range []bool{false, true} {
			top := t.TempDir()
			torrent, source := build(t, tree{"f": "new"}.write(t, top+"/src"))
			o := PlaceOptions{Dest: tree{"f": "old"}.write(t, top+"/dest"), Backup: backup}
			p := plan(t, torrent, o)
			transfer(t, torrent, source, p)
			p.staging.renameat2 = rename
			moments(t, p, nil, nil, func(old string) {
				if found, _ := filepath.Glob(p.Staging + "/*~"); backup {
					old = found[0]
				}
				must(t, errors.Join(os.Remove(old+"/f"), os.Mkdir(old+"/f", 0o755), os.WriteFile(old+"/f/late", []byte("x"), 0o600)))
			})
			err := p.Place(t.Context())
			must(t, p.Discard())
			found, _ := filepath.Glob(top + "/.dest.murder-left-*")
			if backup {
				found = []string{p.Backup()}
			}
			if len(found) != 1 || !errors.Is(err, unix.ENOTEMPTY) || read(t, p.Dest+"/f") != "new" {
				t.Fatalf("left is %q: %v", found, err)
			}
			wantError(t, err, p.Dest+" is in place, but not all that others have changed meanwhile in the old tree could be brought there "+
				"(f: directory not empty); the old tree is "+found[0]+" now: look there for what is missing")
			_, err = Forget(t.Context(), p.Dest, "", false)
			must(t, err)
			if read(t, found[0]+"/f/late") != "x" {
				t.Error("what came late is lost")
			}
		}
	}
}

// TestWhoGetsAnInodeLater is another file.
func TestWhoGetsAnInodeLater(t *testing.T) {
	k, path := &kept{seed: maphash.MakeSeed()}, t.TempDir()+"/f"
	identity := func() uint64 { return k.identity(unix.AT_FDCWD, path, inode(t, path)) }
	must(t, os.WriteFile(path, nil, 0o600))
	number, was := inode(t, path), identity()
	if was != identity() {
		t.Error("a file is not the same as a moment before")
	}
	for range 100 {
		must(t, os.Remove(path))
		tick(t)
		must(t, os.WriteFile(path, nil, 0o600))
		if inode(t, path) != number {
			continue
		}
		if was == identity() {
			t.Error("a new file is taken for the old one")
		}
		return
	}
	// Where no file gets the number of another, none can be taken for another; make test counts the test as skipped.
	t.Skip("the temporary directory's filesystem gives no inode to the next file")
}

// tick waits until the clock that files are stamped by goes on.
func tick(t *testing.T) {
	var began, later unix.Timespec
	must(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &began))
	for later = began; later == began; {
		must(t, unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &later))
	}
}

// impatient is a context that is over when it has been asked so many times.
type impatient struct {
	context.Context
	asked atomic.Int64
}

func (c *impatient) Err() error {
	if c.asked.Add(1) > 1000 {
		return context.Canceled
	}
	return nil
}

// TestStagingInTheOldTree: it has come there after the plan was made. It is not kept in itself.
func TestStagingInTheOldTree(t *testing.T) {
	top := t.TempDir()
	torrent, source := build(t, tree{"f": "new"}.write(t, top+"/src"))
	tree{"dest/f": "old", "dest/stranger": "x", "partial": dir(0o755)}.write(t, top)
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/partial"})
	transfer(t, torrent, source, p)
	must(t, os.Rename(top+"/partial", top+"/dest/partial"))
	err := p.Place(&impatient{Context: t.Context()})
	wantError(t, err, "Destination "+top+"/dest cannot be replaced: invalid argument")
	if !errors.Is(err, unix.EINVAL) || read(t, top+"/dest/f") != "old" || read(t, top+"/dest/stranger") != "x" {
		t.Errorf("the destination is not as it was: %v", err)
	}
	must(t, p.Discard())
}
