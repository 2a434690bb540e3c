package artifact

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// prepare brings the staging into the state in which pieces can be written, whatever a killed run has left there.
func (p *Plan) prepare() (store *Store, resumed bool, err error) {
	s := p.staging
	if err := p.note(s.recover(p.base)); err != nil {
		return nil, false, p.writeError(err)
	}
	if t, name := p.incoming(), p.stagedName(); t.Single {
		c := cursor{root: s.dir}
		if stat, err := c.stat(name); err == nil {
			if resumed = mayResume(&stat); !resumed {
				err = s.dir.remove(name)
			} else {
				err = unix.Fchmodat(s.dir.fd(), name, 0o600, 0)
			}
			if err != nil {
				return nil, false, p.writeError(err)
			}
		}
		dir, err := s.dir.clone()
		if err != nil {
			return nil, false, err
		}
		store = newStore(t, dir, name, true)
	} else {
		if err := s.openContent(); err != nil {
			return nil, false, p.writeError(err)
		}
		if resumed, err = p.prune(); err != nil {
			return nil, false, p.writeError(err)
		}
		dir, err := s.content.clone()
		if err != nil {
			return nil, false, err
		}
		store = newStore(p.torrent, dir, "", true)
		store.look = func(file *File) look { return p.look(file.Meta, false, nil, false) }
	}
	store.fail = p.writeError
	return store, resumed, nil
}

// mayResume says whether a staged file can be written to: nobody else may have it under another name.
func mayResume(stat *unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == unix.S_IFREG && stat.Nlink == 1
}

func (s *staging) openContent() error {
	err := unix.Mkdirat(s.dir.fd(), contentName, 0o700)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	fd, err := s.dir.open(contentName, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return fmt.Errorf("open content: %w", err)
	}
	s.content = &root{os.NewFile(uintptr(fd), contentName), s.dir.join(contentName)}
	return unix.Fchmod(fd, 0o700)
}

// recover puts right what a run left that was killed in the middle of the switch with the destination called base. ErrLeft is its
// error when all is right but what cannot be removed.
func (s *staging) recover(base string) error {
	names, err := s.dir.names("")
	if err != nil {
		return err
	}
	var left error
	for _, name := range names {
		var stat unix.Stat_t
		if err := unix.Fstatat(s.dir.fd(), name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		number, suffix, final := parseFinal(name)
		rest, old := strings.CutPrefix(name, oldName)
		if old {
			suffix = rest
		}
		switch {
		case name == lockName || name == contentName || name == archiveName:
			continue
		case old && !s.parent.has(base):
			err = unix.Renameat(s.dir.fd(), name, s.parent.fd(), base)
		case final && number == stat.Ino:
			err = unix.Renameat(s.dir.fd(), name, s.dir.fd(), contentName)
		case (old || final) && suffix != "":
			err = unix.Renameat(s.dir.fd(), name, s.parent.fd(), base+suffix)
		default:
			if err = s.discard(name, base); errors.Is(err, ErrLeft) {
				left, err = errors.Join(left, err), nil
			}
		}
		if err != nil {
			return err
		}
	}
	return left
}

// has says whether there is anything called name in the root.
func (r *root) has(name string) bool {
	var stat unix.Stat_t
	return unix.Fstatat(r.fd(), name, &stat, unix.AT_SYMLINK_NOFOLLOW) == nil
}

func finalName(inode uint64) string { return finalPrefix + strconv.FormatUint(inode, 10) }

// parseFinal takes the name apart that switchTree has made: the inode, and what a backup is to have behind its name.
func parseFinal(name string) (inode uint64, suffix string, ok bool) {
	rest, ok := strings.CutPrefix(name, finalPrefix)
	if at := strings.IndexByte(rest, '.'); at >= 0 {
		rest, suffix = rest[:at], rest[at:]
	}
	inode, err := strconv.ParseUint(rest, 10, 64)
	return inode, suffix, ok && err == nil
}

// index finds an entry of the tree by its path: file i is i, directory i is -1-i.
func (p *Plan) index() map[string]int32 {
	if p.nodes != nil {
		return p.nodes
	}
	p.nodes = make(map[string]int32, len(p.torrent.Files)+len(p.torrent.Dirs))
	for i := range p.torrent.Files {
		if !p.torrent.Files[i].Pad() {
			p.nodes[p.torrent.Files[i].Path] = int32(i)
		}
	}
	for i := range p.torrent.Dirs {
		p.nodes[p.torrent.Dirs[i].Path] = int32(-1 - i)
	}
	return p.nodes
}

// prune makes a staged tree again what the pieces have made, and says whether any file was left.
func (p *Plan) prune() (resumed bool, err error) {
	if err := p.pruneHardlinks(); err != nil {
		return false, err
	}
	return p.pruneDirectory("")
}

// pruneDirectory removes from the staged tree what is not the torrent's, or is not safe to write to, and makes the rest writable
// again. It says whether any file was left.
func (p *Plan) pruneDirectory(dir string) (resumed bool, err error) {
	names, err := p.staging.content.names(dir)
	if err != nil {
		return false, err
	}
	c := cursor{root: p.staging.content}
	defer c.close()
	for _, name := range names {
		path := join(dir, name)
		stat, err := c.stat(path)
		if err != nil {
			return false, err
		}
		at, name, err := c.at(path)
		if err != nil {
			return false, err
		}
		i, known := p.index()[path]
		switch {
		case known && i < 0 && stat.Mode&unix.S_IFMT == unix.S_IFDIR:
			if err = chmod(at, name, 0o700); err == nil {
				var below bool
				below, err = p.pruneDirectory(path)
				resumed = resumed || below
			}
		case known && i >= 0 && p.torrent.Files[i].regular() && mayResume(&stat):
			if stat.Mode&0o600 != 0o600 {
				err = chmod(at, name, 0o600)
			}
			resumed = true
		default:
			err = p.staging.content.remove(path)
		}
		if err != nil {
			return false, err
		}
	}
	return resumed, nil
}
