package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// versions are artifacts that hold their number.
func versions(t *testing.T, count int) (torrents []*Torrent, sources []*Source) {
	t.Helper()
	for i := range count {
		torrent, source := version(t, fmt.Sprint(i))
		torrents, sources = append(torrents, torrent), append(sources, source)
	}
	return torrents, sources
}

// TestLinksThatShareReleases: what one link does not keep stays as long as another one leads to it or may go back to it.
func TestLinksThatShareReleases(t *testing.T) {
	top := t.TempDir()
	torrents, sources := versions(t, 5)
	stable, canary := PlaceOptions{Dest: top + "/stable", Keep: 1}, PlaceOptions{Dest: top + "/canary", Keep: 1}
	deployed := func(i int, o PlaceOptions) {
		t.Helper()
		bring(t, torrents[i], sources[i], o)
		if read(t, o.Dest+"/f") != fmt.Sprint(i) {
			t.Errorf("%s is %q, want %d", o.Dest, read(t, o.Dest+"/f"), i)
		}
	}
	there := func(want ...int) {
		t.Helper()
		var names []string
		for _, i := range want {
			names = append(names, releaseName(torrents[i]))
		}
		slices.Sort(names)
		if got := releasesIn(t, top); !slices.Equal(got, names) {
			t.Errorf("there are %v, want %v", got, names)
		}
	}
	deployed(0, stable)
	deployed(1, stable)
	deployed(1, canary)
	deployed(2, canary)
	must(t, os.Symlink("releases/"+releaseName(torrents[2])+"/d", top+"/pinned"))
	deployed(3, canary)
	deployed(4, canary)
	there(0, 1, 2, 3, 4)
	if read(t, top+"/stable/f") != "1" || read(t, top+"/pinned/g") != "2" {
		t.Error("not what the other links led to")
	}
	_, err := RollBack(t.Context(), stable.Dest, "", false)
	must(t, err)
	if read(t, top+"/stable/f") != "0" {
		t.Error("the other link cannot go back")
	}
	deployed(4, stable) // 1 is nobody's any more
	there(0, 2, 3, 4)
	deployed(4, canary)
	there(0, 2, 3, 4)
	must(t, os.Remove(top+"/pinned"))
	deployed(4, canary) // now 2 is not either
	there(0, 3, 4)
	if r, err := openReleases(canary.Dest); err != nil || len(r.Removing) > 0 {
		t.Errorf("to be removed are %v, %v", r.Removing, err)
	}
}

// TestReleasesOfALinkThatCannotBeRead: nobody knows what it may go back to, so everything stays, and the deploy succeeds.
func TestReleasesOfALinkThatCannotBeRead(t *testing.T) {
	top := t.TempDir()
	torrents, sources := versions(t, 3)
	o := PlaceOptions{Dest: top + "/current", Keep: 1}
	bring(t, torrents[0], sources[0], o)
	bring(t, torrents[1], sources[1], o)
	other := top + "/releases/.other.murder"
	must(t, os.WriteFile(other, []byte("nonsense"), 0o644))
	for range 2 {
		_, p := bring(t, torrents[2], sources[2], o)
		want := "The record of releases " + other + " cannot be read; remove it"
		if got := p.Warnings(); len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("the warnings are %q", got)
		}
		if names := releasesIn(t, top); len(names) != 3 || read(t, top+"/current/f") != "2" {
			t.Errorf("there are %v", names)
		}
	}
	must(t, os.Remove(other))
	if _, p := bring(t, torrents[2], sources[2], o); len(p.Warnings()) > 0 || len(releasesIn(t, top)) != 2 {
		t.Errorf("there are %v, warnings %q", releasesIn(t, top), p.Warnings())
	}
}

