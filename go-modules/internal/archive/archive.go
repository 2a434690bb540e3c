// Package archive reads tar, tar.gz, tar.zst and zip archives of strangers, entry by entry.
//
// It writes nothing: what it hands out are names, kinds, attributes and bytes. But it hands out nothing that would lead out
// of the directory that the entries are made in: no absolute names, no "..", nothing beneath a symbolic link, no hard
// link to what the archive itself has not brought before. Every directory comes before what is in it.
//
// It may import the standard library and klauspost/compress/zstd, and no internal package.
package archive

import (
	"errors"
	"fmt"
	"io"
)

// Kind is what an entry becomes.
type Kind uint8

// The kinds of entries.
const (
	File Kind = iota
	Directory
	Symlink
	Hardlink
	NamedPipe
	CharacterDevice
	BlockDevice
)

// String names the kind for messages.
func (k Kind) String() string {
	return [...]string{"file", "directory", "symbolic link", "hard link", "named pipe", "character device", "block device"}[k]
}

// Entry is one file, directory or link.
type Entry struct {
	Path  string // relative, its components separated by one "/", none of them "." or ".."; "" is the directory of all
	Kind  Kind
	Link  string // literal target of a Symlink; Path of an earlier entry for a Hardlink
	Size  int64  // bytes of a File
	Mode  uint32 // permission bits as chmod(2) takes them (07777), valid with HasMode
	MTime int64  // seconds since 1970, valid with HasTime

	// A tar archive says who owned a file, by number and mostly also by name. With zip HasOwner is false.
	UID, GID     int
	User, Group  string
	Major, Minor uint32 // of a device

	HasMode, HasTime, HasOwner bool

	// Again marks a path that has come before: the new entry replaces the old one. Both are directories, or neither is.
	Again bool
}

// ErrArchive is the kind of every failure that the archive itself is to blame for.
var ErrArchive = errors.New("archive cannot be unpacked")

// Error is a failure whose text may be shown to the user as it stands.
type Error struct{ Msg string }

func (e *Error) Error() string { return e.Msg }

// Unwrap says that the archive is to blame.
func (e *Error) Unwrap() error { return ErrArchive }

// Reader reads one archive. It is for one goroutine.
type Reader struct {
	name    string
	source  *source
	format  format
	tree    tree
	waiting []Entry // implied directories and what they are for
	last    string  // path of the last entry, for messages
}

// format is what tar and zip have in common. Paths and links come as they stand in the archive.
type format interface {
	// next gives the next entry, io.EOF after the last.
	next() (Entry, error)
	// Read reads the content of the last entry.
	io.Reader
	// unique says that no path may come twice.
	unique() bool
	close()
}

// Open finds out by its first bytes what the archive called name is. R may wait for bytes that are not there yet: tar archives are
// read from their beginning to their end, of a zip archive the end is read first.
func Open(name string, r io.ReaderAt, size int64) (*Reader, error) {
	a := &Reader{name: name, source: &source{r: r}, tree: tree{}}
	var err error
	if a.format, err = detect(a.source, size); err != nil {
		return nil, a.blame(err)
	}
	return a, nil
}

// Next gives the next entry, io.EOF after the last. Errors of the archive name it and the entry, and are ErrArchive.
func (a *Reader) Next() (Entry, error) {
	for len(a.waiting) == 0 {
		e, err := a.format.next()
		if errors.Is(err, io.EOF) {
			return Entry{}, io.EOF
		} else if err != nil {
			return Entry{}, a.blame(err)
		}
		if a.waiting, err = a.tree.admit(e, a.format.unique()); err != nil {
			return Entry{}, a.blame(err)
		}
	}
	e := a.waiting[0]
	a.waiting = a.waiting[1:]
	a.last = e.Path
	return e, nil
}

// Read reads the content of the last entry, which is a File.
func (a *Reader) Read(p []byte) (int, error) {
	n, err := a.format.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = a.blame(err)
	}
	return n, err
}

// Close frees what reading takes.
func (a *Reader) Close() {
	a.format.close()
}

// fault is what is wrong with an archive, in words that follow its name.
type fault string

func (f fault) Error() string { return string(f) }

// blame makes a message of what went wrong, unless it was not the archive's fault.
func (a *Reader) blame(err error) error {
	if a.source.err != nil {
		return a.source.err
	}
	var known fault
	if errors.As(err, &known) {
		return &Error{fmt.Sprintf("Archive %s %s", a.name, known)}
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	where := "at its beginning"
	if a.last != "" {
		where = fmt.Sprintf("at or after %q", a.last)
	}
	return &Error{fmt.Sprintf("Archive %s is damaged %s (%v); pack it again", a.name, where, err)}
}

// source remembers why the bytes could not be had, which the readers above it may garble.
type source struct {
	r   io.ReaderAt
	err error
}

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	n, err := s.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
