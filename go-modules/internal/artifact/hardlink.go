package artifact

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Hard links are carried as files like any other, bytes included, so that every client gets them, and with the path of
// the first of them as a key of our own. A staging holds each such file once: its store writes what comes
// for the others into the first, which Place then links to their names.

// checkHardlinks makes sure that every hard link is one of a file that has bytes of its own, and as many.
func (t *Torrent) checkHardlinks() error {
	files := map[string]*File{}
	for i := range t.Files {
		if t.Files[i].Hardlink() != "" {
			files[t.Files[i].Hardlink()] = nil
		}
	}
	if len(files) == 0 {
		return nil
	}
	for i := range t.Files {
		file := &t.Files[i]
		if _, wanted := files[file.Path]; wanted && file.regular() && file.Hardlink() == "" {
			files[file.Path] = file
		}
	}
	for i := range t.Files {
		file := &t.Files[i]
		if file.Hardlink() == "" {
			continue
		}
		first := files[file.Hardlink()]
		if !file.regular() || first == nil || first.Length != file.Length {
			return fmt.Errorf("%s is a hard link of %s, which is no other file of its length", show(file.Path), show(file.Hardlink()))
		}
	}
	return nil
}

// linkUp makes the hard links of a staged tree, all other files of which are there. A filesystem that cannot, or not so many, gets a
// copy.
func (t *placer) linkUp() error {
	for i := range t.torrent.Files {
		file := &t.torrent.Files[i]
		if file.Hardlink() == "" {
			continue
		}
		if err := t.ctx.Err(); err != nil {
			return err
		}
		err := t.staging.link(file.Hardlink(), file.Path)
		if cannotLink(err) {
			t.linkless = true
			if err = t.staging.content.copy(file.Hardlink(), file.Path); err == nil {
				err = t.dress(file)
			}
		}
		if err != nil {
			return &os.PathError{Op: "link", Path: t.staging.content.join(file.Path), Err: err}
		}
	}
	return nil
}

// linkat is the system call; tests have a filesystem that cannot.
var linkat = unix.Linkat

func (s *staging) link(from, to string) error {
	source, target := cursor{root: s.content}, cursor{root: s.content}
	defer source.close()
	defer target.close()
	at, name, err := source.at(from)
	if err != nil {
		return err
	}
	toAt, toName, err := target.at(to)
	if err != nil {
		return err
	}
	return linkat(at, name, toAt, toName, 0)
}

// cannotLink says whether a copy has to do.
func cannotLink(err error) bool {
	for _, reason := range []error{unix.EPERM, unix.EMLINK, unix.EOPNOTSUPP, unix.ENOSYS, unix.EXDEV} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// copy makes a file with the content of another.
func (r *root) copy(from, to string) error {
	source, _, err := r.file(from, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer source.Close()
	target, _, err := r.file(to, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// pruneHardlinks removes the names that linkUp has made in a staged tree, so that each file there has one again. Place may have
// closed the directories that they are in.
func (p *Plan) pruneHardlinks() error {
	opened := false
	for i := range p.torrent.Files {
		file := &p.torrent.Files[i]
		if file.Hardlink() == "" {
			continue
		}
		if !opened {
			if err := p.openDirectories(); err != nil {
				return err
			}
			opened = true
		}
		if err := p.staging.content.remove(file.Path); err != nil && ignoreMissing(err) != nil {
			return err
		}
	}
	return nil
}

// openDirectories lets this user change the directories of a staged tree that are the torrent's, those above first.
func (p *Plan) openDirectories() error {
	c := cursor{root: p.staging.content}
	defer c.close()
	for i := range p.torrent.Dirs {
		at, name, err := c.at(p.torrent.Dirs[i].Path)
		var stat *unix.Stat_t
		if err == nil {
			stat, err = statAt(at, name)
		}
		if err == nil && stat != nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
			err = chmod(at, name, 0o700)
		}
		if ignoreMissing(err) != nil {
			return &os.PathError{Op: "chmod", Path: p.staging.content.join(p.torrent.Dirs[i].Path), Err: err}
		}
	}
	return nil
}

// relink makes hard links at Dest of files that have the same content there but are not the same, where the filesystem can.
func (p *Plan) relink(c *cursor, apply bool, d *differences) error {
	if p.linkless {
		return nil
	}
	for i := range p.torrent.Files {
		file := &p.torrent.Files[i]
		if file.Hardlink() == "" {
			continue
		}
		first, err := d.linkable(c, file.Hardlink())
		if err != nil {
			return err
		}
		now, err := d.linkable(c, file.Path)
		if err != nil {
			return err
		}
		if first == nil || now == nil || first.Ino == now.Ino || first.Dev != now.Dev {
			continue
		}
		if apply {
			err := c.root.relink(file.Hardlink(), file.Path)
			if cannotLink(err) {
				p.linkless = true
				continue
			} else if err != nil {
				return because(err, "Destination %s cannot be made a hard link", show(c.root.join(file.Path)))
			}
		}
		d.add(file.Path, map[string]any{"hardlink": ""}, map[string]any{"hardlink": file.Hardlink()})
	}
	return nil
}

// linkable is lstat(2) of a file of which there are hard links; nil where the lenient pass over it.
func (d *differences) linkable(c *cursor, path string) (*unix.Stat_t, error) {
	stat, err := c.stat(path)
	if err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errNotRegular
	}
	if d.lenient && err != nil && ignoreMissing(err) == nil {
		return nil, nil
	}
	if err != nil {
		return nil, because(err, "Destination %s cannot be read", show(c.root.join(path)))
	}
	return &stat, nil
}

// relink replaces path by a hard link of another file, in one step.
func (r *root) relink(first, path string) error {
	source, target := cursor{root: r}, cursor{root: r}
	defer source.close()
	defer target.close()
	at, name, err := source.at(first)
	if err != nil {
		return err
	}
	toAt, toName, err := target.at(path)
	if err != nil {
		return err
	}
	temporary := linkName(toName)
	_ = unix.Unlinkat(toAt, temporary, 0) // of a run that was killed before it renamed it, so that this one comes by
	if err := unix.Linkat(at, name, toAt, temporary, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	err = unix.Renameat(toAt, temporary, toAt, toName)
	_ = unix.Unlinkat(toAt, temporary, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil // another run, which makes the same link, was faster
	}
	return err
}

// linkName is how a hard link is called before it takes the place of the file name. It is the same for all runs, which all
// link the same file.
func linkName(name string) string {
	sum := sha1.Sum([]byte(name))
	return ".murder-" + hex.EncodeToString(sum[:4])
}

// isLinkName says whether relink may have called a file so.
func isLinkName(name string) bool {
	digits, ours := strings.CutPrefix(name, ".murder-")
	_, err := strconv.ParseUint(digits, 16, 32)
	return ours && err == nil
}
