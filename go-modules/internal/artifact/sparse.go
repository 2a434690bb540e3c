package artifact

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"hash"
	"io"

	"golang.org/x/sys/unix"
)

// holeSize is the unit, in bytes of a file, in which zeros are left out of it: the block of most filesystems.
const holeSize = 4 << 10

var zeros [64 << 10]byte

// zeroSums remembers the SHA-1 sums of zeros, by their number. It is for one goroutine.
type zeroSums map[int64][sha1.Size]byte

func (z zeroSums) sum(n int64) [sha1.Size]byte {
	sum, known := z[n]
	if !known {
		h := sha1.New()
		hashZeros(h, n)
		sum = [sha1.Size]byte(h.Sum(nil))
		z[n] = sum
	}
	return sum
}

// hashZeros adds n zeros to a hash.
func hashZeros(h hash.Hash, n int64) {
	for ; n > 0; n -= int64(len(zeros)) {
		h.Write(zeros[:min(n, int64(len(zeros)))])
	}
}

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

// writeSparse writes p at off, but makes holes of blocks of zeros, as cp --sparse=always does. The file must be long enough already.
func writeSparse(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		n, zero := run(p, off)
		var err error
		if zero {
			err = punch(fd, off, int64(n))
		} else {
			err = pwrite(fd, p[:n], off)
		}
		if err != nil {
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// writeData is writeSparse for a file in which nothing is yet at or behind off, so that blocks of zeros can be passed over. It returns
// the end of what it has written, 0 for nothing.
func writeData(fd int, p []byte, off int64) (end int64, err error) {
	for len(p) > 0 {
		n, zero := run(p, off)
		if !zero {
			if err := pwrite(fd, p[:n], off); err != nil {
				return end, err
			}
			end = off + int64(n)
		}
		p, off = p[n:], off+int64(n)
	}
	return end, nil
}

// run is how many bytes of p, which belong at off, are zeros or are not, in whole blocks as far as p goes.
func run(p []byte, off int64) (n int, zero bool) {
	for n < len(p) {
		block := min(len(p)-n, holeSize-int(off+int64(n))%holeSize)
		is := isZero(p[n : n+block])
		if n > 0 && is != zero {
			break
		}
		n, zero = n+block, is
	}
	return n, zero
}

// pwrite is pwrite(2) of all of p.
func pwrite(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, off)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// punch makes zeros of n bytes, and gives their blocks back where the filesystem can.
func punch(fd int, off, n int64) error {
	for {
		err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
			return writeZeros(fd, off, n)
		}
		return err
	}
}

func writeZeros(fd int, off, n int64) error {
	for end := off + n; off < end; off += int64(len(zeros)) {
		if err := pwrite(fd, zeros[:min(end-off, int64(len(zeros)))], off); err != nil {
			return err
		}
	}
	return nil
}

// makesHoles says whether punch gives blocks back on a filesystem. Of one that it does not know it says no: then zeros may take space.
func makesHoles(fs *unix.Statfs_t) bool {
	switch fs.Type {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// isHole says whether piece i is nothing but zeros, which FillHoles leaves out.
func (t *Torrent) isHole(i int, known zeroSums) bool {
	return t.PieceHash(i) == known.sum(t.PieceSize(i))
}

// FillHoles makes, in a store for writing, the pieces that are nothing but zeros, as their hashes tell, and notes them in
// have: nobody needs to send the holes of a sparse file. A full disk is ErrNoSpace.
func (s *Store) FillHoles(have []bool) error {
	known := zeroSums{}
	for i := range have {
		n := s.torrent.PieceSize(i)
		if have[i] || !s.torrent.isHole(i, known) {
			continue
		}
		for segment, err := range s.segments(int64(i)*s.torrent.PieceLength, n, true) {
			if err == nil && segment.File != nil {
				err = punch(int(segment.File.Fd()), segment.Offset, segment.Length)
			}
			if err != nil {
				return s.fail(err)
			}
		}
		have[i] = true
	}
	return nil
}
