package swarm_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"
	"golang.org/x/sys/unix"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/swarm"
	"corvus.murder/internal/testswarm"
)

const (
	largePieces = 128 << 10 // so that peers ask for more than a block at once
	large       = 32 << 10  // from so many bytes on, sendfile is cheaper
)

// kernel counts what sendfile(2) sends, and knows no sendfile once it has sent so much.
type kernel struct {
	until int64

	mu      sync.Mutex
	sent    int64
	refused int
	senders int // kinds of calls that sent something
}

func watch(t *testing.T, until int64) *kernel {
	k := &kernel{until: until}
	swarm.WatchSendfile(t, k.around)
	return k
}

func (k *kernel) around(send swarm.Sender) swarm.Sender {
	first := true
	return func(socket, file int, off *int64, n int) (int, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		left := k.until - k.sent
		if left == 0 {
			k.refused++
			return 0, unix.EINVAL
		}
		m, err := send(socket, file, off, int(min(int64(n), left)))
		if m > 0 {
			k.sent += int64(m)
			if first {
				k.senders++
			}
			first = false
		}
		return m, err
	}
}

// onDisk is a store of files that counts what the swarm reads by way of memory.
type onDisk struct {
	*artifact.Store
	path    string
	copied  atomic.Int64
	largest atomic.Int64 // of all that it reads at once
}

func (s *onDisk) ReadAt(b []byte, off int64) (int, error) {
	s.copied.Add(int64(len(b)))
	s.largest.Store(max(s.largest.Load(), int64(len(b))))
	return s.Store.ReadAt(b, off)
}

// place opens a store for a peer that has this content, or none.
func place(t *testing.T, torrent *artifact.Torrent, content []byte) *onDisk {
	t.Helper()
	path := filepath.Join(t.TempDir(), "artifact.bin")
	if content != nil {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store, err := artifact.OpenStore(torrent, path, content == nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &onDisk{Store: store, path: path}
}

func seedOnDisk(t *testing.T, torrent *artifact.Torrent, tr *testswarm.Tracker, store *onDisk) *testswarm.Peer {
	return testswarm.StartStored(t, swarm.Config{
		Torrent: torrent, Announcer: tr, Store: store, Seeder: true, Have: testswarm.All(torrent.NumPieces()),
	})
}

// TestLargeRangesAreSentByTheKernel asks for ranges around the size from which sendfile is cheaper.
func TestLargeRangesAreSentByTheKernel(t *testing.T) {
	k := watch(t, math.MaxInt64)
	torrent, data := testswarm.Torrent(t, 4*largePieces, largePieces)
	store := place(t, torrent, data)
	s := seedOnDisk(t, torrent, &testswarm.Tracker{}, store)
	nc, dec := welcome(t, s, torrent.Infohash)
	var sent, copied int64
	for _, length := range []int{1, 16 << 10, large - 1, large, large + 1, largePieces} {
		send(t, nc, request(2, largePieces-length, length))
		if m := read(t, dec, pp.Piece); !bytes.Equal(m.Piece, data[3*largePieces-length:][:length]) {
			t.Errorf("%d bytes came, and not those of the %d asked for", len(m.Piece), length)
		}
		if length >= large {
			sent += int64(length)
		} else {
			copied += int64(length)
		}
		k.mu.Lock()
		if got := store.copied.Load(); k.sent != sent || got != copied {
			t.Errorf("after a range of %d bytes sendfile sent %d and %d were copied, want %d and %d", length, k.sent, got, sent, copied)
		}
		k.mu.Unlock()
	}
}

// TestLargeRangesThatBeginWithinAPageDoNotWait asks for blocks of which the kernel sends the end after the rest, on a link
// whose packets are larger than what may wait there. It would keep each for 200 ms.
func TestLargeRangesThatBeginWithinAPageDoNotWait(t *testing.T) {
	const blocks, length, within = 64, 64 << 10, 2368
	torrent, data := testswarm.Torrent(t, 2*largePieces, largePieces)
	s := seedOnDisk(t, torrent, &testswarm.Tracker{}, place(t, torrent, data))
	nc, dec := welcome(t, s, torrent.Infohash)
	began := time.Now()
	for range blocks {
		send(t, nc, request(1, within, length))
		if m := read(t, dec, pp.Piece); !bytes.Equal(m.Piece, data[largePieces+within:][:length]) {
			t.Fatal("other bytes came than those asked for")
		}
	}
	if took := time.Since(began); took > blocks*100*time.Millisecond {
		t.Errorf("%d blocks took %v", blocks, took)
	}
}

// TestSwarmOnDiskSendsByTheKernel has peers with files, of which some feed others with what they have just written: once with
// sendfile, and once on a filesystem that knows it no more in the middle of a range.
func TestSwarmOnDiskSendsByTheKernel(t *testing.T) {
	const peers, size = 4, 4<<20 + 12345
	for name, until := range map[string]int64{"sendfile": math.MaxInt64, "sendfile until the middle": size + 7} {
		t.Run(name, func(t *testing.T) {
			k := watch(t, until)
			torrent, data := testswarm.Torrent(t, size, largePieces)
			tr := &testswarm.Tracker{Stripes: 2}
			stores := []*onDisk{place(t, torrent, data)}
			seedOnDisk(t, torrent, tr, stores[0])
			var running []*testswarm.Peer
			for range peers {
				store := place(t, torrent, nil)
				stores = append(stores, store)
				running = append(running, testswarm.StartStored(t, swarm.Config{Torrent: torrent, Announcer: tr, Store: store}))
			}
			for i, p := range running {
				p.Complete(t)
				if got, err := os.ReadFile(stores[i+1].path); err != nil || !bytes.Equal(got, data) {
					t.Errorf("peer %d holds other bytes than the seeder (%v)", i, err)
				}
				if damaged := p.Stats().BytesDamaged; damaged != 0 {
					t.Errorf("peer %d was sent %d damaged bytes", i, damaged)
				}
			}
			k.check(t, stores, peers*size)
		})
	}
}

// check fails unless all that came by way of memory was small, and all else by sendfile as long as there was one.
func (k *kernel) check(t *testing.T, stores []*onDisk, came int64) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	copied := int64(0)
	for i, store := range stores {
		copied += store.copied.Load()
		if got := store.largest.Load(); got >= large {
			t.Errorf("store %d was read %d bytes at once", i, got)
		}
	}
	t.Logf("%d bytes came: %d by sendfile, %d by small ranges", came, k.sent, copied)
	if k.until < came {
		if k.sent != k.until || k.refused == 0 {
			t.Errorf("sendfile sent %d bytes and was refused %d times, want %d bytes and then none", k.sent, k.refused, k.until)
		}
		return
	}
	if k.sent+copied < came || k.sent < came/2 {
		t.Errorf("of %d bytes %d came by sendfile and %d by small ranges", came, k.sent, copied)
	}
	if k.senders != 2 {
		t.Errorf("%d kinds of sendfile were used, want that for disks and that for what was just written", k.senders)
	}
}
