package artifact

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// fileOf writes a file of so many pieces, each of which is told by a letter, and returns its path.
func fileOf(t *testing.T, path string, pieces int, letter func(i int) byte) string {
	t.Helper()
	var b strings.Builder
	for i := range pieces {
		b.WriteString(strings.Repeat(string(rune(letter(i)))+string(rune('A'+i%26))+string(rune('A'+i/26%26))+string(rune('A'+i/676)), smallestPiece/4))
	}
	must(t, os.WriteFile(path, []byte(b.String()), 0o644))
	return path
}

const smallestPiece = 16 * kib

// Of a large file that has nothing in common with the one before, only a few pieces are looked at; whatever else there is to find is found.
func TestUnlike(t *testing.T) {
	const pieces = 8 * sampled
	all := func(int) byte { return 'a' }
	none := func(int) byte { return 'z' }
	for name, c := range map[string]struct {
		pieces int
		old    func(i int) byte
		want   int // pieces that are reused
		unlike bool
	}{
		"nothing in common":      {pieces, none, 0, true},
		"all the same":           {pieces, all, pieces, false},
		"the end":                {pieces, func(i int) byte { return "az"[b2i(i < pieces-16)] }, 16, false},
		"a stretch":              {pieces, func(i int) byte { return "az"[b2i(i/16 != 11)] }, 16, false},
		"every second":           {pieces, func(i int) byte { return "az"[i%2] }, pieces / 2, false},
		"one piece of a small":   {worthSampling - 1, func(i int) byte { return "az"[b2i(i != 77)] }, 1, false},
		"nothing of a small one": {worthSampling - 1, none, 0, false},
	} {
		for kind, clone := range map[string]func(int, int) error{"copies": unshared, "clones": shared} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				top := t.TempDir()
				src := fileOf(t, filepath.Join(top, "src"), c.pieces, all)
				dest := fileOf(t, filepath.Join(top, "dest"), c.pieces, c.old)
				var clones atomic.Int32
				p, have := reuseAt(t, src, dest, func(to, from int) error { clones.Add(1); return clone(to, from) })
				if n := count(have); n != c.want {
					t.Errorf("%d of %d pieces were reused, want %d", n, len(have), c.want)
				}
				if c.unlike != (clones.Load() == 0) {
					t.Errorf("cloned %d times", clones.Load())
				}
				r := &reuse{Plan: p, torrent: p.torrent, have: make([]bool, len(have)), cloned: make([]bool, 1)}
				r.open()
				defer r.close()
				skip, err := r.unlike(t.Context())
				must(t, err)
				skipped := count(skip)
				if want := map[bool]int{true: c.pieces}[c.unlike]; skipped != want {
					t.Errorf("%d pieces are not looked for, want %d", skipped, want)
				}
				must(t, p.Discard())
			})
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// What a download has left does not tell anything of the older file, and of a tree each large file is judged by itself.
func TestUnlikeFileOfATree(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"src", "old"} {
		must(t, os.Mkdir(filepath.Join(top, dir), 0o755))
	}
	fileOf(t, filepath.Join(top, "src/like"), 400, func(int) byte { return 'a' })
	fileOf(t, filepath.Join(top, "old/like"), 400, func(i int) byte { return "az"[i%2] })
	fileOf(t, filepath.Join(top, "src/unlike"), 400, func(int) byte { return 'b' })
	fileOf(t, filepath.Join(top, "old/unlike"), 400, func(int) byte { return 'z' })
	p, have := reuseAt(t, filepath.Join(top, "src"), filepath.Join(top, "old"), unshared)
	if n := count(have); n != 200 {
		t.Errorf("%d pieces were reused, want 200", n)
	}
	r := &reuse{Plan: p, torrent: p.torrent, have: make([]bool, len(have)), cloned: make([]bool, 2)}
	for i := range 300 { // of the first file, so that few of it are missing
		r.have[i] = true
	}
	r.open()
	defer r.close()
	skip, err := r.unlike(t.Context())
	must(t, err)
	for i := range p.torrent.Files {
		file := &p.torrent.Files[i]
		if got, want := r.torrent.own(file); got == want {
			t.Fatal("a file has no pieces of its own")
		}
		r.skip = skip
		if got, want := r.skipsAll(file), file.Path == "unlike"; got != want {
			t.Errorf("%s is not looked at: %v", file.Path, got)
		}
	}
}
