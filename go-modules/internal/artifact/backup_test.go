package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

var backupName = regexp.MustCompile(`^/.*dest\.[0-9]+\.[0-9]{4}-[0-9]{2}-[0-9]{2}@[0-9:]{8}~$`)

func TestBackup(t *testing.T) {
	for _, rename := range everyRename {
		top := t.TempDir()
		src := tree{"f": "new", "d/f": "new"}.write(t, top+"/src")
		dest := tree{"f": "old", "stranger": "kept"}.write(t, top+"/dest")
		before := listing(t, dest)
		number := inode(t, dest)
		torrent, source := build(t, src)
		p := plan(t, torrent, PlaceOptions{Dest: dest, Backup: true})
		transfer(t, torrent, source, p)
		p.staging.renameat2 = rename
		must(t, p.Place(t.Context()))
		if !backupName.MatchString(p.Backup()) || inode(t, p.Backup()) != number {
			t.Fatalf("the backup is %q", p.Backup())
		}
		sameTree(t, listing(t, p.Backup()), before)
		if read(t, dest+"/d/f") != "new" || read(t, dest+"/stranger") != "kept" {
			t.Error("not placed")
		}
		noStaging(t, top)
	}
}

func TestBackupOfAFile(t *testing.T) {
	for _, c := range []struct{ dest, unsafe bool }{{true, false}, {false, false}, {true, true}} {
		top := t.TempDir()
		tree{"src": "new"}.write(t, top)
		if c.dest {
			tree{"dest": "old"}.write(t, top)
			must(t, os.Chmod(top+"/dest", 0o604))
		}
		torrent, source := build(t, top+"/src")
		p := plan(t, torrent, PlaceOptions{Dest: top + "/dest", Backup: true, UnsafeWrites: c.unsafe})
		transfer(t, torrent, source, p)
		if c.unsafe {
			p.staging.renameat2 = func(int, string, int, string, uint) error { return unix.EBUSY }
		}
		must(t, p.Place(t.Context()))
		if read(t, top+"/dest") != "new" {
			t.Error("not placed")
		}
		if !c.dest {
			if p.Backup() != "" {
				t.Errorf("backup of nothing: %s", p.Backup())
			}
			continue
		}
		stat, err := os.Stat(p.Backup())
		must(t, err)
		if !backupName.MatchString(p.Backup()) || read(t, p.Backup()) != "old" || stat.Mode() != 0o604 || stat.ModTime().Unix() != sometime.Unix() {
			t.Errorf("the backup %s is %v, %v", p.Backup(), stat.Mode(), stat.ModTime())
		}
		noStaging(t, top)
	}
}

// TestCopiedBackupIsWhole: where a backup has to be copied, it has its name only when it is whole, so that a killed run leaves no half one.
func TestCopiedBackupIsWhole(t *testing.T) {
	for name, o := range map[string]PlaceOptions{"no links": {}, "in place": {UnsafeWrites: true}} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			tree{"src": "new", "dest": "old"}.write(t, top)
			torrent, source := build(t, top+"/src")
			o.Dest, o.Backup = top+"/dest", true
			p := plan(t, torrent, o)
			transfer(t, torrent, source, p)
			must(t, os.WriteFile(p.Staging+"/"+savedName, []byte("a killed run's"), 0o600))
			cannotLinkAnything(t, unix.EPERM)
			if o.UnsafeWrites {
				p.staging.renameat2 = func(int, string, int, string, uint) error { return unix.EBUSY }
			}
			events := eventsOf(t, top)
			must(t, p.Place(t.Context()))
			if read(t, p.Backup()) != "old" || read(t, p.Dest) != "new" {
				t.Errorf("the backup is %q, dest %q", read(t, p.Backup()), read(t, p.Dest))
			}
			if got := events(filepath.Base(p.Backup())); got != unix.IN_MOVED_TO {
				t.Errorf("the backup came by %#x", got)
			}
			noStaging(t, top)
		})
	}
}

