package swarm

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/artifact"
)

// option reads a socket's option.
func option(t *testing.T, nc net.Conn, level, name int) int {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	var failed error
	if err := raw.Control(func(fd uintptr) { value, failed = unix.GetsockoptInt(int(fd), level, name) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return value
}

// shaken has one swarm dial another, and returns both ends of the connection as dial and accepter leave them.
func shaken(t *testing.T, download int64) (dialed, accepted net.Conn) {
	t.Helper()
	var ends [2]*Swarm
	for i := range ends {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = &Swarm{
			cfg:     Config{Torrent: &artifact.Torrent{Infohash: [20]byte{1}}, Listener: ln, Log: slog.New(slog.DiscardHandler)},
			peerID:  [20]byte{byte(i)},
			joined:  make(chan *conn),
			dialled: make(chan dialResult),
		}
		ends[i].download = newThrottle(download)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ends[0].workers.Go(func() { ends[0].accepter(ctx) })
	ends[1].workers.Go(func() { ends[1].dial(ctx, netip.MustParseAddrPort(ends[0].cfg.Listener.Addr().String())) })
	var conns [2]net.Conn
	for i, s := range ends {
		select {
		case c := <-s.joined:
			conns[i] = c.nc
		case r := <-s.dialled:
			t.Fatalf("the connection failed: %v", r.err)
		case <-time.After(time.Minute):
			t.Fatal("the handshake takes more than a minute")
		}
	}
	t.Cleanup(func() {
		cancel()
		for i, s := range ends {
			_, _ = conns[i].Close(), s.cfg.Listener.Close()
			s.workers.Wait()
		}
	})
	return conns[1], conns[0]
}

// TestDeadPeersAreFoundOut: both ends of a connection have the kernel give up on a silent peer within ten seconds.
func TestDeadPeersAreFoundOut(t *testing.T) {
	dialed, accepted := shaken(t, 0)
	for name, nc := range map[string]net.Conn{"dialed": dialed, "accepted": accepted} {
		t.Run(name, func(t *testing.T) {
			unacknowledged := time.Duration(option(t, nc, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)) * time.Millisecond
			if unacknowledged != userTimeout {
				t.Errorf("data may go unacknowledged for %s, want %s", unacknowledged, userTimeout)
			}
			if option(t, nc, unix.SOL_SOCKET, unix.SO_KEEPALIVE) != 1 {
				t.Error("a silent connection is not probed")
			}
			idle, every := option(t, nc, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), option(t, nc, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
			// The kernel gives up at the first probe that is due after the user timeout, once one has been sent.
			seconds := idle + every
			for seconds < int(unacknowledged.Seconds()) {
				seconds += every
			}
			if seconds >= 10 {
				t.Errorf("probes after %d s, then every %d s: a dead peer is found out after %d s", idle, every, seconds)
			}
		})
	}
}

// TestLimitedDownloadsHaveSmallBuffers: what the kernel takes in while a limit forbids to read is little.
func TestLimitedDownloadsHaveSmallBuffers(t *testing.T) {
	free, _ := shaken(t, 0)
	limited, accepted := shaken(t, 1_250_000)
	const most = 1_250_000 / 10 // bytes: a tenth of a second, which the kernel counts with its own overhead
	for name, nc := range map[string]net.Conn{"dialed": limited, "accepted": accepted} {
		if got := option(t, nc, unix.SOL_SOCKET, unix.SO_RCVBUF); got > most {
			t.Errorf("the %s connection's buffer has %d bytes, want at most %d", name, got, most)
		}
	}
	if got := option(t, free, unix.SOL_SOCKET, unix.SO_RCVBUF); got <= most {
		t.Errorf("without a limit a connection's buffer has %d bytes, no more than with one", got)
	}
}

func TestBuffersFollowTheRoundTrip(t *testing.T) {
	th := newThrottle(10_000_000)
	near, far := th.window(time.Millisecond/5), th.window(50*time.Millisecond)
	if full := 500_000; far < full { // limit times round trip
		t.Errorf("%d bytes under way at 50 ms, which cannot fill the limit; want %d", far, full)
	}
	if near > far/5 {
		t.Errorf("%d bytes under way at 0.2 ms and %d at 50 ms", near, far)
	}
}

// TestLongLinksAreReadAtOnce: until a connection has settled, every byte is worth waking up for, whatever is to come.
func TestLongLinksAreReadAtOnce(t *testing.T) {
	from, to := connected(t)
	r := newReader(to)
	const total = 4 * settled
	go func() { _, _ = from.Write(make([]byte, total)) }()
	patient := false
	block := make([]byte, 256<<10)
	for got := 0; got < total; got += len(block) {
		if _, err := io.ReadFull(r, block); err != nil {
			t.Fatal(err)
		}
		lowat, early := option(t, to, unix.SOL_SOCKET, unix.SO_RCVLOWAT), got+len(block) < settled
		if early && lowat > 1 {
			t.Fatalf("after %d bytes it waits for %d more", got, lowat)
		}
		patient = patient || lowat > 1 // at the end of a block that is little, so not each time
	}
	if !patient {
		t.Errorf("after %d bytes it is still woken up for every byte", total)
	}
}

// TestUnreadBytesCountAgainstTheLimit: they have come over the link; and each of them counts once.
func TestUnreadBytesCountAgainstTheLimit(t *testing.T) {
	from, to := connected(t)
	const total, block = 32 << 10, 4 << 10
	if _, err := from.Write(make([]byte, total)); err != nil {
		t.Fatal(err)
	}
	// All of it is there when the last byte can be seen.
	raw, err := to.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Read(func(uintptr) bool { return queued(to) == total }); err != nil {
		t.Fatal(err)
	}
	in, limit := intake{nc: to}, newThrottle(1)
	var counted []int
	for range total / block {
		if _, err := io.ReadFull(to, make([]byte, block)); err != nil {
			t.Fatal(err)
		}
		counted = append(counted, in.more(limit, block))
	}
	if want := append([]int{total}, make([]int, total/block-1)...); !slices.Equal(counted, want) {
		t.Errorf("counted %d, want %d", counted, want)
	}
	if n := in.more(nil, block); n != block {
		t.Errorf("without a limit %d bytes count as %d", block, n)
	}
}
