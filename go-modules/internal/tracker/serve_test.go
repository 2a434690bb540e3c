package tracker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"corvus.murder/internal/announce"
)

// start serves r on a port of its own until the test ends, and returns a client of it.
func start(t *testing.T, r *rig, token string) *announce.Client {
	t.Helper()
	ln, err := Listen(t.Context(), Config{Listen: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	c, err := announce.New(ln.Addr().String(), token, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServeEndsWithContext(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	r.mustDecide(t, peer(1, 0, announce.Started))
	ln, err := Listen(t.Context(), Config{Listen: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("told to stop"))
	if err := r.Serve(ctx, ln); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.logs.String(), "told to stop") {
		t.Errorf("log %q", r.logs)
	}
	if _, err := os.Stat(r.path(peersFile)); err != nil {
		t.Errorf("peers were not saved: %v", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

func TestServeEndsWhenIdle(t *testing.T) {
	r := registered(t, Config{IdleTimeout: time.Millisecond})
	r.now, r.period = time.Now, time.Millisecond
	ln, err := Listen(t.Context(), Config{Listen: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(t.Context(), ln); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.logs.String(), "no announce came for 1ms") {
		t.Errorf("log %q", r.logs)
	}
}

func TestServeFailsWithItsListener(t *testing.T) {
	r := registered(t, Config{})
	ln, err := Listen(t.Context(), Config{Listen: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "serve announces") {
		t.Errorf("error %v", err)
	}
}

// Housekeeping runs while the tracker serves: peers expire and are saved without any request.
func TestServeKeepsHouse(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	r.period = time.Millisecond
	r.mustDecide(t, peer(1, 0, announce.Started))
	start(t, r, "")
	r.clock.advance(time.Minute)
	eventually(t, "peers to expire and to be saved", func() bool {
		_, err := os.Stat(r.path(peersFile))
		return err == nil && r.swarm(t).Seeders == 0
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 s for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	r := registered(t, Config{})
	c := start(t, r, "")
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(c.URL(), "http://"), "/announce"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /announce?%s HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("x", 64<<10))
	}()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 431 ") {
		t.Errorf("answer %q, %v", line, err)
	}
}

func TestListenErrors(t *testing.T) {
	ln, err := Listen(t.Context(), Config{Listen: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	port := ln.Addr().(*net.TCPAddr).Port
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "127.0.0.1", Port: port}, fmt.Sprintf("Port %d on 127.0.0.1 is taken by another program; stop that or choose another port", port)},
		{Config{Listen: "192.0.2.1", Port: port}, "Address 192.0.2.1 does not belong to this host; choose one of its own or 0.0.0.0"},
		{Config{Listen: "127.0.0.1", Port: 70000}, "Tracker cannot listen on 127.0.0.1:70000"},
	} {
		if _, err := Listen(t.Context(), tt.cfg); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("Listen(%+v): %v, want %s", tt.cfg, err, tt.want)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	_, err := New(Config{Port: -1, IdleTimeout: -1, Expect: -1, Allow: []netip.Prefix{{}}}, slog.Default())
	for _, want := range []string{"Port is -1", "Idle timeout is -1ns", "Number of expected peers is -1", "Allowed network is not valid"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v lacks %q", err, want)
		}
	}
}
