// Package testswarm builds swarms inside one test process and injects faults into them. Only tests
// import it. It may import swarm and what swarm imports.
package testswarm

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/swarm"
)

// Patience bounds every wait of a test; it is long because test machines are busy.
const Patience = 60 * time.Second

// Torrent makes a torrent of one file with size random bytes.
func Torrent(t testing.TB, size, pieceLength int) (*artifact.Torrent, []byte) {
	t.Helper()
	data := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	src := filepath.Join(t.TempDir(), "artifact.bin")
	if err := os.WriteFile(src, data, 0o600); err != nil {
		t.Fatal(err)
	}
	torrent, _, err := artifact.Build(context.Background(), src,
		artifact.BuildOptions{PieceLength: int64(pieceLength), Announce: "http://127.0.0.1:8998/announce", Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	return torrent, data
}

// Memory is a store in memory with faults.
type Memory struct {
	mu    sync.Mutex
	data  []byte
	reads int
	// Writing is called before every write, several at the same time.
	Writing func()
	// WriteErr fails every write.
	WriteErr error
	// Lie flips a bit in everything that is read, as a peer with broken memory does.
	Lie bool
}

// NewMemory returns a store of size zero bytes, or of data.
func NewMemory(size int, data []byte) *Memory {
	m := &Memory{data: make([]byte, size)}
	copy(m.data, data)
	return m
}

// ReadAt is io.ReaderAt's.
func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	n := copy(p, m.data[off:])
	if m.Lie {
		p[0] ^= 1
	}
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// WriteAt is io.WriterAt's.
func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	if m.Writing != nil {
		m.Writing()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.WriteErr != nil {
		return 0, m.WriteErr
	}
	return copy(m.data[off:], p), nil
}

// Reads counts the calls of ReadAt.
func (m *Memory) Reads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

// Bytes returns a copy of the content.
func (m *Memory) Bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]byte(nil), m.data...)
}

// Tracker is an announcer for all peers of one torrent in this process.
type Tracker struct {
	mu    sync.Mutex
	peers map[netip.AddrPort]int64 // what each has left
	ranks map[netip.AddrPort]int
	// Stripes lays so many trees over the swarm.
	Stripes int
	// Err, if set, answers every announce.
	Err error
	// Silent lets every announce wait for its end.
	Silent bool
}

// URL is swarm.Announcer's.
func (tr *Tracker) URL() string { return "http://tracker.test/announce" }

// Announce is swarm.Announcer's.
func (tr *Tracker) Announce(ctx context.Context, r announce.Request) (announce.Response, error) {
	if tr.Silent {
		<-ctx.Done()
		return announce.Response{}, ctx.Err()
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.Err != nil {
		return announce.Response{}, tr.Err
	}
	me := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(r.Port))
	resp := announce.Response{Interval: time.Second, MinInterval: 100 * time.Millisecond}
	if tr.peers == nil {
		tr.peers, tr.ranks = make(map[netip.AddrPort]int64), make(map[netip.AddrPort]int)
	}
	if r.Event == announce.Stopped {
		delete(tr.peers, me)
		return resp, nil
	}
	tr.peers[me] = r.Left
	if _, ranked := tr.ranks[me]; !ranked && r.Left > 0 {
		tr.ranks[me] = len(tr.ranks)
	}
	if resp.Stripes, resp.Rank, resp.Size = tr.Stripes, announce.NoRank, len(tr.ranks); r.Left > 0 {
		resp.Rank = tr.ranks[me]
	}
	for addr, left := range tr.peers {
		if addr != me {
			resp.Peers = append(resp.Peers, addr)
		}
		if left == 0 {
			resp.Complete++
		} else {
			resp.Incomplete++
		}
	}
	return resp, nil
}

// Peers counts those that are announced.
func (tr *Tracker) Peers() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return len(tr.peers)
}

// Peer is one running swarm.
type Peer struct {
	*swarm.Swarm
	Store *Memory // nil if it has a store of another kind
	Addr  string
	stop  context.CancelFunc
	ended chan struct{}
	err   error
}

// Start runs a peer with a store in memory. It ends with the test.
func Start(t testing.TB, cfg swarm.Config, store *Memory) *Peer {
	t.Helper()
	cfg.Store = store
	p := StartStored(t, cfg)
	p.Store = store
	return p
}

// StartStored runs a peer with any store; its configuration is completed where it is silent. It ends with the test.
func StartStored(t testing.TB, cfg swarm.Config) *Peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listener = ln
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := swarm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Peer{Swarm: s, Addr: ln.Addr().String(), stop: stop, ended: make(chan struct{})}
	go func() {
		p.err = s.Run(ctx)
		close(p.ended)
	}()
	t.Cleanup(func() { _ = p.Stop() })
	return p
}

// All returns a have list of n pieces.
func All(n int) []bool {
	have := make([]bool, n)
	for i := range have {
		have[i] = true
	}
	return have
}

// Stop ends the peer and returns what Run returned.
func (p *Peer) Stop() error {
	p.stop()
	return p.Wait()
}

// Wait returns what Run returned.
func (p *Peer) Wait() error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(Patience):
		return errors.New("the swarm did not end in time")
	}
}

// Complete waits until the peer has everything.
func (p *Peer) Complete(t testing.TB) {
	t.Helper()
	select {
	case <-p.Done():
	case <-p.ended:
		t.Fatalf("the swarm ended before it was complete: %v", p.err)
	case <-time.After(Patience):
		t.Fatalf("not complete in %s: %+v", Patience, p.Stats())
	}
}

// Eventually polls until ok returns true.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("did not happen in %s: %s", Patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
