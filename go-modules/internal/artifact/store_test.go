package artifact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// bothWays runs a test with openat2 and with the walk that stands in for it.
func bothWays(t *testing.T, test func(t *testing.T)) {
	t.Run("openat2", test)
	t.Run("walk", func(t *testing.T) {
		before := noOpenat2.Swap(true)
		defer noOpenat2.Store(before)
		test(t)
	})
}

// manyFiles is a tree of more files than a store keeps open.
func manyFiles() tree {
	src := tree{}
	for i := range 3 * openFiles {
		src[fmt.Sprintf("d%d/e/f%d", i%7, i)] = content(1000 + i)
	}
	return src
}

func TestStoreReadsAndWritesAnywhere(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		top := t.TempDir()
		torrent, source := build(t, manyFiles().write(t, top+"/src"))
		from, err := source.Open()
		must(t, err)
		defer from.Close()
		whole := make([]byte, torrent.Size)
		_, err = from.ReadAt(whole, 0)
		must(t, err)
		to, err := OpenStore(torrent, mkdir(t, top+"/dest"), true)
		must(t, err)
		defer to.Close()
		var group sync.WaitGroup
		const part = 777 // neither a piece nor a file
		starts := rand.Perm(int(torrent.Size)/part + 1)
		for worker := range 4 {
			group.Go(func() {
				for i := worker; i < len(starts); i += 4 {
					off := int64(starts[i] * part)
					end := min(off+part, torrent.Size)
					if _, err := to.WriteAt(whole[off:end], off); err != nil {
						t.Error(err)
					}
					back := make([]byte, end-off)
					if _, err := to.ReadAt(back, off); err != nil || !bytes.Equal(back, whole[off:end]) {
						t.Errorf("at %d: %v, or other bytes than written", off, err)
					}
				}
			})
		}
		group.Wait()
		if n := to.recent.Len(); n > openFiles || n != len(to.files) {
			t.Errorf("%d files are open, %d in the cache", n, len(to.files))
		}
		have, err := Verify(t.Context(), torrent, to, 3)
		must(t, err)
		if slices.Contains(have, false) {
			t.Error("pieces are wrong")
		}
		stat, err := os.Stat(top + "/dest/d0/e/f0")
		must(t, err)
		if stat.Mode() != 0o600 {
			t.Errorf("a file has mode %v before it is placed", stat.Mode())
		}
	})
}

func mkdir(t testing.TB, path string) string {
	t.Helper()
	must(t, os.MkdirAll(path, 0o755))
	return path
}

func TestStoreKeepsFilesOpenWhileTheyAreUsed(t *testing.T) {
	torrent, source := build(t, manyFiles().write(t, t.TempDir()))
	store, err := source.Open()
	must(t, err)
	first := true
	for segment, err := range store.Segments(0, 1) {
		must(t, err)
		for range store.Segments(0, torrent.Size) { // drives the first file out of the cache
		}
		must(t, store.Close())
		if _, err := segment.File.ReadAt(make([]byte, 1), 0); err != nil {
			t.Errorf("the file of a segment was closed under it: %v", err)
		}
		first = false
	}
	if first {
		t.Error("no segment")
	}
	if _, err := store.ReadAt(make([]byte, 1), 0); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestStoreAtTheEdges(t *testing.T) {
	torrent, source := build(t, tree{"a": "aaa", "b": "", "c": "cc"}.write(t, t.TempDir()))
	store, err := source.Open()
	must(t, err)
	defer store.Close()
	for _, c := range []struct {
		off  int64
		n    int
		want string
		err  error
	}{
		{0, 5, "aaacc", nil}, {2, 2, "ac", nil}, {3, 0, "", nil}, {5, 0, "", nil}, {5, 1, "", io.EOF}, {4, 9, "c", io.EOF},
		{-1, 1, "", io.EOF}, {6, 1, "", io.EOF},
	} {
		p := make([]byte, c.n)
		n, err := store.ReadAt(p, c.off)
		if string(p[:n]) != c.want || !errors.Is(err, c.err) {
			t.Errorf("ReadAt(%d bytes, %d) gives %q, %v; want %q, %v", c.n, c.off, p[:n], err, c.want, c.err)
		}
	}
	writable, err := OpenStore(torrent, t.TempDir(), true)
	must(t, err)
	defer writable.Close()
	if _, err := writable.WriteAt([]byte("xx"), 4); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("writing beyond the end gives %v", err)
	}
	if _, err := store.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a store for reading can be written to")
	}
}

func TestPaddingTakesNoRoom(t *testing.T) {
	pad := d{"path": []string{".pad", "5"}, "attr": "p", "length": 5}
	torrent, err := Parse(files(entryOf("a", 3), pad, entryOf("b", 2)))
	must(t, err)
	root := t.TempDir()
	store, err := OpenStore(torrent, root, true)
	must(t, err)
	defer store.Close()
	_, err = store.WriteAt([]byte("aaa\x00\x00\x00\x00\x00bb"), 0)
	must(t, err)
	back := bytes.Repeat([]byte("?"), 10)
	_, err = store.ReadAt(back, 0)
	must(t, err)
	if string(back) != "aaa\x00\x00\x00\x00\x00bb" {
		t.Errorf("read back %q", back)
	}
	names, _ := os.ReadDir(root)
	if len(names) != 2 {
		t.Errorf("files are %v", names)
	}
}

