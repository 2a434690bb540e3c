package module

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// declarePlace declares what the artifact shall look like at its destination, under the names that Ansible's copy has.
func (o *peerOptions) declarePlace(s *ansible.Spec) {
	p := &o.place
	s.String(&p.Owner, "owner", "", "user that shall own the artifact")
	s.String(&p.Group, "group", "", "group that shall own the artifact")
	s.Mode(&p.Mode, "mode", "permissions of files; by default those of the source")
	s.Mode(&p.DirectoryMode, "directory_mode", "permissions of directories; by default those of the source")
	s.String(&p.Attributes, "attributes", "", "file attributes as chattr takes them, such as +d").Alias("attr")
	s.String(&p.SEUser, "seuser", "", "user part of the SELinux context")
	s.String(&p.SERole, "serole", "", "role part of the SELinux context")
	s.String(&p.SEType, "setype", "", "type part of the SELinux context")
	s.String(&p.SELevel, "selevel", "", "level part of the SELinux context")
	s.Bool(&o.force, "force", true, "replace what is at dest; otherwise only fill an empty place")
	s.Bool(&p.Backup, "backup", false, "keep what was at dest beside it, under a name with the date")
	s.String(&p.Validate, "validate", "", "command that must succeed before the artifact is put in place; %s is its path")
	s.String(&p.Checksum, "checksum", "", "SHA-1 that a single file must have")
	s.Bool(&p.UnsafeWrites, "unsafe_writes", false, "write into a file that cannot be replaced")
	s.Path(&p.PartialDir, "partial_dir", "", "directory for unfinished data; by default that of dest")
	s.Int(&p.Keep, "keep", 0, "old releases to keep; dest is a symbolic link to the current one then").Range(0, 1<<20)
	s.Bool(&p.Delete, "delete", false, "remove from a directory at dest what the artifact does not have")
	s.String(&o.release, "release", "", "with state rolledback, the release to go back to; by default the one before")
}

// checkPlace refuses options that exclude each other, before anything is read.
func (o *peerOptions) checkPlace() error {
	p := o.place
	if p.Keep > 0 && p.Backup {
		return errors.New("Options backup and keep exclude each other: with keep the old releases are the backups")
	}
	if p.Keep > 0 && p.UnsafeWrites {
		return errors.New("Options unsafe_writes and keep exclude each other: a release is never written over")
	}
	return nil
}

// rollBack is state: rolledback. It switches the link back to an earlier release.
func (o *peerOptions) rollBack(ctx context.Context, call ansible.Call, inst *daemon.Instance) (ansible.Result, error) {
	if pid, running, err := inst.Running(); err != nil {
		return ansible.Result{}, err
	} else if running {
		var status peerStatus
		if err := inst.Status(ctx, &status); err == nil && status.State != seeding {
			return ansible.Result{}, fmt.Errorf("A deploy (pid %d, infohash %s) is writing to %s; wait for it or stop it (state: stopped)",
				pid, status.Infohash, o.place.Dest)
		}
	}
	done, err := artifact.RollBack(ctx, o.place.Dest, o.release, call.Check)
	if err != nil {
		return ansible.Result{}, err
	}
	res := ansible.Result{Changed: done.Changed, Values: map[string]any{
		"state": "rolledback", "dest": o.place.Dest, "release": done.To, "releases": done.Releases, "pid": 0, "port": 0,
	}}
	if call.Diff && done.Changed {
		var diff artifact.Diff
		diff.Set("path", o.place.Dest, o.place.Dest)
		diff.Set("release", done.From, done.To)
		res.Diff = diff
	}
	return res, nil
}

// leave is the outcome with force: false when there is something at the destination, whatever it is.
func (d *delivery) leave(plan *artifact.Plan) (ansible.Result, error) {
	res := ansible.Result{Values: d.values(plan.Target())}
	res.Msg = fmt.Sprintf("Destination %s exists already, and with force: false it is left as it is", plan.Target())
	return res, describe(res.Values, plan.Target())
}

// keep is the outcome when the artifact is in place already: its attributes may change, strangers' files go with delete,
// and with keep the link may have to be switched to it. Whoever waits collects the result of the daemon that put it there.
func (d *delivery) keep(ctx context.Context, plan *artifact.Plan) (ansible.Result, error) {
	apply := !d.call.Check
	changed, diff, err := plan.Attributes(apply)
	res := ansible.Result{Changed: changed, Values: d.values(plan.Target())}
	if err != nil {
		return res, err
	}
	if changed {
		d.remember(plan.Renew(d.record))
	}
	removed, err := plan.Strangers(ctx, apply)
	if err != nil {
		return res, err
	}
	if len(removed) > 0 {
		res.Changed = true
		diff.Removal(removed)
	}
	before := plan.CurrentRelease()
	switched, err := plan.Activate(ctx, apply)
	if err != nil {
		return res, err
	}
	res.Changed = res.Changed || switched
	if switched {
		diff.Set("release", before, filepath.Base(plan.Dest))
	}
	if d.cfg.Place.Unpack {
		files, size := plan.Unpacked()
		addUnpacked(res.Values, files, size)
	}
	if apply {
		// What a killed run has left is of no use any more; somebody who is writing there may go on. The artifact is in place, whatever
		// becomes of that.
		_, err := artifact.Forget(ctx, d.cfg.Place.Dest, d.cfg.Place.PartialDir, false)
		if err != nil && !errors.Is(err, artifact.ErrBusy) {
			d.warnings = append(d.warnings, err.Error())
		}
	}
	if d.call.Diff && res.Changed {
		diff.Set("path", plan.Target(), plan.Target())
		res.Diff = diff
	}
	res.Warnings = slices.Concat(d.warnings, plan.Warnings())
	res.Values["bytes_reused"] = d.torrent.Size
	if d.result != nil {
		d.result.fill(res.Values)
		res.Warnings = slices.Concat(d.result.Warnings, res.Warnings)
		res.Changed = res.Changed || d.wait
	}
	res.Values["pid"], res.Values["port"] = d.seeder, d.port
	d.addReleases(res.Values, plan)
	if d.counts && d.wait && apply && d.seeder == 0 && d.result == nil {
		d.checkIn(ctx)
	}
	if err := d.describe(ctx, res.Values, plan.Dest); err != nil || d.result == nil || !d.wait || !apply {
		return res, err
	}
	return res, d.forget(ctx)
}

// forget has the result of an earlier call's daemon collected.
func (d *delivery) forget(ctx context.Context) error {
	var r peerResult
	if err := d.inst.Wait(ctx, &r); err != nil && !errors.Is(err, daemon.ErrNotRunning) {
		return err
	}
	if _, alive, err := d.inst.Running(); err != nil || alive {
		return err
	}
	return d.inst.Remove()
}

// addReleases adds what there is to tell of releases.
func (d *delivery) addReleases(values map[string]any, plan *artifact.Plan) {
	if d.cfg.Place.Keep > 0 {
		values["release"], values["releases"] = filepath.Base(plan.Dest), plan.Releases()
	}
}

// describe adds what Ansible's own file modules tell of a file.
func describe(values map[string]any, path string) error {
	a, err := artifact.Describe(path)
	if err != nil {
		return err
	}
	values["owner"], values["group"], values["mode"] = a.Owner, a.Group, a.Mode
	values["uid"], values["gid"] = a.UID, a.GID
	if a.Context != nil {
		values["secontext"] = a.Context
	}
	return nil
}
