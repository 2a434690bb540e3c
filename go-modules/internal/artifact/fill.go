package artifact

import (
	"crypto/sha1"
	"os"

	"golang.org/x/sys/unix"
)

// mostTries bounds how often a piece is hashed with another choice of files.
const mostTries = 8

// filler looks for pieces in local files, for one goroutine.
type filler struct {
	*reuse
	buffer []byte
	parts  []part
	file   *os.File // the one read last
	of     choice
}

// part is what one file holds of a piece.
type part struct {
	file    int   // its index in the torrent
	at      int64 // offset in the piece
	offset  int64 // in the file
	length  int64
	choices []choice
	taken   int // index of the choice that is in the buffer
}

// piece brings piece i into the staging, if it can be found.
func (f *filler) piece(i int) (bool, error) {
	if f.have[i] {
		return true, nil
	}
	if !f.find(i) {
		return false, nil
	}
	return true, f.keep(i)
}

// find brings piece i into the buffer: first with the likeliest choice for each file, then with others for one file at a time.
func (f *filler) find(i int) bool {
	if f.buffer == nil {
		f.buffer = make([]byte, f.torrent.PieceSize(0))
	}
	if !f.split(i) {
		return false
	}
	if f.right(i) {
		return true
	}
	tries := mostTries
	for k := range f.parts {
		p := &f.parts[k]
		likeliest := p.taken
		for next := likeliest + 1; next < len(p.choices) && tries > 0; next++ {
			if !f.read(p, next) {
				continue
			}
			if tries--; f.right(i) {
				f.prefer(p.file, p.choices[next])
				return true
			}
		}
		if p.taken != likeliest && !f.read(p, likeliest) {
			break
		}
	}
	return false
}

// split finds the parts of a piece and reads each from the first choice that has it. It returns false when one has none, or
// when there is no choice that was not tried before.
func (f *filler) split(i int) bool {
	off, n := int64(i)*f.torrent.PieceLength, f.torrent.PieceSize(i)
	clear(f.buffer[:n])
	f.parts = f.parts[:0]
	fresh := false
	for at, k := int64(0), f.torrent.fileAt(off); at < n; k++ {
		file := &f.torrent.Files[k]
		p := part{file: k, at: at, offset: off + at - file.Offset}
		if p.length = min(n-at, file.Length-p.offset); p.length == 0 {
			continue
		}
		at += p.length
		if file.Pad() {
			continue
		}
		var more bool
		if p.choices, more = f.choices(k); len(p.choices) == 0 {
			return false
		}
		fresh = fresh || more
		f.parts = append(f.parts, p)
	}
	for k := range f.parts {
		p := &f.parts[k]
		found := false
		for c := 0; c < len(p.choices) && !found && fresh; c++ {
			found = f.read(p, c)
		}
		if !found {
			return false
		}
	}
	return true
}

// read brings a choice of a part into the buffer, and says whether it was there.
func (f *filler) read(p *part, c int) bool {
	into := f.buffer[p.at : p.at+p.length]
	from := p.choices[c]
	if from.in == nil {
		if _, err := f.store.ReadAt(into, f.torrent.Files[p.file].Offset+p.offset); err != nil {
			return false
		}
		p.taken = c
		return true
	}
	if f.file == nil || f.of != from {
		f.close()
		file, _, err := from.in.root.file(from.path, unix.O_RDONLY)
		if err != nil {
			return false
		}
		f.file, f.of = file, from
	}
	if _, err := f.file.ReadAt(into, p.offset); err != nil {
		return false
	}
	p.taken = c
	return true
}

// right says whether the buffer holds piece i.
func (f *filler) right(i int) bool {
	return sha1.Sum(f.buffer[:f.torrent.PieceSize(i)]) == f.torrent.PieceHash(i)
}

// keep writes the verified buffer, apart from what was read from the staging itself.
func (f *filler) keep(i int) error {
	off := int64(i) * f.torrent.PieceLength
	for k := range f.parts {
		p := &f.parts[k]
		if p.choices[p.taken].in == nil {
			continue
		}
		if _, err := f.store.WriteAt(f.buffer[p.at:p.at+p.length], off+p.at); err != nil {
			return err
		}
	}
	return nil
}

func (f *filler) close() {
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}