// eventsOf watches a directory; the function it returns says how a name came there: IN_CREATE, IN_MOVED_TO or both.
func eventsOf(t *testing.T, dir string) func(name string) uint32 {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Close(fd)) })
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO)
	must(t, err)
	return func(name string) (mask uint32) {
		buf := make([]byte, 1<<16)
		n, err := unix.Read(fd, buf)
		must(t, err)
		for buf = buf[:n]; len(buf) > 0; {
			event := (*unix.InotifyEvent)(unsafe.Pointer(unsafe.SliceData(buf)))
			entry := buf[unix.SizeofInotifyEvent:][:event.Len]
			if unix.ByteSliceToString(entry) == name {
				mask |= event.Mask
			}
			buf = buf[unix.SizeofInotifyEvent+int(event.Len):]
		}
		return mask
	}
}

// TestNoBackupOfAFailure: when the new file cannot be placed there is nothing to back up.
func TestNoBackupOfAFailure(t *testing.T) {
	top := t.TempDir()
	tree{"src": "new", "dest": "old"}.write(t, top)
	torrent, source := build(t, top+"/src")
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest", Backup: true})
	transfer(t, torrent, source, p)
	p.staging.renameat2 = func(int, string, int, string, uint) error { return unix.EBUSY }
	wantError(t, p.Place(t.Context()), "Destination "+top+"/dest cannot be replaced: device or resource busy")
	names, err := filepath.Glob(top + "/dest*")
	must(t, err)
	if len(names) != 1 || p.Backup() != "" || read(t, top+"/dest") != "old" {
		t.Errorf("left behind: %v", names)
	}
}

// TestBackupOfAKilledRun: the tree was switched, but not yet called a backup.
func TestBackupOfAKilledRun(t *testing.T) {
	top := t.TempDir()
	src := tree{"f": "new"}.write(t, top+"/src")
	dest := tree{"f": "old"}.write(t, top+"/dest")
	torrent, source := build(t, src)
	o := PlaceOptions{Dest: dest, Backup: true}
	p := plan(t, torrent, o)
	transfer(t, torrent, source, p)
	final := p.Staging + "/" + finalName(inode(t, p.Staging+"/content")) + ".1.2026-01-02@03:04:05~"
	must(t, p.Release())
	must(t, errors.Join(os.Rename(p.Staging+"/content", final), unix.Renameat2(unix.AT_FDCWD, final, unix.AT_FDCWD, dest, unix.RENAME_EXCHANGE)))
	must(t, plan(t, torrent, o).Discard())
	if read(t, dest+"/f") != "new" || read(t, dest+".1.2026-01-02@03:04:05~/f") != "old" {
		t.Error("the backup is lost")
	}
	noStaging(t, top)
}

// TestUnsafeWrites: a file that is mounted over can only be written in place, and only when that is asked for.
func TestUnsafeWrites(t *testing.T) {
	mount := mountTmpfs(t, "size=1m")
	top := t.TempDir()
	tree{"src": "newer and longer", "dest": "old"}.write(t, top)
	tree{"inner": "mounted"}.write(t, mount)
	must(t, unix.Mount(mount+"/inner", top+"/dest", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(top+"/dest", unix.MNT_DETACH)) })
	torrent, source := build(t, top+"/src")
	_, err := NewPlan(torrent, PlaceOptions{Dest: top + "/dest"})
	wantError(t, err, "Destination "+top+"/dest is a mount point and cannot be replaced as a whole")
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest", UnsafeWrites: true, Backup: true, Mode: "0640"})
	must(t, p.Space())
	store := transfer(t, torrent, source, p)
	must(t, p.Place(t.Context()))
	if read(t, mount+"/inner") != "newer and longer" || modeAt(t, mount+"/inner") != "0640" || read(t, p.Backup()) != "mounted" {
		t.Error("not written in place")
	}
	if ok, err := verifyAll(t.Context(), torrent, store); !ok || err != nil {
		t.Errorf("seeding does not go on: %v", err)
	}
	noStaging(t, top)
	big, _ := build(t, tree{"big": content(2 << 20)}.write(t, t.TempDir())+"/big")
	wantError(t, plan(t, big, PlaceOptions{Dest: mount + "/inner", UnsafeWrites: true, PartialDir: top}).Space(),
		"Not enough space on "+mount+" for "+mount+"/inner: 2.1 MB needed, ")
}

