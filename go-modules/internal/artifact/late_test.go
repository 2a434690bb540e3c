package artifact

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// impatient is a context that is over when it has been asked so many times.
type impatient struct {
	context.Context
	asked atomic.Int64
}

func (c *impatient) Err() error {
	if c.asked.Add(1) > 1000 {
		return context.Canceled
	}
	return nil
}

// TestStagingInTheOldTree: it has come there after the plan was made. It is not kept in itself.
func TestStagingInTheOldTree(t *testing.T) {
	top := t.TempDir()
	torrent, source := build(t, tree{"f": "new"}.write(t, top+"/src"))
	tree{"dest/f": "old", "dest/stranger": "x", "partial": dir(0o755)}.write(t, top)
	p := plan(t, torrent, PlaceOptions{Dest: top + "/dest", PartialDir: top + "/partial"})
	transfer(t, torrent, source, p)
	must(t, os.Rename(top+"/partial", top+"/dest/partial"))
	err := p.Place(&impatient{Context: t.Context()})
	wantError(t, err, "Destination "+top+"/dest cannot be replaced: invalid argument")
	if !errors.Is(err, unix.EINVAL) || read(t, top+"/dest/f") != "old" || read(t, top+"/dest/stranger") != "x" {
		t.Errorf("the destination is not as it was: %v", err)
	}
	must(t, p.Discard())
}
