package swarm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// connected returns two ends of a TCP connection on loopback.
func connected(t *testing.T) (a, b *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	dialed, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = dialed.Close(), accepted.Close() })
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

type sender = func(socket, file int, off *int64, n int) (int, error)

// failing sends no more than the given number of bytes, and then fails as a filesystem without sendfile(2) does.
func failing(after int, errno error) sender {
	return func(socket, file int, off *int64, n int) (int, error) {
		if after == 0 {
			return 0, errno
		}
		m, err := unix.Sendfile(socket, file, off, min(n, after))
		after -= max(m, 0)
		return m, err
	}
}

func TestSendFile(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	tests := map[string]struct {
		off, n  int64
		wantErr bool
	}{
		"all":            {0, int64(len(data)), false},
		"the middle":     {12345, 600_001, false},
		"nothing":        {5, 0, false},
		"past the end":   {int64(len(data)) - 10, 20, true},
		"the last bytes": {int64(len(data)) - 10, 10, false},
	}
	senders := map[string]func() sender{
		"sendfile":               func() sender { return unix.Sendfile },
		"sendDirect":             func() sender { return sendDirect },
		"not on this filesystem": func() sender { return failing(0, unix.EINVAL) },
		"not in this kernel":     func() sender { return failing(0, unix.ENOSYS) },
		"only the first bytes":   func() sender { return failing(7, unix.EINVAL) },
		"only the first part":    func() sender { return failing(300_001, unix.EINVAL) },
	}
	for name, tt := range tests {
		for how, send := range senders {
			t.Run(fmt.Sprintf("%s, %s", name, how), func(t *testing.T) {
				from, to := connected(t)
				sent := make(chan error, 1)
				go func() {
					err := sendFile(from, f, tt.off, tt.n, send())
					_ = from.CloseWrite()
					sent <- err
				}()
				got, err := io.ReadAll(to)
				if err != nil {
					t.Fatal(err)
				}
				if err := <-sent; (err != nil) != tt.wantErr {
					t.Fatalf("sendFile returned %v", err)
				}
				if want := data[tt.off:min(int64(len(data)), tt.off+tt.n)]; !bytes.Equal(got, want) {
					t.Errorf("%d bytes came, want %d", len(got), len(want))
				}
			})
		}
	}
}

// TestSendFileFails: what a copy by hand would not cure is not tried again.
func TestSendFileFails(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	from, _ := connected(t)
	if err := sendFile(from, f, 0, 1, failing(0, unix.EIO)); !errors.Is(err, unix.EIO) {
		t.Errorf("sendFile returned %v, want %v", err, unix.EIO)
	}
}

// TestHeadWaitsForItsBlock: what is flushed with more to follow is sent together with that, and by itself if nothing follows.
func TestHeadWaitsForItsBlock(t *testing.T) {
	near, far := connected(t)
	w := newBlockWriter(near)
	read := func() string {
		b := make([]byte, 100)
		n, err := far.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	_, _ = w.WriteString("head ")
	if err := w.flushMore(); err != nil {
		t.Fatal(err)
	}
	_, _ = w.WriteString("and block")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "head and block" {
		t.Errorf("%q came at once", got)
	}
	_, _ = w.WriteString("only head")
	if err := w.flushMore(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "only head" {
		t.Errorf("%q came", got)
	}
}
