package artifact

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// maxEntries bounds files and directories together, so that a hostile torrent of MaxTorrentSize costs no more memory than its size.
const maxEntries = 2 << 20

// Load reads and parses the .torrent at path. Its errors name the path.
func Load(path string) (*Torrent, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault(err, "Torrent %s not found", show(path))
	} else if err != nil {
		return nil, because(err, "Torrent %s cannot be read", show(path))
	}
	defer file.Close()
	var data bytes.Buffer
	if stat, err := file.Stat(); err == nil {
		data.Grow(int(min(stat.Size(), MaxTorrentSize)) + bytes.MinRead)
	}
	if _, err := data.ReadFrom(io.LimitReader(file, MaxTorrentSize+1)); err != nil {
		return nil, because(err, "Torrent %s cannot be read", show(path))
	}
	t, err := parse(data.Bytes())
	if err != nil {
		return nil, fault(ErrTorrent, "Torrent %s is not valid: %s", show(path), err)
	}
	return t, nil
}

// Parse reads metainfo (BEP 3, with BEP 47 and murder's own keys) and accepts it only when every promise of Torrent holds:
// names stay beneath the root, no two entries collide, sizes add up and there is one hash for each piece.
// Data is kept as Raw and must not be changed afterwards. Errors are ErrTorrent.
func Parse(data []byte) (*Torrent, error) {
	t, err := parse(data)
	if err != nil {
		return nil, fault(ErrTorrent, "Torrent is not valid: %s", err)
	}
	return t, nil
}