// TestBackupWhereNothingCanBeMade: unsafe_writes needs no directory that can be written to, but a backup does, and says so at once.
func TestBackupWhereNothingCanBeMade(t *testing.T) {
	asUser(t, func(top string) {
		torrent, source := build(t, tree{"f": "new"}.write(t, top+"/src")+"/f")
		tree{"etc/dest": "old", "partial": dir(0o755)}.write(t, top)
		must(t, os.Chmod(top+"/etc", 0o555))
		o := PlaceOptions{Dest: top + "/etc/dest", UnsafeWrites: true, PartialDir: top + "/partial", Backup: true}
		wantError(t, plan(t, torrent, o).Space(), "Destination directory "+top+"/etc cannot be written to by user ")
		o.Backup = false
		p := plan(t, torrent, o)
		must(t, p.Space())
		transfer(t, torrent, source, p)
		must(t, p.Place(t.Context()))
		if read(t, p.Dest) != "new" {
			t.Error("not written in place")
		}
	})
}

func TestPartialDir(t *testing.T) {
	top := t.TempDir()
	src := tree{"d/f": "new", "f": "new"}.write(t, top+"/src")
	tree{"partial": dir(0o755), "a/dest/f": "old", "b/dest/f": "old"}.write(t, top)
	torrent, source := build(t, src)
	var plans []*Plan
	for _, dest := range []string{"/a/dest", "/b/dest"} { // at the same time, and without meeting
		p := plan(t, torrent, PlaceOptions{Dest: top + dest, PartialDir: top + "/partial"})
		transfer(t, torrent, source, p)
		if filepath.Dir(p.Staging) != top+"/partial" {
			t.Errorf("the staging is %s", p.Staging)
		}
		names, err := os.ReadDir(filepath.Dir(p.Dest))
		if err != nil || len(names) != 1 {
			t.Errorf("beside the destination there is %v, %v", names, err)
		}
		plans = append(plans, p)
	}
	for _, p := range plans {
		must(t, p.Place(t.Context()))
		sameTree(t, listing(t, p.Dest), listing(t, src))
	}
	one, source := build(t, src+"/f")
	file := plan(t, one, PlaceOptions{Dest: top + "/file", PartialDir: top + "/partial"})
	transfer(t, one, source, file)
	must(t, file.Release())
	found, err := Forget(t.Context(), top+"/file", top+"/partial", false)
	if err != nil || found != 1 {
		t.Errorf("forgot %d, %v", found, err)
	}
	noStaging(t, top+"/partial")
	for partial, want := range map[string]string{
		top + "/none":  "Directory " + top + "/none of option partial_dir does not exist; create it first",
		top + "/src/f": "Option partial_dir is " + top + "/src/f, which is a file; give a directory",
		"relative":     "Option partial_dir is relative; give an absolute path",
	} {
		_, err := NewPlan(torrent, PlaceOptions{Dest: top + "/x", PartialDir: partial})
		wantError(t, err, want)
	}
}

