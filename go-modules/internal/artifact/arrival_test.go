package artifact

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"

	"pgregory.net/rapid"
)

// arriving is a store for a file of size bytes that is still empty, and the file's content.
func arriving(t *testing.T, size int) (*Torrent, *Arrival, []byte) {
	top := t.TempDir()
	data := []byte(content(size))
	must(t, os.WriteFile(top+"/src", data, 0o644))
	torrent, _ := build(t, top+"/src")
	store, err := OpenStore(torrent, top+"/dest", true)
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	return torrent, NewArrival(store, make([]bool, torrent.NumPieces())), data
}

func TestArrivalInAnyOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 10*MinPieceLength).Draw(rt, "size")
		torrent, a, data := arriving(t, size)
		order := rapid.Permutation(indices(torrent.NumPieces())).Draw(rt, "order")
		buffer := rapid.SampledFrom([]int{512, 32 << 10, 100_000}).Draw(rt, "buffer")
		read := make(chan error, 1)
		go func() {
			var got bytes.Buffer
			_, err := io.CopyBuffer(&got, struct{ io.Reader }{io.NewSectionReader(a.Waiting(t.Context()), 0, torrent.Size)}, make([]byte, buffer))
			if err == nil && !bytes.Equal(got.Bytes(), data) {
				err = errors.New("other bytes were read than came")
			}
			read <- err
		}()
		for _, i := range order {
			off := int64(i) * torrent.PieceLength
			_, err := a.WriteAt(data[off:off+torrent.PieceSize(i)], off)
			must(t, err)
		}
		must(t, <-read)
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestArrivalThatIsGivenUp(t *testing.T) {
	torrent, a, data := arriving(t, 3*MinPieceLength)
	_, err := a.WriteAt(data[:torrent.PieceLength], 0)
	must(t, err)
	why := errors.New("nobody sends it")
	ctx, cancel := context.WithCancelCause(t.Context())
	read := make(chan error, 1)
	go func() {
		first := make([]byte, torrent.PieceLength)
		if n, err := a.Waiting(ctx).ReadAt(first, 0); err != nil || !bytes.Equal(first, data[:n]) {
			read <- errors.New("what has come cannot be read")
			return
		}
		cancel(why) // the piece that comes next will never come
		_, err := a.Waiting(ctx).ReadAt(first, 1)
		read <- err
	}()
	if err := <-read; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if _, err := a.Waiting(t.Context()).ReadAt(make([]byte, 10), torrent.Size); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}
