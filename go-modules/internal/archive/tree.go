package archive

import (
	"fmt"
	"strings"
)

const (
	maxName = 255  // bytes of one component, the limit of every Linux filesystem
	maxPath = 4095 // bytes of a path or a link's target, the limit of the kernel
	// maxEntries bounds the memory for names. Each takes an inode too, but a big disk has more of them than most hosts have memory.
	maxEntries = 10_000_000
)

// tree is what the entries so far have made: paths and what is there.
type tree map[string]Kind

// admit judges an entry whose paths are as the archive says them. It returns the directories that the entry takes and
// that have not come yet, and the entry itself, its paths clean.
func (t tree) admit(e Entry, unique bool) ([]Entry, error) {
	raw := e.Path
	path, why := clean(raw)
	if why != "" {
		return nil, fault(fmt.Sprintf("holds the name %q, which %s; pack it again with names relative to one directory", clip(raw), why))
	}
	e.Path = path
	if path == "" && e.Kind != Directory {
		return nil, fault(fmt.Sprintf("holds a %s without a name (%q)", e.Kind, raw))
	}
	if err := t.checkLink(&e); err != nil {
		return nil, err
	}
	if len(t) >= maxEntries {
		return nil, fault(fmt.Sprintf("holds more than %d entries", maxEntries))
	}
	out, err := t.above(path)
	if err != nil {
		return nil, err
	}
	old, there := t[path]
	switch {
	case there && (old == Directory) != (e.Kind == Directory):
		return nil, fault(fmt.Sprintf("holds %q twice, as a %s and as a %s", path, old, e.Kind))
	case there && unique:
		return nil, fault(fmt.Sprintf("holds %q twice", path))
	case there && e.Kind == Hardlink && e.Link == path:
		return nil, fault(fmt.Sprintf("holds %q as a hard link to itself", path))
	}
	e.Again = there
	t[path] = e.Kind
	return append(out, e), nil
}

// above gives the directories above a path that have not come yet, and refuses what lies beneath anything else.
func (t tree) above(path string) (missing []Entry, err error) {
	for i := range len(path) {
		if path[i] != '/' {
			continue
		}
		dir := path[:i]
		kind, there := t[dir]
		if !there {
			t[dir] = Directory
			missing = append(missing, Entry{Path: dir, Kind: Directory})
		} else if kind != Directory {
			return nil, fault(fmt.Sprintf("holds %q, which lies beneath the %s %q", path, kind, dir))
		}
	}
	return missing, nil
}

// checkLink looks at where a link leads. A symlink may lead anywhere: it is made, and never followed.
func (t tree) checkLink(e *Entry) error {
	switch e.Kind {
	case Symlink:
		if e.Link == "" || len(e.Link) > maxPath || strings.IndexByte(e.Link, 0) >= 0 {
			return fault(fmt.Sprintf("holds the symbolic link %q, whose target %q is no path", e.Path, clip(e.Link)))
		}
	case Hardlink:
		link, why := clean(e.Link)
		if why != "" {
			return fault(fmt.Sprintf("holds the hard link %q to %q, which %s", e.Path, clip(e.Link), why))
		}
		if kind, there := t[link]; !there || kind == Directory {
			return fault(fmt.Sprintf("holds the hard link %q to %q, which is no file that came before it", e.Path, link))
		}
		e.Link = link
	}
	return nil
}

// clean makes a path of what an archive calls one; why says what is wrong with it.
func clean(name string) (path, why string) {
	switch {
	case name == "":
		return "", "is empty"
	case strings.IndexByte(name, 0) >= 0:
		return "", "contains NUL"
	case name[0] == '/':
		return "", "is absolute"
	case len(name) > maxPath:
		return "", fmt.Sprintf("is longer than %d bytes", maxPath)
	}
	parts := strings.Split(name, "/")
	kept := parts[:0]
	for _, part := range parts {
		switch {
		case part == "" || part == ".":
			continue
		case part == "..":
			return "", `leads out of its directory ("..")`
		case len(part) > maxName:
			return "", fmt.Sprintf("has a part longer than %d bytes", maxName)
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "/"), ""
}

// clip keeps messages short.
func clip(text string) string {
	if len(text) > 200 {
		return text[:200] + "..."
	}
	return text
}
