package artifact

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
)

// sampled is how many pieces of a large file are looked at to tell whether an older one has anything in common with it. Of an archive
// that was compressed anew nothing is the same, and to read and hash the older one until the end would only hold up the download. If a share f of the
// pieces is the same, wherever they are, none of them is among those looked at with a probability of at most (1-f)^64, so that at most
// 0.6 % of the file comes over the network for nothing, on the average. Of a stretch of two parts of 64 one is always looked at.
const sampled = 64

// worthSampling is how many pieces a file must have for that; of smaller ones it would save little.
const worthSampling = 4 * sampled

// sample is some pieces of one file, none of which it shares with another.
type sample struct {
	pieces []int
	first  int // of all its pieces, and the one after the last
	end    int
	common atomic.Bool // one of them was found
}

// unlike finds the pieces that are not worth looking for: of large files that have nothing in common with what they would be taken from.
func (r *reuse) unlike(ctx context.Context) ([]bool, error) {
	var samples []*sample
	for i := range r.torrent.Files {
		if s := r.sample(&r.torrent.Files[i]); s != nil {
			samples = append(samples, s)
		}
	}
	n := len(samples) * sampled
	if n == 0 {
		return nil, nil
	}
	err := inParallel(n, hashers(0, n, r.torrent.PieceLength), func() (func(i int) error, func()) {
		f := &filler{reuse: r}
		return func(i int) error {
			if s := samples[i/sampled]; !s.common.Load() && f.find(s.pieces[i%sampled]) {
				s.common.Store(true)
			}
			return ctx.Err()
		}, f.close
	})
	skip := make([]bool, r.torrent.NumPieces())
	for _, s := range samples {
		for i := s.first; i < s.end && !s.common.Load(); i++ {
			skip[i] = true
		}
	}
	return skip, err
}

// sample draws pieces of a file, one from each of as many parts of those that are missing; nil when they are few.
func (r *reuse) sample(file *File) *sample {
	s := &sample{}
	s.first, s.end = r.torrent.own(file)
	if !file.regular() || s.end-s.first < worthSampling {
		return nil
	}
	var missing []int
	for i := s.first; i < s.end; i++ {
		if !r.have[i] {
			missing = append(missing, i)
		}
	}
	if len(missing) < worthSampling {
		return nil
	}
	for k := range sampled {
		from, to := k*len(missing)/sampled, (k+1)*len(missing)/sampled
		s.pieces = append(s.pieces, missing[from+rand.IntN(to-from)])
	}
	return s
}

// own are the pieces that a file shares with no other: the first, and the one after the last.
func (t *Torrent) own(file *File) (first, end int) {
	return int((file.Offset + t.PieceLength - 1) / t.PieceLength), int((file.Offset + file.Length) / t.PieceLength)
}

// skips says whether a piece is not worth looking for.
func (r *reuse) skips(i int) bool { return r.skip != nil && r.skip[i] }

// skipsAll says the same of all pieces of a file.
func (r *reuse) skipsAll(file *File) bool {
	first, end := r.torrent.own(file)
	return first < end && r.skips(first)
}
