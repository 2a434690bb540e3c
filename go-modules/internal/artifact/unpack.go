package artifact

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/archive"
)

// An archive lies in the staging while it comes, as archiveName, and what is in it becomes the staged tree beside it, often
// while the rest is still coming. That tree is then placed like any other: to a Plan an unpacked archive is a torrent
// without pieces. The archive goes when the tree is in place; its store has it open for as long as it is seeded.
const archiveName = "archive"

// ErrArchive is the kind of every failure that an archive itself is to blame for.
var ErrArchive = archive.ErrArchive

// unpacking is what a Plan knows of an archive.
type unpacking struct {
	archive *Torrent
	devices bool   // devices and named pipes are made
	record  string // path of the record, see manifest.go; "" for none
	sums    []sum  // of the files of the tree
}

// newUnpacking makes the plan one of the tree that an archive holds, which is not known yet.
func (p *Plan) newUnpacking(o PlaceOptions) error {
	t := p.torrent
	if !t.Single {
		return fault(nil, "Option unpack is for an archive, but %s is a directory; leave out unpack", show(t.Name))
	}
	p.unpack = &unpacking{archive: t, devices: o.UnpackDevices}
	p.torrent = t.unpacked()
	return nil
}

// unpacked is an empty tree that goes by the name of the archive.
func (t *Torrent) unpacked() *Torrent {
	return &Torrent{Infohash: t.Infohash, Name: t.Name, Size: t.Size, PieceLength: t.PieceLength}
}

// incoming is the torrent whose pieces come: that of the archive, or of the artifact itself.
func (p *Plan) incoming() *Torrent {
	if p.unpack != nil {
		return p.unpack.archive
	}
	return p.torrent
}

// stagedName is what is in the staging when the first piece has come.
func (p *Plan) stagedName() string {
	if p.unpack != nil {
		return archiveName
	}
	return contentName
}

// Unpacked counts the files, links among them, that an archive has brought, and their bytes. It is for a Plan that is
// Complete, or whose Unpack is done.
func (p *Plan) Unpacked() (files int, bytes int64) {
	for i := range p.torrent.Files {
		bytes += p.torrent.Files[i].Length
	}
	return len(p.torrent.Files), bytes
}

// Unpack makes the staged tree of what the archive holds, which r reads. It may run while pieces still come; reading then waits
// for them. Whatever is wrong with the archive is ErrArchive; a disk that is too small for what is in it is ErrNoSpace. After an
// error nothing is left of the tree.
func (p *Plan) Unpack(ctx context.Context, r io.ReaderAt) (err error) {
	if p.unpack == nil || p.staging == nil {
		return errors.New("unpack: there is no staging of an archive")
	}
	s := p.staging
	if err := s.dir.remove(contentName); err != nil { // of an earlier run; the archive is what is resumed
		return p.writeError(err)
	}
	if err := s.openContent(); err != nil {
		return p.writeError(err)
	}
	x := newExtractor(ctx, p)
	defer func() {
		x.at.close()
		x.from.close()
		if err != nil {
			err = errors.Join(err, s.dir.remove(contentName))
		}
	}()
	a, err := archive.Open(show(p.unpack.archive.Name), r, p.unpack.archive.Size)
	if err != nil {
		return err
	}
	defer a.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := a.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := x.entry(a, &e); err != nil {
			return err
		}
	}
	p.torrent, p.nodes, p.unpack.sums = x.tree, x.nodes, x.sums
	return nil
}

// meta is what an archive says of an entry, as far as it counts: permissions and owners as tar and unzip set them, who let root
// have all of them and others what their umask leaves.
func (x *extractor) meta(e *archive.Entry) Meta {
	m := Meta{Mode: uint16(e.Mode), HasMode: e.HasMode, ModTime: e.MTime, HasTime: e.HasTime}
	if !x.root {
		m.Mode &= 0o777
	}
	if e.HasOwner && !x.root {
		m.Mode &^= uint16(x.umask)
	}
	if e.HasOwner && x.mayChown {
		m.owner = &owner{x.users.id(e.User, e.UID, lookUpUser), x.groups.id(e.Group, e.GID, lookUpGroup)}
	}
	return m
}

// names remembers the numbers of users or groups.
type names map[string]int

// id is the number of a name on this host; of one that does not exist here, the number that it had.
func (n names) id(name string, number int, find func(string) (int, error)) int {
	if name == "" {
		return number
	}
	id, known := n[name]
	if !known {
		var err error
		if id, err = find(name); err != nil {
			id = keep
		}
		n[name] = id
	}
	if id == keep {
		return number
	}
	return id
}

// room makes sure that n more bytes fit beside what the archive itself still lacks.
func (x *extractor) room(path string, n int64) error {
	const block = 4096
	cost := (n + block - 1) / block * block
	if x.bytes >= cost && x.inodes > 0 {
		x.bytes -= cost
		x.inodes--
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(x.home, &fs); err != nil {
		return because(err, "The free space of %s cannot be read", show(x.home))
	}
	missing, _ := x.needed(fs.Bsize, x.spared(&fs))
	free := max(0, available(&fs)-missing)
	_, done := (&Plan{torrent: x.tree}).Unpacked()
	switch {
	case cost < 0 || cost > free:
		return fault(ErrNoSpace, "Not enough space on %s for %s: %q of archive %s takes %s, %s free; %s are unpacked already",
			show(mountPoint(x.home)), show(x.Dest), path, show(x.unpack.archive.Name), size(n), size(free), size(done))
	case fs.Files > 0 && fs.Ffree == 0: // filesystems without a table of inodes report none
		return fault(ErrNoSpace, "Not enough inodes on %s for %s: none is free for %q of archive %s; %d files are unpacked already",
			show(mountPoint(x.home)), show(x.Dest), path, show(x.unpack.archive.Name), len(x.tree.Files))
	}
	// It is looked again soon: others write to this disk too.
	x.bytes, x.inodes = min(free-cost, 64<<20), 1000
	if fs.Files > 0 {
		x.inodes = min(x.inodes, int64(fs.Ffree)-1)
	}
	return nil
}

// explain makes a message of what kept an entry from being made.
func (x *extractor) explain(err error, path string) error {
	switch {
	case errors.Is(err, ErrArchive) || x.ctx.Err() != nil:
		return err
	case errors.Is(err, unix.EEXIST):
		return fault(ErrArchive, "Archive %s holds %q and another name for the same, for the filesystem at %s tells neither case nor spelling apart; "+
			"choose a dest on another filesystem", show(x.unpack.archive.Name), path, show(mountPoint(x.home)))
	}
	return x.writeError(err)
}
