package artifact

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestForgetFirstRelease: of a first deploy with keep that has failed nothing stays, and of others everything.
func TestForgetFirstRelease(t *testing.T) {
	for name, c := range map[string]struct {
		before  tree // the deploy
		after   tree
		aborted bool // before anything has come
		others  bool // have what is in before and after, or the directory
		again   bool // there is a version already
	}{
		"not valid":            {},
		"aborted":              {aborted: true},
		"others' directory":    {before: tree{"releases": dir(0o755)}, others: true},
		"others' file":         {after: tree{"releases/x": "x"}, others: true},
		"others' directory in": {after: tree{"releases/app": dir(0o755)}, aborted: true, others: true},
		"another link":         {before: tree{"releases/.other.murder": "{}"}, others: true},
		"beside":               {before: tree{"x": "x"}},
		"not the first":        {again: true, others: true},
	} {
		t.Run(name, func(t *testing.T) {
			top := c.before.write(t, t.TempDir()+"/top")
			if c.before == nil {
				must(t, os.MkdirAll(top, 0o755))
			}
			torrents, sources := versions(t, 2)
			o := PlaceOptions{Dest: top + "/current", Keep: 1}
			if c.again {
				bring(t, torrents[1], sources[1], o)
			}
			o.Validate = "false %s"
			p := plan(t, torrents[0], o)
			if c.aborted {
				_, _, err := p.OpenStaging(t.Context())
				must(t, errors.Join(err, p.Discard()))
			} else {
				transfer(t, torrents[0], sources[0], p)
				wantError(t, p.Place(t.Context()), "Validation of")
				must(t, p.Release())
			}
			c.after.write(t, top)
			ahead, err := Forget(t.Context(), o.Dest, "", true)
			must(t, err)
			found, err := Forget(t.Context(), o.Dest, "", false)
			must(t, err)
			if again, err := Forget(t.Context(), o.Dest, "", false); found == 0 || ahead != found || again != 0 || err != nil {
				t.Errorf("predicted %d, found %d and then %d, %v", ahead, found, again, err)
			}
			stat, err := os.Stat(top + "/releases")
			if there := err == nil && stat.IsDir(); there != c.others {
				t.Errorf("the directory is there: %v", there)
			}
			if _, err := os.Lstat(top + "/releases/.current.murder"); errors.Is(err, fs.ErrNotExist) == c.again {
				t.Errorf("the record: %v", err)
			}
			is := listing(t, top)
			for _, mine := range []tree{c.before, c.after} {
				for path := range mine {
					if _, stays := is[path]; !stays {
						t.Errorf("%s is gone", path)
					}
				}
			}
			if c.again && read(t, o.Dest+"/f") != "1" {
				t.Error("the version that was there is gone")
			}
			o.Validate = ""
			bring(t, torrents[0], sources[0], o)
		})
	}
}

// TestForgetLeavesTheLinkToReleases: a directory that is a link is the user's.
func TestForgetLeavesTheLinkToReleases(t *testing.T) {
	top := tree{"elsewhere": dir(0o755), "releases": link("elsewhere")}.write(t, t.TempDir())
	torrents, _ := versions(t, 1)
	p := plan(t, torrents[0], PlaceOptions{Dest: top + "/current", Keep: 1})
	_, _, err := p.OpenStaging(t.Context())
	must(t, errors.Join(err, p.Discard()))
	found, err := Forget(t.Context(), top+"/current", "", false)
	if is := listing(t, top); found != 1 || err != nil || len(is) != 3 {
		t.Errorf("found %d, %v; there are %v", found, err, is)
	}
}

// TestForgetWhileOthersDeploy: the directory goes from under nobody who has it locked or waits for that.
func TestForgetWhileOthersDeploy(t *testing.T) {
	top := t.TempDir()
	torrents, _ := versions(t, 1)
	failed := make(chan error, 1000)
	var runs sync.WaitGroup
	for _, name := range strings.Fields("a b c") {
		runs.Go(func() {
			o := PlaceOptions{Dest: top + "/" + name, Keep: 1}
			for range 30 {
				p, err := NewPlan(torrents[0], o)
				if err == nil {
					err = p.makeReleases(t.Context())
				}
				if _, more := Forget(t.Context(), o.Dest, "", false); err != nil || more != nil {
					failed <- errors.Join(err, more)
				}
			}
		})
	}
	runs.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}
