package module

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"corvus.murder/internal/artifact"
)

// leastForValidation is what a command has to validate the artifact, whatever is left of the timeout. Tests lower it.
var leastForValidation = 30 * time.Second

// place puts the artifact at its destination, and keeps what the next run will ask about it.
func (d *peer) place(ctx context.Context) (peerResult, error) {
	d.state.Store(placing)
	err := d.validated(ctx)
	for _, warning := range d.plan.Warnings() {
		d.process.Log.Warn("not everything could be tidied up", "err", warning)
	}
	if err != nil {
		return peerResult{}, err
	}
	d.remember()
	st := d.swarm.Stats()
	r := peerResult{
		Infohash: d.cfg.Infohash, Dest: artifact.Path(d.plan.Target()), Place: artifact.Path(d.plan.Dest),
		Elapsed:       round(time.Since(d.began)),
		BytesFromSeed: st.BytesFromSeed, BytesFromPeers: st.BytesFromPeers, BytesReused: st.BytesReused, Port: d.port,
		BackupFile: d.plan.Backup(), Warnings: d.plan.Warnings(),
	}
	if d.cfg.Place.Keep > 0 {
		r.Release, r.Releases = filepath.Base(d.plan.Dest), d.plan.Releases()
	}
	if d.cfg.Place.Unpack {
		r.Files, r.UnpackedSize = d.plan.Unpacked()
	}
	return r, nil
}

// validated puts the artifact in place. A command that validates it may not take longer than a download, or than half a minute
// when that was slow.
func (d *peer) validated(ctx context.Context) error {
	if d.cfg.Place.Validate == "" {
		return d.plan.Place(ctx)
	}
	left := max(d.left(), leastForValidation)
	ctx, cancel := context.WithTimeoutCause(ctx, left, errors.New("it took longer than timeout allows"))
	defer cancel()
	return d.plan.Place(ctx)
}

// remember keeps a record of what was put in place, by which the next run finds it without hashing. It is in place all the same
// when that fails.
func (d *peer) remember() {
	err := errors.Join(artifact.OpenRecords(filepath.Dir(d.process.Dir)).Save(d.plan.Placed()), d.plan.Remember())
	if err != nil {
		d.process.Log.Warn("the artifact in place is not remembered", "err", err)
	}
}
