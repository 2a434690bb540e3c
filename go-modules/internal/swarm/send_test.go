package swarm

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
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
	for name, tt := range tests {
		for _, fresh := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, fresh %v", name, fresh), func(t *testing.T) {
				from, to := connected(t)
				sent := make(chan error, 1)
				go func() {
					err := sendFile(from, f, tt.off, tt.n, fresh)
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
