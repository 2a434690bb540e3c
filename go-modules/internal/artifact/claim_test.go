package artifact

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// TestTwoWritersWithStagingsApart: stagings in different directories do not see each other, the deploys do.
func TestTwoWritersWithStagingsApart(t *testing.T) {
	top := t.TempDir()
	src := tree{"d/f": "new"}.write(t, top+"/src")
	tree{"a": dir(0o755), "b": dir(0o755), "old/f": "old"}.write(t, top)
	torrent, source := build(t, src)
	for _, dest := range []string{top + "/old", top + "/none"} {
		first := plan(t, torrent, PlaceOptions{Dest: dest, PartialDir: top + "/a"})
		transfer(t, torrent, source, first)
		for _, partial := range []string{"", top + "/b"} {
			second := plan(t, torrent, PlaceOptions{Dest: dest, PartialDir: partial})
			_, _, err := second.OpenStaging(t.Context())
			wantError(t, err, fmt.Sprintf("Destination %s is being written to by another deploy (pid %d); wait until it ends", dest, os.Getpid()))
			if !errors.Is(err, ErrBusy) {
				t.Errorf("%v is not ErrBusy", err)
			}
		}
		beside := plan(t, torrent, PlaceOptions{Dest: dest + "2", PartialDir: top + "/b"})
		_, _, err := beside.OpenStaging(t.Context())
		must(t, err)
		must(t, beside.Discard())
		must(t, first.Place(t.Context()))
		again := plan(t, torrent, PlaceOptions{Dest: dest, PartialDir: top + "/b"})
		_, _, err = again.OpenStaging(t.Context())
		must(t, err)
		must(t, again.Discard())
		noStaging(t, top)
		noStaging(t, top+"/b")
	}
}
