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
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// version makes the torrent of a tree that holds the text.
func version(t testing.TB, text string) (*Torrent, *Source) {
	t.Helper()
	return build(t, tree{"f": text, "d/g": text}.write(t, t.TempDir()+"/app"))
}

// bring deploys a version with keep as the module does, and returns whether anything changed.
func bring(t testing.TB, torrent *Torrent, source *Source, o PlaceOptions) (changed bool, p *Plan) {
	t.Helper()
	p = plan(t, torrent, o)
	complete, err := p.Complete(t.Context())
	must(t, err)
	ahead, err := p.Activate(t.Context(), false)
	must(t, err)
	if complete {
		changed, err := p.Activate(t.Context(), true)
		must(t, err)
		if ahead != changed {
			t.Errorf("predicted changed %v, and it was %v", ahead, changed)
		}
		return changed, p
	}
	if !ahead {
		t.Error("predicted no change for a new release")
	}
	transfer(t, torrent, source, p)
	must(t, p.Place(t.Context()))
	return true, p
}

func releasesIn(t testing.TB, top string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(top + "/releases")
	must(t, err)
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names
}

func TestReleases(t *testing.T) {
	top := t.TempDir()
	o := PlaceOptions{Dest: top + "/current", Keep: 2}
	var torrents []*Torrent
	var sources []*Source
	for i := range 5 {
		torrent, source := version(t, fmt.Sprint(i))
		torrents, sources = append(torrents, torrent), append(sources, source)
	}
	deployed := func(i int, changed bool) *Plan {
		t.Helper()
		got, p := bring(t, torrents[i], sources[i], o)
		if got != changed || read(t, top+"/current/f") != fmt.Sprint(i) {
			t.Errorf("version %d: changed %v, and there is %q", i, got, read(t, top+"/current/f"))
		}
		return p
	}
	for i := range 4 {
		p := deployed(i, true)
		if p.Target() != top+"/current" || p.Dest != top+"/releases/"+releaseName(torrents[i]) || p.Exists() != (i > 0) {
			t.Errorf("the plan is %s, %s, %v", p.Target(), p.Dest, p.Exists())
		}
		deployed(i, false)
	}
	text, err := os.Readlink(top + "/current")
	if err != nil || text != "releases/"+releaseName(torrents[3]) {
		t.Errorf("the link is %q, %v", text, err)
	}
	if names := releasesIn(t, top); len(names) != 3 || slices.Contains(names, releaseName(torrents[0])) {
		t.Errorf("there are %v", names)
	}
	back := func(dryRun bool) Rollback {
		t.Helper()
		out, err := RollBack(t.Context(), top+"/current", "", dryRun)
		must(t, err)
		return out
	}
	if out := back(true); !out.Changed || read(t, top+"/current/f") != "3" || out.To != releaseName(torrents[2]) {
		t.Errorf("predicted %v", out)
	}
	if out := back(false); !out.Changed || read(t, top+"/current/f") != "2" || len(out.Releases) != 2 || out.From != releaseName(torrents[3]) {
		t.Errorf("rolled back %v", out)
	}
	// What was gone back from is not gone back to: after 4 comes 2, not 3, and 3 is the first to be removed.
	deployed(4, true)
	if names := releasesIn(t, top); len(names) != 3 || slices.Contains(names, releaseName(torrents[3])) {
		t.Errorf("there are %v", names)
	}
	back(false)
	if read(t, top+"/current/f") != "2" {
		t.Error("not 2")
	}
	deployed(4, true) // its files are still there
	back(false)
	back(false)
	if read(t, top+"/current/f") != "1" {
		t.Error("not 1")
	}
	_, err = RollBack(t.Context(), top+"/current", "", false)
	wantError(t, err, "There is no release before "+top+"/releases/"+releaseName(torrents[1])+" to go back to; raise keep")
	deployed(2, true)
	out, err := RollBack(t.Context(), top+"/current", releaseName(torrents[1]), false)
	if err != nil || !out.Changed || read(t, top+"/current/f") != "1" {
		t.Errorf("to a release by its name: %v, %v", out, err)
	}
	out, err = RollBack(t.Context(), top+"/current", releaseName(torrents[1]), false)
	if err != nil || out.Changed {
		t.Errorf("there already: %v, %v", out, err)
	}
	_, err = RollBack(t.Context(), top+"/current", "app-0", false)
	wantError(t, err, `Release "app-0" of `+top+"/current is not there; there are "+releaseName(torrents[1]))
	o.Keep = 1
	deployed(1, true) // one of the old ones goes
	if names := releasesIn(t, top); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
}