func parse(data []byte) (*Torrent, error) {
	switch {
	case len(data) == 0:
		return nil, errors.New("it is empty")
	case len(data) > MaxTorrentSize:
		return nil, fmt.Errorf("it is larger than %s", size(MaxTorrentSize))
	case data[0] != 'd':
		return nil, errors.New("it is not a .torrent file (metainfo of BEP 3)")
	}
	d := &decoder{data: data}
	t := &Torrent{Raw: data}
	var in *info
	err := d.dict("the torrent", func(key []byte) (err error) {
		switch string(key) {
		case "announce":
			t.Announce, err = d.text("announce")
		case "info":
			start := d.pos
			in, err = parseInfo(d)
			t.Infohash = sha1.Sum(data[start:d.pos])
		default:
			err = d.skip()
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case d.pos != len(data):
		return nil, fmt.Errorf("%d bytes follow its end", len(data)-d.pos)
	case in == nil:
		return nil, errors.New("it has no info dictionary")
	}
	return t, in.validate(t)
}

// info is the info dictionary as it was read; validate makes it into a Torrent.
type info struct {
	name        []byte
	pieceLength int64
	pieces      []byte
	length      int64
	hasLength   bool
	hasFiles    bool
	private     bool
	sha1        []byte
	version     int64
	attr        []byte
	files       []File
	root        Meta
	dirs        []Dir
}

func parseInfo(d *decoder) (*info, error) {
	in := &info{}
	err := d.dict("info", func(key []byte) (err error) {
		switch string(key) {
		case "attr":
			in.attr, err = d.bytes("attr")
		case "files":
			in.hasFiles = true
			err = in.parseFiles(d)
		case "length":
			in.hasLength = true
			in.length, err = d.int("length")
		case "meta version":
			in.version, err = d.int("meta version")
		case "murder":
			err = in.parseExtras(d)
		case "name":
			in.name, err = d.bytes("name")
		case "piece length":
			in.pieceLength, err = d.int("piece length")
		case "pieces":
			in.pieces, err = d.bytes("pieces")
		case "private":
			var n int64
			n, err = d.int("private")
			in.private = n == 1
		case "sha1":
			in.sha1, err = d.bytes("sha1")
		default:
			err = d.skip()
		}
		return err
	})
	return in, err
}

// sampleFiles is how many files tell how many there are in all, by the bytes that they take of the torrent, so that the room for all others
// is made at once: copying a growing list again and again would take as long as reading it.
const sampleFiles = 1000

func (in *info) parseFiles(d *decoder) error {
	start := d.pos
	return d.list("files", func() error {
		switch n := len(in.files); n {
		case sampleFiles:
			in.files = slices.Grow(in.files, min(d.more(start, n), maxEntries-n))
		case maxEntries:
			return d.fail("it has more than %d files", maxEntries)
		}
		in.files = append(in.files, File{})
		if err := in.files[len(in.files)-1].parse(d); err != nil {
			return fmt.Errorf("file %d: %w", len(in.files), err)
		}
		return nil
	})
}

// parse reads a file's dictionary.
func (f *File) parse(d *decoder) error {
	var attr []byte
	var target string
	var links odd
	hasLength := false
	err := d.dict("the entry", func(key []byte) (err error) {
		switch string(key) {
		case "attr":
			attr, err = d.bytes("attr")
		case "hardlink":
			if !d.next('l') {
				return d.skip() // not ours
			}
			links.hardlink, err = d.path("hardlink")
		case "length":
			hasLength = true
			f.Length, err = d.int("length")
		case "link":
			links.symlink, err = d.text("link")
		case "path":
			f.Path, err = d.path("path")
		case "symlink path":
			target, err = d.path("symlink path")
		default:
			err = f.Meta.parse(d, key)
		}
		return err
	})
	if err != nil {
		return err
	}
	f.Meta.execute(attr)
	if slices.Contains(attr, 'l') && links.symlink == "" {
		if target == "" {
			return errors.New("it is a symbolic link without a target")
		}
		if links.symlink = relative(f.Path, target); len(links.symlink) > maxPath {
			return fmt.Errorf("its symlink path is longer than %d bytes", maxPath)
		}
	}
	pad := slices.Contains(attr, 'p')
	switch {
	case pad:
		f.odd = padding
	case links != (odd{}):
		f.odd = &odd{symlink: links.symlink, hardlink: links.hardlink}
	}
	switch {
	case pad && links.symlink != "":
		return fmt.Errorf("%s is a symbolic link and padding at once", show(f.Path))
	case f.Path == "":
		return errors.New("it has no path")
	case !hasLength && links.symlink == "":
		return fmt.Errorf("%s has no length", show(f.Path))
	}
	return nil
}

// relative is the text of a link at path that points to target, both given from the root as BEP 47 does.
func relative(path, target string) string {
	return strings.Repeat("../", strings.Count(path, "/")) + target
}

// parse reads murder's keys of a file or directory. A foreign value of the same name, not ours, is passed over.
func (m *Meta) parse(d *decoder, key []byte) error {
	number := d.next('i')
	switch {
	case number && string(key) == "mode":
		mode, err := d.int("mode")
		if m.HasMode = mode >= 0 && mode <= 0o7777; m.HasMode {
			m.Mode = uint16(mode)
		}
		return err
	case number && string(key) == "mtime":
		mtime, err := d.int("mtime")
		if m.HasTime = mtime > -maxTime && mtime < maxTime; m.HasTime {
			m.ModTime = mtime
		}
		return err
	case number && string(key) == "nsec":
		nsec, err := d.int("nsec")
		if nsec > 0 && nsec < 1e9 {
			m.ModNsec = int32(nsec)
		}
		return err
	default:
		return d.skip()
	}
}

// execute heeds BEP 47's attribute x, unless there is a mode.
func (m *Meta) execute(attr []byte) {
	if !m.HasMode && slices.Contains(attr, 'x') {
		m.Mode = 0o111
	}
}

// maxTime is beyond what any filesystem stores.
const maxTime = 1 << 40

// parseExtras reads info's murder dictionary: what BitTorrent cannot carry.
func (in *info) parseExtras(d *decoder) error {
	return d.dict("murder", func(key []byte) error {
		if string(key) != "dirs" {
			return in.root.parse(d, key)
		}
		return d.list("murder dirs", func() error {
			if len(in.dirs) == maxEntries {
				return d.fail("it has more than %d directories", maxEntries)
			}
			var dir Dir
			err := d.dict("the entry", func(key []byte) (err error) {
				if string(key) == "path" {
					dir.Path, err = d.path("path")
					return err
				}
				return dir.Meta.parse(d, key)
			})
			if err == nil && dir.Path == "" {
				err = errors.New("it has no path")
			}
			if err != nil {
				return fmt.Errorf("directory %d: %w", len(in.dirs)+1, err)
			}
			in.dirs = append(in.dirs, dir)
			return nil
		})
	})
}

// text reads a string that ends up in a system call or a URL, where NUL has no place.
func (d *decoder) text(what string) (string, error) {
	value, err := d.bytes(what)
	if err == nil && (len(value) > maxPath || slices.Contains(value, 0)) {
		err = d.fail("%s is longer than %d bytes or contains NUL", what, maxPath)
	}
	return string(value), err
}

// path reads a list of components and joins them.
func (d *decoder) path(what string) (string, error) {
	joined := d.joined[:0]
	err := d.list(what, func() error {
		name, err := d.bytes(what)
		if err != nil {
			return err
		}
		if fault := badName(name); fault != "" {
			return fmt.Errorf("the name %q in its %s %s", clip(name), what, fault)
		}
		if len(joined) > 0 {
			joined = append(joined, '/')
		}
		joined = append(joined, name...)
		if len(joined) > maxPath {
			return fmt.Errorf("its %s is longer than %d bytes", what, maxPath)
		}
		return nil
	})
	d.joined = joined
	return d.keep(joined), err
}
