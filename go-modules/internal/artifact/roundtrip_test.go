package artifact

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anacrolix/torrent/metainfo"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func TestFileRoundTrip(t *testing.T) {
	for _, length := range []int{0, 1, MinPieceLength - 1, MinPieceLength, MinPieceLength + 1, 5 * MinPieceLength} {
		top := t.TempDir()
		tree{"a b.bin": script(content(length))}.write(t, top)
		src, dest := filepath.Join(top, "a b.bin"), filepath.Join(top, "dest")
		p := deploy(t, src, PlaceOptions{Dest: dest})
		want := listing(t, src)
		sameTree(t, listing(t, dest), want)
		noStaging(t, top)
		complete, err := p.Complete(t.Context())
		must(t, err)
		if !complete {
			t.Errorf("%d bytes: not complete after Place", length)
		}
	}
}

func TestTreeRoundTrip(t *testing.T) {
	top := t.TempDir()
	tree{"outside/secret": "not to be deployed"}.write(t, top)
	src := tree{
		"bin/run":                  script("#!/bin/sh\n"),
		"empty":                    "",
		"none":                     dir(0o755),
		"closed/deep/er":           dir(0o700),
		"read only":                dir(0o555),
		"line\nbreak":              content(40_000),
		"h\u00fcbsch/\u4e2d\u6587": content(70_000),
		"not utf-8 \xff\xfe":       "x",
		strings.Repeat("n", 255):   "long",
		"links/inside":             link("../bin/run"),
		"links/absolute":           link("/etc/passwd"),
		"links/outside":            link("../../../outside"),
		"links/dangling":           link("nowhere"),
		"links/to directory":       link("../none"),
		"a.b":                      "before the slash",
		"a/b":                      "after the dot",
		"a-":                       "between",
		"links/hard":               hard("bin/run"),
		"links/and again":          hard("bin/run"),
		"links/hard and empty":     hard("empty"),
		"disk.img":                 sparse(1_000_000),
		"zeros":                    strings.Repeat("\x00", 20_000),
		"links/to another tree":    link(filepath.Join(top, "outside")),
	}.write(t, filepath.Join(top, "src"))
	dest := filepath.Join(top, "dest")
	p := deploy(t, src, PlaceOptions{Dest: dest + "/"})
	if p.Dest != dest {
		t.Errorf("Dest is %s, want %s", p.Dest, dest)
	}
	sameTree(t, listing(t, dest), listing(t, src))
	noStaging(t, top)
	complete, err := p.Complete(t.Context())
	must(t, err)
	changed, _, err := p.Attributes(false)
	must(t, err)
	if !complete || changed {
		t.Errorf("after Place: complete %v, attributes to change %v", complete, changed)
	}
}

// TestRandomTrees builds, transfers and places trees of any shape and compares everything.
func TestRandomTrees(t *testing.T) {
	names := rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b", "a.b", "a b", "a\nb", "\xff\xfe", "\u00e9", "-", "..."}),
		rapid.StringMatching(`[a-z]{1,8}`),
	)
	rapid.Check(t, func(r *rapid.T) {
		top := t.TempDir()
		reopen(t, top)
		src := tree{}
		for range rapid.IntRange(0, 12).Draw(r, "entries") {
			path := strings.Join(rapid.SliceOfN(names, 1, 4).Draw(r, "path"), "/")
			if !src.room(path) {
				continue
			}
			switch rapid.SampledFrom([]string{"file", "file", "exec", "dir", "link", "hard", "sparse"}).Draw(r, "kind") {
			case "file":
				src[path] = content(rapid.SampledFrom([]int{0, 1, 100, 16384, 40_000}).Draw(r, "length"))
			case "exec":
				src[path] = script(content(rapid.IntRange(0, 20_000).Draw(r, "length")))
			case "dir":
				src[path] = dir(rapid.SampledFrom([]fs.FileMode{0o755, 0o700, 0o555}).Draw(r, "mode"))
			case "sparse":
				src[path] = sparse(rapid.IntRange(10, 100_000).Draw(r, "length"))
			case "hard":
				if files := src.files(); len(files) > 0 {
					src[path] = hard(rapid.SampledFrom(files).Draw(r, "file"))
				}
			case "link":
				src[path] = link(rapid.SampledFrom([]string{"a", "../a", "/etc", "../../../x", "a/./b//c"}).Draw(r, "target"))
			}
		}
		src.write(t, filepath.Join(top, "src"))
		for _, path := range slices.Sorted(maps.Keys(src)) {
			if bits := rapid.SampledFrom([]uint32{0, 0, 0, 0o4755, 0o2711, 0o6755, 0o1644, 0o1777, 0o7700}).Draw(r, "bits"); bits != 0 {
				src.chmod(t, filepath.Join(top, "src"), path, bits)
			}
		}
		deploy(t, filepath.Join(top, "src"), PlaceOptions{Dest: filepath.Join(top, "dest")})
		sameTree(t, listing(t, filepath.Join(top, "dest")), listing(t, filepath.Join(top, "src")))
		noStaging(t, top)
	})
}

