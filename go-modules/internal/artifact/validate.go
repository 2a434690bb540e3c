package artifact

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

const (
	maxName = 255  // bytes of one component, the limit of every Linux filesystem
	maxPath = 4095 // bytes of a relative path or link target, the limit of the kernel (PATH_MAX)

	// The largest piece length in use elsewhere is above what Build makes.
	maxForeignPieceLength = 64 << 20
)

// badName says what is wrong with a name as one component of a path, "" when nothing is.
func badName(name []byte) string {
	switch {
	case len(name) == 0:
		return "is empty"
	case string(name) == "." || string(name) == "..":
		return "would lead out of its directory"
	case bytes.IndexByte(name, '/') >= 0:
		return `contains "/"`
	case bytes.IndexByte(name, 0) >= 0:
		return "contains NUL"
	case len(name) > maxName:
		return fmt.Sprintf("is longer than %d bytes", maxName)
	}
	return ""
}

// validate checks the whole info dictionary and completes t with it.
func (in *info) validate(t *Torrent) error {
	if fault := badName(in.name); fault != "" {
		return fmt.Errorf("its name %q %s", clip(in.name), fault)
	}
	switch {
	case in.version > 1 && in.pieces == nil:
		return errors.New("it is for BitTorrent v2 only (BEP 52); v1 and hybrid torrents can be used")
	case in.hasFiles && in.hasLength:
		return errors.New("it has both length and files")
	case !in.hasFiles && !in.hasLength:
		return errors.New("it has neither length nor files")
	case !in.hasFiles && len(in.dirs) > 0:
		return errors.New("it has directories but is a single file")
	}
	t.Name, t.PieceLength, t.Private, t.Single = string(in.name), in.pieceLength, in.private, in.hasLength
	t.Files = in.files
	if t.Single && len(in.sha1) == sha1.Size {
		t.whole = in.sha1
	}
	if t.Single {
		t.Files = []File{{Length: in.length, Meta: in.root}}
		t.Files[0].execute(in.attr)
	} else {
		t.Root = Dir{Meta: in.root}
	}
	if err := t.layOut(); err != nil {
		return err
	}
	if err := t.checkPieces(in.pieces); err != nil {
		return err
	}
	if t.Single {
		return nil
	}
	if err := t.checkTree(in.dirs); err != nil {
		return err
	}
	return t.checkHardlinks()
}

// layOut gives every file its offset in the stream.
func (t *Torrent) layOut() error {
	for i := range t.Files {
		file := &t.Files[i]
		switch {
		case file.Length < 0:
			return fmt.Errorf("%s has a negative length", t.label(file))
		case file.Length > math.MaxInt64-t.Size:
			return errors.New("its files are larger together than any disk")
		case file.Symlink() != "" && file.Length != 0:
			return fmt.Errorf("%s is a symbolic link but has a length", t.label(file))
		}
		file.Offset = t.Size
		t.Size += file.Length
	}
	return nil
}

// label names a file in messages.
func (t *Torrent) label(file *File) string {
	if t.Single {
		return show(t.Name)
	}
	return show(file.Path)
}

func (t *Torrent) checkPieces(pieces []byte) error {
	if t.PieceLength < MinPieceLength || t.PieceLength > maxForeignPieceLength {
		return fmt.Errorf("its piece length %d is not between %d and %d", t.PieceLength, MinPieceLength, maxForeignPieceLength)
	}
	if len(pieces)%sha1.Size != 0 {
		return fmt.Errorf("its pieces are %d bytes, not a multiple of %d", len(pieces), sha1.Size)
	}
	want := t.Size / t.PieceLength
	if t.Size%t.PieceLength != 0 {
		want++
	}
	if have := int64(len(pieces) / sha1.Size); have != want {
		return fmt.Errorf("it has %d piece hashes where %d bytes in pieces of %d need %d", have, t.Size, t.PieceLength, want)
	}
	t.hashes = pieces
	return nil
}

// comparePaths orders paths component by component, so that everything beneath a directory follows it directly.
func comparePaths(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		}
		return int(a[i]) - int(b[i])
	}
	return len(a) - len(b)
}

// beneath says whether path lies below dir.
func beneath(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}

// nodes are the paths of a tree while it is checked: those of its files, then those of the directories that it names.
type nodes struct {
	files []File
	dirs  []Dir
}

func (n *nodes) path(i int32) string {
	if dir := int(i) - len(n.files); dir >= 0 {
		return n.dirs[dir].Path
	}
	return n.files[i].Path
}

// sorted is the order of the paths. Most torrents are a few sorted stretches, such as the old files and the new ones, one after the
// other, which a stable sort brings together in a quarter of the time; of others it would make three times as much work.
func (n *nodes) sorted() []int32 {
	order := make([]int32, 0, len(n.files)+len(n.dirs))
	for i := range int32(cap(order)) {
		if int(i) >= len(n.files) || !n.files[i].Pad() {
			order = append(order, i)
		}
	}
	const few = 100
	byPath := func(a, b int32) int { return comparePaths(n.path(a), n.path(b)) }
	breaks := 0
	for i := 1; i < len(order); i++ {
		if byPath(order[i-1], order[i]) > 0 {
			breaks++
		}
	}
	if breaks < few {
		slices.SortStableFunc(order, byPath)
	} else {
		slices.SortFunc(order, byPath)
	}
	return order
}

// checkTree refuses paths that collide and completes Dirs with the directories that files only imply.
func (t *Torrent) checkTree(dirs []Dir) error {
	tree := nodes{t.Files, dirs}
	last, lastIsDir := "", true
	for _, i := range tree.sorted() {
		path, dir := tree.path(i), int(i)-len(t.Files)
		switch {
		case path == last:
			return fmt.Errorf("the path %s occurs twice", show(path))
		case !lastIsDir && beneath(path, last):
			return fmt.Errorf("%s lies below %s, which is not a directory", show(path), show(last))
		}
		for i := 0; ; i++ {
			next := strings.IndexByte(path[i:], '/')
			if next < 0 {
				break
			}
			i += next
			if above := path[:i]; above != last && !beneath(last, above) {
				t.Dirs = append(t.Dirs, Dir{Path: above})
			}
			if len(t.Dirs) > maxEntries {
				return fmt.Errorf("it has more than %d directories", maxEntries)
			}
		}
		if dir >= 0 {
			t.Dirs = append(t.Dirs, dirs[dir])
		}
		last, lastIsDir = path, dir >= 0
	}
	return nil
}
