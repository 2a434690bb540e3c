package module

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/testarchive"
)

// opened are the files that a process has open.
func opened(pid any) []string {
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%v/fd/*", pid))
	return links
}

// held counts those of a process that have no name any more and this content.
func held(pid any, content []byte) (found int) {
	for _, link := range opened(pid) {
		if target, _ := os.Readlink(link); !strings.HasSuffix(target, " (deleted)") {
			continue // maybe one that would never end
		}
		if data, err := os.ReadFile(link); err == nil && bytes.Equal(data, content) {
			found++
		}
	}
	return found
}

// named lists the files below a directory that have this content.
func named(t *testing.T, dir string, content []byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var data []byte
			if data, err = os.ReadFile(path); bytes.Equal(data, content) {
				found = append(found, path)
			}
		}
		if errors.Is(err, fs.ErrNotExist) { // a daemon that runs writes at any time
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestArchiveIsKeptForSeedingAlone: its name goes when its content is in place; others get it from there for as long as the peer
// seeds, and then its space goes, too.
func TestArchiveIsKeptForSeedingAlone(t *testing.T) {
	r := newRig(t)
	data := testarchive.Formats(t, release...)[".tar"]
	r.archive(data)
	r.up()
	first := r.must(true, "murder_peer", r.unpack(1))
	r.unpacked(1)
	if held(first["pid"], data) == 0 {
		t.Error("the peer that seeds has no archive without a name")
	}
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	second := r.must(true, "murder_peer", r.unpack(2))
	r.unpacked(2)
	if second["bytes_from_seed"] != 0.0 || second["bytes_from_peers"] != float64(len(data)) {
		t.Errorf("the second peer returned %v", second)
	}
	r.must(true, "murder_peer", r.unpack(1).with("state", "stopped"))
	r.eventually("the first peer closes what it has open", func() bool { return len(opened(first["pid"])) == 0 })
	if found := named(t, r.dir, data); len(found) != 1 || found[0] != r.src {
		t.Errorf("the archive is in %v", found)
	}
}

// used is how many bytes of a filesystem are taken.
func used(t *testing.T, dir string) int64 {
	t.Helper()
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	return int64(stat.Blocks-stat.Bfree) * stat.Bsize
}

// TestSpaceOfAnArchive: on a filesystem of its own it shows that the archive takes space until seeding is over, and no longer.
func TestSpaceOfAnArchive(t *testing.T) {
	needRoot(t, "mount a filesystem of its own (tmpfs)") // nothing else shows what is free there
	r := newRig(t)
	data := testarchive.Formats(t, release...)[".tar"]
	r.archive(data)
	r.up()
	disk := filepath.Join(r.dir, "disk")
	err := os.Mkdir(disk, 0o755)
	if err == nil {
		err = unix.Mount("tmpfs", disk, "tmpfs", 0, "size=16m")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	o := r.unpack(1).with("dest", filepath.Join(disk, "dest"))
	r.must(true, "murder_peer", o)
	seeding := used(t, disk)
	r.must(true, "murder_peer", o.with("state", "stopped"))
	// What is in the archive takes about as much as the archive itself.
	if kept, size := used(t, disk), int64(len(data)); seeding-kept < size || kept > size+size/2 {
		t.Errorf("an archive of %d bytes: with it %d are used, after it %d", size, seeding, kept)
	}
}

// TestCopyOptionsOfAnArchive: what copy has applies to a tree that is unpacked as to any other.
func TestCopyOptionsOfAnArchive(t *testing.T) {
	r := newRig(t)
	data := testarchive.Formats(t, release...)[".tar.gz"]
	r.archive(data)
	r.up()
	o := r.quiet(1).with("unpack", true)
	dest := o["dest"].(string)
	old := filepath.Join(dest, "bin", "run")
	if err := os.MkdirAll(filepath.Dir(old), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, dest)
	sum := fmt.Sprintf("%x", sha1.Sum(data))
	r.refused("murder_peer", o.with("validate", "sh -c 'test ! -x $0/bin/run' %s"), "Validation of "+dest+" failed", "rc 1")
	r.refused("murder_peer", o.with("checksum", strings.Repeat("1", 40)), "The checksum of artifact is "+sum+", but 1111")
	if after := snapshot(t, dest); after != before {
		t.Errorf("what was refused changed the destination from\n%s\nto\n%s", before, after)
	}
	r.must(true, "murder_peer", o.with("state", "absent")) // what the failed validation has left
	all := o.with("validate", "grep -q bin/sh %s/bin/run").with("checksum", strings.ToUpper(sum)).with("backup", true)
	_, done, _ := r.applied("murder_peer", all)
	r.unpacked(1)
	backup, _ := done["backup_file"].(string)
	if !strings.HasPrefix(backup, dest+".") || snapshot(t, backup) != strings.ReplaceAll(before, dest, backup) {
		t.Errorf("the backup %s is not what was there:\n%s\nbut\n%s", backup, before, snapshot(t, backup))
	}
	if done["checksum"] != sum {
		t.Errorf("the checksum returned is %v, want %s", done["checksum"], sum)
	}
	t.Run("attributes", func(t *testing.T) {
		needFlags(t)
		o := r.quiet(2).with("unpack", true).with("attributes", "+d")
		r := r.on(t)
		r.applied("murder_peer", o)
		r.unpacked(2)
		for _, path := range []string{".", "bin", "bin/run", "data"} {
			if !undumped(filepath.Join(o["dest"].(string), path)) {
				t.Errorf("%s has not the attribute d", path)
			}
		}
	})
}
