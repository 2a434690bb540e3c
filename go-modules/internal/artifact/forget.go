package artifact

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Forget removes the stagings that interrupted deploys have left beside dest, or in the directory partial if that is not "",
// whatever their torrent, and a record of releases of which none has come. It returns how many there were; with dryRun it only counts.
// It never touches dest. One in use means ErrBusy; ErrLeft that all are gone but something in them could not be removed.
func Forget(ctx context.Context, dest, partial string, dryRun bool) (found int, err error) {
	path, err := filepath.Abs(dest)
	if err != nil {
		return 0, fault(err, "Destination %s is relative to a directory that is gone", show(dest))
	}
	var left error
	if r, err := openReleases(path); err == nil { // dest is a link to releases, or was about to become one
		if !dryRun {
			Sweep(r.dir)
		}
		for _, name := range r.Unfinished {
			more, err := forget(r.path(name), partial, dryRun)
			if errors.Is(err, ErrLeft) {
				left, err = errors.Join(left, err), nil
			}
			if found += more; err != nil {
				return found, err
			}
		}
		more, err := r.giveUp(ctx, partial, dryRun)
		if found += more; err != nil {
			return found, err
		}
	}
	if path, err = follow(path); err != nil {
		return found, err
	}
	more, err := forget(path, partial, dryRun)
	if err == nil || errors.Is(err, ErrLeft) {
		err = errors.Join(left, err)
	}
	return found + more, err
}

// giveUp removes the record when there is no release in it, and the directory that was made for it unless others have something
// there.
func (r *releases) giveUp(ctx context.Context, partial string, dryRun bool) (found int, err error) {
	if !r.none() {
		return 0, nil
	}
	if dryRun {
		return 1, nil
	}
	unlock, err := r.lock(ctx, lockBefore)
	if err != nil {
		return 0, ignoreMissing(err)
	}
	defer unlock()
	for _, name := range r.Unfinished {
		if more, err := forget(r.path(name), partial, true); more > 0 || err != nil {
			return 0, err // another deploy has begun
		}
	}
	if !r.none() {
		return 0, nil
	}
	if err := os.Remove(r.recordPath()); err != nil {
		return 0, because(err, "The record of releases %s cannot be removed", show(r.recordPath()))
	}
	if r.Made {
		_ = unix.Rmdir(r.dir)
	}
	return 1, nil
}

// none says that there is a record, but no release of it.
func (r *releases) none() bool {
	_, err := os.Lstat(r.recordPath())
	return err == nil && len(r.Order)+len(r.RolledBack)+len(r.Removing)+len(r.those(r.Unfinished)) == 0
}

// forget is Forget for one path that is not followed.
func forget(path, partial string, dryRun bool) (found int, err error) {
	p := &Plan{}
	p.locate(path, partial)
	parent, home, err := p.directories()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer parent.Close()
	defer home.Close()
	names, err := p.stagings(home)
	if err != nil || len(names) == 0 || dryRun {
		return len(names), err
	}
	p.staging = &staging{parent: parent, home: home}
	if err = p.sweep(); err == nil && len(p.warnings) > 0 {
		err = fault(ErrLeft, "%s", strings.Join(p.warnings, "\n"))
	}
	return len(names), err
}