// TestPartialDirInside: what is replaced as a whole cannot hold what it is replaced by, nor can a release, which goes one day.
func TestPartialDirInside(t *testing.T) {
	top := t.TempDir()
	src := tree{"f": "new"}.write(t, top+"/src")
	tree{"dest/d/partial": dir(0o755), "dest-partial": dir(0o755), "link": link("dest/d"), "to dest": link("dest")}.write(t, top)
	torrent, source := build(t, src)
	one, _ := build(t, src+"/f")
	bring(t, torrent, source, PlaceOptions{Dest: top + "/current", Keep: 1})
	other, _ := version(t, "other")
	for _, c := range []struct {
		torrent *Torrent
		o       PlaceOptions
		inside  string // "" for one that is good
	}{
		{torrent, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/dest"}, "/dest"},
		{torrent, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/dest/d/partial", Delete: true}, "/dest"},
		{torrent, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/link/partial"}, "/dest"},
		{torrent, PlaceOptions{Dest: top + "/to dest", PartialDir: top + "/dest/d"}, "/dest"},
		{one, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/dest/d", Unpack: true}, "/dest"},
		{other, PlaceOptions{Dest: top + "/current", PartialDir: top + "/current", Keep: 1}, "/current"},
		{torrent, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/dest-partial"}, ""},
		{torrent, PlaceOptions{Dest: top + "/new", PartialDir: top + "/dest"}, ""},
		{other, PlaceOptions{Dest: top + "/current", PartialDir: top + "/releases", Keep: 1}, ""},
		{one, PlaceOptions{Dest: top + "/dest/f", PartialDir: top + "/dest/d"}, ""},
	} {
		_, err := NewPlan(c.torrent, c.o)
		if c.inside == "" {
			must(t, err)
			continue
		}
		wantError(t, err, "Directory "+c.o.PartialDir+" of option partial_dir lies inside the destination "+top+c.inside+
			" and would go with it; choose a directory beside it")
	}
}

// TestNamesTooLongForABackup are refused before anything is fetched; the longest that is not can have one.
func TestNamesTooLongForABackup(t *testing.T) {
	top := t.TempDir()
	torrent, _ := build(t, tree{"f": "old"}.write(t, top+"/src"))
	long := top + "/" + strings.Repeat("x", 227)
	_, err := NewPlan(torrent, PlaceOptions{Dest: long, Backup: true})
	wantError(t, err, "Destination "+long+" has too long a name for a backup beside it; choose a shorter one, or leave backup out")
	o := PlaceOptions{Dest: long[:len(long)-1], Backup: true}
	deploy(t, top+"/src", o)
	p := deploy(t, tree{"f": "new"}.write(t, top+"/src"), o)
	if read(t, p.Dest+"/f") != "new" || read(t, p.Backup()+"/f") != "old" {
		t.Errorf("the backup is %q", p.Backup())
	}
}

func TestPartialDirElsewhere(t *testing.T) {
	mount := mountTmpfs(t, "size=1m")
	top := t.TempDir()
	tree{"src/f": "new", "dest": "old"}.write(t, top)
	torrent, source := build(t, top+"/src/f")
	o := PlaceOptions{Dest: top + "/dest", PartialDir: mount}
	_, err := NewPlan(torrent, o)
	wantError(t, err, "Directory "+mount+" of option partial_dir is on another filesystem than "+top+"/dest, so the artifact could not be "+
		"put in place by a rename; choose a directory on ")
	all, _ := build(t, top+"/src")
	_, err = NewPlan(all, PlaceOptions{Dest: top + "/tree", PartialDir: mount, UnsafeWrites: true})
	wantError(t, err, "is on another filesystem than")
	o.UnsafeWrites = true
	p := plan(t, torrent, o)
	must(t, p.Space())
	transfer(t, torrent, source, p)
	must(t, p.Place(t.Context()))
	if read(t, top+"/dest") != "new" {
		t.Error("not written")
	}
	big, _ := build(t, tree{"big": content(2 << 20)}.write(t, t.TempDir())+"/big")
	wantError(t, plan(t, big, PlaceOptions{Dest: top + "/dest", PartialDir: mount, UnsafeWrites: true}).Space(),
		"Not enough space on "+mount+" for "+top+"/dest: 2.1 MB needed, ")
	noStaging(t, mount)
}
