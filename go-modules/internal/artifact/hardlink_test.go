package artifact

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/anacrolix/torrent/metainfo"
	"golang.org/x/sys/unix"
)

func linkedTree(t *testing.T, top string) string {
	t.Helper()
	return tree{"a": content(40_000), "d/b": hard("a"), "d/c": hard("a"), "e": content(30_000), "f": content(40_000)}.
		write(t, filepath.Join(top, "src"))
}

// TestHardlinksForForeignClients: the bytes are all in the stream, and every file has its length.
func TestHardlinksForForeignClients(t *testing.T) {
	src := linkedTree(t, t.TempDir())
	torrent, source := build(t, src)
	other, err := metainfo.Load(bytes.NewReader(torrent.Raw))
	must(t, err)
	info, err := other.UnmarshalInfo()
	must(t, err)
	stream, err := source.Open()
	must(t, err)
	defer stream.Close()
	off := int64(0)
	for _, file := range info.UpvertedFiles() {
		want, err := os.ReadFile(filepath.Join(src, filepath.Join(file.BestPath()...)))
		must(t, err)
		got := make([]byte, file.Length)
		_, err = stream.ReadAt(got, off)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: its part of the stream is not its content", file.BestPath())
		}
		off += file.Length
	}
	if off != torrent.Size || off != 190_000 {
		t.Errorf("the files are %d bytes, the stream %d", off, torrent.Size)
	}
}

func TestHardlinksAreStagedOnce(t *testing.T) {
	top := t.TempDir()
	torrent, source := build(t, linkedTree(t, top))
	p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest")})
	transfer(t, torrent, source, p)
	for path, there := range map[string]bool{"a": true, "d/b": false, "d/c": false, "e": true, "f": true} {
		if _, err := os.Lstat(filepath.Join(p.Staging, contentName, path)); (err == nil) != there {
			t.Errorf("%s in the staging: %v", path, err)
		}
	}
}

// TestHardlinksResume: a run that ends before the switch leaves all pieces to the next one.
func TestHardlinksResume(t *testing.T) {
	top := t.TempDir()
	src := linkedTree(t, top)
	torrent, source := build(t, src)
	o := PlaceOptions{Dest: filepath.Join(top, "dest")}
	first := plan(t, torrent, o)
	transfer(t, torrent, source, first)
	broken := errors.New("broken")
	first.staging.renameat2 = func(int, string, int, string, uint) error { return broken }
	if err := first.Place(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("Place says %v", err)
	}
	must(t, first.Release())

	resumesWhole(t, plan(t, torrent, o))
	sameTree(t, listing(t, o.Dest), listing(t, src))
	noStaging(t, top)
}

// cannotLinkAnything makes every filesystem one without hard links for the time of a test.
func cannotLinkAnything(t *testing.T, reason error) {
	t.Cleanup(func() { linkat = unix.Linkat })
	linkat = func(int, string, int, string, int) error { return reason }
}

// TestHardlinksThatCannotBe: then the files are copies.
func TestHardlinksThatCannotBe(t *testing.T) {
	for _, reason := range []error{unix.EPERM, unix.EMLINK, unix.EOPNOTSUPP} {
		top := t.TempDir()
		src := linkedTree(t, top)
		torrent, source := build(t, src)
		p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest")})
		transfer(t, torrent, source, p)
		cannotLinkAnything(t, reason)
		must(t, p.Place(t.Context()))
		must(t, os.Remove(filepath.Join(src, "d/b")))
		must(t, os.Remove(filepath.Join(src, "d/c")))
		for _, path := range []string{"a", "d/b", "d/c"} {
			if got := listing(t, p.Dest)[path]; got != listing(t, src)["a"] {
				t.Errorf("%v: %s is %.60q", reason, path, got)
			}
		}
		rec, again := p.Placed(), plan(t, torrent, PlaceOptions{Dest: p.Dest})
		if !again.Matches(rec) {
			t.Fatalf("%v: the record %+v does not match", reason, rec)
		}
		if changed, diff, err := again.Attributes(false); changed || err != nil {
			t.Errorf("%v: what cannot be a link is to become one: %v, %v", reason, diff, err)
		}
	}
}

// TestHardlinksAreMadeAgain where files with the right content are not links.
func TestHardlinksAreMadeAgain(t *testing.T) {
	top := t.TempDir()
	src, dest := linkedTree(t, top), filepath.Join(top, "dest")
	p := deploy(t, src, PlaceOptions{Dest: dest})
	want := listing(t, dest)
	data, err := os.ReadFile(dest + "/a")
	must(t, err)
	must(t, os.Remove(dest+"/d/b"))
	must(t, os.WriteFile(dest+"/d/b", data, 0o644))
	complete, err := p.Complete(t.Context())
	must(t, err)
	if !complete {
		t.Error("the content is not complete")
	}
	for i, apply := range []bool{false, true, true} {
		changed, diff, err := p.Attributes(apply)
		must(t, err)
		if changed != (i < 2) {
			t.Errorf("apply %v: changed %v", apply, changed)
		}
		if files, _ := diff.After["files"].(map[string]any); changed && files["d/b"].(map[string]any)["hardlink"] != "a" {
			t.Errorf("diff %v", diff)
		}
	}
	got := listing(t, dest)
	delete(got, "d") // its time is that of the change
	delete(want, "d")
	sameTree(t, got, want)
}

