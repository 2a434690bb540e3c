package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestDirectoriesThatAreLinks: a tree is not in place where a directory of it is a link, be the very same behind it. Nor does the
// record of it vouch for that, though inodes and times are those of before. Foreign torrents name no directories.
func TestDirectoriesThatAreLinks(t *testing.T) {
	for name, c := range map[string]struct {
		dir   string
		named bool // by the torrent
	}{
		"with a file": {"d", true}, "within": {"d/e", true}, "empty": {"none", true}, "of a foreign torrent": {"d", false},
	} {
		t.Run(name, func(t *testing.T) {
			bothWays(t, func(t *testing.T) {
				top := t.TempDir()
				src := tree{"a": "content", "d/b": "b", "d/e/c": "c", "none": dir(0o755)}.write(t, top+"/src")
				p := deploy(t, src, PlaceOptions{Dest: top + "/dest"})
				again := *p.torrent
				if !c.named {
					again.Dirs = nil
				}
				p = plan(t, &again, PlaceOptions{Dest: p.Dest})
				done, rec, err := p.Certify(t.Context())
				if !done || err != nil || !p.Matches(rec) {
					t.Fatalf("complete %v, %v, record %+v", done, err, rec)
				}
				must(t, errors.Join(os.Rename(filepath.Join(p.Dest, c.dir), top+"/away"), os.Symlink(top+"/away", filepath.Join(p.Dest, c.dir))))
				if complete(t, p) {
					t.Error("it is said to be complete")
				}
				if p.Matches(rec) {
					t.Error("the record vouches for it")
				}
			})
		})
	}
}

// TestTimeOfWhatIsInPlace: a run that finds all in place looks after permissions and owners, not after times. It reads what has
// another time than before, once; the next deploy sets times right.
func TestTimeOfWhatIsInPlace(t *testing.T) {
	top := t.TempDir()
	p, records := placed(t, top)
	file, later := filepath.Join(p.Dest, "d", "b"), sometime.Add(time.Hour)
	must(t, os.Chtimes(file, later, later))
	timeIs := func(want time.Time) {
		t.Helper()
		stat, err := os.Stat(file)
		must(t, err)
		if !stat.ModTime().Equal(want) {
			t.Errorf("the time is %v, want %v", stat.ModTime(), want)
		}
	}
	if p.Matches(records.Load(p.Dest)) {
		t.Error("the record vouches for a file that was touched")
	}
	done, rec, err := p.Certify(t.Context())
	if !done || err != nil || !p.Matches(rec) {
		t.Errorf("complete %v, %v; the new record is %+v", done, err, rec)
	}
	for _, again := range []*Plan{p, plan(t, p.torrent, PlaceOptions{Dest: p.Dest})} { // after Matches, and by itself
		if changed, diff, err := again.Attributes(true); changed || err != nil {
			t.Errorf("changed: %v, %v", diff, err)
		}
	}
	timeIs(later)
	must(t, os.WriteFile(top+"/src/a", []byte("another"), 0o644))
	deploy(t, top+"/src", PlaceOptions{Dest: p.Dest})
	timeIs(sometime)
}
