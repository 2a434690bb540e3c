package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPieceLength(t *testing.T) {
	for size, want := range map[int64]int64{
		0: 64 << 10, 1 << 20: 64 << 10, 128 << 20: 64 << 10, 256<<20 - 1: 64 << 10, 256 << 20: 128 << 10,
		1 << 30: 512 << 10, 3 << 30: 1 << 20, 4 << 30: 2 << 20, 8 << 30: 2 << 20, 500 << 30: 2 << 20,
	} {
		if got := pieceLength(size); got != want {
			t.Errorf("%d bytes: pieces of %d, want %d", size, got, want)
		}
	}
}

func TestBuildOptionsThatAreWrong(t *testing.T) {
	src := tree{"f": "x"}.write(t, t.TempDir())
	for _, n := range []int64{-1, 1, 8 << 10, 20_000, 32 << 20} {
		_, _, err := Build(t.Context(), src, BuildOptions{PieceLength: n})
		wantError(t, err, fmt.Sprintf("Piece size %d is not a power of two", n))
	}
	_, _, err := Build(t.Context(), src, BuildOptions{Exclude: []string{"[a"}})
	wantError(t, err, `Exclude pattern "[a" is not valid`)
}

func TestExclude(t *testing.T) {
	src := tree{
		".git/config": "x", ".gitignore": "x", "a.log": "x", "sub/b.log": "x", "sub/keep": "x", "cache/x": "x", "sub/cache": "x",
		"build": "x", "sub/build": "x", "docs/old/x": "x", "docs/new/x": "x", "empty.log": dir(0o755),
	}.write(t, t.TempDir())
	torrent, _ := build(t, src, BuildOptions{Exclude: []string{".git*", "*.log", "cache/", "/build", "docs/old"}})
	var paths []string
	for _, file := range torrent.Files {
		paths = append(paths, file.Path)
	}
	for _, dir := range torrent.Dirs {
		paths = append(paths, dir.Path+"/")
	}
	want := []string{"docs/new/x", "sub/build", "sub/cache", "sub/keep", "docs/", "docs/new/", "sub/"}
	if !slices.Equal(paths, want) {
		t.Errorf("kept %v, want %v", paths, want)
	}
}

func TestSourcesThatAreRefused(t *testing.T) {
	top := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(top, "pipe"), 0o600))
	for src, want := range map[string]string{
		filepath.Join(top, "none"):          "Source " + top + "/none not found",
		filepath.Join(top, "pipe"):          "Source " + top + "/pipe is a named pipe",
		"/dev/null":                         "Source /dev/null is a character device",
		top:                                 "Source " + top + "/pipe is a named pipe and cannot be deployed",
		filepath.Join(top, "pipe", "below"): "Source " + top + "/pipe/below cannot be read: not a directory",
	} {
		_, _, err := Build(t.Context(), src, BuildOptions{})
		wantError(t, err, want)
	}
	torrent, _, err := Build(t.Context(), top, BuildOptions{Exclude: []string{"pipe"}})
	must(t, err)
	if len(torrent.Files) != 0 || torrent.Size != 0 || torrent.NumPieces() != 0 {
		t.Errorf("an empty tree has %d files, %d bytes", len(torrent.Files), torrent.Size)
	}
}

func TestUnreadableSources(t *testing.T) {
	asUser(t, func(top string) {
		src := tree{"d/secret": "x", "closed": dir(0), "f": "x"}.write(t, filepath.Join(top, "src"))
		_, _, err := Build(t.Context(), src, BuildOptions{Workers: 1})
		wantError(t, err, "Source directory "+src+"/closed cannot be read: permission denied")
		must(t, os.Chmod(filepath.Join(src, "closed"), 0o700))
		must(t, os.Chmod(filepath.Join(src, "d/secret"), 0))
		_, _, err = Build(t.Context(), src, BuildOptions{Workers: 1})
		wantError(t, err, "Source "+src+"/d/secret cannot be read: permission denied")
		_, _, err = Build(t.Context(), src+"/d/secret", BuildOptions{Workers: 1})
		wantError(t, err, "Source "+src+"/d/secret cannot be read: permission denied")
	})
}