// TestReleaseThatIsGone: another link's deploy removed it after this one had found it.
func TestReleaseThatIsGone(t *testing.T) {
	top := t.TempDir()
	torrents, sources := versions(t, 2)
	o := PlaceOptions{Dest: top + "/current", Keep: 1}
	bring(t, torrents[0], sources[0], o)
	bring(t, torrents[1], sources[1], o)
	p := plan(t, torrents[0], o)
	must(t, os.RemoveAll(p.Dest))
	_, err := p.Activate(t.Context(), true)
	wantError(t, err, "Release "+p.Dest+" has gone meanwhile; deploy again")
	if read(t, top+"/current/f") != "1" {
		t.Error("the link leads nowhere")
	}
}

// TestImmutableReleases are removed in their turn like others.
func TestImmutableReleases(t *testing.T) {
	needFlags(t)
	needRoot(t, "make files immutable")
	top := t.TempDir()
	t.Cleanup(func() { // or the directory could not be removed
		r, err := openRoot(top + "/releases")
		must(t, err)
		r.unseal("")
		must(t, r.Close())
	})
	torrents, sources := versions(t, 4)
	for i := range torrents {
		for range 2 {
			_, p := bring(t, torrents[i], sources[i], PlaceOptions{Dest: top + "/current", Keep: 1, Attributes: "+i"})
			if flags, _ := flagsAt(t, p.Dest+"/d/g"); flags != "i" || len(p.Warnings()) > 0 {
				t.Errorf("version %d has %q, warnings %q", i, flags, p.Warnings())
			}
		}
	}
	if names := releasesIn(t, top); len(names) != 2 || read(t, top+"/current/f") != "3" {
		t.Errorf("there are %v", names)
	}
}

// TestReleaseThatCannotBeRemoved: the deploy has succeeded all the same, and each run tries again.
func TestReleaseThatCannotBeRemoved(t *testing.T) {
	needRoot(t, "put another user's directory into a release")
	top := t.TempDir()
	must(t, errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chown(top, 65534, 65534)))
	torrents, sources := versions(t, 3)
	o := PlaceOptions{Dest: top + "/current", Keep: 1}
	old := top + "/releases/" + releaseName(torrents[0])
	asUser(t, func(string) { bring(t, torrents[0], sources[0], o) })
	tree{"theirs/f": "x"}.write(t, old)
	asUser(t, func(string) {
		bring(t, torrents[1], sources[1], o)
		for range 2 {
			_, p := bring(t, torrents[2], sources[2], o)
			want := top + "/current leads to the new release, but the old release " + old + " cannot be removed: "
			if got := p.Warnings(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
				t.Errorf("the warnings are %q, want %q", got, want)
			}
			if !slices.Equal(p.Releases(), []string{releaseName(torrents[1]), releaseName(torrents[2])}) {
				t.Errorf("the releases are %v", p.Releases())
			}
		}
	})
	must(t, os.RemoveAll(old+"/theirs"))
	asUser(t, func(string) {
		if _, p := bring(t, torrents[2], sources[2], o); len(p.Warnings()) > 0 || len(releasesIn(t, top)) != 2 {
			t.Errorf("there are %v, warnings %q", releasesIn(t, top), p.Warnings())
		}
	})
}

// TestNamesOfReleases: they are UTF-8 whatever the artifact is called, so that the record, which is JSON, has them as they are.
func TestNamesOfReleases(t *testing.T) {
	for _, name := range []string{"caf\xe9.tar", strings.Repeat("\u5b57", 80), "\xff\xfe", strings.Repeat("n", 219) + "\u00e9"} {
		top := t.TempDir()
		o := PlaceOptions{Dest: top + "/current", Keep: 1}
		for i := range 4 {
			src := tree{name: fmt.Sprint(i)}.write(t, t.TempDir())
			torrent, source := build(t, src+"/"+name)
			bring(t, torrent, source, o)
			if changed, _ := bring(t, torrent, source, o); changed || read(t, o.Dest) != fmt.Sprint(i) {
				t.Errorf("%q: changed again, or not there", name)
			}
		}
		if names := releasesIn(t, top); len(names) != 2 {
			t.Errorf("there are %q", names)
		}
		if out, err := RollBack(t.Context(), o.Dest, "", false); err != nil || read(t, o.Dest) != "2" {
			t.Errorf("rolled back %v, %v", out, err)
		}
	}
}
