package artifact

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Strangers lists what a tree at Dest holds beside the artifact, in order, each directory as one entry with "/" at its end.
// With the option delete it is what has to go, and with apply it goes; the error says why, when it cannot. Without the option,
// and for a file, it lists nothing.
func (p *Plan) Strangers(ctx context.Context, apply bool) ([]string, error) {
	if !p.asked.Delete || p.torrent.Single {
		return nil, nil
	}
	dest, err := openRoot(p.Dest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, because(err, "Destination %s cannot be read", show(p.Dest))
	}
	defer dest.Close()
	var found []string
	if err := p.strangers(ctx, dest, "", &found); err != nil {
		return nil, err
	}
	slices.Sort(found)
	if len(found) > 0 && p.readOnly != nil {
		return nil, p.readOnly
	}
	if !apply {
		return found, nil
	}
	for _, path := range found {
		if err := dest.remove(strings.TrimSuffix(path, "/")); err != nil {
			return nil, because(err, "%s cannot be removed from %s", show(path), show(p.Dest))
		}
	}
	return found, nil
}

func (p *Plan) strangers(ctx context.Context, dest *root, dir string, found *[]string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := dest.names(dir)
	if err != nil {
		return because(err, "Destination %s cannot be read", show(dest.join(dir)))
	}
	c := cursor{root: dest}
	defer c.close()
	var below []string
	for _, name := range names {
		path := join(dir, name)
		stat, err := c.stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its owner has just removed it
		} else if err != nil {
			return because(err, "Destination %s cannot be read", show(dest.join(path)))
		}
		i, known := p.index()[path]
		directory := stat.Mode&unix.S_IFMT == unix.S_IFDIR
		switch {
		case known && i < 0 && directory:
			below = append(below, path)
		case known && i >= 0 && !directory, known && i < 0:
			// The artifact's own, or in the place of a directory of it, where it is changed and not removed.
		case directory:
			*found = append(*found, path+"/")
		default:
			*found = append(*found, path)
		}
	}
	for _, path := range below {
		if err := p.strangers(ctx, dest, path, found); err != nil {
			return err
		}
	}
	return nil
}
