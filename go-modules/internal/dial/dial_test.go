package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// conn notes that it was closed.
type conn struct {
	net.Conn
	closed bool
}

func (c *conn) Close() error {
	c.closed = true
	return nil
}

// attempt is what becomes of an attempt: nothing until it is given up, or an answer after some time.
type attempt struct {
	lost  bool
	after time.Duration
	err   error
	deaf  bool // its answer comes although it was given up
}

// TestOtherFamily connects to an address of the other family than the local one, which it cannot come from.
func TestOtherFamily(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, local := range []string{"::1", "127.0.0.1"} {
		nc, err := TCP(t.Context(), netip.MustParseAddr(local), ln.Addr().String())
		if err != nil {
			t.Errorf("from %s: %v", local, err)
			continue
		}
		_ = nc.Close()
	}
}

func TestFirstAnswerCounts(t *testing.T) {
	refused := errors.New("refused")
	for name, tt := range map[string]struct {
		attempts []attempt
		chosen   int // which attempt's answer is returned
		took     time.Duration
		err      error
	}{
		"answered at once":        {attempts: []attempt{{after: time.Millisecond}}, took: time.Millisecond},
		"refused at once":         {attempts: []attempt{{after: time.Millisecond, err: refused}}, took: time.Millisecond, err: refused},
		"far away":                {attempts: []attempt{{after: 300 * time.Millisecond}, {after: 300 * time.Millisecond}}, took: 300 * time.Millisecond},
		"the first is lost":       {attempts: []attempt{{lost: true}, {after: time.Millisecond}}, chosen: 1, took: patience + time.Millisecond},
		"two are lost":            {attempts: []attempt{{lost: true}, {lost: true}, {after: time.Millisecond}}, chosen: 2, took: 2*patience + time.Millisecond},
		"refused after a loss":    {attempts: []attempt{{lost: true}, {after: 0, err: refused}}, took: patience, err: refused},
		"another comes, too late": {attempts: []attempt{{after: 400 * time.Millisecond, deaf: true}, {after: time.Millisecond}}, chosen: 1, took: 400 * time.Millisecond},
		"nobody answers":          {attempts: []attempt{{lost: true}, {lost: true}, {lost: true}}, took: timeout, err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := make([]*conn, len(tt.attempts))
				for i := range conns {
					conns[i] = &conn{}
				}
				var begun atomic.Int32
				start := time.Now()
				nc, err := first(t.Context(), func(ctx context.Context) (net.Conn, error) {
					nth := int(begun.Add(1)) - 1
					if nth >= len(conns) {
						t.Errorf("attempt %d began after %v", nth+1, time.Since(start))
						return nil, ctx.Err()
					}
					a, c := tt.attempts[nth], conns[nth]
					if a.lost {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					if a.deaf {
						ctx = context.WithoutCancel(ctx)
					}
					select {
					case <-time.After(a.after):
					case <-ctx.Done():
						return nil, ctx.Err()
					}
					if a.err != nil {
						return nil, a.err
					}
					return c, nil
				})
				if n := int(begun.Load()); n != len(conns) {
					t.Errorf("%d attempts began, want %d", n, len(conns))
				}
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if !errors.Is(err, tt.err) {
					t.Errorf("error is %v, want %v", err, tt.err)
				}
				if err != nil {
					return
				}
				for i, c := range conns {
					if chosen := i == tt.chosen; chosen != (nc == c) || chosen == c.closed && (chosen || tt.attempts[i].deaf) {
						t.Errorf("of %d attempts, number %d: returned %v, closed %v", len(conns), i+1, nc == c, c.closed)
					}
				}
			})
		})
	}
}

func TestGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if nc, err := TCP(ctx, netip.Addr{}, "127.0.0.1:1"); err == nil {
		_ = nc.Close()
		t.Error("connected although it was given up")
	}
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if _, err := TCP(t.Context(), netip.Addr{}, addr); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error is %v, want that of a refused connection", err)
	}
}

func TestFromAnAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	local := netip.MustParseAddr("127.0.0.9")
	nc, err := TCP(t.Context(), local, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nc.Close() }()
	if from := nc.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); from != local {
		t.Errorf("connected from %v, want %v", from, local)
	}
}
