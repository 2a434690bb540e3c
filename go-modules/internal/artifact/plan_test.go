package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPlansThatAreRefused(t *testing.T) {
	top := t.TempDir()
	tree{
		"src/d/f": "x", "src/l": link("d"), "file": "old", "dir/x": "x", "full/d/f/inside": "x", "full/l/inside": "x",
		"loop": link("loop"), "away": link("none/there"), "todir": link("dir"),
	}.write(t, top)
	must(t, unix.Mkfifo(top+"/pipe", 0o600))
	one, _ := build(t, top+"/src/d/f")
	all, _ := build(t, top+"/src")
	for _, c := range []struct {
		torrent *Torrent
		o       PlaceOptions
		want    string
	}{
		{one, PlaceOptions{}, "Option dest is empty"},
		{one, PlaceOptions{Dest: top + "/none/a"}, "Destination directory " + top + "/none does not exist; create it first or"},
		{one, PlaceOptions{Dest: top + "/none/"}, "Destination directory " + top + "/none does not exist; create it first or"},
		{all, PlaceOptions{Dest: top + "/none/a/"}, "Destination directory " + top + "/none does not exist; create it first or"},
		{one, PlaceOptions{Dest: top + "/away"}, "Destination directory " + top + "/none does not exist"},
		{one, PlaceOptions{Dest: top + "/dir"}, "Destination " + top + "/dir is a directory; name the file (" + top + `/dir/f) or end dest with "/" to put it inside`},
		{one, PlaceOptions{Dest: top + "/todir"}, "Destination " + top + "/dir is a directory; name the file"},
		{one, PlaceOptions{Dest: top + "/file/"}, "Destination " + top + `/file is not a directory; leave out the "/"`},
		{one, PlaceOptions{Dest: top + "/file/a"}, "Destination directory " + top + "/file is a file"},
		{one, PlaceOptions{Dest: top + "/loop"}, "Destination " + top + "/loop is a symbolic link that leads to itself"},
		{one, PlaceOptions{Dest: top + "/pipe"}, "Destination " + top + "/pipe is a named pipe; only files and directories can be replaced"},
		{one, PlaceOptions{Dest: "/dev/null"}, "Destination /dev/null is a character device"},
		{all, PlaceOptions{Dest: top + "/file"}, "Destination " + top + "/file is a file, but the artifact is a directory; remove the file or"},
		{all, PlaceOptions{Dest: "/"}, "Destination / is a mount point"},
		{all, PlaceOptions{Dest: "/proc"}, "Destination /proc is a mount point and cannot be replaced as a whole"},
		{one, PlaceOptions{Dest: top + "/a", Owner: "no such user"}, `Owner "no such user" does not exist on this host`},
		{one, PlaceOptions{Dest: top + "/a", Group: "-nogroup"}, `Group "-nogroup" does not exist on this host`},
		{one, PlaceOptions{Dest: top + "/a", Mode: "rwx"}, `Option mode is "rwx", which is no mode; write it like "0644"`},
		{one, PlaceOptions{Dest: top + "/a", DirectoryMode: "10000"}, `Option directory_mode is "10000", which is more than permission bits`},
	} {
		_, err := NewPlan(c.torrent, c.o)
		wantError(t, err, c.want)
	}
	full := plan(t, all, PlaceOptions{Dest: top + "/full"})
	wantError(t, full.Space(), "Destination "+top+"/full/l is a directory that is not empty, but a file of that name")
	if err := plan(t, all, PlaceOptions{Dest: top + "/full", Delete: true}).Space(); err != nil {
		t.Errorf("with delete: %v", err)
	}
	noStaging(t, top)
}

