package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Stop ends the daemon and removes DIR: it asks over the socket, then sends
// SIGTERM, then SIGKILL to the very process that holds the lock. It returns when
// the process is gone, 20 s at most. stopped is false when none ran; what an
// earlier one left is removed all the same.
func (i *Instance) Stop(ctx context.Context) (stopped bool, err error) {
	pid, running, err := i.Running()
	if err != nil {
		return false, err
	}
	return i.StopProcess(ctx, pid, running)
}

// StopProcess is Stop for what Running has told: a daemon that has started since goes on.
func (i *Instance) StopProcess(ctx context.Context, pid int, running bool) (stopped bool, err error) {
	if running {
		if err := i.end(ctx, pid); err != nil {
			return false, fmt.Errorf("stop %s in %s: %w", i.program(), i.dir, err)
		}
	}
	if err := i.Remove(); err != nil && !errors.Is(err, ErrRunning) {
		return running, err
	}
	return running, nil
}

// end ends the holder of the lock, as long as that is the process pid, with rising force.
func (i *Instance) end(ctx context.Context, pid int) error {
	asked := false
	ask := func() { // again and again, for a daemon that is about to serve
		if asked {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, askBound/5)
		defer cancel()
		asked = request(ctx, i.dir, http.MethodPost, "/stop", nil, nil) == nil
	}
	gone, err := i.gone(ctx, pid, i.patience, ask)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if gone || err != nil {
			return err
		}
		if err := i.signal(pid, signal); err != nil {
			return err
		}
		gone, err = i.gone(ctx, pid, i.force, func() {})
	}
	if err == nil && !gone {
		err = fmt.Errorf("waited %v after SIGKILL for the process to end", i.force)
	}
	return err
}

// gone waits until the process pid does not hold the lock; between looks it calls meanwhile.
func (i *Instance) gone(ctx context.Context, pid int, bound time.Duration, meanwhile func()) (bool, error) {
	for end := time.Now().Add(bound); ; {
		now, held, err := holder(i.dir)
		if held = held && now == pid; err != nil || !held {
			return !held, err
		}
		if time.Now().After(end) {
			return false, nil
		}
		meanwhile()
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return false, fmt.Errorf("wait for the daemon to end: %w", context.Cause(ctx))
		}
	}
}

// signal sends a signal to the process pid, if it still holds the lock. FindProcess pins the process
// by a pidfd where the kernel has them; only when the holder is still the same
// after that is the pinned process surely the daemon, and not one that got its
// number later.
func (i *Instance) signal(pid int, signal syscall.Signal) error {
	if pid == 0 {
		return errors.New("its lock is held by a process of another container or machine; stop it there")
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return fmt.Errorf("find process %d: %w", pid, err)
	}
	defer func() { _ = process.Release() }()
	now, held, err := holder(i.dir)
	if err != nil || !held || now != pid {
		return err
	}
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to process %d: %w", signal, pid, err)
	}
	return nil
}
