package artifact

import (
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"io/fs"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Verify hashes every piece that r holds and says which ones are right. Pieces that are missing, or cut short, are not; an
// error is only what keeps existing bytes from being read. Workers bounds the goroutines, 0 means one for each processor.
func Verify(ctx context.Context, t *Torrent, r io.ReaderAt, workers int) (have []bool, err error) {
	have = make([]bool, t.NumPieces())
	err = eachPiece(ctx, t, r, workers, func(i int, ok bool) bool {
		have[i] = ok
		return true
	})
	if err != nil {
		return nil, err
	}
	return have, nil
}

// verifyAll says whether every piece is right, and stops at the first that is not.
func verifyAll(ctx context.Context, t *Torrent, r io.ReaderAt) (bool, error) {
	var wrong atomic.Bool
	err := eachPiece(ctx, t, r, 0, func(_ int, ok bool) bool {
		if !ok {
			wrong.Store(true)
		}
		return ok
	})
	return err == nil && !wrong.Load(), err
}

// eachPiece hashes the pieces, in order but several at once, and calls report for each until that returns false.
func eachPiece(ctx context.Context, t *Torrent, r io.ReaderAt, workers int, report func(i int, ok bool) bool) error {
	return inParallel(t.NumPieces(), hashers(workers, t.NumPieces(), t.PieceLength), func() (func(i int) error, func()) {
		v := verifier{torrent: t, reader: r, zeros: zeroSums{}}
		work := func(i int) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			ok, err := v.piece(i)
			if err == nil && !report(i, ok) {
				err = errEnough
			}
			return err
		}
		return work, func() {}
	})
}

// verifier is one worker's buffer and memory.
type verifier struct {
	torrent *Torrent
	reader  io.ReaderAt
	buffer  []byte
	zeros   zeroSums
}

func (v *verifier) piece(i int) (bool, error) {
	off, n := int64(i)*v.torrent.PieceLength, v.torrent.PieceSize(i)
	if store, ok := v.reader.(*Store); ok {
		hole, err := store.hole(off, n)
		if hole || err != nil {
			return hole && v.zeros.sum(n) == v.torrent.PieceHash(i), ignoreMissing(err)
		}
	}
	if v.buffer == nil {
		v.buffer = make([]byte, v.torrent.PieceSize(0))
	}
	read, err := v.reader.ReadAt(v.buffer[:n], off)
	if int64(read) < n {
		return false, ignoreMissing(err)
	}
	return sha1.Sum(v.buffer[:n]) == v.torrent.PieceHash(i), nil
}

// ignoreMissing drops errors that say that the bytes are not there, or that something else is in their place.
func ignoreMissing(err error) error {
	for _, missing := range []error{
		fs.ErrNotExist, io.EOF, io.ErrUnexpectedEOF, errNotRegular, unix.ELOOP, unix.ENOTDIR, unix.EISDIR, unix.ENXIO,
	} {
		if errors.Is(err, missing) {
			return nil
		}
	}
	return err
}

// hole says whether n bytes from off are nothing but holes in sparse files, which need not be read: after a restart most of
// a big artifact may be.
func (s *Store) hole(off, n int64) (bool, error) {
	for segment, err := range s.Segments(off, n) {
		if err != nil {
			return false, err
		}
		if segment.File == nil {
			continue
		}
		stat, err := segment.File.Stat()
		if err != nil || stat.Size() < segment.Offset+segment.Length {
			return false, err
		}
		data, err := unix.Seek(int(segment.File.Fd()), segment.Offset, unix.SEEK_DATA)
		if !errors.Is(err, unix.ENXIO) && (err != nil || data < segment.Offset+segment.Length) {
			return false, nil // data, or a filesystem that cannot tell
		}
	}
	return true, nil
}