func TestWhereThePlanPuts(t *testing.T) {
	top := t.TempDir()
	tree{
		"src/f": "x", "dir/x": "x", "tofile": link("dir/x"), "todir": link("dir"), "chain": link("dir/back"), "dir/back": link("../tofile"),
		"new": link("dir/new"),
	}.write(t, top)
	one, _ := build(t, top+"/src/f")
	all, _ := build(t, top+"/src")
	t.Chdir(top)
	for _, c := range []struct {
		torrent    *Torrent
		dest, want string
	}{
		{one, top + "/a", "/a"},
		{one, "a", "/a"},
		{one, "./dir/../a", "/a"},
		{one, top + "/dir/", "/dir/f"},
		{one, top + "/todir/", "/todir/f"},
		{one, top + "/tofile", "/dir/x"},
		{one, top + "/chain", "/dir/x"},
		{one, top + "/new", "/dir/new"},
		{all, top + "/a", "/a"},
		{all, top + "/a/", "/a"},
		{all, top + "/dir", "/dir"},
		{all, top + "/todir/", "/dir"},
	} {
		p := plan(t, c.torrent, PlaceOptions{Dest: c.dest})
		if p.Dest != top+c.want {
			t.Errorf("%s is %s, want %s", c.dest, p.Dest, top+c.want)
		}
		if filepath.Dir(p.Staging) != filepath.Dir(p.Dest) {
			t.Errorf("the staging of %s is %s", p.Dest, p.Staging)
		}
	}
}

func TestReadOnlyDirectories(t *testing.T) {
	asUser(t, func(top string) {
		src := tree{"d/f": "x"}.write(t, top+"/src")
		closed := tree{"in/f": "old", "tree/f": "old", "tree": dir(0o755)}.write(t, top+"/closed")
		must(t, os.Chmod(closed, 0o555))
		one, _ := build(t, src+"/d/f")
		all, _ := build(t, src)
		for _, torrent := range []*Torrent{one, all} {
			_, err := NewPlan(torrent, PlaceOptions{Dest: closed + "/new"})
			wantError(t, err, "Destination directory "+closed+" cannot be written to by user ", "; run with become, or")
		}
		// What is there already may be complete, so an unwritable directory matters only when it comes to writing.
		p := plan(t, all, PlaceOptions{Dest: closed + "/tree"})
		_, _, err := p.OpenStaging(t.Context())
		wantError(t, err, "Destination directory "+closed+" cannot be written to")
		wantError(t, p.Space(), "Destination directory "+closed+" cannot be written to")
		_, err = NewPlan(one, PlaceOptions{Dest: top + "/a", Owner: "root"})
		wantError(t, err, "Owner root cannot be set by user ", "; run with become, or leave owner out")
		reopen(t, top)
	})
}

func TestStickyDirectories(t *testing.T) {
	needRoot(t, "make a file that belongs to someone else")
	top := t.TempDir()
	shared := tree{"a": "root's"}.write(t, top+"/shared")
	must(t, errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chmod(shared, 0o1777|os.ModeSticky)))
	torrent, _ := build(t, shared+"/a")
	asUser(t, func(string) {
		_, _, err := plan(t, torrent, PlaceOptions{Dest: shared + "/a"}).OpenStaging(t.Context())
		wantError(t, err, "Destination "+shared+"/a belongs to user root, and in "+shared+" (sticky bit) only its owner may replace it")
		p := plan(t, torrent, PlaceOptions{Dest: shared + "/b"})
		_, _, err = p.OpenStaging(t.Context())
		must(t, err)
		must(t, p.Discard())
	})
}

func TestReadOnlyFilesystem(t *testing.T) {
	src := tree{"f": "x"}.write(t, t.TempDir())
	torrent, _ := build(t, src+"/f")
	mount := mountTmpfs(t, "size=1m,ro")
	_, err := NewPlan(torrent, PlaceOptions{Dest: mount + "/a"})
	wantError(t, err, "Destination directory "+mount+" is read-only")
	if !errors.Is(err, unix.EROFS) {
		t.Errorf("%v is not EROFS", err)
	}
}