func TestReleasesThatAreRefused(t *testing.T) {
	top := t.TempDir()
	torrent, _ := version(t, "x")
	tree{"dir/f": "x", "file": "x", "a/link": link("/elsewhere"), "b/releases/.current.murder": "nonsense", "c/releases/.current.murder": `{"order":["../x"]}`, "d/releases": "file", "e/releases/g": "x"}.write(t, top)
	for dest, want := range map[string]string{
		"/dir":          "Destination " + top + "/dir is a directory, but with keep it is a symbolic link to the current release; move it away first",
		"/file":         "Destination " + top + "/file is a file, but with keep",
		"/none/current": "Destination directory " + top + "/none does not exist; create it first",
		"/x/releases":   "Destination " + top + "/x/releases has the name that the directory of the releases has; choose another one, such as " + top + "/x/current",
		"/d/current":    top + "/d/releases",
		"/b/current":    "The record of releases " + top + "/b/releases/.current.murder cannot be read; remove it",
		"/c/current":    `The record of releases ` + top + `/c/releases/.current.murder names "../x", which is no release; remove it`,
	} {
		_, err := NewPlan(torrent, PlaceOptions{Dest: top + dest, Keep: 1})
		wantError(t, err, want)
	}
	for dest, want := range map[string]string{
		"/a/link": "Destination " + top + "/a/link is no link to a release; only what was deployed with keep can be rolled back",
		"/none":   "Destination " + top + "/none is no link to a release",
		"/dir":    "Destination " + top + "/dir is a directory, but with keep it is",
	} {
		_, err := RollBack(t.Context(), top+dest, "", false)
		wantError(t, err, want)
	}
	must(t, os.Symlink("/elsewhere", top+"/e/current"))
	_, err := RollBack(t.Context(), top+"/e/current", "", false)
	wantError(t, err, "Destination "+top+"/e/current leads to /elsewhere, which is no release that was deployed with keep; name the release")
}

// TestUnfinishedRelease: an interrupted one is forgotten with the link, or by the next deploy.
func TestUnfinishedRelease(t *testing.T) {
	top := t.TempDir()
	o := PlaceOptions{Dest: top + "/current", Keep: 2}
	begin := func(text string) *Plan {
		torrent, source := version(t, text)
		p := plan(t, torrent, o)
		transfer(t, torrent, source, p)
		return p
	}
	first := begin("one")
	torrent, _ := version(t, "another")
	_, _, err := plan(t, torrent, o).OpenStaging(t.Context())
	if !errors.Is(err, ErrBusy) {
		t.Errorf("while another is coming: %v", err)
	}
	must(t, first.Release())
	for _, dryRun := range []bool{true, false} {
		found, err := Forget(t.Context(), top+"/current", "", dryRun)
		if err != nil || found != 2 {
			t.Errorf("forgot %d, %v", found, err)
		}
	}
	must(t, begin("two").Release())
	p := begin("three")
	must(t, p.Place(t.Context()))
	noStaging(t, top+"/releases")
	if read(t, top+"/current/f") != "three" || len(releasesIn(t, top)) != 1 {
		t.Error("not the third alone")
	}
}

// TestKilledBetweenRecordAndLink: whatever a killed run has written, the next deploy or rollback does the right thing.
func TestKilledBetweenRecordAndLink(t *testing.T) {
	top := t.TempDir()
	o := PlaceOptions{Dest: top + "/current", Keep: 5}
	a, as := version(t, "a")
	b, bs := version(t, "b")
	bring(t, a, as, o)
	_, p := bring(t, b, bs, o)
	must(t, p.link.turn(releaseName(a))) // as if the deploy of b had not switched
	_, err := RollBack(t.Context(), top+"/current", "", true)
	wantError(t, err, "There is no release before")
	if changed, _ := bring(t, b, bs, o); !changed || read(t, top+"/current/f") != "b" {
		t.Error("the second deploy did not switch")
	}
	r, err := openReleases(top + "/current")
	must(t, err)
	r.Order, r.RolledBack, r.Removing = r.Order[:1], r.Order[1:], []string{"left over"}
	must(t, r.write()) // a rollback to a that has not switched
	must(t, os.Mkdir(r.path("left over"), 0o700))
	must(t, os.Symlink("x", top+"/.current.murder-link"))
	out, err := RollBack(t.Context(), top+"/current", "", false)
	if err != nil || !out.Changed || read(t, top+"/current/f") != "a" {
		t.Errorf("the second rollback: %v, %v", out, err)
	}
	bring(t, b, bs, o)
	if names := releasesIn(t, top); len(names) != 2 {
		t.Errorf("there are %v", names)
	}
	noStaging(t, top)
}

func TestSingleFilesAsReleases(t *testing.T) {
	top := t.TempDir()
	long := strings.Repeat("n", 250)
	src := tree{long: "1"}.write(t, t.TempDir())
	torrent, source := build(t, src+"/"+long)
	_, p := bring(t, torrent, source, PlaceOptions{Dest: top + "/current", Keep: 1, Mode: "0600"})
	if read(t, top+"/current") != "1" || modeAt(t, p.Dest) != "0600" || len(filepath.Base(p.Staging)) > maxName {
		t.Errorf("placed at %s", p.Dest)
	}
}

