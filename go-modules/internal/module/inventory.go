package module

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"corvus.murder/internal/artifact"
)

// inventory finds the pieces that need not be fetched: what an interrupted download has left in the staging, and what other
// files of this host hold. It is part of the time that the whole download may take.
func (d *peer) inventory(ctx context.Context, resumed bool) (have []bool, err error) {
	within, cancel := context.WithTimeout(ctx, d.left())
	defer cancel()
	have = make([]bool, d.torrent.NumPieces())
	d.keep = resumed
	if resumed {
		have, err = artifact.Verify(within, d.torrent, d.store, runtime.NumCPU())
	}
	if err == nil {
		err = d.plan.Reuse(within, have, &d.checked)
		d.keep = d.keep || slices.Contains(have, true)
	}
	if err == nil {
		err = d.store.FillHoles(have)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = fmt.Errorf("Download of %s did not finish within timeout %s: what is on this host already was still being checked (%d of %d bytes); raise timeout, or shorten the list of reuse",
			d.torrent.Name, d.timeout(), d.checked.Load(), d.torrent.Size)
	}
	return have, err
}

func (d *peer) timeout() time.Duration { return time.Duration(d.cfg.Timeout) * time.Second }

// left is what is left of the timeout.
func (d *peer) left() time.Duration { return d.timeout() - time.Since(d.began) }
