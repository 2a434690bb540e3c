// Package artifact turns a file or a directory tree into a torrent and a torrent back into the file or tree.
//
// It builds the metainfo (BEP 3, with the file attributes of BEP 47), parses and validates metainfo from strangers, maps the
// torrent's one stream of bytes onto files, verifies content by hashing, and puts a verified artifact in place
// atomically, with owner and mode. It knows nothing of the network.
//
// It may import the standard library, golang.org/x/sys/unix, anacrolix/torrent/bencode and package archive.
package artifact

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
)

const (
	// MinPieceLength and MaxPieceLength bound the piece length that Build accepts; both are powers of two, as it must be.
	MinPieceLength = 16 << 10
	MaxPieceLength = 16 << 20

	// MaxTorrentSize is the most bytes of metainfo that Load and Parse look at.
	MaxTorrentSize = 128 << 20
)

// Torrent is validated metainfo. It comes from Parse, Load or Build only and is not changed afterwards.
type Torrent struct {
	Announce    string   // announce URL, "" when the torrent names none
	Infohash    [20]byte // SHA-1 of the info dictionary as it stands in Raw
	Name        string   // suggested name of the file or directory: one path component
	PieceLength int64    // bytes of every piece but the last
	Size        int64    // bytes of the whole stream, padding included
	Single      bool     // one file, not a directory
	Private     bool     // BEP 27
	Root        Dir      // attributes of the directory itself when not Single; Path is ""
	Dirs        []Dir    // every directory beneath the root, parents before their children
	Files       []File   // in the order of the stream; exactly one when Single
	Raw         []byte   // the .torrent, as read or built

	hashes []byte // SHA-1 sums of the pieces, concatenated; a part of Raw
	whole  []byte // SHA-1 sum of a single file, empty when the torrent does not tell; a part of Raw
}

// DropRaw gives up Raw, which is the larger part of what a torrent of many files takes.
func (t *Torrent) DropRaw() {
	t.Raw, t.hashes, t.whole = nil, slices.Clone(t.hashes), slices.Clone(t.whole)
}

// ours says whether Build has made the torrent: nothing else tells the mode of the single file or of the root directory.
func (t *Torrent) ours() bool { return t.Root.HasMode || t.Single && t.Files[0].HasMode }

// Meta is what a torrent may carry about a file or directory beside its content.
type Meta struct {
	ModTime int64  // seconds since 1970, valid with HasTime
	ModNsec int32  // nanoseconds beside ModTime, 0 to 999,999,999
	Mode    uint16 // permission bits as chmod(2) takes them (07777) with HasMode; else 0111 for BEP 47's attribute x, or 0
	HasMode bool
	HasTime bool
	owner   *owner // that an archive names; torrents have none
}

// File is one entry of the stream: a regular file, a symlink (no bytes) or padding (BEP 47). There may be hundreds of thousands, so
// what few of them have lies elsewhere.
type File struct {
	Path   string // relative, components separated by "/"; "" when the torrent is Single
	Length int64  // bytes; those of a hard link are in the stream too, for clients that do not know it
	Offset int64  // of its first byte in the stream
	Meta
	odd *odd // nil of a regular file that is no hard link
}

// odd is what makes an entry another than a regular file with one name.
type odd struct {
	symlink, hardlink string
	special           uint32 // type (S_IFMT) of a device or named pipe, which only archives bring; else 0
	device            uint64 // and its number
}

// padding is what all padding has in common.
var padding = new(odd)

// Pad says whether the entry is padding (BEP 47): zeros in the stream, nothing on disk.
func (f *File) Pad() bool { return f.odd == padding }

// Dir is a directory of the tree.
type Dir struct {
	Path string // relative, components separated by "/"
	Meta
}

// NumPieces is the number of pieces, 0 for an artifact without bytes.
func (t *Torrent) NumPieces() int { return len(t.hashes) / sha1.Size }

// PieceSize is the number of bytes of piece i.
func (t *Torrent) PieceSize(i int) int64 {
	return min(t.PieceLength, t.Size-int64(i)*t.PieceLength)
}

// PieceHash is the SHA-1 sum of piece i.
func (t *Torrent) PieceHash(i int) [sha1.Size]byte {
	return [sha1.Size]byte(t.hashes[i*sha1.Size:])
}

// regular says whether the entry is a file on disk with bytes of its own or without any.
func (f *File) regular() bool { return !f.Pad() && f.Symlink() == "" && f.special() == 0 }

// Symlink is the literal target when the entry is a symlink, else "".
func (f *File) Symlink() string {
	if f.odd == nil {
		return ""
	}
	return f.odd.symlink
}

// Hardlink is the path of the regular file of the same length that this one is a hard link of, else "".
func (f *File) Hardlink() string {
	if f.odd == nil {
		return ""
	}
	return f.odd.hardlink
}

// special is the type (S_IFMT) of a device or named pipe, else 0.
func (f *File) special() uint32 {
	if f.odd == nil {
		return 0
	}
	return f.odd.special
}

// Checksum is the SHA-1 of a single file in hex, as the seeder has computed it; "" when the torrent does not tell.
func (t *Torrent) Checksum() string { return hex.EncodeToString(t.whole) }
