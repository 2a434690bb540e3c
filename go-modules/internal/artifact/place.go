package artifact

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Place puts the staged content, which must be whole and no longer written to, at Dest: attributes first, then to disk,
// then by one rename, so that a reader sees the old artifact or the new. A tree is switched as a whole; what Dest
// holds beside the artifact stays. Until the rename any failure leaves Dest as it is and the staging
// to be resumed; afterwards the staging is gone, and its store, read-only now, reads the artifact at its new place.
func (p *Plan) Place(ctx context.Context) error {
	if p.staging == nil {
		return fmt.Errorf("place %s: its staging is not open", p.Dest)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.store.seal()
	var err error
	switch {
	case p.unpack != nil:
		err = p.placeUnpacked(ctx)
	case p.torrent.Single:
		err = p.placeFile(ctx)
	default:
		err = p.placeTree(ctx)
	}
	if err != nil {
		return err
	}
	if err := p.staging.parent.sync(); err != nil {
		return p.writeError(err)
	}
	if _, err := p.Activate(ctx, true); err != nil {
		return err
	}
	if err := p.staging.remove(); err != nil {
		err = because(err, "%s is in place, but its staging %s cannot be removed", show(p.Dest), show(p.Staging))
		return errors.Join(err, p.Release())
	}
	return p.Release()
}

func (p *Plan) placeFile(ctx context.Context) error {
	s := p.staging
	file, stat, err := s.dir.file(contentName, unix.O_RDONLY|unix.O_CREAT)
	if err != nil {
		return p.writeError(err)
	}
	defer file.Close()
	if stat.Size() != p.torrent.Size {
		return p.incomplete(p.torrent.Name)
	}
	p.store.hold()
	old, err := statAt(s.parent.fd(), p.base)
	if err != nil {
		return p.writeError(err)
	}
	now, err := statAt(s.dir.fd(), contentName)
	if err != nil {
		return p.writeError(err)
	}
	entry := &p.torrent.Files[0]
	want := p.look(entry.Meta, false, old, !p.preserve)
	var replaced *spot
	if old != nil {
		replaced = &spot{s.parent.fd(), p.base}
	}
	if err := p.adorn(spot{s.dir.fd(), contentName}, replaced, now, want, p.Dest); err != nil {
		return because(err, "Attributes of %s cannot be set", show(p.Dest))
	}
	if err := p.approve(ctx); err != nil {
		return err
	}
	if err := syncFile(file); err != nil {
		return p.writeError(err)
	}
	return p.replaceFile(file, old, want)
}

// approve asks the checksum and the command that the user has given whether what is staged is right.
func (p *Plan) approve(ctx context.Context) error {
	if err := p.check(ctx, p.staging.dir.join(p.stagedName())); err != nil {
		return err
	}
	return p.validate(ctx, p.staging.dir.join(contentName))
}

// replaceFile renames the staged file to its place.
func (p *Plan) replaceFile(staged *os.File, old *unix.Stat_t, want look) error {
	s := p.staging
	if err := p.backUpFile(old, false); err != nil {
		return err
	}
	err := s.rename(contentName, p.base)
	if err != nil {
		err = errors.Join(because(err, "Destination %s cannot be replaced", show(p.Dest)), p.dropBackup())
	}
	if p.overwritable(err) {
		err = p.overwrite(staged, old, want)
	}
	if err != nil {
		return err
	}
	return p.closeFlags(s.parent)
}

func (p *Plan) incomplete(name string) error {
	return fmt.Errorf("place %s: %s is not complete in the staging", p.Dest, show(name))
}

// statAt is lstat(2); nil when there is nothing.
func statAt(at int, name string) (*unix.Stat_t, error) {
	var stat unix.Stat_t
	err := unix.Fstatat(at, name, &stat, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	return &stat, err
}

// look decides the attributes of an entry. Old is what is at its place now, nil for nothing; with keepMode its mode
// comes before the one that the torrent carries.
func (p *Plan) look(meta Meta, dir bool, old *unix.Stat_t, keepMode bool) look {
	mode := 0o666 &^ p.umask
	if dir || meta.Mode&0o111 != 0 {
		mode = 0o777 &^ p.umask
	}
	var kind uint32 = unix.S_IFREG
	if dir {
		kind = unix.S_IFDIR
	}
	replaces := old != nil && old.Mode&unix.S_IFMT == kind
	switch {
	case meta.HasMode && !(keepMode && replaces):
		mode = uint32(meta.Mode)
	case replaces:
		mode = old.Mode & 0o7777
	}
	if option := p.option(dir); option != nil {
		mode = option(mode, dir)
	}
	want := look{mode: mode, asked: owner{p.uid, p.gid}, kept: nobody, hasTime: meta.HasTime}
	want.mtime = unix.Timespec{Sec: meta.ModTime, Nsec: int64(meta.ModNsec)}
	if old != nil {
		want.kept = owner{int(old.Uid), int(old.Gid)}
		if p.uid != keep {
			want.kept.uid = keep
		}
		if p.gid != keep {
			want.kept.gid = keep
		}
	}
	if meta.owner != nil {
		want.kept = p.owner(meta)
	}
	return want
}

// placer carries a staged tree through its last steps.
type placer struct {
	*Plan
	ctx    context.Context
	old    *root // the tree at Dest, nil when there is none
	oldAt  cursor
	staged cursor
	kept   *kept         // what merge has brought, nil before
	stats  []unix.Stat_t // of the files that a worker has completed, where they make stamps; see files
}

func (p *Plan) placeTree(ctx context.Context) error {
	t := &placer{Plan: p, ctx: ctx, staged: cursor{root: p.staging.content}}
	defer t.staged.close()
	if p.merged {
		// An earlier attempt failed after this: begin with the artifact alone again.
		if _, err := p.prune(); err != nil {
			return p.writeError(err)
		}
	}
	p.merged, p.rootMode = true, nil
	old, err := statAt(p.staging.parent.fd(), p.base)
	if err != nil {
		return p.writeError(err)
	}
	if old != nil {
		fd, err := p.staging.parent.open(p.base, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return because(err, "Destination %s cannot be read", show(p.Dest))
		}
		t.old = &root{os.NewFile(uintptr(fd), p.Dest), p.Dest}
		defer t.old.Close()
		t.oldAt.root = t.old
		defer t.oldAt.close()
	}
	if err := t.complete(); err != nil {
		return p.writeError(err)
	}
	return t.switchOver()
}

// complete makes in the staging what pieces do not bring, gives everything its attributes, and brings it to disk.
func (t *placer) complete() error {
	for i := range t.torrent.Dirs {
		at, name, err := t.staged.at(t.torrent.Dirs[i].Path)
		if err == nil {
			err = unix.Mkdirat(at, name, 0o700)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
	if err := t.files(); err != nil {
		return err
	}
	if err := t.linkUp(); err != nil {
		return err
	}
	if _, err := t.keepStrangers(); err != nil {
		return err
	}
	if err := t.dressDirs(); err != nil {
		return err
	}
	if err := t.approve(t.ctx); err != nil {
		return err
	}
	if err := syncTree(t.staging.content.fd()); err != nil {
		return err
	}
	// All of this may have taken long, and strangers do not wait.
	changed, err := t.keepStrangers()
	if err == nil && changed {
		if err = t.dressDirs(); err == nil {
			err = syncTree(t.staging.content.fd())
		}
	}
	return err
}

// keepStrangers brings to the staged tree what others have in the old one now, and says whether that is something new.
func (t *placer) keepStrangers() (changed bool, err error) {
	if t.old == nil || t.asked.Delete {
		return false, nil
	}
	return t.merge(t.old, t.staging.content, false)
}

// files completes all files, many at once, and takes their stamps, so that Placed need not look at each once more.
func (t *placer) files() error {
	const most = 1000
	turns := newOrdered()
	var stamps *stamper
	if t.stampable() {
		stamps = newStamper()
	}
	count := (len(t.torrent.Files) + most - 1) / most
	err := inParallel(count, min(count, processors(0)), func() (func(i int) error, func()) {
		worker := *t
		worker.staged, worker.oldAt = cursor{root: t.staging.content}, cursor{root: t.old}
		work := func(i int) error {
			files := t.torrent.Files[i*most : min(len(t.torrent.Files), (i+1)*most)]
			worker.stats = worker.stats[:0]
			for j := range files {
				if err := worker.file(&files[j]); err != nil {
					turns.take(i, false, nil)
					return err
				}
			}
			turns.take(i, true, func() { stamps.addAll(files, worker.stats) })
			return t.ctx.Err()
		}
		return work, func() {
			worker.staged.close()
			worker.oldAt.close()
		}
	})
	t.stamps = stamps
	return err
}

// file makes an entry that takes no bytes, or makes sure that the pieces made it, and dresses it.
func (t *placer) file(file *File) error {
	switch {
	case file.Pad(), file.Hardlink() != "":
		return nil
	case t.unpack != nil: // everything is there
	case file.Symlink() != "":
		at, name, err := t.staged.at(file.Path)
		if err == nil {
			err = unix.Symlinkat(file.Symlink(), at, name)
		}
		if err != nil {
			return &os.PathError{Op: "symlink", Path: t.staging.content.join(file.Path), Err: err}
		}
	case file.Length == 0:
		made, _, err := t.staging.content.file(file.Path, unix.O_RDWR|unix.O_CREAT)
		if err != nil {
			return err
		}
		made.Close()
	}
	return t.dress(file)
}

// dress gives a staged file, which must be whole, its attributes.
func (t *placer) dress(file *File) error {
	now, err := t.staged.stat(file.Path)
	if err != nil {
		return err
	}
	if file.regular() && now.Size != file.Length {
		return t.incomplete(file.Path)
	}
	if err := t.give(file.Path, &now, file.Meta, false); err != nil {
		return err
	}
	t.stats = append(t.stats, now)
	return nil
}

// dressDirs gives the directories of the artifact their attributes.
func (t *placer) dressDirs() error {
	// Children first: filling a directory changes its time, and a mode may close it.
	for i := len(t.torrent.Dirs) - 1; i >= 0; i-- {
		dir := &t.torrent.Dirs[i]
		if err := t.dressDir(dir.Path, dir.Meta, false); err != nil {
			return err
		}
	}
	return t.dressDir("", t.torrent.Root.Meta, !t.rootMeta().HasMode)
}

// dressDir gives a staged directory its attributes. Those that no option is for come first: a part of the mode is in the ACL.
func (t *placer) dressDir(path string, meta Meta, keepMode bool) error {
	if t.old != nil {
		copyDirectoryXattrs(t.old, t.staging.content, path)
	}
	now, err := t.staged.stat(path)
	if err != nil {
		return err
	}
	return t.give(path, &now, meta, keepMode)
}

// give sets what is to be set of an entry's attributes, and brings now up to date.
func (t *placer) give(path string, now *unix.Stat_t, meta Meta, keepMode bool) error {
	dir := now.Mode&unix.S_IFMT == unix.S_IFDIR
	var old *unix.Stat_t
	var replaced *spot
	if t.old != nil {
		if stat, err := t.oldAt.stat(path); err == nil {
			old = &stat
			if at, name, err := t.oldAt.at(path); err == nil && (stat.Mode^now.Mode)&unix.S_IFMT == 0 {
				replaced = &spot{at, name}
			}
		}
	}
	at, name, err := t.staged.at(path)
	if err == nil {
		want := t.look(meta, dir, old, keepMode)
		if mode := want.mode; path == "" && mode&0o300 != 0o300 {
			t.rootMode, want.mode = &mode, mode|0o300 // see switchOver
		}
		settled := t.context == nil && want.worn(now)
		err = t.adorn(spot{at, name}, replaced, now, want, filepath.Join(t.Dest, path))
		if err == nil && !settled {
			*now, err = t.staged.stat(path)
		}
	}
	if err != nil {
		return because(err, "Attributes of %s cannot be set", show(join(t.Dest, path)))
	}
	return nil
}
