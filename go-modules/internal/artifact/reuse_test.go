package artifact

import (
	"context"
	"crypto/sha1"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// random is text that no other seed gives.
func random(seed, n int) string {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(data)
	return string(data)
}

// unshared is what a filesystem says that cannot share blocks.
func unshared(int, int) error { return unix.EOPNOTSUPP }

// shared is one that can; here it copies.
func shared(to, from int) error {
	buffer := make([]byte, 64<<10)
	for off := int64(0); ; {
		n, err := unix.Pread(from, buffer, off)
		if n <= 0 || err != nil {
			return err
		}
		if _, err := unix.Pwrite(to, buffer[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
}

// reuseAt builds the artifact at src and fills its staging for dest from what is there and in the other paths.
func reuseAt(t testing.TB, src, dest string, clone func(to, from int) error, others ...string) (*Plan, []bool) {
	t.Helper()
	torrent, _ := build(t, src)
	p := plan(t, torrent, PlaceOptions{Dest: dest, Reuse: others})
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	have := make([]bool, torrent.NumPieces())
	must(t, p.reuseWith(t.Context(), have, nil, clone))
	staged, err := Verify(t.Context(), torrent, store, 2)
	must(t, err)
	for i, ok := range have {
		if ok && !staged[i] {
			t.Errorf("piece %d counts as reused and is not in the staging", i)
		}
	}
	return p, have
}

func count(have []bool) (n int) {
	for _, ok := range have {
		if ok {
			n++
		}
	}
	return n
}

// TestReuseLinksNothing: what is taken from elsewhere, even a whole file, is a file of its own, so that writing into it leaves
// the other as it is.
func TestReuseLinksNothing(t *testing.T) {
	files := tree{"big": random(1, 512*kib), "small": random(2, 16*kib), "empty": ""}
	ways := map[string]func(int, int) error{"copies": unshared, "clones": shared, "as the filesystem can": unix.IoctlFileClone}
	for kind, clone := range ways {
		for _, name := range []string{"", "/big"} {
			t.Run(kind+name, func(t *testing.T) {
				top := t.TempDir()
				old, src := files.write(t, filepath.Join(top, "old")), files.write(t, filepath.Join(top, "src"))
				before := listing(t, old)
				p, have := reuseAt(t, src+name, filepath.Join(top, "dest"), clone, old)
				if slices.Contains(have, false) {
					t.Fatalf("have %v", have)
				}
				must(t, p.Place(t.Context()))
				for path := range files {
					placed := filepath.Join(p.Dest, path)
					if name != "" && path != "big" {
						continue
					} else if name != "" {
						placed = p.Dest
					}
					var stat unix.Stat_t
					must(t, unix.Lstat(placed, &stat))
					if stat.Nlink != 1 || stat.Ino == inode(t, filepath.Join(old, path)) {
						t.Errorf("%s has %d names, inode %d", placed, stat.Nlink, stat.Ino)
					}
					must(t, os.WriteFile(placed, []byte("written to later"), 0))
				}
				sameTree(t, listing(t, old), before)
			})
		}
	}
}

const kib = 1 << 10

func TestReuse(t *testing.T) {
	big := random(1, 512*kib) // 32 pieces
	flipped := big[:100*kib] + "\x00" + big[100*kib+1:]
	for name, c := range map[string]struct {
		now, old tree
		want     int // pieces
	}{
		"all the same":        {tree{"a": big, "b": random(2, 100)}, tree{"a": big, "b": random(2, 100)}, 33},
		"nothing in common":   {tree{"a": big}, tree{"a": random(3, 512*kib), "b": "b"}, 0},
		"one byte":            {tree{"a": big}, tree{"a": flipped}, 31},
		"grown":               {tree{"a": big}, tree{"a": big[:200*kib]}, 12},
		"shrunk":              {tree{"a": big}, tree{"a": big + "more"}, 32},
		"renamed":             {tree{"a": big}, tree{"b": big}, 32},
		"moved and changed":   {tree{"2.0/a": big}, tree{"1.9/a": flipped}, 31},
		"an insertion before": {tree{"a": random(4, 7), "b": big}, tree{"b": big}, 32},
		"copies":              {tree{"a": big, "b": big}, tree{"b": big}, 64},
		"swapped":             {tree{"a": big, "b": random(5, 512*kib)}, tree{"b": big, "a": random(5, 512*kib)}, 64},
		"a link is no file":   {tree{"a": big}, tree{"a": link("/etc/passwd"), "b": link("a")}, 0},
		"a directory instead": {tree{"a": big}, tree{"a/b": "c"}, 0},
		"many small ones in a directory with another name": {
			tree{"2.0/x/f": random(6, 5000), "2.0/y/f": random(7, 5000), "2.0/z/f": random(8, 5000), "2.0/z/g": random(9, 5000)},
			tree{"1.9/x/f": random(6, 5000), "1.9/y/f": random(7, 5000), "1.9/z/f": random(8, 5000), "1.9/z/g": random(9, 5000)},
			2,
		},
		"a small one of the same size, name and place changed": {
			tree{"a": random(6, 5000), "b": random(7, 5000)},
			tree{"a": random(8, 5000), "b": random(7, 5000), "z": random(6, 5000)},
			1,
		},
	} {
		for kind, clone := range map[string]func(int, int) error{"copies": unshared, "clones": shared} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				top := t.TempDir()
				src, old := c.now.write(t, filepath.Join(top, "src")), c.old.write(t, filepath.Join(top, "old"))
				before := listing(t, old)
				p, have := reuseAt(t, src, filepath.Join(top, "dest"), clone, filepath.Join(top, "missing"), old)
				if n := count(have); n != c.want {
					t.Errorf("%d of %d pieces were reused, want %d", n, len(have), c.want)
				}
				sameTree(t, listing(t, old), before)
				must(t, p.Discard())
			})
		}
	}
}

func TestReuseOfWhatIsAtTheDestination(t *testing.T) {
	top := t.TempDir()
	old := random(1, 300*kib)
	src, dest := filepath.Join(top, "app-2.tar"), filepath.Join(top, "app.tar")
	must(t, os.WriteFile(src, []byte(old+"new"), 0o644))
	must(t, os.WriteFile(dest, []byte(old), 0o644))
	p, have := reuseAt(t, src, dest, unix.IoctlFileClone)
	if n := count(have); n != 18 {
		t.Errorf("%d pieces were reused, want 18 of %d", n, len(have))
	}
	_, err := p.store.WriteAt([]byte(old[18*16*kib:]+"new"), 18*16*kib)
	must(t, err)
	was := inode(t, dest)
	must(t, p.Place(context.Background()))
	if got, err := os.ReadFile(dest); err != nil || string(got) != old+"new" || inode(t, dest) == was {
		t.Errorf("the destination is wrong or the very file that was there (%v)", err)
	}
}

// A staging of its own beneath a directory that is to be reused is no source of anything.
func TestReuseOfTheDirectoryAround(t *testing.T) {
	top := t.TempDir()
	must(t, os.WriteFile(filepath.Join(top, "old name"), []byte(random(1, 200*kib)), 0o644))
	src := filepath.Join(t.TempDir(), "new")
	must(t, os.WriteFile(src, []byte(random(1, 200*kib)), 0o644))
	_, have := reuseAt(t, src, filepath.Join(top, "new"), unshared, top)
	if slices.Contains(have, false) {
		t.Errorf("have %v", have)
	}
}

func TestReuseGoesOnWhereAnEarlierRunEnded(t *testing.T) {
	top := t.TempDir()
	data := random(1, 256*kib)
	src, old := filepath.Join(top, "src"), filepath.Join(top, "old")
	must(t, os.WriteFile(src, []byte(data), 0o644))
	must(t, os.WriteFile(old, []byte(data[:128*kib]+random(2, 128*kib)), 0o644))
	torrent, _ := build(t, src)
	first := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest")})
	store, _, err := first.OpenStaging(t.Context())
	must(t, err)
	_, err = store.WriteAt([]byte(data[240*kib:]), 240*kib)
	must(t, err)
	must(t, store.Close())
	must(t, first.Release())

	p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest"), Reuse: []string{old}})
	store, resumed, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	have, err := Verify(t.Context(), torrent, store, 2)
	must(t, err)
	if !resumed || count(have) != 1 {
		t.Fatalf("resumed %v with %d pieces, want one", resumed, count(have))
	}
	var progress atomic.Int64
	must(t, p.reuseWith(t.Context(), have, &progress, shared))
	if count(have) != 9 || !have[15] || progress.Load() != torrent.Size {
		t.Errorf("have %v after looking at %d bytes", have, progress.Load())
	}
}

func TestReuseCanBeInterrupted(t *testing.T) {
	top := t.TempDir()
	src := tree{"a": random(1, 100*kib)}.write(t, filepath.Join(top, "src"))
	torrent, _ := build(t, src)
	p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest"), Reuse: []string{src}})
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Reuse(ctx, make([]bool, torrent.NumPieces()), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestReuseOfWhatWillNotFit: where the rest has no room, Reuse says so, and before it copies anything; also where there is nothing to
// be reused, for the disk may have been filled since the plan was made.
func TestReuseOfWhatWillNotFit(t *testing.T) {
	const pieceLength = 16 << 20
	for name, old := range map[string]string{"nothing here": "", "an old version": random(1, pieceLength)} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			if old != "" {
				must(t, os.WriteFile(top+"/dest", []byte(old), 0o644))
			}
			var fs unix.Statfs_t
			must(t, unix.Statfs(top, &fs))
			pieces := int(available(&fs)/pieceLength) + 4096
			first := sha1.Sum([]byte(old))
			torrent, err := Parse(singleFile(d{
				"length": pieces * pieceLength, "piece length": pieceLength, "pieces": string(first[:]) + random(2, 20*(pieces-1)),
			}))
			must(t, err)
			p := plan(t, torrent, PlaceOptions{Dest: top + "/dest"})
			store, _, err := p.OpenStaging(t.Context())
			must(t, err)
			defer store.Close()
			have := make([]bool, pieces)
			var progress atomic.Int64
			err = p.reuseWith(t.Context(), have, &progress, unshared)
			if !errors.Is(err, ErrNoSpace) || slices.Contains(have, true) || progress.Load() > 0 {
				t.Errorf("%v, after looking at %d bytes for %d pieces", err, progress.Load(), count(have))
			}
		})
	}
}

