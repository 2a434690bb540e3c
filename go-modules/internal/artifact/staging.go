package artifact

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A staging is a directory, 0700, beside the destination or where the option partial_dir says, that holds
//
//	lock      a file that its user holds with flock(2)
//	content   the file or tree that is being completed
//	final-N   the same, ready to be switched with the destination; N is its inode, so that after a crash one can tell
//	          whether this is still it or, the switch being done, the old tree; final-N-X is to become the backup X then
//	archive   the archive whose content is unpacked
//	old       the old tree while it is switched by two renames
//	saved     the backup of a file while it is copied
const (
	lockName    = "lock"
	contentName = "content"
	finalPrefix = "final-"
	oldName     = "old"
	savedName   = "saved"
)

type staging struct {
	parent  *root // the destination's directory
	home    *root // the directory of dir
	dir     *root
	name    string // of dir in home
	lock    *os.File
	claim   *os.File // nil without: see Plan.claim
	content *root    // of a tree

	renameat2 func(fromDir int, from string, toDir int, to string, flags uint) error
}

// stagingPrefix is how the names of all stagings for the destination begin; eight hexadecimal digits of the infohash follow.
// Far from the destination another one of the same name may have its staging beside this one.
func (p *Plan) stagingPrefix() string {
	base := p.base
	if p.home != p.dir {
		sum := sha1.Sum([]byte(p.Dest))
		base += "-" + hex.EncodeToString(sum[:4])
	}
	const marks = len(".") + len(".murder-") + 8
	if len(base)+marks > maxName {
		sum := sha1.Sum([]byte(base))
		base = base[:maxName-marks-9] + "-" + hex.EncodeToString(sum[:4])
	}
	return "." + base + ".murder-"
}

// OpenStaging takes the staging for this process alone and opens a store in it for writing; resumed says that an earlier,
// interrupted run left content, which Verify tells the worth of. It says ErrBusy when another process is writing to
// Dest, from whatever torrent and with whatever partial_dir. Stagings of other torrents for Dest that nobody uses any more are removed.
func (p *Plan) OpenStaging(ctx context.Context) (store *Store, resumed bool, err error) {
	if p.readOnly != nil {
		return nil, false, p.readOnly
	}
	if p.staging != nil {
		return nil, false, fmt.Errorf("open staging %s: it is open already", p.Staging)
	}
	if err := p.makeReleases(ctx); err != nil {
		return nil, false, err
	}
	parent, home, err := p.directories()
	if err != nil {
		return nil, false, err
	}
	s, err := p.lock(parent, home, filepath.Base(p.Staging))
	if err != nil {
		parent.Close()
		home.Close()
		return nil, false, err
	}
	p.staging = s
	if err = p.sweep(); err == nil {
		s.claim, err = p.claim(parent)
	}
	if err == nil {
		err = p.checkLinks()
	}
	if err == nil {
		store, resumed, err = p.prepare()
	}
	if err != nil {
		if !s.dir.has(p.stagedName()) {
			err = errors.Join(err, s.remove()) // nothing to resume from
		}
		return nil, false, errors.Join(err, p.Release())
	}
	p.store = store
	return store, resumed, nil
}

// directories opens the destination's directory and the one of the staging.
func (p *Plan) directories() (parent, home *root, err error) {
	if parent, err = openRoot(p.dir); err != nil {
		return nil, nil, because(err, "Destination directory %s cannot be used", show(p.dir))
	}
	if home, err = openRoot(p.home); err != nil {
		parent.Close()
		return nil, nil, because(err, "Directory %s for unfinished data cannot be used", show(p.home))
	}
	return parent, home, nil
}

// lock makes or opens the staging called name and locks it. Another process may be removing it at the same time, so that
// what was locked has to be looked at again.
func (p *Plan) lock(parent, home *root, name string) (*staging, error) {
	const attempts = 100
	for range attempts {
		err := unix.Mkdirat(home.fd(), name, 0o700)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, p.writeError(err)
		}
		s, err := p.tryLock(parent, home, name)
		if s != nil || err != nil {
			return s, err
		}
	}
	return nil, fault(ErrBusy, "Destination %s is busy: its staging %s comes and goes", show(p.Dest), show(home.join(name)))
}

// tryLock locks an existing staging. It returns nil and no error when the staging went away meanwhile.
func (p *Plan) tryLock(parent, home *root, name string) (*staging, error) {
	path := home.join(name)
	fd, err := home.open(name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil, fault(err, "Staging %s is not a directory; remove it and deploy again", show(path))
	case err != nil:
		return nil, because(err, "Staging %s cannot be opened", show(path))
	}
	dir := &root{os.NewFile(uintptr(fd), path), path}
	s, err := p.flock(dir)
	if s == nil {
		dir.Close()
		return nil, err
	}
	s.parent, s.home, s.name = parent, home, name
	// What was locked may have been removed, and even made anew, in between.
	if !same(home, name, fd) || !same(dir, lockName, int(s.lock.Fd())) {
		s.close()
		return nil, nil
	}
	return s, nil
}

