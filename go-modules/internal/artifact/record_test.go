package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// placed deploys a tree and keeps the record of it.
func placed(t *testing.T, top string) (*Plan, Records) {
	t.Helper()
	src := tree{"a": "content", "d/b": content(40_000), "link": link("a"), "none": dir(0o755)}.write(t, filepath.Join(top, "src"))
	p := deploy(t, src, PlaceOptions{Dest: filepath.Join(top, "dest")})
	records := OpenRecords(filepath.Join(top, "state"))
	must(t, records.Save(p.Placed()))
	if !p.Matches(records.Load(p.Dest)) {
		t.Fatalf("the record of what was just placed does not match: %+v", records.Load(p.Dest))
	}
	return p, records
}

// keepingTime does something to a file and sets its modification time back.
func keepingTime(t *testing.T, path string, do func()) {
	t.Helper()
	var stat unix.Stat_t
	must(t, unix.Lstat(path, &stat))
	do()
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{stat.Atim, stat.Mtim}, unix.AT_SYMLINK_NOFOLLOW))
}

func TestRecordVouchesForNothingThatWasTouched(t *testing.T) {
	for name, touch := range map[string]func(t *testing.T, dest string){
		"written to":    func(t *testing.T, dest string) { must(t, os.WriteFile(dest+"/a", []byte("CONTENT"), 0o644)) },
		"cut":           func(t *testing.T, dest string) { must(t, os.Truncate(dest+"/a", 3)) },
		"removed":       func(t *testing.T, dest string) { must(t, os.Remove(dest+"/a")) },
		"no directory":  func(t *testing.T, dest string) { must(t, os.Remove(dest+"/none")) },
		"all removed":   func(t *testing.T, dest string) { must(t, os.RemoveAll(dest)) },
		"mode":          func(t *testing.T, dest string) { must(t, os.Chmod(dest+"/a", 0o600)) },
		"hard link":     func(t *testing.T, dest string) { must(t, os.Link(dest+"/a", dest+"/c")) },
		"file for link": func(t *testing.T, dest string) { must(t, os.Rename(dest+"/a", dest+"/link")) },
		"another link": func(t *testing.T, dest string) {
			must(t, os.Remove(dest+"/link"))
			must(t, os.Symlink("d", dest+"/link"))
		},
		"written to with its time set back": func(t *testing.T, dest string) {
			keepingTime(t, dest+"/a", func() { must(t, os.WriteFile(dest+"/a", []byte("CONTENT"), 0o644)) })
		},
		"replaced with its time set back": func(t *testing.T, dest string) {
			keepingTime(t, dest+"/a", func() {
				must(t, os.WriteFile(dest+"/c", []byte("CONTENT"), 0o644))
				must(t, os.Rename(dest+"/c", dest+"/a"))
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			p, records := placed(t, top)
			touch(t, p.Dest)
			if p.Matches(records.Load(p.Dest)) {
				t.Error("the record matches")
			}
		})
	}
}

func TestStrangersFilesLeaveTheRecordAlone(t *testing.T) {
	p, records := placed(t, t.TempDir())
	must(t, os.WriteFile(filepath.Join(p.Dest, "d", "stranger"), []byte("x"), 0o644))
	if !p.Matches(records.Load(p.Dest)) {
		t.Error("the record does not match")
	}
}

func TestCertify(t *testing.T) {
	top := t.TempDir()
	p, records := placed(t, top)
	complete, rec, err := p.Certify(t.Context())
	must(t, err)
	if !complete || !p.Matches(rec) || rec.Stamps != records.Load(p.Dest).Stamps {
		t.Errorf("complete %v, record %+v", complete, rec)
	}
	// A file that was written a moment ago may be written once more within the same step of the clock.
	must(t, os.WriteFile(filepath.Join(p.Dest, "a"), []byte("content"), 0o644))
	if complete, rec, err = p.Certify(t.Context()); err != nil || !complete || p.Matches(rec) {
		t.Errorf("complete %v, %v; the record of a file just written is %+v", complete, err, rec)
	}
	must(t, os.Chtimes(filepath.Join(p.Dest, "a"), sometime, sometime))
	if complete, rec, err = p.Certify(t.Context()); err != nil || !complete || !p.Matches(rec) {
		t.Errorf("complete %v, %v; the record of old files is %+v", complete, err, rec)
	}
	must(t, os.WriteFile(filepath.Join(p.Dest, "a"), []byte("CONTENT"), 0o644))
	if complete, _, err = p.Certify(t.Context()); complete || err != nil {
		t.Errorf("another content is complete: %v, %v", complete, err)
	}
	if p.Placed().Stamps != (Stamps{}) {
		t.Error("an artifact that somebody has written to since it was placed is vouched for")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, os.WriteFile(filepath.Join(p.Dest, "a"), []byte("content"), 0o644))
	if _, _, err := p.Certify(ctx); err == nil {
		t.Error("an interrupted check has a result")
	}
}

// Place takes the stamps before it switches, so that whatever somebody does to the new tree at once is noticed.
func TestPlacedVouchesForWhatWasSwitchedTo(t *testing.T) {
	for name, touch := range map[string]func(t *testing.T, dest string){
		"nothing": nil,
		"written to with its time set back": func(t *testing.T, dest string) {
			keepingTime(t, dest+"/a", func() { must(t, os.WriteFile(dest+"/a", []byte("CONTENT"), 0o644)) })
		},
		"mode": func(t *testing.T, dest string) { must(t, os.Chmod(dest+"/d/b", 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			src := tree{"a": "content", "d/b": content(40_000), "link": link("a"), "empty": ""}.write(t, filepath.Join(top, "src"))
			// An option that Place must follow changes every file once more.
			p := deploy(t, src, PlaceOptions{Dest: filepath.Join(top, "dest"), Mode: "0640"})
			taken := p.stamps.stamps()
			if now := p.stamp().stamps(); taken != now {
				t.Fatalf("Place has taken %+v, but it is %+v", taken, now)
			}
			if touch != nil {
				touch(t, p.Dest)
			}
			if rec := p.Placed(); p.Matches(rec) != (touch == nil) {
				t.Errorf("the record matches: %v", p.Matches(rec))
			}
		})
	}
}

func TestRenewAfterAttributes(t *testing.T) {
	p, records := placed(t, t.TempDir())
	rec := records.Load(p.Dest)
	must(t, os.Chmod(filepath.Join(p.Dest, "a"), 0o600))
	if renewed := p.Renew(rec); !p.Matches(renewed) {
		t.Error("the renewed record does not match")
	}
	must(t, os.WriteFile(filepath.Join(p.Dest, "a"), []byte("CONTENT"), 0o644))
	if renewed := p.Renew(rec); p.Matches(renewed) {
		t.Error("a record was renewed for content that nobody has hashed")
	}
}

func TestRecords(t *testing.T) {
	top := t.TempDir()
	records := OpenRecords(filepath.Join(top, "state"))
	if all, err := records.All(); err != nil || len(all) != 0 {
		t.Errorf("without a directory: %v, %v", all, err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	one := Record{Infohash: "aa", Name: "app.tar", Dest: top + "/app.tar", Asked: top + "/", Size: 7, When: now, Verified: now}
	two := Record{Infohash: "bb", Name: "www", Dest: top + "/www", Asked: top + "/www"}
	for _, rec := range []Record{one, two, two} {
		must(t, records.Save(rec))
	}
	if all, err := records.All(); err != nil || len(all) != 2 || records.Load(one.Dest) != one {
		t.Errorf("records are %v, %v", all, err)
	}
	must(t, os.WriteFile(two.Dest, nil, 0o600))
	three := Record{Infohash: "cc", Name: "www", Dest: top + "/releases/www", Asked: two.Asked}
	must(t, records.Save(three)) // there is nothing at its place, so it goes with the next one
	if must(t, records.Save(two)); records.Load(three.Dest) != (Record{}) || records.Load(one.Dest) != one {
		t.Error("not the record of what is gone was dropped")
	}
	for _, c := range []struct {
		dest string
		dry  bool
		want int
	}{{top + "/none", false, 0}, {top + "/", true, 1}, {top + "/", false, 1}, {top + "/", false, 0}, {top + "/www/", false, 1}} {
		if n, err := records.Forget(c.dest, c.dry); err != nil || n != c.want {
			t.Errorf("%s: %d forgotten, %v; want %d", c.dest, n, err, c.want)
		}
	}
	if _, err := os.Stat(filepath.Join(top, "state")); err == nil {
		t.Error("an empty state directory was left")
	}
}

func TestRecordsThatCannotBeReliedOn(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"torn":                func(path string) error { return os.Truncate(path, 40) },
		"empty":               func(path string) error { return os.Truncate(path, 0) },
		"open to others":      func(path string) error { return os.Chmod(path, 0o666) },
		"a link":              func(path string) error { return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path)) },
		"of another place":    func(path string) error { return os.WriteFile(path, []byte(`{"dest":"/elsewhere"}`), 0o600) },
		"of another kind":     func(path string) error { return os.WriteFile(path, []byte(`[]`), 0o600) },
		"larger than any":     func(path string) error { return os.WriteFile(path, make([]byte, mostRecord+1), 0o600) },
		"a directory instead": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			p, records := placed(t, t.TempDir())
			must(t, spoil(records.path(p.Dest)))
			if rec := records.Load(p.Dest); rec != (Record{}) {
				t.Errorf("read as %+v", rec)
			}
		})
	}
}
