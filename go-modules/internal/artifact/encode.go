package artifact

import (
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
		Files       []fileEntry `bencode:"files"`
		Murder      extras      `bencode:"murder"`
		Name        string      `bencode:"name"`
		PieceLength int64       `bencode:"piece length"`
		Pieces      []byte      `bencode:"pieces"`
		Private     int         `bencode:"private"`
	}
	fileEntry struct {
		Attr        string   `bencode:"attr,omitempty"`
		Hardlink    []string `bencode:"hardlink,omitempty"` // path of the same file; the bytes are there too
		Length      int64    `bencode:"length"`
		Link        string   `bencode:"link,omitempty"` // literal target: BEP 47 has no absolute ones and none outside
		Mode        *uint32  `bencode:"mode,omitempty"`
		MTime       int64    `bencode:"mtime"`
		Nsec        int64    `bencode:"nsec,omitempty"` // of mtime
		Path        []string `bencode:"path"`
		SymlinkPath []string `bencode:"symlink path,omitempty"`
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
		files := make([]fileEntry, 0, len(entries))
		for i := range entries[1:] {
			e := &entries[1+i]
			if !e.dir() {
				files = append(files, encodeFile(e))
				continue
			}
			dir := dirEntry{Path: strings.Split(e.path, "/")}
			dir.Mode, dir.MTime, dir.Nsec = e.meta()
			murder.Dirs = append(murder.Dirs, dir)
		}
		info = treeInfo{
			Files: files, Murder: murder,
			Name: name, PieceLength: o.PieceLength, Pieces: pieces, Private: 1,
		}
	}
	raw, err := bencode.Marshal(info)
	if err != nil {
		return nil, err
	}
	return bencode.Marshal(torrentFile{Announce: o.Announce, Info: raw})
}

func encodeFile(e *entry) fileEntry {
	mode, mtime, nsec := e.meta()
	file := fileEntry{Path: strings.Split(e.path, "/"), MTime: mtime, Nsec: nsec}
	if e.mode&unix.S_IFMT == unix.S_IFLNK {
		file.Link = e.link
		if target := fromRoot(e.path, e.link); target != nil {
			file.Attr, file.SymlinkPath = "l", target
		}
		return file
	}
	file.Length, file.Mode, file.Attr = e.size, &mode, executable(mode)
	if e.hardlink != "" {
		file.Hardlink = strings.Split(e.hardlink, "/")
	}
	return file
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
