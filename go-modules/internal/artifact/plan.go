package artifact

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Plan is a checked intention to put an artifact at a destination. Its methods are for one goroutine at a time.
type Plan struct {
	Dest    string // where the artifact goes, after symlinks at the end of the path
	Staging string // directory, beside Dest if partial_dir says nothing else, that holds it until it is whole

	asked       PlaceOptions
	torrent     *Torrent
	wanted      string // the option dest, absolute
	reuse       reusing
	dir         string // directory of Dest
	home        string // directory of Staging
	base        string // name of Dest in dir
	exists      bool   // something is at Dest
	readOnly    error  // why dir cannot be written to, reported when it comes to writing
	uid, gid    int    // keep when not asked for
	mode        modeOf // nil when not asked for
	dirMode     modeOf
	preserve    bool        // mode: preserve
	flags       *flagChange // nil when not asked for
	context     *secontext  // nil where there is no SELinux, or no labels
	command     []string    // of the option validate
	link        *releases   // nil without keep
	linked      bool        // there was a link
	backup      string      // where the old artifact went
	umask       uint32
	nodes       map[string]int32 // see index
	staging     *staging         // nil until OpenStaging
	store       *Store
	merged      bool       // Place has begun to change the staged tree
	stamps      *stamper   // taken by Place; nil when Placed has to take them
	unpack      *unpacking // nil unless the artifact is an archive to be unpacked
	rootMode    *uint32    // mode of a tree's root that is set after the switch
	settled     bool       // Matches has found every mode and owner as it shall be
	linkless    bool       // hard links are copies, for they could not be made
	warnings    []string   // see Warnings
	noHardLinks bool       // of the filesystem, see checkLinks
	cleared     bool       // nothing at Dest is in the way, see checkTree
}

// NewPlan checks all that can be checked beforehand and writes nothing. Errors name the destination and say what to do.
func NewPlan(t *Torrent, o PlaceOptions) (*Plan, error) {
	p := &Plan{torrent: t, asked: o, umask: umask(), preserve: o.Mode == "preserve"}
	if err := p.options(o); err != nil {
		return nil, err
	}
	if o.Unpack {
		if err := p.newUnpacking(o); err != nil {
			return nil, err
		}
	}
	dest, err := p.destination(o)
	if err != nil {
		return nil, err
	}
	if p.wanted, _, err = asked(o.Dest); err != nil {
		return nil, err
	}
	p.locate(dest, o.PartialDir)
	p.Staging = filepath.Join(p.home, p.stagingPrefix()+hex.EncodeToString(t.Infohash[:4]))
	if o.Unpack && o.StateDir != "" {
		p.unpack.record = manifestPath(o.StateDir, p.Dest)
	}
	if err := p.checkDirectory(); err != nil {
		return nil, err
	}
	if err := p.checkHome(); err != nil {
		return nil, err
	}
	if err := p.checkBackup(); err != nil {
		return nil, err
	}
	if err := p.checkDest(); err != nil {
		return nil, err
	}
	if err := p.checkContext(); err != nil {
		return nil, err
	}
	if err := p.checkFlags(); err != nil {
		return nil, err
	}
	if p.readOnly != nil && !p.exists {
		return nil, p.readOnly
	}
	return p, nil
}

// resolve finds the path that the artifact is put at, as copy does for a file: into a directory given with "/" at its end, and
// through symlinks, so that the link stays and what it points to is replaced.
func resolve(t *Torrent, dest string) (string, error) {
	path, err := clean(t, dest)
	if err != nil {
		return "", err
	}
	return follow(path)
}

// clean is resolve before it follows symlinks.
func clean(t *Torrent, dest string) (string, error) {
	if dest == "" || strings.IndexByte(dest, 0) >= 0 {
		return "", fault(nil, "Option dest is empty or not a path")
	}
	path, err := filepath.Abs(dest)
	if err != nil {
		return "", fault(err, "Destination %s is relative to a directory that is gone", show(dest))
	}
	if t.Single && strings.HasSuffix(dest, "/") {
		switch stat, err := os.Stat(path); {
		case errors.Is(err, fs.ErrNotExist):
			return "", missingDirectory(err, path)
		case err != nil:
			return "", because(err, "Destination directory %s cannot be used", show(path))
		case !stat.IsDir():
			return "", fault(nil, `Destination %s is not a directory; leave out the "/" at its end to replace it`, show(path))
		}
		path = filepath.Join(path, t.Name)
	}
	return path, nil
}

