package artifact

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// reusing is what a Plan knows of content that this host has already.
type reusing struct {
	cloned bool   // clone has run: what it brought is in the staging
	have   []bool // what Reuse has found, while the space for the rest is being counted
}

// reuse is one run of Plan.Reuse.
type reuse struct {
	*Plan
	torrent *Torrent // that comes, of an archive its own
	have    []bool
	locals  []*local
	moved   *moved // nil before search
	cloned  []bool // by file: the staging holds a clone of some local file
	skip    []bool // pieces that are not worth looking for; nil for none
	clone   func(to, from int) error

	mu   sync.Mutex
	best map[int]choice // by file: what a piece was found in, when it was not the first choice
}

// choice is a file that may hold the bytes of one of the torrent's; the zero choice is the staging itself.
type choice struct {
	in   *local
	path string
}

// Reuse fills the open staging with pieces that are on this host already: from what is at Dest and from the plan's other
// files and directories. It takes what files have at their old place, whole or in part, and what is then missing from files of the right
// size elsewhere. Blocks are shared where the filesystem can do so, else copied; nothing is ever a link to the old file.
// A piece counts, in have, once its bytes have been hashed as they stand in the staging. Progress, which may be nil, counts
// the bytes looked at. Memory does not grow with the artifact. Errors are those of writing to the staging, ErrNoSpace when what
// is still missing will not fit, and ctx's.
func (p *Plan) Reuse(ctx context.Context, have []bool, progress *atomic.Int64) error {
	return p.reuseWith(ctx, have, progress, unix.IoctlFileClone)
}

