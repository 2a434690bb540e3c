package artifact

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// releasesName is the directory beside the link that holds the releases it may lead to.
const releasesName = "releases"

// releases are the versions of an artifact that one symlink, called current by most, leads to in turn:
//
//	app/current -> releases/app-1.2-0a1b2c3d
//	app/releases/app-1.1-4e5f6a7b
//	app/releases/app-1.2-0a1b2c3d
//	app/releases/.current.murder      which of them belong to the link, see record
type releases struct {
	link    string // path of the symlink
	dir     string // path of the directory of the releases
	there   bool   // dir exists
	current string // text of the symlink, "" when there is none
	record
}

// record is what is known of a link's releases beside the directories themselves. It is written before the link is
// switched, so that a killed run leaves a record that knows more than the link, never less.
type record struct {
	Order      []string `json:"order"`       // names of releases; the last to become current is the last
	RolledBack []string `json:"rolled_back"` // gone back from: a deploy may use them again, a rollback does not
	Unfinished []string `json:"unfinished"`  // have begun to come
	Removing   []string `json:"removing"`    // have begun to go
	Made       bool     `json:"made"`        // the directory was made for this link
}

// releaseName is readable and different for all contents. The name of its staging must be a name too. Record and results, which
// are JSON, must hold it as it is, so it is UTF-8, whatever the artifact is called.
func releaseName(t *Torrent) string {
	id := "-" + hex.EncodeToString(t.Infohash[:4])
	const marks = len(".") + len(".murder-") + 2*8 + len("-")
	return strings.ToValidUTF8(t.Name[:min(len(t.Name), maxName-len(id)-marks)], "_") + id // also where a character is cut
}

// openReleases reads what there is, which may be nothing yet, and writes nothing.
func openReleases(link string) (*releases, error) {
	r := &releases{link: link, dir: filepath.Join(filepath.Dir(link), releasesName)}
	if r.dir == r.link {
		return nil, fault(nil, "Destination %s has the name that the directory of the releases has; choose another one, such as %s",
			show(link), show(filepath.Join(filepath.Dir(link), "current")))
	}
	if len(filepath.Base(r.newLink())) > maxName { // the longest of what stands beside the link
		return nil, fault(unix.ENAMETOOLONG, "Destination %s has too long a name for a link to releases; choose a shorter one", show(link))
	}
	stat, err := os.Lstat(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, because(err, "Destination %s cannot be used", show(link))
	case stat.Mode()&fs.ModeSymlink == 0:
		return nil, fault(nil, "Destination %s is a %s, but with keep it is a symbolic link to the current release; move it away first",
			show(link), kindOf(stat.Mode()))
	default:
		if r.current, err = os.Readlink(link); err != nil {
			return nil, because(err, "Destination %s cannot be read", show(link))
		}
	}
	if stat, err := os.Stat(r.dir); err == nil {
		r.there = stat.IsDir()
	}
	return r, r.read()
}

func (r *releases) path(name string) string { return filepath.Join(r.dir, name) }

func (r *releases) recordPath() string { return r.path("." + filepath.Base(r.link) + ".murder") }

// newLink is what is renamed over the link.
func (r *releases) newLink() string {
	return filepath.Join(filepath.Dir(r.link), "."+filepath.Base(r.link)+".murder-link")
}

func (r *releases) read() (err error) {
	if r.record, err = readReleases(r.recordPath()); err != nil {
		return err
	}
	r.Order, r.RolledBack = r.those(r.Order), r.those(r.RolledBack)
	return nil
}

// readReleases reads a record, which may not be there yet.
func readReleases(path string) (rec record, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return rec, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err != nil {
		return rec, because(err, "The record of releases %s cannot be read; remove it, and no release that is there now will be removed",
			show(path))
	}
	for _, name := range slices.Concat(rec.Order, rec.RolledBack, rec.Unfinished, rec.Removing) {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
			return rec, fault(nil, "The record of releases %s names %q, which is no release; remove it", show(path), name)
		}
	}
	return rec, nil
}

// those drops the names of releases that somebody has removed.
func (r *releases) those(names []string) (there []string) {
	for _, name := range names {
		if _, err := os.Lstat(r.path(name)); err == nil {
			there = append(there, name)
		}
	}
	return there
}

// write brings the record to disk.
func (r *releases) write() error {
	data, err := json.Marshal(r.record)
	if err == nil {
		err = replace(r.recordPath(), append(data, '\n'), 0o644)
	}
	if err != nil {
		return because(err, "The record of releases %s cannot be written", show(r.recordPath()))
	}
	return nil
}

// How long a run waits for the lock of the releases: before a download less than a daemon has to start, so that it is said what it
// waits for; else as long as others may take to remove old releases. Tests lower them.
var (
	lockBefore = 20 * time.Second
	lockAfter  = 10 * time.Minute
)

// lock keeps other runs from changing link and record, and reads both again.
func (r *releases) lock(ctx context.Context, most time.Duration) (unlock func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fault(ErrBusy, "Directory %s has been locked for %v, probably by another deploy "+
		"or rollback that removes old releases there; wait until it ends, or find it (fuser -v %s) and stop it", show(r.dir), most, show(r.dir)))
	defer cancel()
	dir, err := os.Open(r.dir)
	if err == nil {
		if err = lockWithin(ctx, dir); err == nil && !r.is(dir) {
			err = unix.ENOENT // removed by whoever had it locked
		}
		if err != nil {
			dir.Close()
		}
	}
	if err != nil {
		return nil, because(err, "Directory %s cannot be locked", show(r.dir))
	}
	Sweep(r.dir)
	now, err := openReleases(r.link)
	if err != nil {
		dir.Close()
		return nil, err
	}
	*r = *now
	return func() { dir.Close() }, nil
}