// TestNamesTooLongForALink are refused before anything is fetched; the longest that is not becomes one.
func TestNamesTooLongForALink(t *testing.T) {
	top := t.TempDir()
	torrent, source := version(t, "new")
	long := top + "/" + strings.Repeat("n", 243)
	const want = " has too long a name for a link to releases; choose a shorter one"
	for _, dest := range []string{long, long + strings.Repeat("n", 12)} {
		_, err := NewPlan(torrent, PlaceOptions{Dest: dest, Keep: 1})
		wantError(t, err, "Destination "+dest+want)
		_, err = RollBack(t.Context(), dest, "", false)
		wantError(t, err, "Destination "+dest+want)
		if found, err := Forget(t.Context(), dest, "", false); found != 0 || err != nil {
			t.Errorf("forgot %d, %v", found, err)
		}
	}
	longest := long[:len(long)-1]
	bring(t, torrent, source, PlaceOptions{Dest: longest, Keep: 1})
	if read(t, longest+"/f") != "new" {
		t.Error("not placed")
	}
}

// TestReleasesModel compares deploys and rollbacks in any order with a list.
func TestReleasesModel(t *testing.T) {
	var torrents []*Torrent
	var sources []*Source
	for i := range 4 {
		torrent, source := version(t, fmt.Sprint(i))
		torrents, sources = append(torrents, torrent), append(sources, source)
	}
	rapid.Check(t, func(r *rapid.T) {
		top, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		keep := rapid.IntRange(1, 3).Draw(r, "keep")
		var live []int // what a rollback goes back along
		for range rapid.IntRange(1, 8).Draw(r, "steps") {
			if rapid.Bool().Draw(r, "deploy") {
				i := rapid.IntRange(0, 3).Draw(r, "version")
				bring(t, torrents[i], sources[i], PlaceOptions{Dest: top + "/current", Keep: keep})
				live = append(slices.DeleteFunc(live, func(old int) bool { return old == i }), i)
				live = live[max(0, len(live)-1-keep):]
			} else {
				_, err := RollBack(t.Context(), top+"/current", "", false)
				if (err == nil) != (len(live) > 1) {
					t.Fatalf("with %v live: %v", live, err)
				}
				if err == nil {
					live = live[:len(live)-1]
				}
			}
			if len(live) > 0 && read(t, top+"/current/f") != fmt.Sprint(live[len(live)-1]) {
				t.Fatalf("current is %s, want the last of %v", read(t, top+"/current/f"), live)
			}
		}
		if _, err := os.Stat(top + "/releases"); err == nil && len(releasesIn(t, top)) > keep+1 {
			t.Errorf("%v are kept with keep %d", releasesIn(t, top), keep)
		}
	})
}

// TestLockThatSomebodyKeeps: nothing waits for it for ever, or longer than it may.
func TestLockThatSomebodyKeeps(t *testing.T) {
	before, after := lockBefore, lockAfter
	t.Cleanup(func() { lockBefore, lockAfter = before, after })
	top := t.TempDir()
	torrents, sources := versions(t, 3)
	o := PlaceOptions{Dest: top + "/current", Keep: 1}
	bring(t, torrents[0], sources[0], o)
	_, placed := bring(t, torrents[1], sources[1], o)
	lock, err := os.Open(top + "/releases")
	must(t, err)
	defer lock.Close()
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for name, run := range map[string]func(context.Context) error{
		"a deploy":   func(ctx context.Context) error { _, _, err := plan(t, torrents[2], o).OpenStaging(ctx); return err },
		"the switch": func(ctx context.Context) error { _, err := placed.Activate(ctx, true); return err },
		"a rollback": func(ctx context.Context) error { _, err := RollBack(ctx, o.Dest, "", false); return err },
	} {
		lockBefore, lockAfter = time.Millisecond, time.Millisecond
		err := run(t.Context())
		wantError(t, err, "Directory "+top+"/releases has been locked for 1ms, probably by another deploy or rollback", "fuser -v "+top+"/releases")
		if !errors.Is(err, ErrBusy) {
			t.Errorf("%s: %v is not ErrBusy", name, err)
		}
		lockBefore, lockAfter = time.Hour, time.Hour
		if err := run(stopped); !errors.Is(err, context.Canceled) {
			t.Errorf("%s that is stopped: %v", name, err)
		}
	}
	must(t, lock.Close())
	if out, err := RollBack(t.Context(), o.Dest, "", false); err != nil || !out.Changed {
		t.Errorf("afterwards: %v, %v", out, err)
	}
}