// TestHardlinksOfWhatIsExcluded: the first name that is left takes the place of one that is left out.
func TestHardlinksOfWhatIsExcluded(t *testing.T) {
	for name, c := range map[string]struct {
		exclude []string
		links   map[string]string // what is left: "" for a file of its own
	}{
		"first":             {[]string{"a"}, map[string]string{"d/b": "", "d/c": "d/b"}},
		"second":            {[]string{"d/b"}, map[string]string{"a": "", "d/c": "a"}},
		"all but the last":  {[]string{"a", "b"}, map[string]string{"d/c": ""}},
		"directory of some": {[]string{"d"}, map[string]string{"a": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			src := linkedTree(t, top)
			torrent, source := build(t, src, BuildOptions{PieceLength: MinPieceLength, Exclude: append(c.exclude, "e", "f")})
			got := map[string]string{}
			for i := range torrent.Files {
				got[torrent.Files[i].Path] = torrent.Files[i].Hardlink()
			}
			if !maps.Equal(got, c.links) {
				t.Errorf("the torrent has %v, want %v", got, c.links)
			}
			p := plan(t, torrent, PlaceOptions{Dest: filepath.Join(top, "dest")})
			transfer(t, torrent, source, p)
			must(t, p.Place(t.Context()))
			inodes := map[uint64]bool{}
			for path := range c.links {
				if read(t, filepath.Join(p.Dest, path)) != content(40_000) {
					t.Errorf("%s is another", path)
				}
				inodes[inode(t, filepath.Join(p.Dest, path))] = true
			}
			if len(inodes) != 1 {
				t.Errorf("they are %d files, not one", len(inodes))
			}
			if _, err := os.Lstat(filepath.Join(p.Dest, "e")); err == nil {
				t.Error("what was left out is there")
			}
		})
	}
}

func TestHardlinksOfStrangers(t *testing.T) {
	file := func(path, key, value string, length int) string {
		return "d" + key + value + "6:lengthi" + strconv.Itoa(length) + "e4:pathl" + strconv.Itoa(len(path)) + ":" + path + "ee"
	}
	link := func(path, target string, length int) string {
		return file(path, "8:hardlink", "l"+strconv.Itoa(len(target))+":"+target+"e", length)
	}
	for name, c := range map[string]struct{ files, want string }{
		"good":             {file("a", "", "", 3) + link("b", "a", 3), ""},
		"before the first": {link("a", "b", 3) + file("b", "", "", 3), ""},
		"not ours":         {file("a", "", "", 3) + file("b", "8:hardlink", "i1e", 3), ""},
		"nowhere":          {file("a", "", "", 3) + link("b", "c", 3), "b is a hard link of c"},
		"other length":     {file("a", "", "", 2) + link("b", "a", 4), "b is a hard link of a"},
		"itself":           {file("a", "", "", 2) + link("b", "b", 4), "b is a hard link of b"},
		"of a hard link":   {file("a", "", "", 2) + link("b", "a", 2) + link("c", "b", 2), "c is a hard link of b"},
		"outside":          {file("a", "", "", 3) + link("b", "..", 3), "would lead out"},
	} {
		info := "d5:filesl" + c.files + "e4:name1:t12:piece lengthi16384e6:pieces20:" + string(make([]byte, 20)) + "e"
		torrent, err := Parse([]byte("d4:info" + info + "e"))
		if c.want != "" {
			wantError(t, err, c.want)
			continue
		}
		if err != nil || torrent.Size != 6 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestHardlinksResumeInClosedDirectories: what Place has closed before it failed is no obstacle to the next run, of a user who
// has to open directories before they can be changed.
func TestHardlinksResumeInClosedDirectories(t *testing.T) {
	for _, mode := range []string{"", "0444"} {
		asUser(t, func(top string) {
			reopen(t, top)
			src := tree{
				"a": content(40_000), "d": dir(0o555), "d/b": hard("a"), "d/e": dir(0o555), "d/e/c": hard("a"),
			}.write(t, top+"/src")
			torrent, source := build(t, src)
			o := PlaceOptions{Dest: top + "/dest", DirectoryMode: mode}
			first := plan(t, torrent, o)
			transfer(t, torrent, source, first)
			broken := errors.New("broken")
			first.staging.renameat2 = func(int, string, int, string, uint) error { return broken }
			for range 2 { // in the same run it is tried again, too
				if err := first.Place(t.Context()); !errors.Is(err, broken) {
					t.Fatalf("Place says %v", err)
				}
			}
			must(t, first.Release())
			resumesWhole(t, plan(t, torrent, o))
			noStaging(t, top)
		})
	}
}

// resumesWhole places what an earlier run has left in the staging, of which no piece may be missing.
func resumesWhole(t *testing.T, p *Plan) {
	t.Helper()
	store, resumed, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	have, err := Verify(t.Context(), p.torrent, store, 1)
	must(t, err)
	if !resumed || slices.Contains(have, false) {
		t.Errorf("resumed %v, pieces %v", resumed, have)
	}
	must(t, p.Place(t.Context()))
}