// chmod gives a path of the written tree all twelve bits of a mode. Links have none, and a directory whose owner may not enter it could
// not be read.
func (tr tree) chmod(t testing.TB, root, path string, mode uint32) {
	t.Helper()
	switch tr[path].(type) {
	case link:
		return
	case dir:
		mode |= 0o500
	}
	must(t, unix.Chmod(filepath.Join(root, path), mode))
}

// files lists what can have hard links.
func (tr tree) files() (paths []string) {
	for path, value := range tr {
		switch value.(type) {
		case string, script, sparse:
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// room says whether path can be added to the tree.
func (tr tree) room(path string) bool {
	for other, value := range tr {
		_, directory := value.(dir)
		if other == path || beneath(other, path) || beneath(path, other) && !directory {
			return false
		}
	}
	return true
}

// TestSpecialBits: set-id and sticky bits of files and directories arrive, also where owners are kept or changed, which clears them.
func TestSpecialBits(t *testing.T) {
	src := tree{"suid": "x", "sgid": "x", "both": script("x"), "sticky": "x", "drop": dir(0o755), "shared/f": "x", "shared": dir(0o755)}
	modes := map[string]uint32{
		"suid": 0o4755, "sgid": 0o2711, "both": 0o6755, "sticky": 0o1644, "drop": 0o1777, "shared/f": 0o7750, "shared": 0o2775, "": 0o3755,
	}
	check := func(t *testing.T, dest string, owner [2]int, p *Plan) {
		t.Helper()
		for path, mode := range modes {
			a, err := Describe(filepath.Join(dest, path))
			must(t, err)
			if got := [2]int{a.UID, a.GID}; a.Mode != octal(mode) || got != owner {
				t.Errorf("%q has mode %s and belongs to %v, want %s, %v", path, a.Mode, got, octal(mode), owner)
			}
		}
		if changed, diff, err := p.Attributes(false); changed || err != nil {
			t.Errorf("attributes differ at once: %v, %v", diff, err)
		}
	}
	write := func(t *testing.T, top string) string {
		src.write(t, top+"/src")
		for path, mode := range modes {
			must(t, unix.Chmod(filepath.Join(top, "src", path), mode))
		}
		return top + "/src"
	}
	asUser(t, func(top string) {
		check(t, top+"/dest", [2]int{os.Geteuid(), os.Getegid()}, deploy(t, write(t, top), PlaceOptions{Dest: top + "/dest"}))
	})
	t.Run("other owners", func(t *testing.T) {
		needRoot(t, "give files away")
		top := t.TempDir()
		write(t, top)
		deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest"})
		for path := range modes {
			must(t, os.Chown(filepath.Join(top, "dest", path), 1111, 2222))
		}
		must(t, unix.Chmod(top+"/dest", modes[""])) // the mode of what is replaced stays
		must(t, os.WriteFile(top+"/src/sticky", []byte("new"), 0o644))
		check(t, top+"/dest", [2]int{1111, 2222}, deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest"}))
		check(t, top+"/dest", [2]int{3333, 4444}, deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", Owner: "3333", Group: "4444"}))
	})
}

// TestForeignReader reads our metainfo with another implementation, and what BEP 47 can say of files is said its way.
func TestForeignReader(t *testing.T) {
	src := tree{
		"d/f": content(100_000), "e": dir(0o700), "x": script("x"), "l": link("d/f"), "d/up": link("../x"), "d/dot": link("./f"),
		"d/dir": link("../e/"), "absolute": link("/etc/passwd"), "out": link("../src/x"), "root": link("d/.."), "d/again": hard("x"),
	}.write(t, filepath.Join(t.TempDir(), "src"))
	torrent, _ := build(t, src, BuildOptions{Announce: "http://tracker:8998/announce"})
	other, err := metainfo.Load(bytes.NewReader(torrent.Raw))
	must(t, err)
	if other.HashInfoBytes() != torrent.Infohash || other.Announce != torrent.Announce {
		t.Errorf("infohash %v, announce %q; want %x, %q", other.HashInfoBytes(), other.Announce, torrent.Infohash, torrent.Announce)
	}
	info, err := other.UnmarshalInfo()
	must(t, err)
	if info.Name != "src" || info.TotalLength() != torrent.Size || info.NumPieces() != torrent.NumPieces() || info.Private == nil || !*info.Private {
		t.Errorf("read as %s, %d bytes, %d pieces", info.Name, info.TotalLength(), info.NumPieces())
	}
	got := map[string]string{}
	for _, file := range info.Files {
		got[strings.Join(file.Path, "/")] = strings.TrimSpace(file.Attr + " " + strings.Join(file.SymlinkPath, "/"))
	}
	want := map[string]string{ // a link is said from the root; what leads out of it, or to it, cannot be said
		"d/f": "", "x": "x", "d/again": "x", "l": "l d/f", "d/up": "l x", "d/dot": "l d/f", "d/dir": "l e", "absolute": "", "out": "", "root": "",
	}
	if !maps.Equal(got, want) {
		t.Errorf("attr and symlink path are %q, want %q", got, want)
	}
	for path, attr := range map[string]string{"x": "x", "d/f": ""} {
		torrent, _ := build(t, filepath.Join(src, path))
		other, err := metainfo.Load(bytes.NewReader(torrent.Raw))
		must(t, err)
		if info, err := other.UnmarshalInfo(); err != nil || info.Attr != attr {
			t.Errorf("alone %s has attr %q (%v), want %q", path, info.Attr, err, attr)
		}
	}
}

// TestInfohashIsStable holds the format down: a change to it makes all torrents that exist different ones.
func TestInfohashIsStable(t *testing.T) {
	top := t.TempDir()
	src := tree{"d/f": content(100_000), "d": dir(0o750), "x": script("x"), "l": link("d/f")}.write(t, filepath.Join(top, "src"))
	must(t, os.Chtimes(src, sometime, sometime))
	first, _ := build(t, src)
	again, _ := build(t, src, BuildOptions{PieceLength: MinPieceLength, Announce: "http://elsewhere", Workers: 7})
	if first.Infohash != again.Infohash {
		t.Error("announce or workers changed the infohash")
	}
	const want = "2c466d42ec9c000a0bf0970822dae47cc41360fd"
	if got := hex.EncodeToString(first.Infohash[:]); got != want {
		t.Errorf("infohash is %s, want %s", got, want)
	}
	moved := filepath.Join(top, "elsewhere", "src")
	must(t, os.Mkdir(filepath.Dir(moved), 0o755))
	must(t, os.Rename(src, moved))
	if third, _ := build(t, moved); third.Infohash != first.Infohash {
		t.Error("the place of the source changed the infohash")
	}
}