// flock takes the lock of a staging that belongs to this user.
func (p *Plan) flock(dir *root) (*staging, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(dir.fd(), &stat); err != nil {
		return nil, because(err, "Staging %s cannot be opened", show(dir.path))
	}
	if int(stat.Uid) != os.Geteuid() {
		return nil, fault(unix.EPERM, "Staging %s belongs to user %s; remove it and deploy again",
			show(dir.path), userName(int(stat.Uid)))
	}
	lock, _, err := dir.file(lockName, unix.O_RDWR|unix.O_CREAT)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	} else if err != nil {
		return nil, p.writeError(err)
	}
	err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault(ErrBusy, "Destination %s is being written to by another deploy (it holds %s); wait until it ends, or stop it",
				show(p.Dest), show(dir.path))
		}
		return nil, because(err, "Staging %s cannot be locked", show(dir.path))
	}
	return &staging{dir: dir, lock: lock, renameat2: renameat2}, nil
}

// same says whether name in dir is the open file.
func same(dir *root, name string, fd int) bool {
	var named, open unix.Stat_t
	return unix.Fstatat(dir.fd(), name, &named, unix.AT_SYMLINK_NOFOLLOW) == nil && unix.Fstat(fd, &open) == nil &&
		named.Dev == open.Dev && named.Ino == open.Ino
}

// close gives up the lock and leaves everything on disk.
func (s *staging) close() {
	if s.content != nil {
		s.content.Close()
	}
	if s.claim != nil {
		s.claim.Close()
	}
	s.lock.Close()
	s.dir.Close()
}

// remove removes the staging; its lock goes last.
func (s *staging) remove() error {
	names, err := s.dir.names("")
	for _, name := range names {
		if name != lockName {
			err = errors.Join(err, s.dir.remove(name))
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Unlinkat(s.dir.fd(), lockName, 0); err != nil {
		return err
	}
	err = unix.Unlinkat(s.home.fd(), s.name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOENT) {
		return nil // the next deploy has come in already
	}
	return err
}

// stagings lists the names of all stagings for the destination, from whatever torrent.
func (p *Plan) stagings(home *root) (found []string, err error) {
	names, err := home.names("")
	if errors.Is(err, unix.EACCES) {
		return nil, nil // a directory to drop things into; others' stagings cannot be seen there
	} else if err != nil {
		return nil, because(err, "Directory %s cannot be read", show(p.home))
	}
	for _, name := range names {
		digits, ours := strings.CutPrefix(name, p.stagingPrefix())
		if _, err := strconv.ParseUint(digits, 16, 32); ours && err == nil && len(digits) == 8 {
			found = append(found, name)
		}
	}
	return found, nil
}

// sweep removes stagings of other torrents for the same destination. One that is in use means that Dest is busy.
func (p *Plan) sweep() error {
	names, err := p.stagings(p.staging.home)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == p.staging.name {
			continue
		}
		other, err := p.tryLock(p.staging.parent, p.staging.home, name)
		if errors.Is(err, ErrBusy) {
			return err
		}
		if other == nil {
			continue // not ours to judge, or gone
		}
		if err = p.note(other.recover(p.base)); err == nil {
			err = other.remove()
		}
		other.close()
		if err != nil {
			return because(err, "Staging %s of an earlier deploy cannot be removed", show(other.dir.path))
		}
	}
	return nil
}

// Discard removes the staging, also one that was not opened by this Plan. It is quiet when there is none.
func (p *Plan) Discard() error {
	if p.staging == nil {
		parent, home, err := p.directories()
		if errors.Is(err, unix.ENOENT) {
			return nil
		} else if err != nil {
			return err
		}
		p.staging, err = p.tryLock(parent, home, filepath.Base(p.Staging))
		if p.staging == nil {
			parent.Close()
			home.Close()
			return err
		}
	}
	err := p.note(p.staging.recover(p.base))
	if err == nil {
		err = p.staging.remove()
	}
	if err != nil {
		err = because(err, "Staging %s cannot be removed", show(p.Staging))
	}
	return errors.Join(err, p.Release())
}

// Release gives up the staging but leaves it on disk for a later run to resume.
func (p *Plan) Release() error {
	if p.staging == nil {
		return nil
	}
	parent, home := p.staging.parent, p.staging.home
	p.staging.close()
	p.staging = nil
	return errors.Join(parent.Close(), home.Close())
}
