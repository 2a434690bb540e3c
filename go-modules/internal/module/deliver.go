package module

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

const stopAfterInterrupt = 30 * time.Second

// delivery is one call of murder_peer with state present or started.
type delivery struct {
	call    ansible.Call
	torrent *artifact.Torrent
	cfg     peerConfig
	inst    *daemon.Instance
	wait    bool // for the artifact to be in place
	force   bool // also when there is something at the destination
	verify  string
	records artifact.Records
	began   time.Time
	spent   int // pid of a daemon that only goes on seeding this artifact from here

	record   artifact.Record // of what is at the destination
	warnings []string
}

// run brings the artifact to its destination, as far as it is not there.
func (d *delivery) run(ctx context.Context) (ansible.Result, error) {
	d.began = time.Now()
	going, err := d.underWay(ctx)
	if err != nil {
		return ansible.Result{}, err
	}
	if going && d.call.Check { // it is somebody else's to collect
		return ansible.Result{Changed: d.wait, Values: d.values(d.cfg.Place.Dest)}, nil
	}
	if going {
		return d.collect(ctx, true)
	}
	plan, err := artifact.NewPlan(d.torrent, d.cfg.Place)
	if err != nil {
		return ansible.Result{}, err
	}
	if plan.Exists() && !d.force {
		return d.leave(plan)
	}
	complete, err := d.inPlace(ctx, plan)
	if err != nil {
		return ansible.Result{}, err
	}
	if complete {
		return d.keep(ctx, plan)
	}
	if err := plan.Space(); err != nil {
		return ansible.Result{}, err
	}
	for _, err := range artifact.ReusePaths(d.cfg.Place.Reuse) {
		d.warnings = append(d.warnings, err.Error())
	}
	res := ansible.Result{Changed: true, Values: d.values(plan.Target()), Warnings: d.warnings}
	if d.call.Diff {
		if res.Diff, err = plan.Preview(ctx); err != nil {
			return ansible.Result{}, err
		}
	}
	if d.call.Check {
		return res, nil
	}
	if err := d.endSpent(ctx); err != nil {
		return ansible.Result{}, err
	}
	if err := d.inst.Start(ctx, d.cfg, d.cfg.LogFile); err != nil {
		return ansible.Result{}, err
	}
	collected, err := d.collect(ctx, false)
	collected.Diff, collected.Warnings = res.Diff, res.Warnings
	return collected, err
}

// underWay tells whether an earlier call has begun this very delivery and nobody has collected its
// result. A daemon that only goes on seeding what it delivered is in nobody's way and is ended.
func (d *delivery) underWay(ctx context.Context) (bool, error) {
	pid, running, err := d.inst.Running()
	if err != nil {
		return false, err
	}
	if !running {
		return d.uncollected(ctx)
	}
	var status peerStatus
	if err := d.inst.Status(ctx, &status); errors.Is(err, daemon.ErrNotRunning) {
		return false, nil // it has just ended by itself
	} else if err != nil {
		return false, err
	}
	if status.Collected || status.Infohash != d.cfg.Infohash && status.State == seeding {
		if status.Infohash == d.cfg.Infohash {
			d.spent = pid
		}
		if d.spent != 0 || d.call.Check {
			return false, nil
		}
		_, err := d.inst.Stop(ctx)
		return false, err
	}
	var other peerConfig
	if err := d.inst.Config(ctx, &other); errors.Is(err, daemon.ErrNotRunning) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if other.Infohash != d.cfg.Infohash {
		return false, fmt.Errorf("Another deploy (pid %d, infohash %s) is writing to %s; wait for it or stop it (state: stopped)",
			pid, other.Infohash, d.cfg.Place.Dest)
	}
	diff, err := differences(d.cfg, other)
	if err == nil && len(diff) > 0 {
		err = alreadyRunning("A download to "+d.cfg.Place.Dest, pid, diff)
	}
	return err == nil, err
}

// endSpent ends a daemon that seeds what it put here, and that somebody has changed since. Only that one: another call
// may have started its successor.
func (d *delivery) endSpent(ctx context.Context) error {
	pid, running, err := d.inst.Running()
	if err != nil || !running || pid != d.spent {
		return err
	}
	_, err = d.inst.Stop(ctx)
	return err
}

// uncollected tells whether a daemon that has ended left the result of this very delivery.
func (d *delivery) uncollected(ctx context.Context) (bool, error) {
	var r peerResult
	err := d.inst.Wait(ctx, &r)
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return false, nil
	case err == nil && r.Infohash == d.cfg.Infohash:
		return true, nil
	case d.call.Check:
		return false, nil
	}
	// A failure or another delivery that nobody asked about: over and done.
	return false, d.inst.Remove()
}

// collect waits for the daemon's result, or with state started only tells that it is under way.
func (d *delivery) collect(ctx context.Context, joined bool) (ansible.Result, error) {
	values := d.values(d.cfg.Place.Dest)
	res := ansible.Result{Changed: true, Values: values}
	pid, running, err := d.inst.Running()
	if err != nil {
		return res, err
	}
	if !d.wait {
		res.Changed = !joined
		if running {
			err = addProcess(ctx, d.inst, values)
		}
		return res, err
	}
	bound := time.Duration(d.cfg.Timeout)*time.Second + time.Minute // the daemon ends it before
	wctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("the daemon did not end the download in time"))
	defer cancel()
	var r peerResult
	err = d.inst.Wait(wctx, &r)
	if ctx.Err() != nil { // the controller is gone: nobody will use what comes
		sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopAfterInterrupt)
		defer cancel()
		_, stopErr := d.inst.Stop(sctx)
		return res, errors.Join(err, stopErr)
	}
	if _, alive, rerr := d.inst.Running(); rerr == nil && !alive {
		err = errors.Join(err, d.inst.Remove())
	}
	if err != nil {
		res.Changed = false
		return res, err
	}
	r.fill(values)
	if d.cfg.Place.Unpack {
		addUnpacked(values, r.Files, r.UnpackedSize)
	}
	values["pid"] = pid
	return res, d.describe(ctx, values, r.Place)
}

// values are the return values that are there whatever happens.
func (d *delivery) values(dest string) map[string]any {
	state := "present"
	if !d.wait {
		state = "started"
	}
	values := map[string]any{
		"state": state, "dest": dest, "size": d.torrent.Size, "infohash": d.cfg.Infohash,
		"elapsed":         round(time.Since(d.began)),
		"bytes_from_seed": int64(0), "bytes_from_peers": int64(0), "bytes_reused": int64(0), "pid": 0, "port": 0,
	}
	if d.cfg.Place.Unpack {
		addUnpacked(values, 0, 0)
	}
	return values
}

// addChecksum adds the SHA-1 of a single file, as copy returns it. A torrent of ours carries it; of others the
// file must be read once more.
func (d *delivery) addChecksum(ctx context.Context, values map[string]any, dest string) error {
	if !d.torrent.Single {
		return nil
	}
	sum := d.torrent.Checksum()
	if sum == "" && d.cfg.Place.Unpack {
		return nil // the archive is gone
	}
	if sum == "" {
		var err error
		if sum, err = artifact.Checksum(ctx, dest); err != nil {
			return err
		}
	}
	values["checksum"] = sum
	return nil
}

// describe adds what Ansible's own file modules tell of a file.
func (d *delivery) describe(ctx context.Context, values map[string]any, dest string) error {
	if err := d.addChecksum(ctx, values, dest); err != nil {
		return err
	}
	return describe(values, dest)
}

// round makes seconds with two decimals.
func round(d time.Duration) float64 { return math.Round(d.Seconds()*100) / 100 }
