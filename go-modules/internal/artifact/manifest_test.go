package artifact

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"golang.org/x/sys/unix"

	"corvus.murder/internal/testarchive"
)

// arrived unpacks an archive with one entry of each kind, and gives plans for it and the directory of all.
func arrived(t *testing.T) (top string, again func() *Plan) {
	top = t.TempDir()
	o := PlaceOptions{Dest: top + "/dest", Unpack: true, StateDir: top + "/state", UnpackDevices: true}
	data := testarchive.Tar(t, packed{Name: "d/\xff\n", Body: "content", Mode: 0o600}, packed{Name: "l", Type: tar.TypeSymlink, Link: "d"},
		packed{Name: "p", Type: tar.TypeFifo, Mode: 0o600})
	p, err := unpack(t, top, data, o)
	must(t, err)
	must(t, p.Place(t.Context()))
	must(t, p.Remember())
	return top, func() *Plan { return plan(t, p.incoming(), o) }
}

func complete(t *testing.T, p *Plan) bool {
	t.Helper()
	complete, err := p.Complete(t.Context())
	must(t, err)
	return complete
}

func TestWhatWasUnpackedIsRemembered(t *testing.T) {
	file, link, pipe, dest := "/dest/d/\xff\n", "/dest/l", "/dest/p", "/dest"
	for name, c := range map[string]struct {
		change func(top string) error
		want   bool
	}{
		"nothing":           {func(string) error { return nil }, true},
		"a stranger's file": {func(top string) error { return os.WriteFile(top+dest+"/d/new", nil, 0o600) }, true},
		"mode":              {func(top string) error { return os.Chmod(top+file, 0o644) }, true}, // is put right without unpacking
		"time":              {func(top string) error { return os.Chtimes(top+file, time.Now(), time.Now()) }, true},
		"content":           {func(top string) error { return os.WriteFile(top+file, []byte("another"), 0o600) }, false},
		"length":            {func(top string) error { return os.Truncate(top+file, 3) }, false},
		"file gone":         {func(top string) error { return os.Remove(top + file) }, false},
		"link gone":         {func(top string) error { return os.Remove(top + link) }, false},
		"link elsewhere":    {func(top string) error { _ = os.Remove(top + link); return os.Symlink("e", top+link) }, false},
		"link a file":       {func(top string) error { _ = os.Remove(top + link); return os.WriteFile(top+link, nil, 0o600) }, false},
		"pipe a file":       {func(top string) error { _ = os.Remove(top + pipe); return os.WriteFile(top+pipe, nil, 0o600) }, false},
		"directory a link": {func(top string) error {
			_ = os.Rename(top+dest+"/d", top+"/d")
			return os.Symlink("../d", top+dest+"/d")
		}, false},
		"all gone":       {func(top string) error { return os.RemoveAll(top + dest) }, false},
		"all made anew":  {func(top string) error { _ = os.RemoveAll(top + dest); return os.Mkdir(top+dest, 0o700) }, false},
		"record gone":    {func(top string) error { return os.RemoveAll(top + "/state") }, false},
		"record open":    {func(top string) error { return os.Chmod(manifestIn(t, top), 0o666) }, false},
		"record damaged": {func(top string) error { return os.Truncate(manifestIn(t, top), 50) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			top, again := arrived(t)
			must(t, c.change(top))
			if got := complete(t, again()); got != c.want {
				t.Errorf("complete is %v", got)
			}
		})
	}
}

func manifestIn(t *testing.T, top string) string {
	t.Helper()
	found, err := filepath.Glob(top + "/state/unpacked/*")
	if err != nil || len(found) != 1 {
		t.Fatalf("records: %v, %v", found, err)
	}
	return found[0]
}

// TestRecordOfAnArchive: it vouches for what was unpacked until a file is touched, and hashing renews it.
func TestRecordOfAnArchive(t *testing.T) {
	top, again := arrived(t)
	file := top + "/dest/d/\xff\n"
	old := time.Now().Add(-time.Hour)
	times := []unix.Timespec{unix.NsecToTimespec(old.UnixNano()), unix.NsecToTimespec(old.UnixNano())}
	for _, path := range []string{file, top + "/dest/l", top + "/dest/p"} {
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, times, unix.AT_SYMLINK_NOFOLLOW))
	}
	complete, rec, err := again().Certify(t.Context())
	if err != nil || !complete || !again().Matches(rec) {
		t.Errorf("what was unpacked: %v, %v, %v", complete, rec, err)
	}
	must(t, os.WriteFile(file, []byte("CONTENT"), 0o600))
	if again().Matches(rec) {
		t.Error("the record vouches for a file that was written to")
	}
	if complete, _, err := again().Certify(t.Context()); complete || err != nil {
		t.Errorf("with another content: %v, %v", complete, err)
	}
	must(t, os.RemoveAll(top+"/state"))
	if again().Matches(rec) {
		t.Error("the record vouches for what nobody knows")
	}
}

// TestFailureForgetsNothing: an archive that is not put in place leaves what is known of the one that is there.
func TestFailureForgetsNothing(t *testing.T) {
	top, again := arrived(t)
	p, err := unpack(t, top, testarchive.Tar(t, packed{Name: "f", Body: "x"}), PlaceOptions{Validate: "sh -c false %s"})
	must(t, err)
	wantError(t, p.Place(t.Context()), "Validation of "+top+"/dest failed, and what was there before stays")
	if !complete(t, again()) {
		t.Error("the old archive is forgotten")
	}
}

// TestNoRecordSpeaksOfAnotherTree: where a run is killed after the switch, there is no record of the old tree.
func TestNoRecordSpeaksOfAnotherTree(t *testing.T) {
	top, again := arrived(t)
	p, err := unpack(t, top, testarchive.Tar(t, packed{Name: "d/\xff\n", Body: "CONTENT", Mode: 0o600}), PlaceOptions{})
	must(t, err)
	rename := p.staging.renameat2
	p.staging.renameat2 = func(fromDir int, from string, toDir int, to string, flags uint) error {
		if found, err := filepath.Glob(top + "/state/unpacked/*"); err != nil || len(found) > 0 {
			t.Errorf("when it is switched there are records: %v, %v", found, err)
		}
		return rename(fromDir, from, toDir, to, flags)
	}
	must(t, p.Place(t.Context()))
	if complete(t, again()) {
		t.Error("the old archive is said to be in place")
	}
}

func TestForgetUnpacked(t *testing.T) {
	top, again := arrived(t)
	for _, c := range []struct{ dry, want bool }{{true, true}, {false, true}, {true, false}, {false, false}} {
		if found, err := ForgetUnpacked(top+"/state", top+"/dest", c.dry); found != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c, found, err)
		}
	}
	if complete(t, again()) {
		t.Error("it is remembered still")
	}
	if got := read(t, top+"/dest/d/\xff\n"); got != "content" {
		t.Errorf("the destination holds %q", got)
	}
}

func FuzzManifest(f *testing.F) {
	good, err := bencode.Marshal(manifest{Dest: "/d", Infohash: "x", Dirs: []manifestEntry{manifestOf("a", Meta{})},
		Files: []manifestEntry{{Path: "a/\xff", Sum: make([]byte, 20), Length: 5, Has: hasMode | hasTime, Mode: 0o644}}})
	must(f, err)
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		once, err := bencode.Marshal(m)
		must(t, err)
		again, err := parseManifest(once)
		must(t, err)
		twice, err := bencode.Marshal(again)
		must(t, err)
		if !bytes.Equal(once, twice) {
			t.Errorf("%q became %q", once, twice)
		}
	})
}
