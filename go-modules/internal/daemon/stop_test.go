package daemon

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestStopWithForce(t *testing.T) {
	for name, prepare := range map[string]func(pid int) error{
		"deaf":   func(int) error { return nil },
		"frozen": func(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := instance(t)
			i.patience, i.force = 200*time.Millisecond, time.Second
			pid := start(t, i, work{Mode: "stubborn"})
			if err := prepare(pid); err != nil {
				t.Fatal(err)
			}
			if stopped, err := i.Stop(t.Context()); !stopped || err != nil {
				t.Errorf("stop: %v, %v", stopped, err)
			}
			absent(t, i.Dir())
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || !status.Signaled() {
				t.Errorf("it ended with %v, %v, want a signal", status, err)
			}
		})
	}
}

func TestStopKillsNobodyElse(t *testing.T) {
	i := instance(t)
	start(t, i, work{})
	kill(t, i, syscall.SIGKILL)
	// What a pid file would name now is this process.
	if err := os.WriteFile(filepath.Join(i.Dir(), "pid"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if stopped, err := i.Stop(t.Context()); stopped || err != nil {
		t.Errorf("stop: %v, %v", stopped, err)
	}
	absent(t, i.Dir())
}

func TestStopHonoursContext(t *testing.T) {
	i := instance(t)
	start(t, i, work{Mode: "stubborn"})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := i.Stop(ctx)
	says(t, err, "stop murder_peer in", "deadline exceeded")
}

func TestStopsRace(t *testing.T) {
	i := instance(t)
	start(t, i, work{})
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			if _, err := i.Stop(t.Context()); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
	}
	wait.Wait()
	absent(t, i.Dir())
}

func TestStopWhileStarting(t *testing.T) {
	i := instance(t)
	failed := make(chan error, 1)
	go func() { failed <- i.Start(t.Context(), work{Mode: "never"}, "") }()
	eventually(t, "the daemon to wait", func() bool { return exists(filepath.Join(i.Dir(), "waiting")) })
	if stopped, err := i.Stop(t.Context()); !stopped || err != nil {
		t.Errorf("stop: %v, %v", stopped, err)
	}
	says(t, <-failed, "did not start: it was stopped")
	absent(t, i.Dir())
}
