package artifact

import (
	"context"
	"fmt"
	"math/bits"
	"path/filepath"
	"runtime/debug"
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
	raw, source, err := readSource(ctx, src, &o)
	if err != nil {
		return nil, nil, err
	}
	giveBack()
	if source.torrent, err = Parse(raw); err != nil {
		return nil, nil, fmt.Errorf("read own torrent: %w", err)
	}
	return source.torrent, source, nil
}

// readSource hashes a source and makes its metainfo. All else that it knew is gone when it returns.
func readSource(ctx context.Context, src string, o *BuildOptions) (raw []byte, source *Source, err error) {
	path, stat, err := openSource(src)
	if err != nil {
		return nil, nil, err
	}
	found, err := take(ctx, path, &stat, o)
	if err != nil {
		return nil, nil, err
	}
	defer found.close()
	if o.PieceLength == 0 {
		o.PieceLength = pieceLength(found.size)
	}
	pieces, whole, err := found.hash(ctx, o.PieceLength, o.Workers)
	if err != nil {
		return nil, nil, err
	}
	giveBack()
	if err := found.unchanged(ctx, o); err != nil {
		return nil, nil, err
	}
	giveBack()
	if raw, err = found.encode(name(path), o, pieces, whole); err != nil {
		return nil, nil, fmt.Errorf("encode torrent: %w", err)
	}
	source = &Source{Root: path, Skipped: found.skipped, stamps: make([]byte, 0, stampSize*len(found.entries))}
	for i := range found.order {
		if e := found.entry(i); !e.dir() {
			source.add(e.stamp)
		}
	}
	return raw, source, nil
}

// giveBack returns to the system what the step of Build before has left: for hundreds of thousands of files each step takes as much as
// the others.
func giveBack() { debug.FreeOSMemory() }

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

// pieceLength chooses about 2048 pieces: few enough to keep metainfo small, enough to pass on early. Larger artifacts have more pieces and
// not larger ones: of what a peer may have open, each stripe needs several, or fast links wait while one is verified.
func pieceLength(size int64) int64 {
	const smallest, largest, pieces = 64 << 10, 2 << 20, 2048
	length := int64(smallest)
	for length < largest && length*2 <= size/pieces {
		length *= 2
	}
	return length
}
