package artifact

import (
	"context"
	"encoding/hex"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// changes are the paths of a tree that a deploy adds, changes and removes, up to the first hundred of each.
type changes struct {
	added, changed, removed paths
}

type paths struct {
	count int
	first []string
}

func (l *paths) add(names ...string) {
	l.count += len(names)
	l.first = append(l.first, names[:min(len(names), mostInDiff-len(l.first))]...)
}

// Set notes a difference: the same key in Before and After.
func (d *Diff) Set(key string, before, after any) {
	if d.Before == nil {
		d.Before, d.After = map[string]any{}, map[string]any{}
	}
	d.Before[key], d.After[key] = before, after
}

// Preview is what placing the artifact would change, for an artifact that is not Complete: what is at the destination, the
// files of a tree that are added, changed and removed, and the attributes of those that are there. It tells files apart as
// rsync does, by size and modification time, and reads those that it cannot tell apart so.
func (p *Plan) Preview(ctx context.Context) (Diff, error) {
	var d Diff
	old := p.Dest
	if p.link != nil {
		old = p.link.path(p.link.release()) // what a user of the link has now
		d.Set("release", p.link.release(), p.base)
	}
	stat, err := os.Stat(old)
	there := err == nil && !(p.link != nil && p.link.release() == "")
	if there && stat.IsDir() == !p.torrent.Single && p.link == nil && p.unpack == nil {
		if d, err = p.previewAttributes(); err != nil {
			return Diff{}, err
		}
	}
	d.Set("path", p.Target(), p.Target())
	state := "directory"
	if p.torrent.Single {
		state = "file"
		size := any(nil)
		if there {
			size = stat.Size()
		}
		d.Set("size", size, p.torrent.Size)
	} else if p.unpack != nil { // what is in the archive nobody knows before it has come
		d.Set("archive", nil, p.torrent.Name)
	} else if err := p.previewTree(ctx, old, there && stat.IsDir(), &d); err != nil {
		return Diff{}, err
	}
	before := "absent"
	if there {
		before = state
	}
	d.Set("state", before, state)
	d.Set("infohash", "another content or nothing", hex.EncodeToString(p.torrent.Infohash[:]))
	return d, nil
}

func (p *Plan) previewTree(ctx context.Context, old string, there bool, d *Diff) error {
	var c changes
	if !there {
		for i := range p.torrent.Files {
			if file := &p.torrent.Files[i]; !file.Pad() {
				c.added.add(file.Path)
			}
		}
	} else if err := p.compare(ctx, old, &c); err != nil {
		return err
	}
	strangers, err := p.Strangers(ctx, false)
	if err != nil {
		return err
	}
	c.removed.add(strangers...)
	c.tell(d)
	return nil
}

// tell puts the summary into a diff.
func (c *changes) tell(d *Diff) {
	for name, l := range map[string]*paths{"added": &c.added, "changed": &c.changed, "removed": &c.removed} {
		if l.count > 0 {
			slices.Sort(l.first) // those of the stream are in its order
			d.Set(name, []string{}, l.first)
		}
		d.Set("files_"+name, 0, l.count)
	}
}

// Removal is a Diff of strangers that go.
func (d *Diff) Removal(strangers []string) {
	var c changes
	c.removed.add(strangers...)
	c.tell(d)
}

// previewAttributes compares the attributes of what is there.
func (p *Plan) previewAttributes() (Diff, error) {
	_, diff, err := p.compareAttributes(false, true)
	return diff, err
}

// compare finds out which of the artifact's files the old tree has not, or has otherwise.
func (p *Plan) compare(ctx context.Context, old string, c *changes) error {
	dest, err := openRoot(old)
	if err != nil {
		return because(err, "Destination %s cannot be read", show(old))
	}
	defer dest.Close()
	at := cursor{root: dest}
	defer at.close()
	store, err := OpenStore(p.torrent, old, false)
	if err != nil {
		return err
	}
	defer store.Close()
	pieces := checker{verifier: verifier{torrent: p.torrent, reader: store, zeros: zeroSums{}}, known: map[int]bool{}}
	for i := range p.torrent.Files {
		if err := ctx.Err(); err != nil {
			return err
		}
		file := &p.torrent.Files[i]
		if file.Pad() {
			continue
		}
		stat, err := at.stat(file.Path)
		if err != nil {
			c.added.add(file.Path)
			continue
		}
		same, err := sameFile(&at, file)
		if err == nil && same && file.regular() && !(file.HasTime && stat.Mtim.Sec == file.ModTime) {
			same = pieces.right(file.Offset, file.Length)
		}
		if err != nil || !same {
			c.changed.add(file.Path)
		}
	}
	for i := range p.torrent.Dirs {
		stat, err := at.stat(p.torrent.Dirs[i].Path)
		if err != nil || stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			c.added.add(p.torrent.Dirs[i].Path + "/")
		}
	}
	return nil
}

// checker verifies single pieces and remembers the outcome.
type checker struct {
	verifier
	known map[int]bool
}

// right says whether all pieces that hold a part of n bytes from off are right.
func (c *checker) right(off, n int64) bool {
	if n == 0 {
		return true
	}
	for i := off / c.torrent.PieceLength; i <= (off+n-1)/c.torrent.PieceLength; i++ {
		ok, known := c.known[int(i)]
		if !known {
			ok, _ = c.piece(int(i)) // what cannot be read will be replaced
			c.known[int(i)] = ok
		}
		if !ok {
			return false
		}
	}
	return true
}
