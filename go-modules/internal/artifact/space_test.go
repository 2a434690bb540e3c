package artifact

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mountFile mounts a file of a small filesystem over a file at dest, as a container runtime does, and returns where the
// filesystem is.
func mountFile(t *testing.T, dest, options, content string) (mount string) {
	t.Helper()
	mount = mountTmpfs(t, options)
	must(t, errors.Join(os.WriteFile(mount+"/inner", []byte(content), 0o644), os.WriteFile(dest, nil, 0o644)))
	must(t, unix.Mount(mount+"/inner", dest, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dest, unix.MNT_DETACH)) })
	return mount
}

// TestSpaceOfAMountedFile: what counts is the filesystem that the file is of, less what it has there already.
func TestSpaceOfAMountedFile(t *testing.T) {
	for name, c := range map[string]struct {
		old, new int
		missing  string
	}{
		"fits":       {0, 900_000, ""},
		"grows":      {900_000, 1_000_000, ""},
		"too large":  {0, 3_000_000, "3.0 MB needed, 1.0 MB free"},
		"grows much": {900_000, 1_100_000, "198.9 kB needed, 147.5 kB free"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			dest := top + "/dest"
			mountFile(t, dest, "size=1m", content(c.old))
			torrent, source := build(t, tree{"src": content(c.new)}.write(t, top)+"/src", BuildOptions{})
			p := plan(t, torrent, PlaceOptions{Dest: dest, UnsafeWrites: true})
			if c.missing != "" {
				wantError(t, p.Space(), "Not enough space on "+dest+" for "+dest+": "+c.missing)
				return
			}
			must(t, p.Space())
			transfer(t, torrent, source, p)
			must(t, p.Place(t.Context()))
			if read(t, dest) != content(c.new) {
				t.Error("not written in place")
			}
		})
	}
}

// TestSpaceOfAMountOfTheSameFilesystem: staging and file need it twice.
func TestSpaceOfAMountOfTheSameFilesystem(t *testing.T) {
	mount := mountTmpfs(t, "size=1m")
	dest := mount + "/dest"
	must(t, errors.Join(os.WriteFile(mount+"/inner", nil, 0o644), os.WriteFile(dest, nil, 0o644)))
	must(t, unix.Mount(mount+"/inner", dest, "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dest, unix.MNT_DETACH)) })
	for size, missing := range map[int]string{400_000: "", 700_000: "1.4 MB needed, "} {
		torrent, _ := build(t, tree{"src": content(size)}.write(t, t.TempDir())+"/src", BuildOptions{})
		err := plan(t, torrent, PlaceOptions{Dest: dest, UnsafeWrites: true}).Space()
		if missing == "" {
			must(t, err)
			continue
		}
		wantError(t, err, "Not enough space on "+dest+" for "+dest+": "+missing)
	}
}

// TestDiskThatIsFullBeforeItIsWrittenOver: somebody fills the disk after the check. The old content is not touched.
func TestDiskThatIsFullBeforeItIsWrittenOver(t *testing.T) {
	for _, backup := range []bool{false, true} {
		top := t.TempDir()
		dest := top + "/dest"
		mount := mountFile(t, dest, "size=1m", "old")
		torrent, source := build(t, tree{"src": content(600_000)}.write(t, top)+"/src", BuildOptions{})
		p := plan(t, torrent, PlaceOptions{Dest: dest, UnsafeWrites: true, Backup: backup})
		must(t, p.Space())
		transfer(t, torrent, source, p)
		must(t, os.WriteFile(mount+"/others", []byte(content(900_000)), 0o600))
		err := p.Place(t.Context())
		wantError(t, err, "Not enough space on "+dest+" for "+dest+": ")
		if !errors.Is(err, ErrNoSpace) || read(t, dest) != "old" || p.Backup() != "" {
			t.Errorf("%v; there is %.20q, and the backup %s", err, read(t, dest), p.Backup())
		}
		must(t, os.Remove(mount+"/others"))
		must(t, p.Place(t.Context()))
		if read(t, dest) != content(600_000) || backup && !strings.HasPrefix(read(t, p.Backup()), "old") {
			t.Error("the second try did not write it")
		}
	}
}
