package artifact

import (
	"context"
	"crypto/sha1"
	"errors"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// hash returns the SHA-1 sums of all pieces, and the one of a single file as a whole. Workers bounds the goroutines; 0 means one for
// each processor.
func (s *snapshot) hash(ctx context.Context, pieceLength int64, workers int) (pieces, whole []byte, err error) {
	count := int((s.size + pieceLength - 1) / pieceLength)
	pieces = make([]byte, count*sha1.Size)
	sum, turns := sha1.New(), newOrdered()
	err = inParallel(count, hashers(workers, count, pieceLength), func() (func(i int) error, func()) {
		h := hasher{snapshot: s, reader: newReader(s), zeros: zeroSums{}}
		work := func(i int) error {
			off := int64(i) * pieceLength
			n := min(pieceLength, s.size-off)
			err := ctx.Err()
			if err == nil {
				err = h.read(off, n)
			}
			if err == nil {
				piece := h.sum(n)
				copy(pieces[i*sha1.Size:], piece[:])
			}
			if s.root == nil {
				turns.take(i, err == nil, func() { h.addTo(sum, n) })
			}
			return err
		}
		return work, h.reader.close
	})
	return pieces, sum.Sum(nil), err
}

// hasher is what one goroutine needs to hash pieces.
type hasher struct {
	*snapshot
	reader *reader
	buffer []byte
	hole   bool // the piece is part of a hole, and buffer not valid
	zeros  zeroSums
}

func (h *hasher) read(off, n int64) error {
	if err := h.reader.seek(off); err != nil {
		return err
	}
	if h.hole = h.reader.skip(n); h.hole {
		return nil
	}
	if h.buffer == nil {
		h.buffer = make([]byte, n) // no piece is longer than the first that it gets
	}
	_, err := io.ReadFull(h.reader, h.buffer[:n])
	return err
}

func (h *hasher) sum(n int64) [sha1.Size]byte {
	if h.hole {
		return h.zeros.sum(n)
	}
	return sha1.Sum(h.buffer[:n])
}

func (h *hasher) addTo(whole hash.Hash, n int64) {
	if h.hole {
		hashZeros(whole, n)
		return
	}
	whole.Write(h.buffer[:n])
}

// ordered lets several goroutines do something one after the other, each piece in its turn.
type ordered struct {
	mu     sync.Mutex
	turn   *sync.Cond
	next   int
	failed bool
}

func newOrdered() *ordered {
	o := &ordered{}
	o.turn = sync.NewCond(&o.mu)
	return o
}

// take waits for the turn of piece i. Once one was not ok nobody waits any more, and nothing is done.
func (o *ordered) take(i int, ok bool, do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.turn.Broadcast()
	if !ok {
		o.failed = true
	}
	for o.next != i && !o.failed {
		o.turn.Wait()
	}
	if !o.failed {
		do()
		o.next++
	}
}

// errEnough ends inParallel early without an error.
var errEnough = errors.New("enough is known")

// inParallel calls work for the numbers below count, in order but several at once, until it returns an error. Each of the workers has a work
// function of its own, and one that is called when it is done.
func inParallel(count, workers int, newWorker func() (work func(i int) error, done func())) error {
	var next atomic.Int64
	var once sync.Once
	var failure error
	var group sync.WaitGroup
	run := func() {
		work, done := newWorker()
		defer done()
		for i := next.Add(1) - 1; i < int64(count); i = next.Add(1) - 1 {
			if err := work(int(i)); err != nil {
				once.Do(func() { failure = err })
				next.Store(int64(count))
			}
		}
	}
	for range workers - 1 {
		group.Go(run)
	}
	run() // also by the caller, who may be the only one
	group.Wait()
	if errors.Is(failure, errEnough) {
		return nil
	}
	return failure
}

// hashers bounds the number of workers so that their piece buffers stay within memory that does not grow with the artifact.
func hashers(wanted, pieces int, pieceLength int64) int {
	const memory = 32 << 20
	return max(1, min(processors(wanted), pieces, int(memory/pieceLength)-1))
}

// processors is the number of workers, one for each processor unless some are asked for.
func processors(wanted int) int {
	if wanted <= 0 {
		return runtime.NumCPU()
	}
	return wanted
}
