package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"corvus.murder/internal/testarchive"
)

// TestValidateUnpacked: a command that says no leaves the old tree, and the archive to be resumed; one that says yes has seen
// what was unpacked, with its modes, under the path of the staged tree.
func TestValidateUnpacked(t *testing.T) {
	top := t.TempDir()
	before := listing(t, tree{"f": "old", "stranger": "kept"}.write(t, top+"/dest"))
	data := testarchive.Tar(t, packed{Name: "f", Body: "#!/bin/sh\necho new\n", Mode: 0o755})
	p, err := unpack(t, top, data, PlaceOptions{Validate: `sh -c "echo out; echo err >&2; grep -q other $0" %s/f`})
	must(t, err)
	err = p.Place(t.Context())
	wantError(t, err, "Validation of "+top+"/dest failed, and what was there before stays: sh -c ",
		"; rc 1, stderr: err, stdout: out")
	if !errors.Is(err, ErrValidate) {
		t.Errorf("%v is not ErrValidate", err)
	}
	sameTree(t, listing(t, top+"/dest"), before)
	must(t, p.Release())

	o := PlaceOptions{
		Dest: top + "/dest", Unpack: true, StateDir: top + "/state", Mode: "u=rwx,go=",
		Validate: `sh -c "test $(ls -l $0 | cut -c1-10) = -rwx------ && test $($0) = new" %s/f`,
	}
	p = plan(t, p.incoming(), o)
	store, resumed, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	if !resumed {
		t.Error("the archive is gone")
	}
	must(t, p.Unpack(t.Context(), store))
	must(t, p.Place(t.Context()))
	if !strings.Contains(read(t, top+"/dest/f"), "new") || read(t, top+"/dest/stranger") != "kept" {
		t.Error("not placed")
	}
	noStaging(t, top)
}

// TestChecksumOfAnArchive: it is the archive's, known beforehand by a torrent that tells it and else when all of it has come.
func TestChecksumOfAnArchive(t *testing.T) {
	top := t.TempDir()
	must(t, os.WriteFile(top+"/app.tar", testarchive.Tar(t, packed{Name: "f", Body: "new", Mode: 0o600}), 0o644))
	sum, err := Checksum(t.Context(), top+"/app.tar")
	must(t, err)
	other := strings.Repeat("0", 40)
	want := "The checksum of app.tar is " + sum + ", but " + other + " is expected"
	torrent, source := build(t, top+"/app.tar")
	quiet := *torrent
	quiet.whole = nil
	before := listing(t, tree{"f": "old"}.write(t, top+"/dest"))
	for _, c := range []struct {
		torrent  *Torrent
		expected string
		early    bool // refused by the torrent alone
		ok       bool
	}{
		{torrent, other, true, false},
		{&quiet, other, false, false},
		{&quiet, strings.ToUpper(sum), false, true},
		{torrent, "sha1:" + sum, false, true},
	} {
		o := PlaceOptions{Dest: top + "/dest", Unpack: true, StateDir: top + "/state", Checksum: c.expected}
		if _, err := NewPlan(c.torrent, o); c.early {
			wantError(t, err, want)
			continue
		}
		p := plan(t, c.torrent, o)
		must(t, p.Unpack(t.Context(), transfer(t, c.torrent, source, p)))
		err := p.Place(t.Context())
		if c.ok {
			must(t, err)
			if read(t, top+"/dest/f") != "new" {
				t.Errorf("with %s it is not placed", c.expected)
			}
			continue
		}
		wantError(t, err, want)
		if !errors.Is(err, ErrChecksum) {
			t.Errorf("%v is not ErrChecksum", err)
		}
		sameTree(t, listing(t, top+"/dest"), before)
		must(t, p.Discard())
	}
	noStaging(t, top)
}

// TestBackupOfWhatIsUnpackedOver: the backup is the old tree itself, and there is none of nothing.
func TestBackupOfWhatIsUnpackedOver(t *testing.T) {
	data := testarchive.Tar(t, packed{Name: "f", Body: "new", Mode: 0o600}, packed{Name: "d/g", Body: "new", Mode: 0o600})
	for _, there := range []bool{true, false} {
		top := t.TempDir()
		var before map[string]string
		var number uint64
		if there {
			before = listing(t, tree{"f": "old", "stranger": "kept"}.write(t, top+"/dest"))
			number = inode(t, top+"/dest")
		}
		p, err := unpack(t, top, data, PlaceOptions{Backup: true})
		must(t, err)
		must(t, p.Place(t.Context()))
		if read(t, top+"/dest/f") != "new" || read(t, top+"/dest/d/g") != "new" {
			t.Error("not placed")
		}
		noStaging(t, top)
		if !there {
			if p.Backup() != "" {
				t.Errorf("backup of nothing: %s", p.Backup())
			}
			continue
		}
		if !backupName.MatchString(p.Backup()) || inode(t, p.Backup()) != number || read(t, top+"/dest/stranger") != "kept" {
			t.Fatalf("the backup is %q", p.Backup())
		}
		sameTree(t, listing(t, p.Backup()), before)
	}
}

// TestFlagsOfWhatIsUnpacked: option attributes gives them to every file and directory.
func TestFlagsOfWhatIsUnpacked(t *testing.T) {
	needFlags(t)
	top := t.TempDir()
	data := testarchive.Tar(t, packed{Name: "d/f", Body: "new", Mode: 0o600}, packed{Name: "e/", Mode: 0o755})
	tree{"d/f": "old"}.write(t, top+"/dest")
	unpacked(t, top, data, PlaceOptions{Attributes: "+d"})
	for _, path := range []string{"", "d", "d/f", "e"} {
		if got, _ := flagsAt(t, filepath.Join(top, "dest", path)); got != "d" {
			t.Errorf("%q has %q", path, got)
		}
	}
}
