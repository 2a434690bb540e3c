package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestTell(t *testing.T) {
	i := instance(t)
	says(t, i.Tell(t.Context(), "hello", nil), "is not running")
	start(t, i, work{Mode: "slow end"})
	var size int
	if err := i.Tell(t.Context(), "hello", &size); err != nil || size != len(`"hello"`) {
		t.Fatalf("it answered %d, %v", size, err)
	}
	// What has ended itself in its answer is told nothing more, though its process is still there.
	if err := i.Tell(t.Context(), "end", &size); err != nil {
		t.Fatal(err)
	}
	if err := i.Tell(t.Context(), "hello", &size); !errors.Is(err, ErrNotRunning) || !alive(t, i) {
		t.Errorf("it was told something when it was about to end: %v", err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(i.Dir()), "may end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
}

// TestTellOneThatDoesNotHeedYet waits until it does.
func TestTellOneThatDoesNotHeedYet(t *testing.T) {
	i := instance(t)
	started := make(chan error, 1)
	go func() { started <- i.Start(t.Context(), work{Mode: "gate"}, "") }()
	eventually(t, "the daemon to serve", func() bool { return i.Config(t.Context(), new(work)) == nil })
	told := make(chan error, 1)
	go func() { told <- i.Tell(t.Context(), "hello", nil) }()
	select {
	case err := <-told:
		t.Fatalf("it answered before it could: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if err := os.WriteFile(filepath.Join(i.Dir(), "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-started, <-told); err != nil {
		t.Error(err)
	}
}

// TestStopLeavesTheSuccessor: between the look at who runs and the stop, one daemon has ended and another one started.
func TestStopLeavesTheSuccessor(t *testing.T) {
	i := instance(t)
	old := start(t, i, work{})
	kill(t, i, syscall.SIGKILL)
	successor := start(t, i, work{})
	if stopped, err := i.StopProcess(t.Context(), old, true); !stopped || err != nil {
		t.Errorf("stop: %v, %v", stopped, err)
	}
	if pid := pidOf(t, i); pid != successor {
		t.Errorf("%d runs, want %d", pid, successor)
	}
	if stopped, err := i.StopProcess(t.Context(), 0, false); stopped || err != nil || !alive(t, i) {
		t.Errorf("stop of none: %v, %v", stopped, err)
	}
}
