package module

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// endBound is how long a daemon may take to end.
const endBound = 30 * time.Second

// delivery is one call of murder_peer with state present or started.
type delivery struct {
	call    ansible.Call
	torrent *artifact.Torrent
	cfg     peerConfig
	inst    *daemon.Instance
	wait    bool // for the artifact to be in place
	force   bool // also when there is something at the destination
	verify  string
	counts  bool // the tracker is ours, and to know who has the artifact
	records artifact.Records
	began   time.Time
	spent   int // pid of a daemon that only goes on seeding what is or was here
	seeder  int // the same if it seeds this very artifact, and its port
	port    int
	result  *peerResult // of an earlier call's daemon, which nobody has collected

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
	if going {
		return d.outcome(ctx, d.wait)
	}
	plan, err := artifact.NewPlan(d.torrent, d.cfg.Place)
	if err != nil {
		return ansible.Result{}, err
	}
	taken := plan.Exists() && !d.force
	if taken && d.result == nil {
		return d.leave(plan)
	}
	complete, err := d.inPlace(ctx, plan)
	if err != nil {
		return ansible.Result{}, err
	}
	if complete {
		return d.keep(ctx, plan)
	}
	if taken {
		return d.leave(plan)
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
		if err := d.inst.Startable(d.cfg.LogFile); err != nil {
			return ansible.Result{}, err
		}
		return res, nil
	}
	if err := d.endSpent(ctx); err != nil {
		return ansible.Result{}, err
	}
	if err := d.inst.Start(ctx, d.cfg, d.cfg.LogFile); err != nil {
		return ansible.Result{}, err
	}
	done, err := d.outcome(ctx, true)
	done.Diff, done.Warnings = res.Diff, slices.Concat(res.Warnings, done.Warnings)
	return done, err
}

// underWay tells whether an earlier call has begun this very delivery and it goes on.
func (d *delivery) underWay(ctx context.Context) (bool, error) {
	pid, running, err := d.inst.Running()
	if err != nil {
		return false, err
	}
	if !running {
		return false, d.uncollected(ctx)
	}
	var status peerStatus
	if err := d.inst.Status(ctx, &status); errors.Is(err, daemon.ErrNotRunning) {
		return false, nil // it has just ended by itself
	} else if err != nil {
		return false, err
	}
	if status.Collected || status.State == seeding {
		d.spent = pid
		if status.Infohash == d.cfg.Infohash {
			d.seeder, d.port = pid, status.Port
		}
		if d.seeder != 0 && !status.Collected {
			d.result = status.Result
		}
		return false, nil
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

// endSpent ends a daemon that only seeds what is to be replaced. Only that one: another call may have started its successor.
func (d *delivery) endSpent(ctx context.Context) error {
	pid, running, err := d.inst.Running()
	if err != nil || !running || pid != d.spent {
		return err
	}
	_, err = d.inst.StopProcess(ctx, pid, running)
	return err
}

// uncollected looks for the result that the daemon of this very delivery has left.
func (d *delivery) uncollected(ctx context.Context) error {
	var r peerResult
	err := d.inst.Wait(ctx, &r)
	switch {
	case errors.Is(err, daemon.ErrNotRunning):
		return nil
	case err == nil && r.Infohash == d.cfg.Infohash:
		r.Port = 0
		d.result = &r
		return nil
	case d.call.Check:
		return nil
	}
	// A failure or another delivery that nobody asked about: over and done.
	return d.inst.Remove()
}

// outcome is what becomes of a download: its end, which nobody gets a second time, or with state started and in check mode
// how far it is.
func (d *delivery) outcome(ctx context.Context, changed bool) (ansible.Result, error) {
	if d.wait && !d.call.Check {
		return d.collect(ctx)
	}
	res := ansible.Result{Changed: changed, Values: d.values(d.cfg.Place.Dest)}
	var status peerStatus
	err := d.inst.Status(ctx, &status)
	if errors.Is(err, daemon.ErrNotRunning) { // it has ended already
		wctx, cancel := context.WithTimeoutCause(ctx, endBound, fmt.Errorf("it did not end within %v", endBound))
		defer cancel()
		status.Result = new(peerResult)
		err = d.inst.Wait(wctx, status.Result)
		status.Result.Port = 0
	} else if err == nil {
		res.Values["port"] = status.Port
		res.Values["pid"], _, err = d.inst.Running()
	}
	if err != nil || status.Result == nil {
		res.Changed = changed && err == nil
		return res, err
	}
	status.Result.fill(res.Values)
	res.Warnings = status.Result.Warnings
	return res, d.describe(ctx, res.Values, string(status.Result.Place))
}

// collect waits for the daemon's result.
func (d *delivery) collect(ctx context.Context) (ansible.Result, error) {
	values := d.values(d.cfg.Place.Dest)
	res := ansible.Result{Values: values}
	pid, _, err := d.inst.Running()
	if err != nil {
		return res, err
	}
	r, err := d.await(ctx)
	if ctx.Err() != nil { // the controller is gone: nobody will use what comes
		return res, errors.Join(err, d.halt(ctx))
	}
	if _, alive, rerr := d.inst.Running(); rerr == nil && !alive {
		r.Port, pid = 0, 0
		err = errors.Join(err, d.inst.Remove())
	}
	if err != nil {
		return res, err
	}
	res.Changed = true
	r.fill(values)
	res.Warnings = r.Warnings
	values["pid"] = pid
	return res, d.describe(ctx, values, string(r.Place))
}

// await is the wait for the daemon's result. The daemon ends a download after timeout; what comes after it may take as long again.
func (d *delivery) await(ctx context.Context) (r peerResult, err error) {
	timeout := time.Duration(d.cfg.Timeout) * time.Second
	late := fmt.Errorf("it is not in place %v after the time that the option timeout gives a download; raise timeout, or look for what the disk waits for",
		timeout+time.Minute)
	wctx, cancel := context.WithTimeoutCause(ctx, 2*timeout+time.Minute, late)
	defer cancel()
	if err = d.inst.Wait(wctx, &r); err != nil && wctx.Err() != nil && ctx.Err() == nil {
		err = errors.Join(fmt.Errorf("Artifact for %s: %w", d.cfg.Place.Dest, late), d.halt(ctx)) // or it would come after the failure
	}
	return r, err
}

// halt ends the daemon though ctx may have ended.
func (d *delivery) halt(ctx context.Context) error {
	sctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBound)
	defer cancel()
	_, err := d.inst.Stop(sctx)
	return err
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
