package swarm_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"corvus.murder/internal/swarm"
	"corvus.murder/internal/testswarm"
)

// TestPiecesAreVerifiedFromMemory: a peer that serves nobody never reads what it has written.
func TestPiecesAreVerifiedFromMemory(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 64*pieceLength+777, pieceLength)
	tr := &testswarm.Tracker{}
	s, p := seed(t, torrent, tr, data), leech(t, torrent, tr)
	p.Complete(t)
	if n := s.Store.Reads(); n == 0 {
		t.Error("reads are not counted")
	}
	if n := p.Store.Reads(); n > 0 {
		t.Errorf("the peer read %d times what it had written", n)
	}
}

// TestPiecesAreVerifiedAtOnce: as many as there are processors.
func TestPiecesAreVerifiedAtOnce(t *testing.T) {
	processors := runtime.NumCPU()
	torrent, data := testswarm.Torrent(t, (processors+1)*pieceLength, pieceLength)
	tr := &testswarm.Tracker{}
	seed(t, torrent, tr, data)
	var writing atomic.Int64
	all := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(all) })
	defer goOn()
	store := testswarm.NewMemory(len(data), nil)
	store.Writing = func() {
		writing.Add(1)
		<-all
	}
	p := testswarm.Start(t, swarm.Config{Torrent: torrent, Announcer: tr}, store)
	testswarm.Eventually(t, "every processor has verified a piece and writes it", func() bool {
		return writing.Load() == int64(processors)
	})
	goOn()
	p.Complete(t)
}
