package artifact

import (
	"context"
	"crypto/sha1"
	"fmt"
	"io"
	"math/bits"
	"path/filepath"
	"runtime"
	"sync"
)

// BuildOptions say how Build makes a torrent. The zero value is good.
type BuildOptions struct {
	PieceLength int64    // bytes, a power of two from MinPieceLength to MaxPieceLength; 0 chooses by size
	Exclude     []string // patterns of names or paths to leave out of a tree
	Announce    string   // announce URL
	Workers     int      // goroutines that hash; 0 means one for each processor
	SkipSpecial bool     // leave out pipes, sockets and devices, instead of refusing a tree that holds any
}

// Build hashes the file or directory src, reading it once, and returns its torrent. The same content, names and
// attributes give the same infohash. Errors name the file; ErrChanged says that src changed meanwhile.
func Build(ctx context.Context, src string, o BuildOptions) (*Torrent, *Source, error) {
	if err := checkPatterns(o.Exclude); err != nil {
		return nil, nil, err
	}
	if err := checkPieceLength(o.PieceLength); err != nil {
		return nil, nil, err
	}
	path, stat, err := openSource(src)
	if err != nil {
		return nil, nil, err
	}
	reader, err := newReader(ctx, path, &stat, &o)
	if err != nil {
		return nil, nil, err
	}
	defer reader.close()
	if o.PieceLength == 0 {
		o.PieceLength = pieceLength(reader.size())
	}
	pieces, err := hashPieces(ctx, reader, o.PieceLength, o.Workers)
	if err != nil {
		return nil, nil, err
	}
	if err := reader.unchanged(ctx, &o); err != nil {
		return nil, nil, err
	}
	raw, err := encode(name(path), reader.entries, o, pieces, reader.whole.Sum(nil))
	if err != nil {
		return nil, nil, fmt.Errorf("encode torrent: %w", err)
	}
	t, err := Parse(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("read own torrent: %w", err)
	}
	source := &Source{Root: path, Skipped: reader.skipped, torrent: t}
	for _, e := range reader.entries {
		if !e.dir() {
			source.stamps = append(source.stamps, e.stamp)
		}
	}
	return t, source, nil
}

func name(path string) string {
	if base := filepath.Base(path); base != "/" {
		return base
	}
	return "root"
}

func checkPieceLength(n int64) error {
	if n != 0 && (n < MinPieceLength || n > MaxPieceLength || bits.OnesCount64(uint64(n)) != 1) {
		return fault(nil, "Piece size %d is not a power of two from %d (16 KiB) to %d (16 MiB)", n, MinPieceLength, MaxPieceLength)
	}
	return nil
}

// pieceLength chooses about 2048 pieces: few enough to keep metainfo small, enough to pass on early.
func pieceLength(size int64) int64 {
	const smallest, largest, pieces = 64 << 10, 4 << 20, 2048
	length := int64(smallest)
	for length < largest && length*2 <= size/pieces {
		length *= 2
	}
	return length
}

// hashPieces returns the SHA-1 sums of all pieces. One goroutine (the caller's) reads, workers hash.
func hashPieces(ctx context.Context, r *reader, pieceLength int64, workers int) ([]byte, error) {
	size := r.size()
	count := int((size + pieceLength - 1) / pieceLength)
	sums := make([]byte, count*sha1.Size)
	workers = hashers(workers, count, pieceLength)
	type piece struct {
		index int
		data  []byte
	}
	jobs := make(chan piece)
	free := make(chan []byte, workers+1)
	for range workers + 1 {
		free <- nil
	}
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for job := range jobs {
				sum := sha1.Sum(job.data)
				copy(sums[job.index*sha1.Size:], sum[:])
				free <- job.data
			}
		})
	}
	defer group.Wait()
	defer close(jobs)
	known := zeroSums{}
	for i := range count {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n := min(pieceLength, size-int64(i)*pieceLength)
		if hole, err := r.skip(n); err != nil {
			return nil, err
		} else if hole {
			sum := known.sum(n)
			copy(sums[i*sha1.Size:], sum[:])
			continue
		}
		buffer := <-free
		if buffer == nil {
			buffer = make([]byte, min(size, pieceLength))
		}
		buffer = buffer[:n]
		if _, err := io.ReadFull(r, buffer); err != nil {
			return nil, err
		}
		jobs <- piece{i, buffer}
	}
	return sums, nil
}

// hashers bounds the number of workers so that their piece buffers stay within memory that does not grow with the artifact.
func hashers(wanted, pieces int, pieceLength int64) int {
	const memory = 32 << 20
	if wanted <= 0 {
		wanted = runtime.GOMAXPROCS(0)
	}
	return max(1, min(wanted, pieces, int(memory/pieceLength)-1))
}