func TestMountPoints(t *testing.T) {
	torrent, _ := build(t, tree{"f": "x"}.write(t, t.TempDir()))
	mount := mountTmpfs(t, "size=1m")
	_, err := NewPlan(torrent, PlaceOptions{Dest: mount})
	wantError(t, err, "Destination "+mount+" is a mount point and cannot be replaced as a whole; choose a path inside it")
	_, err = NewPlan(torrent, PlaceOptions{Dest: filepath.Dir(mount)})
	wantError(t, err, "Destination "+filepath.Dir(mount)+" holds the mount point "+mount+", so it cannot")
	must(t, os.Mkdir(mount+"/inside", 0o755))
	plan(t, torrent, PlaceOptions{Dest: mount + "/inside"})
}

// mountTmpfs mounts a small filesystem, at a path with a blank in it. Only root may.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	needRoot(t, "mount a filesystem of its own (tmpfs)")
	return mountAt(t, mkdir(t, filepath.Join(t.TempDir(), "mount point")), options)
}

// mountAt mounts one at a directory.
func mountAt(t *testing.T, at, options string) string {
	t.Helper()
	needRoot(t, "mount a filesystem of its own (tmpfs)")
	flags := uintptr(0)
	if rest, ro := strings.CutSuffix(options, ",ro"); ro {
		options, flags = rest, unix.MS_RDONLY
	}
	must(t, unix.Mount("tmpfs", at, "tmpfs", flags, options))
	t.Cleanup(func() { must(t, unix.Unmount(at, unix.MNT_DETACH)) })
	return at
}

func TestFullDisk(t *testing.T) {
	mount := mountTmpfs(t, "size=10m")
	src := t.TempDir()
	must(t, os.WriteFile(src+"/f", []byte(content(56e6)), 0o644))
	must(t, os.WriteFile(mount+"/a", []byte("old"), 0o644))
	torrent, source := build(t, src+"/f", BuildOptions{})
	p := plan(t, torrent, PlaceOptions{Dest: mount + "/a"})
	want := "Not enough space on \"" + mount + "\" for \"" + mount + "/a\": 56.0 MB needed, 10.5 MB free"
	if strings.IndexByte(mount, '"') < 0 {
		want = strings.ReplaceAll(want, `"`, "")
	}
	wantError(t, p.Space(), want)
	if !errors.Is(p.Space(), ErrNoSpace) {
		t.Error("is not ErrNoSpace")
	}
	// Another program may fill the disk after the check: then the write says so.
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	from, err := source.Open()
	must(t, err)
	defer from.Close()
	for i := 0; err == nil && i < torrent.NumPieces(); i++ {
		piece := []byte(content(int(torrent.PieceSize(i))))
		_, err = store.WriteAt(piece, int64(i)*torrent.PieceLength)
	}
	wantError(t, err, "Not enough space on "+mount+" for "+mount+"/a: 45.5 MB needed, 0 bytes free")
	if !errors.Is(err, ErrNoSpace) {
		t.Error("is not ErrNoSpace")
	}
	must(t, store.Close())
	must(t, p.Discard())
	if data, _ := os.ReadFile(mount + "/a"); string(data) != "old" {
		t.Errorf("the destination is %q now", data)
	}
	noStaging(t, mount)
}

func TestFewInodes(t *testing.T) {
	mount := mountTmpfs(t, "size=10m,nr_inodes=20")
	torrent, _ := build(t, manyFiles().write(t, t.TempDir()))
	p := plan(t, torrent, PlaceOptions{Dest: mount + "/a"})
	wantError(t, p.Space(), "Not enough inodes on "+mount+" for "+mount+"/a: 206 needed, 19 free")
}

