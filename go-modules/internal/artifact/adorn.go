package artifact

import (
	"strings"

	"golang.org/x/sys/unix"
)

// adorn gives a staged entry, which is to lie at path, all its attributes but those that close it (closeFlags). Old is what it
// replaces, nil for nothing.
func (p *Plan) adorn(staged spot, old *spot, now *unix.Stat_t, want look, path string) error {
	if now.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := p.context.label(staged, old, path); err != nil {
			return err
		}
		if p.flags != nil {
			dir := now.Mode&unix.S_IFMT == unix.S_IFDIR
			if err := p.flags.setFlags(staged.at, staged.name, dir, ^uint32(flagsOfClosing)); err != nil {
				return because(err, "Option attributes (%s) cannot be followed for %s", p.asked.Attributes, show(path))
			}
		}
	}
	return dress(staged.at, staged.name, now, want)
}

// trim is what of an entry in place differs from what the options say about flags and SELinux.
type trim struct {
	plan    *Plan
	at      spot
	dir     bool
	path    string
	flags   bool
	context string // to be set, "" when it is right
}

// trim compares, and notes differences for the diff.
func (p *Plan) trim(at spot, stat *unix.Stat_t, path string, before, after map[string]any) (t trim, err error) {
	t = trim{plan: p, at: at, dir: stat.Mode&unix.S_IFMT == unix.S_IFDIR, path: path}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		return t, nil
	}
	if p.flags != nil {
		now, err := flagsOf(at.at, at.name)
		if err != nil {
			return t, err
		}
		if want := p.flags.apply(now, t.dir); want != now {
			t.flags = true
			before["attributes"], after["attributes"] = showFlags(now), showFlags(want)
		}
	}
	if p.context != nil {
		now, err := readContext(at.at, at.name)
		if err != nil {
			return t, err
		}
		want, err := p.context.of(now, path)
		if err != nil {
			return t, err
		}
		if want != now {
			t.context = want
			before["secontext"], after["secontext"] = strings.SplitN(now, ":", 4), strings.SplitN(want, ":", 4)
		}
	}
	return t, nil
}

// open takes the flags away that would keep the entry from being changed, if they are to go.
func (t trim) open() error {
	if !t.flags {
		return nil
	}
	f := flagChange{clear: t.plan.flags.clear & flagsOfClosing}
	return f.setFlags(t.at.at, t.at.name, t.dir, flagsOfClosing)
}

// apply sets what differs.
func (t trim) apply() error {
	if t.context != "" {
		if err := writeContext(t.at.at, t.at.name, t.context); err != nil {
			return err
		}
	}
	if t.flags {
		return t.plan.flags.setFlags(t.at.at, t.at.name, t.dir, ^uint32(0))
	}
	return nil
}