func (p *Plan) reuseWith(ctx context.Context, have []bool, progress *atomic.Int64, clone func(to, from int) error) error {
	t := p.incoming()
	r := &reuse{Plan: p, torrent: t, have: have, clone: clone, cloned: make([]bool, len(t.Files)), best: map[int]choice{}}
	r.open()
	defer r.close()
	err := r.take(ctx, progress)
	if err == nil && r.search(ctx) {
		err = r.take(ctx, nil)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	p.reuse.have = have
	defer func() { p.reuse.have = nil }()
	return p.Space()
}

// take brings what is missing from where it is looked for by now: at first only from where the torrent has each file, after
// search from everywhere.
func (r *reuse) take(ctx context.Context, progress *atomic.Int64) error {
	if len(r.locals) == 0 {
		return nil
	}
	var err error
	if r.skip, err = r.unlike(ctx); err != nil {
		return err
	}
	if err := r.cloneFiles(ctx); err != nil {
		return err
	}
	// Copies take space: better to fail now than when the disk is full.
	r.Plan.reuse.cloned = true
	if err := r.Space(); err != nil {
		return err
	}
	t := r.torrent
	return inParallel(t.NumPieces(), hashers(0, t.NumPieces(), t.PieceLength), func() (func(i int) error, func()) {
		f := &filler{reuse: r}
		work := func(i int) (err error) {
			if err = ctx.Err(); err == nil && !r.skips(i) {
				r.have[i], err = f.piece(i)
			}
			if progress != nil {
				progress.Add(t.PieceSize(i))
			}
			return err
		}
		return work, f.close
	})
}

// open opens every local file and directory that can be read.
func (r *reuse) open() {
	for _, path := range r.sources() {
		if l, err := openLocal(path); err == nil {
			r.locals = append(r.locals, l)
		}
	}
}

// sources are where content may be found: what the artifact replaces, what is at its place in spite of that, and what the user
// has named.
func (p *Plan) sources() []string {
	old := p.replaced()
	if old == p.Dest {
		return append([]string{old}, p.asked.Reuse...)
	}
	return append([]string{old, p.Dest}, p.asked.Reuse...)
}

// replaced is the path of what the artifact replaces: what is at Dest, or with keep the current release.
func (p *Plan) replaced() string {
	if name := p.CurrentRelease(); name != "" {
		return p.link.path(name)
	}
	return p.Dest
}

func (r *reuse) close() {
	for _, l := range r.locals {
		l.root.Close()
	}
}

// name is what a file of the torrent is called.
func (r *reuse) name(file *File) string {
	if r.torrent.Single {
		return r.torrent.Name
	}
	return file.Path
}

// search looks for files that others may be now whose pieces are still missing, and says whether there are any.
func (r *reuse) search(ctx context.Context) bool {
	if len(r.locals) == 0 {
		return false
	}
	m := &moved{bySize: map[int64][]stray{}, byName: map[namesake][]stray{}}
	for i := range r.torrent.Files {
		file := &r.torrent.Files[i]
		if file.regular() && r.torrent.lacking(file, r.have) > 0 {
			m.want(file, r.name(file))
		}
	}
	var staging unix.Stat_t
	if len(m.bySize) == 0 || unix.Fstat(r.staging.dir.fd(), &staging) != nil {
		return false
	}
	ours := func(stat *unix.Stat_t) bool { return stat.Ino == staging.Ino && stat.Dev == staging.Dev }
	for _, l := range r.locals {
		if l.file == "" {
			m.walk(ctx, l, "", ours)
		} else if stat, err := (&cursor{root: l.root}).stat(l.file); err == nil {
			m.add(stat.Size, stray{l, l.file, stat.Mtim.Sec})
		}
	}
	r.moved = m
	return m.any
}

// choices are where the bytes of file i may be, the likeliest first. Fresh says that this run of take is the first with one of them.
func (r *reuse) choices(i int) (all []choice, fresh bool) {
	file := &r.torrent.Files[i]
	r.mu.Lock()
	best, known := r.best[i]
	r.mu.Unlock()
	if known {
		all = append(all, best)
	}
	if r.cloned[i] {
		all = append(all, choice{})
	}
	for _, l := range r.locals {
		if path := l.place(r.torrent, file); path != "" {
			all = append(all, choice{l, path})
		}
	}
	if r.moved == nil {
		return all, len(all) > 0
	}
	for _, f := range r.moved.choices(file, r.name(file)) {
		if f.path != f.in.place(r.torrent, file) {
			all, fresh = append(all, choice{f.in, f.path}), true
		}
	}
	return all, fresh
}

// prefer remembers where a piece of file i was found.
func (r *reuse) prefer(i int, c choice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.best[i] = c
}

// smallestClone is the size below which a copy is as cheap as sharing blocks.
const smallestClone = 128 << 10

// cloneFiles gives the staging files that share their blocks with the likeliest local ones. Their pieces are verified as they
// then stand in the staging, where nobody else writes; what turns out wrong is overwritten, which leaves the
// local file as it is.
func (r *reuse) cloneFiles(ctx context.Context) error {
	staged := cursor{root: r.store.root}
	defer staged.close()
	for i := range r.torrent.Files {
		file := &r.torrent.Files[i]
		if !file.regular() || file.Length < smallestClone || !r.clonable() || r.skipsAll(file) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := staged.stat(r.store.path(i)); !errors.Is(err, fs.ErrNotExist) {
			continue // an earlier run has brought parts of it
		}
		choices, fresh := r.choices(i)
		if !fresh {
			continue
		}
		done, err := r.cloneOne(i, choices, true)
		if !done && err == nil {
			_, err = r.cloneOne(i, choices, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *reuse) clonable() bool {
	for _, l := range r.locals {
		if !l.noClone.Load() {
			return true
		}
	}
	return false
}

// cloneOne clones the first choice that can be, of the file's own size or of any.
func (r *reuse) cloneOne(i int, choices []choice, sameSize bool) (done bool, err error) {
	length := r.torrent.Files[i].Length
	for _, c := range choices {
		if c.in.noClone.Load() {
			continue
		}
		from, stat, err := c.in.root.file(c.path, unix.O_RDONLY)
		if err != nil {
			continue
		}
		if stat.Size() > 0 && (stat.Size() == length || !sameSize) {
			err = r.cloneInto(i, int(from.Fd()), c.in)
			done = r.cloned[i]
		}
		from.Close()
		if done || err != nil {
			return done, err
		}
	}
	return false, nil
}

func (r *reuse) cloneInto(i, from int, in *local) error {
	open, err := r.store.acquire(i, true)
	if err != nil {
		return r.writeError(err)
	}
	defer r.store.release(open)
	switch err = r.clone(int(open.file.Fd()), from); {
	case err == nil:
		r.cloned[i] = true
		err = open.file.Truncate(r.torrent.Files[i].Length) // the local one may be longer
	case cannotClone(err):
		in.noClone.Store(true)
		return nil
	}
	if err != nil {
		return r.writeError(err)
	}
	return nil
}

// ReusePaths says why paths that the user has named cannot be of use, for those that are there at all.
func ReusePaths(paths []string) (faults []error) {
	for _, path := range paths {
		l, err := openLocal(path)
		switch {
		case err == nil:
			_, err = l.root.names("")
			if l.file != "" {
				var file interface{ Close() error }
				if file, _, err = l.root.file(l.file, unix.O_RDONLY); err == nil {
					file.Close()
				}
			}
			l.root.Close()
		case errors.Is(err, fs.ErrNotExist):
			err = nil // a host without an older version
		}
		if err != nil {
			faults = append(faults, because(err, "%s cannot be read, so nothing of it is reused", show(filepath.Clean(path))))
		}
	}
	return faults
}