// TestNothingGoesThroughLinks puts links and other traps in the way of a store. Some lead to the very content; small files are opened
// otherwise than large ones.
func TestNothingGoesThroughLinks(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		for _, trap := range []struct {
			name string
			set  func(root, outside string) error
		}{
			{"file is a link", func(root, outside string) error {
				return errors.Join(os.Mkdir(root+"/d", 0o755), os.Symlink(outside+"/f", root+"/d/f"))
			}},
			{"directory is a link", func(root, outside string) error { return os.Symlink(outside, root+"/d") }},
			{"link to the root itself", func(root, outside string) error {
				return errors.Join(os.Symlink(root, root+"/d"), os.Link(outside+"/f", root+"/f"))
			}},
			{"file is a pipe", func(root, outside string) error {
				return errors.Join(os.Mkdir(root+"/d", 0o755), unix.Mkfifo(root+"/d/f", 0o600))
			}},
			{"file is a directory", func(root, outside string) error { return os.MkdirAll(root+"/d/f", 0o755) }},
			{"directory is a file", func(root, outside string) error { return os.WriteFile(root+"/d", nil, 0o644) }},
		} {
			for _, hashed := range []string{"good", content(smallFile + 1)} {
				t.Run(fmt.Sprintf("%s, %d bytes", trap.name, len(hashed)), func(t *testing.T) {
					top := t.TempDir()
					torrent, _ := build(t, tree{"d/f": hashed}.write(t, top+"/src"))
					root, outside := mkdir(t, top+"/root"), tree{"f": hashed}.write(t, top+"/outside")
					must(t, trap.set(root, outside))
					trapped(t, torrent, root)
					if read(t, outside+"/f") != hashed {
						t.Error("the file outside is another one")
					}
				})
			}
		}
	})
}

// trapped demands that there is nothing to a store at root, whether it is for writing or not, and that nothing can be written there.
func trapped(t *testing.T, torrent *Torrent, root string) {
	t.Helper()
	for _, write := range []bool{false, true} {
		store, err := OpenStore(torrent, root, write)
		must(t, err)
		defer store.Close()
		have, err := Verify(t.Context(), torrent, store, 1)
		must(t, err)
		if slices.Contains(have, true) {
			t.Errorf("verified through the trap; for writing: %v", write)
		}
		if _, err := store.ReadAt(make([]byte, 4), 0); err == nil {
			t.Errorf("read through the trap; for writing: %v", write)
		}
		if _, err := store.WriteAt([]byte("evil"), 0); err == nil {
			t.Error("written")
		}
	}
}

func TestLongPaths(t *testing.T) {
	bothWays(t, func(t *testing.T) {
		top := t.TempDir()
		deep := strings.Repeat(strings.Repeat("d", 200)+"/", 15) + "f"
		torrent, source := build(t, tree{deep: "x"}.write(t, top+"/s"))
		longer := top + "/" + strings.Repeat("long/", 160) // the whole path is beyond what the kernel takes at once
		must(t, os.MkdirAll(longer, 0o755))
		p := plan(t, torrent, PlaceOptions{Dest: longer + "dest"})
		transfer(t, torrent, source, p)
		must(t, p.Place(t.Context()))
		complete, err := p.Complete(t.Context())
		must(t, err)
		if !complete {
			t.Error("not complete")
		}
	})
}

// TestVerifyOfWhatIsThere damages a copy in every way that a killed run or a bad disk does.
func TestVerifyOfWhatIsThere(t *testing.T) {
	top := t.TempDir()
	src := tree{"a": content(3 * MinPieceLength), "b": content(2 * MinPieceLength), "zeros": strings.Repeat("\x00", 2*MinPieceLength)}
	torrent, _ := build(t, src.write(t, top+"/src"))
	dest := src.write(t, top+"/dest")
	verify := func(want string) {
		t.Helper()
		store, err := OpenStore(torrent, dest, true)
		must(t, err)
		defer store.Close()
		have, err := Verify(t.Context(), torrent, store, 2)
		must(t, err)
		got := ""
		for _, ok := range have {
			got += map[bool]string{true: "1", false: "0"}[ok]
		}
		if got != want {
			t.Errorf("pieces are %s, want %s", got, want)
		}
	}
	verify("1111111")
	file, err := os.OpenFile(dest+"/a", os.O_RDWR, 0)
	must(t, err)
	_, err = file.WriteAt([]byte("?"), MinPieceLength)
	must(t, errors.Join(err, file.Close()))
	verify("1011111")
	must(t, os.Remove(dest+"/b"))
	verify("1010011")
	must(t, os.Truncate(dest+"/a", MinPieceLength))
	verify("1000011")
	must(t, os.Truncate(dest+"/zeros", 0)) // a store for writing makes it sparse again: holes are as good as zeros
	verify("1000011")
	if _, err := os.Stat(dest + "/b"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("Verify made a file")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, torrent, bytes.NewReader(nil), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	have, err := Verify(t.Context(), torrent, bytes.NewReader([]byte(content(MinPieceLength))), 0)
	must(t, err)
	if !have[0] || have[1] {
		t.Errorf("of a plain reader: %v", have)
	}
}

func TestVerifyReportsWhatCannotBeRead(t *testing.T) {
	asUser(t, func(top string) {
		src := tree{"a": "x"}.write(t, filepath.Join(top, "src"))
		torrent, source := build(t, src)
		must(t, os.Chmod(src+"/a", 0))
		store, err := source.Open()
		must(t, err)
		defer store.Close()
		// In this goroutine, which is the one that is another user.
		v := verifier{torrent: torrent, reader: store}
		if _, err := v.piece(0); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("unreadable file: %v", err)
		}
	})
}