// Whatever has become of the files since the last release: what counts is right, the old ones stay as they are, and pieces
// of files that have stayed as and where they were are found.
func TestReuseOfAnything(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		top := t.TempDir()
		now, old := tree{}, tree{}
		for i := range rapid.IntRange(1, 6).Draw(r, "files") {
			path := rapid.SampledFrom([]string{"", "x/", "x/y/"}).Draw(r, "dir") + string(rune('a'+i))
			data := random(rapid.IntRange(0, 3).Draw(r, "content"), rapid.IntRange(0, 200*kib).Draw(r, "size"))
			now[path], old[path] = data, data
			if data == "" {
				continue
			}
			at := rapid.IntRange(0, len(data)-1).Draw(r, "at")
			switch rapid.SampledFrom([]string{"", "", "gone", "moved", "cut", "byte"}).Draw(r, "change") {
			case "gone":
				delete(old, path)
			case "moved":
				delete(old, path)
				old["elsewhere/"+path] = data
			case "cut":
				old[path] = data[:at]
			case "byte":
				old[path] = data[:at] + string([]byte{^data[at]}) + data[at+1:]
			}
		}
		src, before := now.write(t, filepath.Join(top, "src")), old.write(t, filepath.Join(top, "old"))
		was := listing(t, before)
		clone := shared
		if rapid.Bool().Draw(r, "copies") {
			clone = unshared
		}
		p, have := reuseAt(t, src, filepath.Join(top, "dest"), clone, before)
		for i := range p.torrent.Files {
			file := &p.torrent.Files[i]
			if lacks := p.torrent.lacking(file, have); lacks > 0 &&
				old[file.Path] == now[file.Path] && alone(p.torrent, file) {
				r.Errorf("%d bytes of %s, which has not changed, were not reused", lacks, file.Path)
			}
		}
		sameTree(t, listing(t, before), was)
		must(t, p.Discard())
	})
}

