package artifact

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checkLink looks at the directory of the link, which has to be there; the directory of the releases is made if need be.
func (p *Plan) checkLink() error {
	dir := filepath.Dir(p.link.link)
	stat, err := os.Stat(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return missingDirectory(err, dir)
	case err != nil:
		return because(err, "Destination directory %s cannot be used", show(dir))
	case !stat.IsDir():
		return fault(nil, "Destination directory %s is a %s", show(dir), kindOf(stat.Mode()))
	}
	p.readOnly = writable(dir)
	return nil
}

// makeReleases makes the directory of the releases and notes that one is to come. An unfinished one of before is given up.
func (p *Plan) makeReleases(ctx context.Context) error {
	if p.link == nil {
		return nil
	}
	var made, err error
	var unlock func()
	for range 100 { // it may go again with the last record in it
		if made = os.Mkdir(p.link.dir, 0o755); made != nil && !errors.Is(made, os.ErrExist) {
			return because(made, "Directory %s cannot be made", show(p.link.dir))
		}
		if unlock, err = p.link.lock(ctx, lockBefore); !errors.Is(err, os.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	defer unlock()
	for _, name := range without(p.link.Unfinished, p.base) {
		if _, err := forget(p.link.path(name), p.asked.PartialDir, false); p.note(err) != nil {
			return err
		}
	}
	p.link.Unfinished, p.link.Made = []string{p.base}, p.link.Made || made == nil
	return p.link.write()
}

// Activate makes the link lead to the release that is in place, and removes the releases that are no longer kept; what cannot be
// removed is for Warnings. With apply false it only says whether it would change anything. Without keep there is no link and
// nothing to do.
func (p *Plan) Activate(ctx context.Context, apply bool) (changed bool, err error) {
	if p.link == nil {
		return false, nil
	}
	if !apply {
		ahead := *p.link
		ahead.begin(p.base)
		return p.link.release() != p.base || len(ahead.excess(p.asked.Keep)) > 0, nil
	}
	unlock, err := p.link.lock(ctx, lockAfter)
	if err != nil {
		return false, err
	}
	defer unlock()
	r := p.link
	if _, err := os.Lstat(r.path(p.base)); err != nil { // another link may have had it removed since it was found
		return false, fault(err, "Release %s has gone meanwhile; deploy again", show(r.path(p.base)))
	}
	if before := r.record; r.release() != p.base || slices.Contains(before.RolledBack, p.base) ||
		slices.Contains(before.Unfinished, p.base) || !slices.Contains(before.Order, p.base) {
		r.begin(p.base)
		if err := r.write(); err != nil {
			return false, err
		}
	}
	if r.release() != p.base {
		if err := r.turn(p.base); err != nil {
			return false, err
		}
		changed = true
	}
	changed = changed || len(r.excess(p.asked.Keep)) > 0
	p.warn(r.prune(p.asked.Keep)...)
	return changed, nil
}

// begin notes in the record that a release is about to become current.
func (r *releases) begin(name string) {
	r.Unfinished = without(r.Unfinished, name)
	r.RolledBack = without(r.RolledBack, name)
	r.Removing = without(r.Removing, name)
	r.Order = append(without(r.Order, name), name)
}

// CurrentRelease is the name of the release that the link led to when it was last looked at, "" without one.
func (p *Plan) CurrentRelease() string {
	if p.link == nil {
		return ""
	}
	return p.link.release()
}

// Releases lists the names of the releases that a rollback can go to and the current one, oldest first. It is empty
// without keep.
func (p *Plan) Releases() []string {
	if p.link == nil {
		return nil
	}
	return slices.Clone(p.link.Order)
}

// Rollback is what RollBack has done or would do. From and To are names of releases.
type Rollback struct {
	Changed  bool
	From, To string
	Releases []string // that are left to go back to, oldest first, To the last of them
}

// RollBack makes the symlink dest, which deploys with keep have made, lead to the release that was current before the
// present one or, if name is not "", to the release of that name. With dryRun it changes nothing.
func RollBack(ctx context.Context, dest, name string, dryRun bool) (Rollback, error) {
	link, err := filepath.Abs(dest)
	if err != nil {
		return Rollback{}, fault(err, "Destination %s is relative to a directory that is gone", show(dest))
	}
	r, err := openReleases(link)
	if err != nil {
		return Rollback{}, err
	}
	if r.current == "" || !r.there {
		return Rollback{}, fault(nil, "Destination %s is no link to a release; only what was deployed with keep can be rolled back", show(link))
	}
	if !dryRun {
		unlock, err := r.lock(ctx, lockAfter)
		if err != nil {
			return Rollback{}, err
		}
		defer unlock()
	}
	to, err := r.before(name)
	if err != nil {
		return Rollback{}, err
	}
	out := Rollback{From: r.release(), To: to, Changed: to != r.release()}
	after := slices.Index(r.Order, to) + 1
	r.RolledBack, r.Order = append(r.RolledBack, r.Order[after:]...), r.Order[:after]
	out.Releases = slices.Clone(r.Order)
	if dryRun || !out.Changed {
		return out, nil
	}
	if err := r.write(); err != nil {
		return Rollback{}, err
	}
	return out, r.turn(to)
}

// before finds the release to go back to.
func (r *releases) before(name string) (string, error) {
	current := r.release()
	at := slices.Index(r.Order, current)
	switch {
	case name != "" && !slices.Contains(r.Order, name):
		return "", fault(nil, "Release %q of %s is not there; there are %s", name, show(r.link), strings.Join(r.Order, ", "))
	case name != "":
		return name, nil
	case at < 0 && slices.Contains(r.RolledBack, current) && len(r.Order) > 0:
		return r.Order[len(r.Order)-1], nil // a rollback was killed before it switched the link
	case at < 0:
		return "", fault(nil, "Destination %s leads to %s, which is no release that was deployed with keep; name the release to go to",
			show(r.link), show(r.current))
	case at == 0:
		return "", fault(nil, "There is no release before %s to go back to; raise keep for the deploys to come, or deploy an older artifact",
			show(r.path(current)))
	}
	return r.Order[at-1], nil
}
