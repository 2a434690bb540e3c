package artifact

import (
	"strings"

	"golang.org/x/sys/unix"
)

// adorn gives a staged entry, which is to lie at path, all its attributes but those that close it (closeFlags). Old is what it
// replaces, nil for nothing.
func (p *Plan) adorn(staged spot, old *spot, now *unix.Stat_t, want look, path string) error {
	if err := p.context.label(staged, old, path, now.Mode); err != nil {
		return err
	}
	if p.flags != nil && now.Mode&unix.S_IFMT != unix.S_IFLNK {
		dir := now.Mode&unix.S_IFMT == unix.S_IFDIR
		if err := p.flags.setFlags(staged.at, staged.name, dir, ^uint32(flagsOfClosing)); err != nil {
			return because(err, "Option attributes (%s) cannot be followed for %s", p.asked.Attributes, show(path))
		}
	}
	return dress(staged.at, staged.name, now, want)
}

// trim is what of an entry in place differs from what the options say about flags and SELinux.
type trim struct {
	plan    *Plan
	at      spot
	dir     bool
	mode    uint32
	path    string
	flags   bool
	context string // that it has, with relabel
	relabel bool
}

// trim compares, and notes differences for the diff.
func (p *Plan) trim(at spot, stat *unix.Stat_t, path string, before, after map[string]any) (t trim, err error) {
	t = trim{plan: p, at: at, dir: stat.Mode&unix.S_IFMT == unix.S_IFDIR, mode: stat.Mode, path: path}
	if p.flags != nil && stat.Mode&unix.S_IFMT != unix.S_IFLNK {
		now, err := flagsOf(at.at, at.name)
		if err != nil {
			return t, err
		}
		if want := p.flags.apply(now, t.dir); want != now {
			t.flags = true
			before["attributes"], after["attributes"] = showFlags(now), showFlags(want)
		}
	}
	if p.context != nil && p.context.asked {
		now, err := readContext(at.at, at.name)
		if err != nil {
			return t, err
		}
		want, err := p.context.of(now, path, stat.Mode)
		if err != nil {
			return t, err
		}
		if want != now {
			t.context, t.relabel = now, true
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
	if t.relabel {
		if err := t.plan.context.set(t.at, t.context, t.context, t.path, t.mode); err != nil {
			return err
		}
	}
	if t.flags {
		return t.plan.flags.setFlags(t.at.at, t.at.name, t.dir, ^uint32(0))
	}
	return nil
}