// follow goes along the symlinks at the end of a path, to where there is none, or nothing yet.
func follow(path string) (string, error) {
	dest := path
	const most = 40 // symlinks that the kernel follows
	for range most {
		text, err := os.Readlink(path)
		if err != nil {
			return path, nil // not a symlink, or not there
		}
		if !filepath.IsAbs(text) {
			// The text is relative to where the link really is.
			dir, err := filepath.EvalSymlinks(filepath.Dir(path))
			if err != nil {
				return "", because(err, "Destination %s cannot be followed", show(path))
			}
			text = filepath.Join(dir, text)
		}
		path = filepath.Clean(text)
	}
	return "", fault(unix.ELOOP, "Destination %s is a symbolic link that leads to itself", show(dest))
}

func missingDirectory(err error, dir string) error {
	return fault(err, "Destination directory %s does not exist; create it first or choose another dest", show(dir))
}

// checkDirectory looks at the directory that Dest is in.
func (p *Plan) checkDirectory() error {
	if p.link != nil {
		if err := p.checkLink(); err != nil || !p.link.there {
			return err
		}
	}
	stat, err := os.Stat(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missingDirectory(err, p.dir)
	case err != nil:
		return because(err, "Destination directory %s cannot be used", show(p.dir))
	case !stat.IsDir():
		return fault(unix.ENOTDIR, "Destination directory %s is a %s", show(p.dir), kindOf(stat.Mode()))
	}
	if p.readOnly == nil {
		p.readOnly = writable(p.dir)
	}
	if dest, err := os.Lstat(p.Dest); err == nil && p.readOnly == nil && stat.Mode()&fs.ModeSticky != 0 {
		p.readOnly = p.sticky(ownerOf(dest), ownerOf(stat))
	}
	return nil
}

// sticky says why a file in a directory like /tmp cannot be replaced: only its owner may.
func (p *Plan) sticky(file, dir int) error {
	if me := os.Geteuid(); me == 0 || me == file || me == dir {
		return nil
	}
	return fault(unix.EPERM, "Destination %s belongs to user %s, and in %s (sticky bit) only its owner may replace it; "+
		"run with become, or choose another dest", show(p.Dest), userName(file), show(p.dir))
}

func ownerOf(stat fs.FileInfo) int { return int(stat.Sys().(*syscall.Stat_t).Uid) }

// writable says why names in a directory cannot be changed, nil when they can.
func writable(dir string) error {
	err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS)
	switch {
	case errors.Is(err, unix.EROFS):
		return fault(err, "Destination directory %s is read-only", show(dir))
	case errors.Is(err, unix.EACCES):
		return fault(err, "Destination directory %s cannot be written to by user %s; run with become, or choose another dest",
			show(dir), userName(os.Geteuid()))
	case err != nil:
		return because(err, "Destination directory %s cannot be written to", show(dir))
	}
	return nil
}

// checkDest looks at what is at Dest now.
func (p *Plan) checkDest() error {
	stat, err := os.Lstat(p.Dest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return because(err, "Destination %s cannot be used", show(p.Dest))
	}
	p.exists = true
	if err := p.checkMounts(); err != nil {
		return err
	}
	if p.unsafe() && writableFile(p.Dest) && !(p.asked.Backup && writable(p.dir) != nil) {
		p.readOnly = nil
		if p.home != p.dir {
			p.readOnly = writable(p.home)
		}
	}
	if p.readOnly == nil {
		p.readOnly = immutable(p.Dest)
	}
	kind := stat.Mode().Type()
	switch {
	case p.torrent.Single && kind.IsDir():
		return fault(unix.EISDIR, `Destination %s is a directory; name the file (%s) or end dest with "/" to put it inside`,
			show(p.Dest), show(filepath.Join(p.Dest, p.torrent.Name)))
	case !kind.IsRegular() && !kind.IsDir():
		return fault(nil, "Destination %s is a %s; only files and directories can be replaced", show(p.Dest), kindOf(kind))
	case !p.torrent.Single && !kind.IsDir():
		return fault(unix.ENOTDIR, "Destination %s is a file, but the artifact is a directory; remove the file or choose another dest",
			show(p.Dest))
	case p.torrent.Single:
		return nil
	}
	if p.readOnly == nil {
		p.readOnly = writable(p.Dest)
	}
	return nil
}

