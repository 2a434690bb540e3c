package artifact

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkDeploy takes an artifact through everything but the network, as one file and as 200,000 of 4 KiB:
// build, the writes of all pieces into the staging, and place. It reports the seconds of each part.
//
//	TMPDIR=/dev/shm go test -run '^$' -bench Deploy -benchtime 3x ./internal/artifact
func BenchmarkDeploy(b *testing.B) {
	const files, length = 200_000, 4 << 10
	b.Run("file", func(b *testing.B) {
		src := filepath.Join(b.TempDir(), "src")
		file, err := os.Create(src)
		must(b, err)
		for range files {
			_, err := file.Write(noise(length))
			must(b, err)
		}
		must(b, file.Close())
		benchmarkDeploy(b, src)
	})
	b.Run("tree", func(b *testing.B) {
		src := filepath.Join(b.TempDir(), "src")
		for i := range files {
			dir := filepath.Join(src, fmt.Sprintf("%03d", i/1000), strconv.Itoa(i/100%10))
			if i%100 == 0 {
				must(b, os.MkdirAll(dir, 0o755))
			}
			must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("file-%06d.dat", i)), noise(length), 0o644))
		}
		benchmarkDeploy(b, src)
	})
}

// noise returns bytes that do not compress, the same for the same length.
func noise(length int) []byte {
	data := make([]byte, length)
	source := rand.NewChaCha8([32]byte{})
	_, _ = source.Read(data)
	return data
}

func benchmarkDeploy(b *testing.B, src string) {
	var building, staging, placing time.Duration
	dest := src + ".dest"
	for b.Loop() {
		began := time.Now()
		torrent, _, err := Build(b.Context(), src, BuildOptions{})
		must(b, err)
		building += time.Since(began)

		began = time.Now()
		p, err := NewPlan(torrent, PlaceOptions{Dest: dest})
		must(b, err)
		store, _, err := p.OpenStaging(b.Context())
		must(b, err)
		must(b, writePieces(torrent, store))
		staging += time.Since(began)

		began = time.Now()
		must(b, p.Place(context.Background()))
		placing += time.Since(began)
		must(b, store.Close())

		b.StopTimer()
		must(b, os.RemoveAll(dest))
		b.SetBytes(torrent.Size)
		b.StartTimer()
	}
	for name, spent := range map[string]time.Duration{"build": building, "stage": staging, "place": placing} {
		b.ReportMetric(spent.Seconds()/float64(b.N), name+"-s/op")
	}
}

// writePieces writes every piece once, from as many goroutines as a swarm has for that.
func writePieces(t *Torrent, store *Store) error {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, runtime.GOMAXPROCS(0))
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			data := noise(int(t.PieceLength))
			for i := next.Add(1) - 1; i < int64(t.NumPieces()); i = next.Add(1) - 1 {
				if _, err := store.WriteAt(data[:t.PieceSize(int(i))], i*t.PieceLength); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}
