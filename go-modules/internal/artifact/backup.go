package artifact

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// checkBackup refuses a name that leaves no room for that of its backup, whichever process is to make it.
func (p *Plan) checkBackup() error {
	const longest = ".4194304.2006-01-02@15:04:05~" // Linux numbers its processes up to there
	if p.asked.Backup && len(p.base)+len(longest) > maxName {
		return fault(unix.ENAMETOOLONG, "Destination %s has too long a name for a backup beside it; "+
			"choose a shorter one, or leave backup out", show(p.Dest))
	}
	return nil
}

// backupSuffix is what stands behind the name of the old artifact's backup, ".PID.DATE~" as Ansible's own modules have it; ""
// when there is to be none. A name that is taken, in the same second, makes it the next second's.
func (p *Plan) backupSuffix(old *unix.Stat_t) string {
	if !p.asked.Backup || old == nil {
		return ""
	}
	// It ends: this process makes one backup, so at the most those of an earlier one with its pid are in the way.
	for date := time.Now(); ; date = date.Add(time.Second) {
		suffix := fmt.Sprintf(".%d.%s~", os.Getpid(), date.Format("2006-01-02@15:04:05"))
		if !p.staging.parent.has(p.base + suffix) {
			return suffix
		}
	}
}

// backUpFile gives the old file a second name, which costs no space and keeps all it has. Where the filesystem knows no
// hard links, or the file is about to be written to in place, it is copied.
func (p *Plan) backUpFile(old *unix.Stat_t, inPlace bool) error {
	suffix := p.backupSuffix(old)
	if suffix == "" {
		return nil
	}
	parent := p.staging.parent
	if name := p.earlierBackup(old); name != "" && !inPlace {
		p.backup = filepath.Join(p.dir, name)
		return nil
	}
	linked := !inPlace && linkat(parent.fd(), p.base, parent.fd(), p.base+suffix, 0) == nil
	if !linked {
		if err := p.copyBackup(old, p.base+suffix); err != nil {
			return because(err, "Backup of %s cannot be made", show(p.Dest))
		}
	}
	p.backup = filepath.Join(p.dir, p.base+suffix)
	return nil
}

// copyBackup copies the old file in the staging, where what a killed run leaves is swept, and gives the copy its name when it is whole.
// From a staging on another filesystem it cannot be renamed: then it is copied under its name.
func (p *Plan) copyBackup(old *unix.Stat_t, name string) error {
	s := p.staging
	from := spot{s.parent.fd(), p.base}
	err := ignoreMissing(unix.Unlinkat(s.dir.fd(), savedName, 0))
	if err == nil {
		err = p.copyFile(from, spot{s.dir.fd(), savedName}, old)
	}
	if err == nil {
		err = unix.Renameat(s.dir.fd(), savedName, s.parent.fd(), name)
	}
	if err == nil {
		err = s.parent.sync() // the old file may be written to next
	}
	if errors.Is(err, unix.EXDEV) {
		err = p.copyFile(from, spot{s.parent.fd(), name}, old)
	}
	return err
}

// earlierBackup is the name of a backup of the very file that is still at Dest: the run that made it was killed before the
// rename.
func (p *Plan) earlierBackup(old *unix.Stat_t) string {
	if old.Nlink == 1 {
		return ""
	}
	names, _ := p.staging.parent.names("")
	for _, name := range names {
		rest, _ := strings.CutPrefix(name, p.base)
		if made, _ := filepath.Match(".[0-9]*.????-??-??@??:??:??~", rest); !made {
			continue
		}
		stat, err := statAt(p.staging.parent.fd(), name)
		if err == nil && stat != nil && stat.Ino == old.Ino && stat.Dev == old.Dev {
			return name
		}
	}
	return ""
}

// dropBackup removes the backup of a file that is still in its place.
func (p *Plan) dropBackup() error {
	if p.backup == "" {
		return nil
	}
	name := filepath.Base(p.backup)
	p.backup = ""
	return unix.Unlinkat(p.staging.parent.fd(), name, 0)
}

// copyFile copies a file with its attributes, as far as this user may, to a name that is free.
func (p *Plan) copyFile(from, to spot, stat *unix.Stat_t) (err error) {
	in, err := openat(from.at, from.name, unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	source := os.NewFile(uintptr(in), from.name)
	defer source.Close()
	out, err := openat(to.at, to.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	target := os.NewFile(uintptr(out), to.name)
	defer func() {
		if err = errors.Join(err, target.Close()); err != nil {
			_ = unix.Unlinkat(to.at, to.name, 0)
		}
	}()
	if _, err = io.Copy(target, source); err != nil {
		return p.writeError(err)
	}
	now, err := statAt(to.at, to.name)
	if err != nil || now == nil {
		return err
	}
	want := look{
		mode: stat.Mode & 0o7777, asked: nobody, kept: owner{int(stat.Uid), int(stat.Gid)},
		mtime: stat.Mtim, hasTime: true,
	}
	copyXattrs(in, out)
	if err = dress(to.at, to.name, now, want); err == nil {
		err = syncFile(target)
	}
	return err
}

// overwritable says whether a failed rename is one that the option unsafe_writes is for.
func (p *Plan) overwritable(err error) bool {
	if !p.unsafe() {
		return false
	}
	for _, errno := range []error{unix.EPERM, unix.EXDEV, unix.EACCES, unix.ETXTBSY, unix.EBUSY} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// overwrite writes the staged file into the one at Dest, which a reader may see half done. It is for files that nothing
// can be renamed over, such as one that is mounted into a container.
func (p *Plan) overwrite(staged *os.File, old *unix.Stat_t, want look) error {
	if err := p.backUpFile(old, true); err != nil {
		return err
	}
	parent := p.staging.parent
	fd, err := openat(parent.fd(), p.base, unix.O_WRONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return because(err, "Destination %s cannot be written to in place", show(p.Dest))
	}
	target := os.NewFile(uintptr(fd), p.Dest)
	defer target.Close()
	if err := p.reserve(target, old); err != nil {
		return errors.Join(p.writeError(err), p.dropBackup())
	}
	_, err = staged.Seek(0, io.SeekStart)
	if err == nil {
		_, err = io.Copy(target, staged)
	}
	if err == nil {
		err = target.Truncate(p.torrent.Size)
	}
	if err != nil {
		return p.writeError(err)
	}
	now, err := statAt(parent.fd(), p.base)
	if err == nil && now != nil {
		at := spot{parent.fd(), p.base}
		err = p.adorn(at, &at, now, want, p.Dest)
	}
	if err == nil {
		err = syncFile(target)
	}
	if err != nil {
		return because(err, "Attributes of %s cannot be set", show(p.Dest))
	}
	return nil
}

// writableFile says whether this user may write into a file.
func writableFile(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}
