package daemon

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

// late starts a daemon that has its lock and no socket before serve is called.
func late(t *testing.T) (i *Instance, serve func()) {
	t.Helper()
	i = instance(t)
	if _, err := makeDir(i.dir); err != nil {
		t.Fatal(err)
	}
	late := exec.Command(os.Args[0], "late", i.dir)
	stdin, err := late.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := late.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = late.Process.Kill(), late.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the late daemon said %q, %v", line, err)
	}
	return i, func() { _ = stdin.Close() }
}

// TestConfigOfOneThatDoesNotServeYet: a daemon that has its lock but no socket is waited for.
func TestConfigOfOneThatDoesNotServeYet(t *testing.T) {
	i, serve := late(t)
	var w work
	if err := i.ask(t.Context(), http.MethodGet, "/config", nil, &w); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("without a socket: %v", err)
	}
	began, got := make(chan struct{}), make(chan error)
	go func() {
		close(began)
		got <- i.Config(t.Context(), &w)
	}()
	<-began
	serve()
	if err := <-got; err != nil || w.Name != "late" {
		t.Errorf("configuration %+v, %v", w, err)
	}
}

// TestConfigOfOneThatNeverServes: the bound of the wait does not hide what was waited for.
func TestConfigOfOneThatNeverServes(t *testing.T) {
	i, _ := late(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*pollEvery)
	defer cancel()
	if err := i.Config(ctx, new(work)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("the error is %v", err)
	}
}

// TestQuestionToOneThatEnds: a daemon that ends between a connection and the answer is none any more.
func TestQuestionToOneThatEnds(t *testing.T) {
	for name, unread := range map[string]bool{"reset": true, "end of file": false} {
		t.Run(name, func(t *testing.T) {
			i := instance(t)
			if _, err := makeDir(i.dir); err != nil {
				t.Fatal(err)
			}
			listener, err := listen(i.dir)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			answer := make(chan error)
			go func() { answer <- i.Status(t.Context(), nil) }()
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			request := bufio.NewReaderSize(conn, 16)
			if unread { // what the question has beyond is lost, which the kernel tells who asked
				_, err = request.ReadByte()
			} else {
				_, err = http.ReadRequest(request)
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.Close()
			if err := <-answer; !errors.Is(err, ErrNotRunning) {
				t.Errorf("the answer is %v", err)
			}
		})
	}
}