// lockWithin is flock(2) that waits no longer than ctx.
func lockWithin(ctx context.Context, file *os.File) error {
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// is says whether the directory of the releases is the open one.
func (r *releases) is(dir *os.File) bool {
	open, err := dir.Stat()
	named, gone := os.Stat(r.dir)
	return err == nil && gone == nil && os.SameFile(open, named)
}

// release is the name of the release that the link leads to, "" when it leads elsewhere or nowhere.
func (r *releases) release() string {
	target := r.current
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(r.link), target)
	}
	if r.current == "" || filepath.Dir(target) != r.dir {
		return ""
	}
	return filepath.Base(target)
}

// turn makes the link lead to a release. A reader finds the old one or the new one, at any moment.
func (r *releases) turn(name string) error {
	dir := filepath.Dir(r.link)
	made := r.newLink()
	err := os.Remove(made) // a killed run's
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Symlink(filepath.Join(releasesName, name), made)
	}
	if err == nil {
		err = os.Rename(made, r.link)
	}
	if err == nil {
		err = syncDirectory(dir)
	}
	if err != nil {
		return because(err, "Destination %s cannot be made to lead to %s", show(r.link), show(r.path(name)))
	}
	r.current = filepath.Join(releasesName, name)
	return nil
}

func syncDirectory(path string) error {
	dir, err := openRoot(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.sync()
}

// excess lists the releases beyond the number to keep, those that were gone back from first, then the oldest.
func (r *releases) excess(keep int) []string {
	current := r.release()
	old := slices.DeleteFunc(slices.Concat(r.RolledBack, r.Order), func(name string) bool { return name == current })
	return old[:max(0, len(old)-keep)]
}

// prune removes the releases that are no longer kept, and what an earlier run has begun to remove, but none that others use. The
// link leads to the new release by then, so whatever fails is for the user to know and no failure of the deploy. What could not
// be removed, or is in use, the next run looks at again: whoever uses it now may not have a record.
func (r *releases) prune(keep int) (failed []error) {
	excess := r.excess(keep)
	if r.Removing = append(r.Removing, excess...); len(r.Removing) == 0 {
		return nil
	}
	if len(excess) > 0 {
		gone := func(name string) bool { return slices.Contains(excess, name) }
		r.Order, r.RolledBack = slices.DeleteFunc(r.Order, gone), slices.DeleteFunc(r.RolledBack, gone)
		if err := r.write(); err != nil {
			return []error{err}
		}
	}
	used, err := r.used()
	if err != nil {
		return []error{err}
	}
	dir, err := openRoot(r.dir)
	if err != nil {
		return []error{because(err, "Directory %s cannot be used", show(r.dir))}
	}
	defer dir.Close()
	var left []string
	for _, name := range r.Removing {
		if used[name] {
			left = append(left, name)
			continue
		}
		err := dir.remove(name)
		if errors.Is(err, unix.EPERM) && capable(unix.CAP_LINUX_IMMUTABLE) { // the option attributes may have closed it
			dir.unseal(name)
			err = dir.remove(name)
		}
		if err != nil {
			left = append(left, name)
			failed = append(failed, because(err, "%s leads to the new release, but the old release %s cannot be removed",
				show(r.link), show(r.path(name))))
		}
	}
	if len(left) < len(r.Removing) {
		r.Removing = left
		if err := r.write(); err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// used are the releases that must stay whatever this link keeps: those that other links of the directory may go back to, and
// those that any symbolic link beside this one leads into. It takes the lock, which all those links share.
func (r *releases) used() (map[string]bool, error) {
	used := map[string]bool{}
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, because(err, "Directory %s cannot be read, so no old release is removed", show(r.dir))
	}
	for _, entry := range entries {
		path := r.path(entry.Name())
		if ours, _ := filepath.Match(".*.murder", entry.Name()); !ours || path == r.recordPath() {
			continue
		}
		other, err := readReleases(path)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Concat(other.Order, other.RolledBack, other.Unfinished) {
			used[name] = true
		}
	}
	top, err := filepath.EvalSymlinks(r.dir)
	if err != nil {
		return nil, because(err, "Directory %s cannot be used", show(r.dir))
	}
	beside := filepath.Dir(r.link)
	if entries, err = os.ReadDir(beside); err != nil {
		return nil, because(err, "Directory %s cannot be read, so no old release is removed", show(beside))
	}
	for _, entry := range entries {
		if entry.Type()&fs.ModeSymlink == 0 {
			continue
		}
		// One that leads nowhere is an error, and uses nothing.
		target, _ := filepath.EvalSymlinks(filepath.Join(beside, entry.Name()))
		if rest, inside := strings.CutPrefix(target, top+"/"); inside {
			name, _, _ := strings.Cut(rest, "/")
			used[name] = true
		}
	}
	return used, nil
}

// without returns the names but one.
func without(names []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}
