package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	unix.Umask(0o022)
	if os.Getenv(placerVariable) != "" {
		fmt.Fprintln(os.Stderr, deployForEver())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// needRoot skips a test that only root can set up, with the reason; make test counts it as skipped, and as root, as in
// continuous integration, it runs.
func needRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to " + why)
	}
}

// patience bounds what a test waits for.
const patience = 20 * time.Second

var sometime = time.Unix(1_600_000_000, 123_000_000)

// tree describes files by path: content, or what the constructors below say.
type tree map[string]any

type (
	link   string // a symlink's target
	hard   string // path in the tree of the file that it is a hard link of
	sparse int64  // a file of that many bytes, nothing but a hole but for a few bytes in the middle
	dir    fs.FileMode
	script string // content of an executable file
)

// write makes the tree in a new directory.
func (tr tree) write(t testing.TB, root string) string {
	t.Helper()
	must(t, os.MkdirAll(root, 0o755))
	paths := slices.Sorted(maps.Keys(tr))
	for _, path := range paths {
		full := filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		switch value := tr[path].(type) {
		case string:
			must(t, os.WriteFile(full, []byte(value), 0o644))
		case script:
			must(t, os.WriteFile(full, []byte(value), 0o755))
		case link:
			must(t, os.Symlink(string(value), full))
		case dir:
			must(t, os.MkdirAll(full, 0o755))
		case sparse:
			file, err := os.Create(full)
			must(t, err)
			must(t, file.Truncate(int64(value)))
			_, err = file.WriteAt([]byte("data"), int64(value)/2)
			must(t, errors.Join(err, file.Close()))
		}
	}
	for _, path := range paths {
		if first, ok := tr[path].(hard); ok {
			must(t, os.Link(filepath.Join(root, string(first)), filepath.Join(root, path)))
		}
	}
	for _, path := range slices.Backward(paths) {
		full := filepath.Join(root, path)
		times := []unix.Timespec{unix.NsecToTimespec(sometime.UnixNano()), unix.NsecToTimespec(sometime.UnixNano())}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, full, times, unix.AT_SYMLINK_NOFOLLOW))
		if mode, ok := tr[path].(dir); ok {
			must(t, os.Chmod(full, fs.FileMode(mode)))
		}
	}
	return root
}

// listing reads a tree back: one line for each path, with type, permissions, time, hard links and content.
func listing(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	links := map[uint64]string{}
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		stat, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		line := fmt.Sprintf("%v %d", stat.Mode(), stat.ModTime().UnixNano())
		switch {
		case stat.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		case stat.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += " " + string(data)
			number := stat.Sys().(*syscall.Stat_t).Ino
			if first, met := links[number]; met {
				line += " same as " + first
			} else {
				links[number] = rel
			}
		}
		out[rel] = line
		return nil
	}))
	return out
}

func sameTree(t testing.TB, got, want map[string]string) {
	t.Helper()
	for path, line := range want {
		if got[path] != line {
			t.Errorf("%q is %.200q, want %.200q", path, got[path], line)
		}
	}
	for path := range got {
		if _, known := want[path]; !known {
			t.Errorf("%q should not be there", path)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantError checks that a message holds every part.
func wantError(t testing.TB, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q lacks %q", err, part)
		}
	}
	if strings.HasSuffix(err.Error(), ".") {
		t.Errorf("error %q ends with a full stop", err)
	}
}

func build(t testing.TB, src string, options ...BuildOptions) (*Torrent, *Source) {
	t.Helper()
	torrent, source, err := Build(t.Context(), src, append(options, BuildOptions{PieceLength: MinPieceLength})[0])
	must(t, err)
	return torrent, source
}

func plan(t testing.TB, torrent *Torrent, o PlaceOptions) *Plan {
	t.Helper()
	p, err := NewPlan(torrent, o)
	must(t, err)
	t.Cleanup(func() { must(t, p.Release()) })
	return p
}

// transfer copies all pieces from the source into the staging, as a swarm would, and leaves the staging open.
func transfer(t testing.TB, torrent *Torrent, source *Source, p *Plan) *Store {
	t.Helper()
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	from, err := source.Open()
	must(t, err)
	defer from.Close()
	for i := torrent.NumPieces() - 1; i >= 0; i-- { // the order must not matter
		piece := make([]byte, torrent.PieceSize(i))
		_, err := from.ReadAt(piece, int64(i)*torrent.PieceLength)
		must(t, err)
		_, err = store.WriteAt(piece, int64(i)*torrent.PieceLength)
		must(t, err)
	}
	have, err := Verify(t.Context(), torrent, store, 2)
	must(t, err)
	if slices.Contains(have, false) {
		t.Fatalf("pieces are wrong after the transfer: %v", have)
	}
	return store
}

// deploy builds src and places it at dest.
func deploy(t testing.TB, src string, o PlaceOptions) *Plan {
	t.Helper()
	torrent, source := build(t, src)
	p := plan(t, torrent, o)
	transfer(t, torrent, source, p)
	must(t, p.Place(context.Background()))
	return p
}

// reopen makes closed directories writable again when the test is over, for they could not be removed otherwise.
func reopen(t *testing.T, top string) {
	t.Cleanup(func() {
		_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(path, 0o755) // before it is read
			}
			return nil
		})
	})
}

// noStaging checks that nothing of ours is left in a directory.
func noStaging(t testing.TB, directory string) {
	t.Helper()
	names, err := os.ReadDir(directory)
	must(t, err)
	for _, name := range names {
		if strings.Contains(name.Name(), ".murder-") {
			t.Errorf("%s is left in %s", name.Name(), directory)
		}
	}
}

func inode(t testing.TB, path string) uint64 {
	t.Helper()
	stat, err := os.Lstat(path)
	must(t, err)
	return stat.Sys().(*syscall.Stat_t).Ino
}

func content(n int) string { return string(bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]) }

// asUser runs a test without root's powers, in a directory of its own. Where the tests run as root, this one thread
// becomes another user for the time.
func asUser(t *testing.T, test func(top string)) {
	t.Helper()
	const nobody = 65534
	top := t.TempDir()
	if os.Geteuid() == 0 {
		must(t, os.Chown(top, nobody, nobody))
		must(t, os.Chmod(filepath.Dir(top), 0o755))
		runtime.LockOSThread()
		become := func(uid, gid int) {
			for _, call := range []struct{ number, id int }{{unix.SYS_SETRESGID, gid}, {unix.SYS_SETRESUID, uid}} {
				if _, _, errno := unix.RawSyscall(uintptr(call.number), ^uintptr(0), uintptr(call.id), ^uintptr(0)); errno != 0 {
					t.Fatal(errno)
				}
			}
		}
		become(nobody, nobody)
		defer func() {
			become(0, 0)
			runtime.UnlockOSThread()
		}()
	}
	test(top)
}