// alone says whether a file shares no piece with another.
func alone(t *Torrent, file *File) bool {
	end := file.Offset + file.Length
	return file.Offset%t.PieceLength == 0 && (end%t.PieceLength == 0 || end == t.Size)
}

// What is still needed is the missing pieces, whatever the staging holds by then.
func TestSpaceCountsWhatIsMissing(t *testing.T) {
	top := t.TempDir()
	src := tree{"a": random(1, 20*kib), "b": random(2, 100*kib)}.write(t, filepath.Join(top, "src"))
	torrent, _ := build(t, src) // eight pieces; a ends in the second
	p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest")})
	for _, c := range []struct {
		have []bool
		want int64
	}{
		{make([]bool, 8), 120 * kib},
		{[]bool{true, true, true, true, true, true, true, true}, 0},
		{[]bool{true, true, true, true, true, true, true, false}, 8 * kib},
		{[]bool{true, false, true, true, true, true, true, true}, 4*kib + 12*kib},
	} {
		p.reuse.have = c.have
		if got, _ := p.needed(4*kib, c.have); got != c.want {
			t.Errorf("with pieces %v %d bytes are needed, want %d", c.have, got, c.want)
		}
	}
}

func TestReusePaths(t *testing.T) {
	top := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(top, "pipe"), 0o644))
	must(t, os.WriteFile(filepath.Join(top, "file"), nil, 0o644))
	faults := ReusePaths([]string{top, filepath.Join(top, "file"), filepath.Join(top, "missing"), filepath.Join(top, "pipe")})
	if len(faults) != 1 {
		t.Fatalf("faults: %v", faults)
	}
	wantError(t, faults[0], "pipe cannot be read, so nothing of it is reused: not a regular file")
	asUser(t, func(top string) {
		closed := filepath.Join(top, "closed")
		must(t, os.WriteFile(closed, nil, 0))
		must(t, os.Mkdir(closed+".d", 0))
		faults := ReusePaths([]string{closed, closed + ".d"})
		if len(faults) != 2 {
			t.Fatalf("faults: %v", faults)
		}
		wantError(t, faults[0], "closed cannot be read, so nothing of it is reused: permission denied")
	})
}

// TestReuseOfTheReleaseBefore: with keep, a new release takes what it has in common with the current one.
func TestReuseOfTheReleaseBefore(t *testing.T) {
	top := t.TempDir()
	o := PlaceOptions{Dest: top + "/current", Keep: 1}
	same := random(1, 300<<10)
	for version, fetched := range []bool{true, false} {
		torrent, source := build(t, tree{"same": same, "version": string(rune('1' + version))}.write(t, t.TempDir()+"/app"))
		p := plan(t, torrent, o)
		store, _, err := p.OpenStaging(t.Context())
		must(t, err)
		have := make([]bool, torrent.NumPieces())
		must(t, p.Reuse(t.Context(), have, nil))
		if slices.Contains(have, true) == fetched {
			t.Errorf("version %d: reused %v", version, have)
		}
		must(t, errors.Join(store.Close(), p.Release()))
		transfer(t, torrent, source, p)
		must(t, p.Place(t.Context()))
	}
	if names := releasesIn(t, top); len(names) != 2 || read(t, top+"/current/same") != same || read(t, top+"/current/version") != "2" {
		t.Errorf("there are %v", names)
	}
}
