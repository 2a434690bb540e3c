package artifact

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// TestRuns: runs cover the range, large ones lie in one file, and small ones are as long as can be.
func TestRuns(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		torrent := &Torrent{}
		for _, n := range rapid.SliceOfN(rapid.Int64Range(0, 100), 1, 20).Draw(r, "lengths") {
			torrent.Files = append(torrent.Files, File{Length: n, Offset: torrent.Size})
			torrent.Size += n
		}
		off := rapid.Int64Range(0, torrent.Size).Draw(r, "off")
		left := rapid.Int64Range(0, torrent.Size-off).Draw(r, "n")
		smallBefore := false
		for n, large := range torrent.Runs(off, left, 50) {
			file := &torrent.Files[torrent.fileAt(off)]
			if within := off+n <= file.Offset+file.Length; large && (n < 50 || !within) || !large && (smallBefore || within && n >= 50) || n <= 0 {
				r.Fatalf("a run of %d bytes from %d, large %v, after a small one %v", n, off, large, smallBefore)
			}
			off, left, smallBefore = off+n, left-n, !large
		}
		if left != 0 {
			r.Errorf("%d bytes are in no run", left)
		}
	})
}

// TestSmallFilesAreReadAsFiles: what has become something else, or shorter, is refused, and nothing waits for it.
func TestSmallFilesAreReadAsFiles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(path string) error
		want   string
	}{
		"a pipe":    {func(path string) error { return unix.Mkfifo(path, 0o600) }, "not a regular file"},
		"a link":    {func(path string) error { return os.Symlink("/etc/passwd", path) }, "too many levels of symbolic links"},
		"a file":    {func(path string) error { return os.WriteFile(path, []byte(content(99)), 0o600) }, "unexpected EOF"},
		"missing":   {func(string) error { return nil }, "no such file or directory"},
		"unchanged": {func(path string) error { return os.WriteFile(path, []byte(content(100)), 0o600) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			src := tree{"d/f": content(100)}.write(t, t.TempDir())
			torrent, source := build(t, src)
			must(t, os.Remove(src+"/d/f"))
			must(t, c.change(src+"/d/f"))
			store, err := OpenStore(torrent, src, false)
			must(t, err)
			defer store.Close()
			buffer := make([]byte, 100)
			_, err = store.ReadAt(buffer, 0)
			if c.want != "" {
				wantError(t, err, "/d/f: "+c.want)
			} else if must(t, err); string(buffer) != content(100) {
				t.Errorf("read %q", buffer)
			}
			watched, err := source.Open()
			must(t, err)
			defer watched.Close()
			_, err = watched.ReadAt(buffer, 0)
			wantError(t, err, "Source "+src+"/d/f changed since it was hashed (")
		})
	}
}
