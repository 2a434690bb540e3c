package artifact

import (
	"slices"
	"strconv"
	"strings"

	"github.com/anacrolix/torrent/bencode"
)

// The dictionaries of metainfo as they are written. Keys of our own stand beside those of BEP 3 and BEP 47; clients that
// do not know them pass them over.
type (
	singleInfo struct {
		Attr        string `bencode:"attr,omitempty"`
		Length      int64  `bencode:"length"`
		Murder      extras `bencode:"murder"`
		Name        string `bencode:"name"`
		PieceLength int64  `bencode:"piece length"`
		Pieces      []byte `bencode:"pieces"`
		Private     int    `bencode:"private"`
		SHA1        []byte `bencode:"sha1"` // of the whole file, so that no peer has to read it once more to tell
	}
	treeInfo struct { // but for the files, which come first; see appendFiles
		Murder      extras `bencode:"murder"`
		Name        string `bencode:"name"`
		PieceLength int64  `bencode:"piece length"`
		Pieces      []byte `bencode:"pieces"`
		Private     int    `bencode:"private"`
	}
	extras struct {
		Dirs  []dirEntry `bencode:"dirs,omitempty"`
		Mode  uint32     `bencode:"mode"` // of the single file or of the root directory
		MTime int64      `bencode:"mtime"`
		Nsec  int64      `bencode:"nsec,omitempty"`
	}
	dirEntry struct {
		Mode  uint32   `bencode:"mode"`
		MTime int64    `bencode:"mtime"`
		Nsec  int64    `bencode:"nsec,omitempty"`
		Path  []string `bencode:"path"`
	}
)

// encode writes the metainfo of a source.
func (s *snapshot) encode(name string, o *BuildOptions, pieces, whole []byte) ([]byte, error) {
	source, murder := s.entry(0), extras{}
	murder.Mode, murder.MTime, murder.Nsec = source.meta()
	b := []byte{'d'}
	if o.Announce != "" {
		b = appendString(appendString(b, "announce"), o.Announce)
	}
	b = appendString(b, "info")
	if !source.dir() {
		info, err := bencode.Marshal(singleInfo{
			Attr: executable(source.mode), Length: source.size, Murder: murder,
			Name: name, PieceLength: o.PieceLength, Pieces: pieces, Private: 1, SHA1: whole,
		})
		return append(append(b, info...), 'e'), err
	}
	b, murder.Dirs = s.appendFiles(append(b, 'd'))
	rest, err := bencode.Marshal(treeInfo{
		Murder: murder, Name: name, PieceLength: o.PieceLength, Pieces: pieces, Private: 1,
	})
	return append(append(b, rest[1:]...), 'e'), err
}

// appendFiles adds the list of files, and returns the directories.
func (s *snapshot) appendFiles(b []byte) ([]byte, []dirEntry) {
	var dirs []dirEntry
	b = append(appendString(b, "files"), 'l')
	for i := range s.order[1:] {
		if i == sampleFiles {
			b = slices.Grow(b, len(s.order)/sampleFiles*len(b)) // see parseFiles
		}
		e := s.entry(1 + i)
		if !e.dir() {
			b = appendFile(b, e)
			continue
		}
		dir := dirEntry{Path: strings.Split(e.path, "/")}
		dir.Mode, dir.MTime, dir.Nsec = e.meta()
		dirs = append(dirs, dir)
	}
	return append(b, 'e'), dirs
}

// appendFile adds a file's dictionary. There may be hundreds of thousands, so it is written by hand.
func appendFile(b []byte, e *entry) []byte {
	mode, mtime, nsec := e.meta()
	attr, target := executable(mode), []string(nil)
	if e.symlink() {
		attr = ""
		if target = fromRoot(e.path, e.link); target != nil {
			attr = "l"
		}
	}
	b = append(b, 'd')
	if attr != "" {
		b = appendString(appendString(b, "attr"), attr)
	}
	if e.regular() && e.link != "" { // the bytes are there too
		b = appendStrings(appendString(b, "hardlink"), strings.Split(e.link, "/"))
	}
	b = appendInt(appendString(b, "length"), e.bytes())
	if e.symlink() { // literal target: BEP 47 has no absolute ones and none outside
		b = appendString(appendString(b, "link"), e.link)
	} else {
		b = appendInt(appendString(b, "mode"), int64(mode))
	}
	b = appendInt(appendString(b, "mtime"), mtime)
	if nsec != 0 {
		b = appendInt(appendString(b, "nsec"), nsec)
	}
	b = appendStrings(appendString(b, "path"), strings.Split(e.path, "/"))
	if target != nil {
		b = appendStrings(appendString(b, "symlink path"), target)
	}
	return append(b, 'e')
}

func appendString(b []byte, s string) []byte {
	return append(append(strconv.AppendInt(b, int64(len(s)), 10), ':'), s...)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, 'l')
	for _, s := range list {
		b = appendString(b, s)
	}
	return append(b, 'e')
}

func appendInt(b []byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, 'i'), n, 10), 'e')
}

func executable(mode uint32) string {
	if mode&0o111 != 0 {
		return "x"
	}
	return ""
}

// fromRoot gives the target of the link at path as BEP 47 wants it, from the root; nil when it cannot be said so.
func fromRoot(path, link string) []string {
	if strings.HasPrefix(link, "/") {
		return nil
	}
	components := strings.Split(path, "/")
	components = components[:len(components)-1]
	for part := range strings.SplitSeq(link, "/") {
		switch part {
		case "", ".":
		case "..":
			if len(components) == 0 {
				return nil
			}
			components = components[:len(components)-1]
		default:
			components = append(components, part)
		}
	}
	if len(components) == 0 {
		return nil
	}
	return components
}
