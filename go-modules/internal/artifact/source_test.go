package artifact

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// specialTree holds what no torrent can carry.
func specialTree(t *testing.T, top string) string {
	t.Helper()
	t.Chdir(top) // the address of a socket is short
	src := tree{"f": "x", "d/g": "y"}.write(t, filepath.Join(top, "src"))
	must(t, unix.Mkfifo(src+"/d/pipe", 0o600))
	listener, err := net.Listen("unix", "src/socket")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	return src
}

func TestSpecialFilesAreNamed(t *testing.T) {
	src := specialTree(t, t.TempDir())
	_, _, err := Build(t.Context(), src, BuildOptions{})
	wantError(t, err, "Source "+src+"/d/pipe is a named pipe and cannot be deployed, nor can "+src+"/socket (socket); ", "special: skip")
	for _, name := range []string{"1", "2", "3", "4", "5", "6"} {
		must(t, unix.Mkfifo(src+"/d/pipe"+name, 0o600))
	}
	_, _, err = Build(t.Context(), src, BuildOptions{})
	wantError(t, err, "/d/pipe5 (named pipe), 2 more; ")
	t.Run("device", func(t *testing.T) {
		needRoot(t, "make device nodes")
		must(t, unix.Mknod(src+"/a device", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 200))))
		_, _, err = Build(t.Context(), src, BuildOptions{})
		wantError(t, err, "Source "+src+"/a device is a block device")
	})
}

func TestSpecialFilesAreSkipped(t *testing.T) {
	for name, special := range map[string][]string{
		"pipe and socket": {"d/pipe", "socket"}, "devices too": {"d/block", "d/pipe", "socket", "tty"},
	} {
		t.Run(name, func(t *testing.T) { skipsSpecial(t, special) })
	}
}

func skipsSpecial(t *testing.T, special []string) {
	t.Helper()
	top := t.TempDir()
	src := specialTree(t, top)
	if slices.Contains(special, "tty") {
		needRoot(t, "make device nodes")
		must(t, unix.Mknod(src+"/d/block", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 200))))
		must(t, unix.Mknod(src+"/tty", unix.S_IFCHR|0o600, int(unix.Mkdev(5, 0))))
	}
	torrent, source, err := Build(t.Context(), src, BuildOptions{SkipSpecial: true, PieceLength: MinPieceLength})
	must(t, err)
	if !slices.Equal(source.Skipped, special) {
		t.Errorf("skipped %v, want %v", source.Skipped, special)
	}
	p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest")})
	transfer(t, torrent, source, p)
	must(t, p.Place(t.Context()))
	for _, path := range special {
		must(t, os.Remove(filepath.Join(src, path)))
	}
	got, want := listing(t, p.Dest), listing(t, src)
	for _, dir := range []string{".", "d"} { // their times are those of the changes above
		delete(got, dir)
		delete(want, dir)
	}
	sameTree(t, got, want)
	must(t, unix.Mkfifo(src+"/d/pipe", 0o600))
	torrent, _, err = Build(t.Context(), src, BuildOptions{Exclude: []string{"pipe"}})
	must(t, err)
	if len(torrent.Files) != 2 {
		t.Errorf("files %v", torrent.Files)
	}
}

// TestLinksInsteadOfDirectories: what becomes a link while the source is read does not lead out of it.
func TestLinksInsteadOfDirectories(t *testing.T) {
	top := t.TempDir()
	tree{"src/d/f": "inside", "outside/f": "beside"}.write(t, top)
	src := filepath.Join(top, "src")
	path, stat, err := openSource(src)
	must(t, err)
	found, err := take(t.Context(), path, &stat, &BuildOptions{})
	must(t, err)
	defer found.close()
	must(t, os.Rename(src+"/d", src+"/e"))
	must(t, os.Symlink("../outside", src+"/d"))
	_, _, err = found.hash(t.Context(), MinPieceLength, 1)
	wantError(t, err, "Source "+src+"/d/f cannot be read")
}

// TestLinksAtTheDestination are not followed: what they point to stays, and the tree gets a directory of its own.
func TestLinksAtTheDestination(t *testing.T) {
	top := t.TempDir()
	src := tree{"d/f": "new"}.write(t, filepath.Join(top, "src"))
	tree{"outside/f": "old", "dest/d": link("../outside"), "dest/other": link("../outside")}.write(t, top)
	outside := listing(t, top+"/outside")
	deploy(t, src, PlaceOptions{Dest: top + "/dest"})
	sameTree(t, listing(t, top+"/outside"), outside)
	sameTree(t, listing(t, top+"/dest/d"), listing(t, src+"/d"))
	if target, err := os.Readlink(top + "/dest/other"); err != nil || target != "../outside" {
		t.Errorf("a link beside the artifact is now %q (%v)", target, err)
	}
}

func TestTimesBefore1970(t *testing.T) {
	top := t.TempDir()
	src := tree{"f": "x"}.write(t, filepath.Join(top, "src"))
	for _, when := range []time.Time{time.Unix(-1, 500_000_000), time.Unix(-2, 0), time.Unix(0, 1), time.Unix(5, 999_999_999)} {
		must(t, os.Chtimes(src+"/f", when, when))
		deploy(t, src, PlaceOptions{Dest: top + "/dest"})
		stat, err := os.Lstat(top + "/dest/f")
		must(t, err)
		if !stat.ModTime().Equal(when) {
			t.Errorf("modified %v, want %v", stat.ModTime(), when)
		}
		must(t, os.RemoveAll(top+"/dest"))
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		dir, want     bool
	}{
		{"*.log", "a/b.log", false, true}, {"/*.log", "a/b.log", false, false}, {"a/*", "a/b", false, true}, {"a/*", "a/b/c", false, false},
		{"a/**", "a/b/c", false, true}, {"a/**", "a", true, false}, {"**/c", "c", false, true}, {"**/b/c", "a/b/c", false, true},
		{"a/**/d", "a/d", false, true}, {"a/**/d", "a/b/c/d", false, true}, {"a/**/d", "b/d", false, false}, {"/**/x*", "a/b/xy", false, true},
		{"**/c/", "a/c", false, false}, {"**/c/", "a/c", true, true}, {"**", "a/b", false, true}, {"x**", "x/y", false, false}, {"x**", "xyz", false, true},
	} {
		if got := excluded([]string{c.pattern}, c.path, c.dir); got != c.want {
			t.Errorf("%s excludes %s: %v", c.pattern, c.path, got)
		}
	}
}