// checkMounts refuses what cannot be renamed: a mount point at Dest or inside it.
func (p *Plan) checkMounts() error {
	real, err := filepath.EvalSymlinks(p.Dest)
	if err != nil {
		return because(err, "Destination %s cannot be used", show(p.Dest))
	}
	points := mountPoints()
	if slices.Contains(points, real) && !p.unsafe() {
		return fault(unix.EBUSY, "Destination %s is a mount point and cannot be replaced as a whole; choose a path inside it", show(p.Dest))
	}
	for _, point := range points {
		if !p.torrent.Single && beneath(point, real) {
			return fault(unix.EBUSY, "Destination %s holds the mount point %s, so it cannot be replaced as a whole; unmount it first",
				show(p.Dest), show(point))
		}
	}
	return nil
}

// Complete says whether the artifact is at Dest already: every directory, file and symlink, every byte. What else is in a
// tree, and modes and owners, do not count.
func (p *Plan) Complete(ctx context.Context) (bool, error) {
	if p.unpack != nil {
		return p.completeUnpacked(ctx)
	}
	same, err := p.sameTree()
	if err != nil || !same {
		return false, err
	}
	store, err := OpenStore(p.torrent, p.Dest, false)
	if err != nil {
		return false, err
	}
	defer store.Close()
	same, err = verifyAll(ctx, p.torrent, store)
	if err != nil && ctx.Err() == nil {
		err = because(err, "Destination %s cannot be read", show(p.Dest))
	}
	return same, err
}

// sameTree compares names, types, sizes and link targets.
func (p *Plan) sameTree() (bool, error) {
	stat, err := os.Lstat(p.Dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, because(err, "Destination %s cannot be used", show(p.Dest))
	case p.torrent.Single:
		return stat.Mode().IsRegular() && stat.Size() == p.torrent.Size, nil
	case !stat.IsDir():
		return false, nil
	}
	dest, err := openRoot(p.Dest)
	if err != nil {
		return false, because(err, "Destination %s cannot be read", show(p.Dest))
	}
	defer dest.Close()
	c := cursor{root: dest}
	defer c.close()
	if same, err := c.sameDirs(p.torrent); !same || err != nil {
		return false, err
	}
	for i := range p.torrent.Files {
		same, err := sameFile(&c, &p.torrent.Files[i])
		if err != nil || !same {
			return false, unreadable(err, dest.join(p.torrent.Files[i].Path))
		}
	}
	return true, nil
}

// sameDirs tells whether every directory of a torrent is there.
func (c *cursor) sameDirs(t *Torrent) (bool, error) {
	for i := range t.Dirs {
		stat, err := c.stat(t.Dirs[i].Path)
		if err != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			return false, unreadable(err, c.root.join(t.Dirs[i].Path))
		}
	}
	return true, nil
}

func sameFile(c *cursor, file *File) (bool, error) {
	if file.Pad() {
		return true, nil
	}
	stat, err := c.stat(file.Path)
	if err != nil {
		return false, err
	}
	if file.Symlink() == "" {
		return stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Size == file.Length, nil
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		return false, nil
	}
	target, err := c.readlink(file.Path)
	return target == file.Symlink(), err
}

func unreadable(err error, path string) error {
	if err = ignoreMissing(err); err != nil {
		return because(err, "Destination %s cannot be read", show(path))
	}
	return nil
}