// TestHolesTakeNoSpace: what the torrent says is nothing but zeros is not counted, also after Reuse has looked.
func TestHolesTakeNoSpace(t *testing.T) {
	mount := mountTmpfs(t, "size=10m")
	src := t.TempDir()
	disk, err := os.Create(src + "/disk")
	must(t, err)
	defer disk.Close()
	must(t, disk.Truncate(1<<30))
	_, err = disk.WriteAt([]byte(content(8<<20)), 256<<20)
	must(t, err)
	torrent, source := build(t, src, BuildOptions{PieceLength: 1 << 20})
	p := plan(t, torrent, PlaceOptions{Dest: mount + "/a"})
	must(t, p.Space())
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	have := make([]bool, torrent.NumPieces())
	must(t, p.Reuse(t.Context(), have, nil))
	must(t, store.FillHoles(have))
	must(t, p.Space())
	from, err := source.Open()
	must(t, err)
	defer from.Close()
	for i := range have {
		if piece := make([]byte, 1<<20); !have[i] {
			_, err = from.ReadAt(piece, int64(i)<<20)
			must(t, err)
			_, err = store.WriteAt(piece, int64(i)<<20)
			must(t, err)
		}
	}
	must(t, p.Place(t.Context()))
	_, err = disk.WriteAt([]byte(content(4<<20)), 0)
	must(t, err)
	torrent, _ = build(t, src, BuildOptions{PieceLength: 1 << 20})
	p = plan(t, torrent, PlaceOptions{Dest: mount + "/b"})
	wantError(t, p.Space(), "Not enough space on "+mount+" for "+mount+"/b: 12.6 MB needed, 2.1 MB free")
}

func TestSpaceCountsWhatIsThere(t *testing.T) {
	mount := mountTmpfs(t, "size=10m")
	src := t.TempDir()
	must(t, os.WriteFile(src+"/f", []byte(content(8<<20)), 0o644))
	torrent, source := build(t, src+"/f", BuildOptions{})
	p := plan(t, torrent, PlaceOptions{Dest: mount + "/a"})
	must(t, p.Space())
	transfer(t, torrent, source, p)
	must(t, p.Space()) // 8 of 10 MB are in the staging, so nothing more is needed
	must(t, p.Release())
	must(t, p.Space())
	other, _ := build(t, src, BuildOptions{})
	wantError(t, plan(t, other, PlaceOptions{Dest: mount + "/b"}).Space(), "8.4 MB needed, 2.1 MB free")
}

// TestSpaceOfReleasesElsewhere: with keep, the space that counts is that of the directory of the releases, which may be another
// filesystem than the link's.
func TestSpaceOfReleasesElsewhere(t *testing.T) {
	src := t.TempDir()
	must(t, os.WriteFile(src+"/f", []byte(content(4<<20)), 0o644))
	torrent, source := build(t, src+"/f", BuildOptions{})
	for name, c := range map[string]struct{ link, releases, missing string }{
		"small releases": {"10m", "2m", "4.2 MB needed, 2.1 MB free"},
		"small link":     {"1m", "10m", ""},
	} {
		t.Run(name, func(t *testing.T) {
			top := mountTmpfs(t, "size="+c.link)
			releases := mountAt(t, mkdir(t, top+"/releases"), "size="+c.releases)
			p := plan(t, torrent, PlaceOptions{Dest: top + "/current", Keep: 1})
			if c.missing != "" {
				wantError(t, p.Space(), "Not enough space on "+releases+" for "+releases+"/f-", c.missing)
				return
			}
			must(t, p.Space())
			transfer(t, torrent, source, p)
			must(t, p.Space())
			must(t, p.Place(t.Context()))
			if read(t, top+"/current") != content(4<<20) || filepath.Dir(p.Dest) != releases {
				t.Errorf("%s is not the artifact", p.Dest)
			}
			noStaging(t, releases)
		})
	}
}

// TestFreeSpaceThatNobodyKnows: ramfs tells of no blocks at all, and is not full.
func TestFreeSpaceThatNobodyKnows(t *testing.T) {
	if free := available(&unix.Statfs_t{Bsize: 4096}); free < 1<<50 {
		t.Errorf("%d bytes are free", free)
	}
	if free := available(&unix.Statfs_t{Bsize: 4096, Blocks: 9}); free != 0 {
		t.Errorf("%d bytes are free", free)
	}
}
