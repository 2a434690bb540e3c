package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	for mode, running := range map[string]bool{"result": true, "finish": false, "unwritable": true} {
		t.Run(mode, func(t *testing.T) {
			i := instance(t)
			if err := i.Start(t.Context(), work{Mode: mode}, ""); err != nil {
				t.Fatal(err)
			}
			var got answer
			if err := i.Wait(t.Context(), &got); err != nil || got.Size != 5 {
				t.Errorf("got %+v, %v", got, err)
			}
			if running && !alive(t, i) {
				t.Error("the daemon ended with its result")
			}
		})
	}
}

// A result that nobody asked for in time waits for Remove.
func TestWaitAfterTheEnd(t *testing.T) {
	i := instance(t)
	if err := i.Start(t.Context(), work{Mode: "finish"}, ""); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
	for range 2 {
		var got answer
		if err := i.Wait(t.Context(), &got); err != nil || got.Size != 5 {
			t.Fatalf("got %+v, %v", got, err)
		}
	}
	for range 2 {
		if err := i.Remove(); err != nil {
			t.Fatal(err)
		}
		absent(t, i.Dir())
	}
}

func TestCollectedDaemonLeavesNothing(t *testing.T) {
	i := instance(t)
	start(t, i, work{Mode: "result", Idle: 500 * time.Millisecond})
	if err := i.Wait(t.Context(), new(answer)); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
	eventually(t, "the directory to go", func() bool { return !exists(i.Dir()) })
}

func TestDaemonWithoutResultLeavesNothing(t *testing.T) {
	i := instance(t)
	if err := i.Start(t.Context(), work{Mode: "nothing"}, ""); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
	eventually(t, "the directory to go", func() bool { return !exists(i.Dir()) })
	if err := i.Wait(t.Context(), new(answer)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v", err)
	}
}

func TestWaitForFailure(t *testing.T) {
	for mode, want := range map[string]string{
		"late failure": "no data for 120 s",
		"error":        "disk is full",
		"late panic":   "is not running: it ended without a result; its log ends:",
	} {
		t.Run(mode, func(t *testing.T) {
			i := instance(t)
			if err := i.Start(t.Context(), work{Mode: mode}, ""); err != nil {
				t.Fatal(err)
			}
			err := i.Wait(t.Context(), new(answer))
			says(t, err, want)
			if mode == "late panic" {
				says(t, err, "panic: late boom")
			}
		})
	}
}

func TestFailureIsKeptForWait(t *testing.T) {
	i := instance(t)
	if err := i.Start(t.Context(), work{Mode: "late failure"}, ""); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
	says(t, i.Wait(t.Context(), new(answer)), "no data for 120 s")
	if stopped, err := i.Stop(t.Context()); stopped || err != nil {
		t.Errorf("stop: %v, %v", stopped, err)
	}
	absent(t, i.Dir())
}

func TestWaitEndsWithDaemon(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(t *testing.T, i *Instance)
		want string
	}{
		"killed": {func(t *testing.T, i *Instance) { kill(t, i, syscall.SIGKILL) }, "it ended without a result; its log ends:"},
		"term":   {func(t *testing.T, i *Instance) { kill(t, i, syscall.SIGTERM) }, "it was ended by a signal before it had a result"},
		"stopped": {func(t *testing.T, i *Instance) {
			if _, err := i.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		}, "it was stopped before it had a result"},
	} {
		t.Run(name, func(t *testing.T) {
			i := instance(t)
			pid := start(t, i, work{})
			before := descriptors(t, pid, "socket:")
			failed := make(chan error, 1)
			go func() { failed <- i.Wait(t.Context(), new(answer)) }()
			eventually(t, "the question to arrive", func() bool { return descriptors(t, pid, "socket:") > before })
			row.end(t, i)
			says(t, <-failed, row.want)
		})
	}
}

func TestWaitIsBounded(t *testing.T) {
	i := instance(t)
	start(t, i, work{})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("timeout of 50 ms"))
	defer cancel()
	says(t, i.Wait(ctx, new(answer)), "wait for the result of murder_peer in", "timeout of 50 ms")
}

func TestNothingToAsk(t *testing.T) {
	i := instance(t)
	for name, err := range map[string]error{
		"config": i.Config(t.Context(), new(work)),
		"status": i.Status(t.Context(), new(any)),
		"wait":   i.Wait(t.Context(), new(answer)),
	} {
		if !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if alive(t, i) {
		t.Error("it runs")
	}
	absent(t, filepath.Dir(i.Dir()))
}
