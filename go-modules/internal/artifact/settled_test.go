package artifact

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOnePassSaysTheSame compares what Attributes says right after Matches, which has seen every mode and owner, with what it says
// when it looks by itself.
func TestOnePassSaysTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		o     PlaceOptions
		touch func(dest string) error
		want  bool // something differs
	}{
		"nothing":             {},
		"mode of a file":      {touch: func(dest string) error { return os.Chmod(dest+"/d/b", 0o600) }, want: true},
		"mode of a directory": {touch: func(dest string) error { return os.Chmod(dest+"/d", 0o700) }, want: true},
		"mode of the root":    {touch: func(dest string) error { return os.Chmod(dest, 0o700) }},
		"option for files":    {o: PlaceOptions{Mode: "0600"}, want: true},
		"option as it is":     {o: PlaceOptions{Mode: "0644", DirectoryMode: "0755"}},
		"option for the root": {o: PlaceOptions{DirectoryMode: "0700"}, want: true},
		"symbolic":            {o: PlaceOptions{Mode: "g+w"}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			first, records := placed(t, top)
			if c.touch != nil {
				must(t, c.touch(first.Dest))
			}
			o := c.o
			o.Dest = first.Dest
			rec := first.Renew(records.Load(first.Dest))
			one, other := plan(t, first.torrent, o), plan(t, first.torrent, o)
			if !one.Matches(rec) {
				t.Fatal("the record does not match")
			}
			changed, _, err := one.Attributes(false)
			must(t, err)
			again, _, err := other.Attributes(false)
			must(t, err)
			if changed != c.want || again != c.want {
				t.Errorf("after Matches %v, alone %v, want %v", changed, again, c.want)
			}
			if one.settled == c.want {
				t.Errorf("settled is %v", one.settled)
			}
		})
	}
}

// TestHardLinksAreAlwaysLookedAt has two names of one file become two files, which lstat(2) of each alone does not show.
func TestHardLinksAreAlwaysLookedAt(t *testing.T) {
	top := t.TempDir()
	src := tree{"a": "content"}.write(t, filepath.Join(top, "src"))
	must(t, os.Link(src+"/a", src+"/b"))
	p := deploy(t, src, PlaceOptions{Dest: filepath.Join(top, "dest")})
	must(t, os.Remove(p.Dest+"/b"))
	must(t, os.WriteFile(p.Dest+"/b", []byte("content"), 0o644))
	must(t, os.Chtimes(p.Dest+"/b", sometime, sometime))
	_, rec, err := p.Certify(t.Context())
	must(t, err)
	if !p.Matches(rec) {
		t.Fatalf("the record does not match: %+v", rec)
	}
	if changed, _, err := p.Attributes(false); err != nil || !changed {
		t.Errorf("changed %v, %v; the two files should become one again", changed, err)
	}
}

func TestParseGrowsForWhatThereIs(t *testing.T) {
	top := t.TempDir()
	for _, n := range []int{sampleFiles - 1, sampleFiles, sampleFiles + 1, 3 * sampleFiles} {
		src := filepath.Join(top, "src")
		must(t, os.MkdirAll(src, 0o755))
		for i := range n {
			must(t, os.WriteFile(filepath.Join(src, string(rune('a'+i%26))+octal(uint32(i))), nil, 0o644))
		}
		torrent, _ := build(t, src)
		parsed, err := Parse(torrent.Raw)
		must(t, err)
		if len(parsed.Files) != n || n > sampleFiles && cap(parsed.Files) > 2*n {
			t.Errorf("%d files became %d in room for %d", n, len(parsed.Files), cap(parsed.Files))
		}
		must(t, os.RemoveAll(src))
	}
}
