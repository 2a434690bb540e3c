package artifact

import (
	"context"
	"io"
	"slices"
	"sync"
)

// Arrival is a store that pieces are written to as they are verified, in any order, and that can be read meanwhile: whoever reads
// waits for the pieces that are not there yet. It is safe for concurrent use.
type Arrival struct {
	*Store // for the swarm

	mu   sync.Mutex
	have []bool
	more *sync.Cond
}

// NewArrival is about a store that has some pieces already. It takes a copy of have.
func NewArrival(s *Store, have []bool) *Arrival {
	a := &Arrival{Store: s, have: slices.Clone(have)}
	a.more = sync.NewCond(&a.mu)
	return a
}

// WriteAt implements io.WriterAt for whole, verified pieces.
func (a *Arrival) WriteAt(p []byte, off int64) (int, error) {
	n, err := a.Store.WriteAt(p, off)
	if err != nil {
		return n, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.have[off/a.torrent.PieceLength] = true
	a.more.Broadcast()
	return n, nil
}

// Waiting reads the store and waits for what is missing, until ctx ends.
func (a *Arrival) Waiting(ctx context.Context) io.ReaderAt { return waiting{ctx, a} }

type waiting struct {
	ctx context.Context
	*Arrival
}

func (w waiting) ReadAt(p []byte, off int64) (int, error) {
	if off >= 0 && off < w.torrent.Size && len(p) > 0 {
		last := min(off+int64(len(p)), w.torrent.Size) - 1
		if err := w.wait(int(off/w.torrent.PieceLength), int(last/w.torrent.PieceLength)); err != nil {
			return 0, err
		}
	}
	return w.Store.ReadAt(p, off)
}

// wait waits for the pieces from first to last.
func (w waiting) wait(first, last int) error {
	stop := context.AfterFunc(w.ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.more.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := first; i <= last; i++ {
		for !w.have[i] {
			if err := context.Cause(w.ctx); err != nil {
				return err
			}
			w.more.Wait()
		}
	}
	return nil
}
