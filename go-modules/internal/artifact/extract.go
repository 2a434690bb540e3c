package artifact

import (
	"context"
	"crypto/sha1"
	"errors"
	"hash"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/archive"
)

// extractor makes a staged tree of the entries of an archive. It makes new names only, in directories that it has made itself.
type extractor struct {
	*Plan
	ctx      context.Context
	tree     *Torrent
	sums     []sum            // of tree.Files
	nodes    map[string]int32 // see index
	at, from cursor           // where something is made, and what it is linked to
	buffer   []byte
	hash     hash.Hash

	root, mayChown bool
	users, groups  names
	bytes, inodes  int64 // that may be used before it is looked again what is free
}

func newExtractor(ctx context.Context, p *Plan) *extractor {
	return &extractor{
		Plan: p, ctx: ctx, tree: p.unpack.archive.unpacked(), nodes: map[string]int32{},
		at: cursor{root: p.staging.content}, from: cursor{root: p.staging.content},
		buffer: make([]byte, 256<<10), hash: sha1.New(),
		root: os.Geteuid() == 0, mayChown: mayChown(), users: names{}, groups: names{},
	}
}

// entry makes one entry. Attributes are set when the tree is placed.
func (x *extractor) entry(a *archive.Reader, e *archive.Entry) error {
	if e.Kind == archive.Directory {
		return x.directory(e)
	}
	if err := x.room(e.Path, e.Size); err != nil {
		return err
	}
	at, name, err := x.at.at(e.Path)
	if err == nil && e.Again {
		err = unix.Unlinkat(at, name, 0)
	}
	if err != nil {
		return x.explain(err, e.Path)
	}
	file, content := File{Path: e.Path, Meta: x.meta(e)}, sum{}
	switch e.Kind {
	case archive.File:
		content, err = x.file(a, at, name)
		file.Length = e.Size
	case archive.Symlink:
		err = unix.Symlinkat(e.Link, at, name)
		file.odd = &odd{symlink: e.Link}
	case archive.Hardlink:
		i := x.nodes[e.Link]
		file, content = x.tree.Files[i], x.sums[i] // one file has one set of attributes
		file.Path = e.Path
		err = x.link(e.Link, at, name)
	default:
		file.odd, err = x.special(e, at, name)
	}
	if err != nil {
		return x.explain(err, e.Path)
	}
	if i := x.nodes[e.Path]; e.Again {
		x.tree.Files[i], x.sums[i] = file, content
		return nil
	}
	x.nodes[e.Path] = int32(len(x.tree.Files))
	x.tree.Files, x.sums = append(x.tree.Files, file), append(x.sums, content)
	return nil
}

func (x *extractor) directory(e *archive.Entry) error {
	meta := x.meta(e)
	if e.Path == "" {
		x.tree.Root.Meta = meta
		return nil
	}
	if e.Again {
		x.tree.Dirs[-1-x.nodes[e.Path]].Meta = meta
		return nil
	}
	if err := x.room(e.Path, 1); err != nil {
		return err
	}
	at, name, err := x.at.at(e.Path)
	if err == nil {
		err = unix.Mkdirat(at, name, 0o700)
	}
	if err != nil {
		return x.explain(err, e.Path)
	}
	x.nodes[e.Path] = int32(-1 - len(x.tree.Dirs))
	x.tree.Dirs = append(x.tree.Dirs, Dir{Path: e.Path, Meta: meta})
	return nil
}

// file writes the content of the present entry.
func (x *extractor) file(a *archive.Reader, at int, name string) (content sum, err error) {
	fd, err := openat(at, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return content, err
	}
	file := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, file.Close()) }()
	x.hash.Reset()
	size, written := int64(0), int64(0)
	for {
		if err := x.ctx.Err(); err != nil {
			return content, err
		}
		n, err := a.Read(x.buffer)
		x.hash.Write(x.buffer[:n])
		end, werr := writeData(fd, x.buffer[:n], size)
		if werr != nil {
			return content, werr
		}
		size, written = size+int64(n), max(written, end)
		switch {
		case errors.Is(err, io.EOF) && size > written: // it ends with a hole
			return sum(x.hash.Sum(nil)), file.Truncate(size)
		case errors.Is(err, io.EOF):
			return sum(x.hash.Sum(nil)), nil
		case err != nil:
			return content, err
		}
	}
}

func (x *extractor) link(target string, at int, name string) error {
	from, old, err := x.from.at(target)
	if err != nil {
		return err
	}
	return unix.Linkat(from, old, at, name, 0)
}

// special makes a device or a named pipe.
func (x *extractor) special(e *archive.Entry, at int, name string) (*odd, error) {
	if !x.unpack.devices {
		return nil, fault(ErrArchive, "Archive %s holds the %s %q; set unpack_devices to have it made, or pack it again without",
			show(x.unpack.archive.Name), e.Kind, e.Path)
	}
	var kind uint32
	switch e.Kind {
	case archive.NamedPipe:
		kind = unix.S_IFIFO
	case archive.CharacterDevice:
		kind = unix.S_IFCHR
	default:
		kind = unix.S_IFBLK
	}
	device := unix.Mkdev(e.Major, e.Minor)
	err := unix.Mknodat(at, name, kind|0o600, int(device))
	if errors.Is(err, unix.EPERM) {
		err = fault(err, "The %s %q of archive %s cannot be made by user %s; run with become as root",
			e.Kind, e.Path, show(x.unpack.archive.Name), userName(os.Geteuid()))
	}
	return &odd{special: kind, device: device}, err
}
