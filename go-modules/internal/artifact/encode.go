package artifact

import (
	"strconv"
	"strings"

	"github.com/anacrolix/torrent/bencode"
	"golang.org/x/sys/unix"
)

// The dictionaries of metainfo as they are written. Keys of our own stand beside those of BEP 3 and BEP 47; clients that
// do not know them pass them over.
type (
	torrentFile struct {
		Announce string        `bencode:"announce,omitempty"`
		Info     bencode.Bytes `bencode:"info"`
	}
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
	treeInfo struct {
		Files       bencode.Bytes `bencode:"files"` // see appendFile
		Murder      extras        `bencode:"murder"`
		Name        string        `bencode:"name"`
		PieceLength int64         `bencode:"piece length"`
		Pieces      []byte        `bencode:"pieces"`
		Private     int           `bencode:"private"`
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

// encode writes the metainfo of a source. The first entry is the source itself.
func encode(name string, entries []entry, o BuildOptions, pieces, whole []byte) ([]byte, error) {
	var info any
	source := entries[0]
	murder := extras{}
	murder.Mode, murder.MTime, murder.Nsec = source.meta()
	if !source.dir() {
		info = singleInfo{
			Attr: executable(source.mode), Length: source.size, Murder: murder,
			Name: name, PieceLength: o.PieceLength, Pieces: pieces, Private: 1, SHA1: whole,
		}
	} else {
		files := []byte{'l'}
		for i := range entries[1:] {
			e := &entries[1+i]
			if !e.dir() {
				files = appendFile(files, e)
				continue
			}
			dir := dirEntry{Path: strings.Split(e.path, "/")}
			dir.Mode, dir.MTime, dir.Nsec = e.meta()
			murder.Dirs = append(murder.Dirs, dir)
		}
		info = treeInfo{
			Files: append(files, 'e'), Murder: murder,
			Name: name, PieceLength: o.PieceLength, Pieces: pieces, Private: 1,
		}
	}
	raw, err := bencode.Marshal(info)
	if err != nil {
		return nil, err
	}
	return bencode.Marshal(torrentFile{Announce: o.Announce, Info: raw})
}

// appendFile adds a file's dictionary. There may be hundreds of thousands, so it is written by hand.
func appendFile(b []byte, e *entry) []byte {
	mode, mtime, nsec := e.meta()
	symlink := e.mode&unix.S_IFMT == unix.S_IFLNK
	attr, target := executable(mode), []string(nil)
	if symlink {
		attr = ""
		if target = fromRoot(e.path, e.link); target != nil {
			attr = "l"
		}
	}
	b = append(b, 'd')
	if attr != "" {
		b = appendString(appendString(b, "attr"), attr)
	}
	if e.hardlink != "" { // the bytes are there too
		b = appendStrings(appendString(b, "hardlink"), strings.Split(e.hardlink, "/"))
	}
	b = appendInt(appendString(b, "length"), e.bytes())
	if symlink { // literal target: BEP 47 has no absolute ones and none outside
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