// TestSourceChangesWhileItIsRead changes it between two steps of Build.
func TestSourceChangesWhileItIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(src string) error
		want   string
	}{
		"grows": {func(src string) error { return os.WriteFile(src+"/b", []byte(content(12)), 0o644) },
			"/b changed while it was being read (size 10 -> 12 bytes); wait until it is complete and deploy again"},
		"shrinks":     {func(src string) error { return os.Truncate(src+"/b", 3) }, "/b changed while it was being read (size 10 -> 3 bytes)"},
		"is modified": {func(src string) error { return os.WriteFile(src+"/b", []byte(content(10)), 0o644) }, "/b changed while it was being read (modified "},
		"is replaced": {func(src string) error {
			return errors.Join(os.WriteFile(src+"/new", []byte(content(10)), 0o644), os.Chtimes(src+"/new", sometime, sometime), os.Rename(src+"/new", src+"/b"))
		}, "/b changed while it was being read (replaced by another file)"},
		"is removed":       {func(src string) error { return os.Remove(src + "/b") }, "/b changed while it was being read (removed)"},
		"a file appears":   {func(src string) error { return os.WriteFile(src+"/aa", nil, 0o644) }, "/aa changed while it was being read (new)"},
		"the last appears": {func(src string) error { return os.WriteFile(src+"/z", nil, 0o644) }, "/z changed while it was being read (new)"},
		"the last goes":    {func(src string) error { return os.Remove(src + "/c") }, "/c changed while it was being read (removed)"},
		"mode changes":     {func(src string) error { return os.Chmod(src+"/b", 0o755) }, "/b changed while it was being read (type, mode or link target)"},
		"becomes a link": {func(src string) error { return errors.Join(os.Remove(src+"/b"), os.Symlink("a", src+"/b")) },
			"/b"},
		"whole tree goes": {func(src string) error { return os.RemoveAll(src) }, "changed while it was being read (removed)"},
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %v", name, late), func(t *testing.T) {
				src := tree{"a": content(30_000), "b": content(10), "c": ""}.write(t, filepath.Join(t.TempDir(), "src"))
				path, stat, err := openSource(src)
				must(t, err)
				found, err := take(t.Context(), path, &stat, &BuildOptions{})
				must(t, err)
				defer found.close()
				if !late {
					must(t, c.change(src))
				}
				_, _, err = found.hash(t.Context(), MinPieceLength, 1)
				if late {
					must(t, err)
					must(t, c.change(src))
				}
				if err == nil {
					err = found.unchanged(t.Context(), &BuildOptions{})
				}
				wantError(t, err, "Source "+src, c.want)
				if !errors.Is(err, ErrChanged) && !strings.Contains(err.Error(), "cannot be read") {
					t.Errorf("%v is not ErrChanged", err)
				}
			})
		}
	}
}

func TestSourceUnchanged(t *testing.T) {
	src := tree{"a": content(30_000), "b": content(10), "l": link("a"), "z": content(50_000)}.write(t, t.TempDir())
	torrent, built := build(t, src)
	source, err := DecodeSource(built.Encode(), torrent)
	must(t, err)
	must(t, source.Unchanged())
	store, err := source.Open()
	must(t, err)
	defer store.Close()
	read := func(off, n int64) error {
		_, err := store.ReadAt(make([]byte, n), off)
		return err
	}
	must(t, read(0, torrent.Size))
	must(t, os.WriteFile(src+"/b", []byte(content(12)), 0o644))
	wantError(t, source.Unchanged(), "Source "+src+"/b changed since it was hashed (size 10 -> 12 bytes); wait until it is complete and deploy again")
	must(t, read(0, 30_000))
	must(t, read(30_010, 50_000))
	wantError(t, read(30_009, 1), "/b changed since it was hashed (size 10 -> 12 bytes)")
	must(t, os.WriteFile(src+"/z", []byte(content(70_000)), 0o644))
	wantError(t, read(30_010, 1), "/z changed since it was hashed (size 50000 -> 70000 bytes)")
	for _, err := range store.Segments(30_010, 1) {
		wantError(t, err, "/z changed")
	}
	must(t, os.Remove(src+"/b"))
	wantError(t, source.Unchanged(), "/b changed since it was hashed (removed)")
	must(t, os.Symlink("a", src+"/b"))
	wantError(t, source.Unchanged(), "/b changed since it was hashed (it is a symbolic link now)")
	other, _ := build(t, tree{"x": ""}.write(t, t.TempDir()))
	_, err = DecodeSource(make([]byte, stampSize), other)
	wantError(t, err, "too few for the torrent's 1 files")
}

// TestSourceIsALink: the source itself is followed, as copy does.
func TestSourceIsALink(t *testing.T) {
	top := t.TempDir()
	tree{"real/f": "x", "dir": link("real"), "file": link("real/f")}.write(t, top)
	for name, single := range map[string]bool{"dir": false, "file": true} {
		torrent, source := build(t, filepath.Join(top, name))
		if torrent.Single != single || torrent.Name != name || torrent.Size != 1 {
			t.Errorf("%s: single %v, name %s, %d bytes", name, torrent.Single, torrent.Name, torrent.Size)
		}
		must(t, source.Unchanged())
		store, err := source.Open()
		must(t, err)
		defer store.Close()
		if _, err := store.ReadAt(make([]byte, 1), 0); err != nil {
			t.Error(err)
		}
	}
}

func TestBuildStopsWhenCancelled(t *testing.T) {
	src := tree{"a": content(100_000)}.write(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, path := range []string{src, src + "/a"} {
		if _, _, err := Build(ctx, path, BuildOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Build of %s gives %v", path, err)
		}
	}
}

func TestChecksum(t *testing.T) {
	src := tree{"a": "abc"}.write(t, t.TempDir())
	sum, err := Checksum(t.Context(), src+"/a")
	must(t, err)
	if sum != "a9993e364706816aba3e25717850c26c9cd0d89d" {
		t.Errorf("SHA-1 of abc is %s", sum)
	}
	_, err = Checksum(t.Context(), src+"/none")
	wantError(t, err, src+"/none cannot be read: no such file or directory")
}
