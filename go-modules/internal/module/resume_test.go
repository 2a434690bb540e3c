package module

import (
	"path/filepath"
	"syscall"
	"testing"
)

// endHalfDone sends a signal to the daemon of a peer in the middle of its download, and waits for its end.
func (r *rig) endHalfDone(n int, signal syscall.Signal) {
	r.t.Helper()
	inst := r.halfDone(n)
	pid, _, err := inst.Running()
	if err == nil {
		err = syscall.Kill(pid, signal)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.eventually("the daemon ends", func() bool { _, running, err := inst.Running(); return err == nil && !running })
}

// signalled begins a download and ends its daemon by a signal when it is half done.
func (r *rig) signalled(signal syscall.Signal) {
	r.t.Helper()
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.endHalfDone(1, signal)
}

// hungUp lets the controller go away in the middle of a download, which ends the daemon.
func (r *rig) hungUp() {
	r.t.Helper()
	cmd := r.command("murder_peer", r.peer(1))
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	inst := r.halfDone(1)
	_ = stdout.Close() // what the end of the ssh connection does
	_ = cmd.Wait()
	if _, running, err := inst.Running(); running || err != nil {
		r.t.Errorf("the daemon runs on: %v, %v", running, err)
	}
}

// asked begins a download and asks for another state when it is half done.
func (r *rig) asked(state string) {
	r.t.Helper()
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.halfDone(1)
	r.must(true, "murder_peer", r.peer(1).with("state", state))
}

// TestHalfDoneDownload: however it has ended, the next run goes on where it was, but for state: absent, which is documented to
// remove what is half downloaded.
func TestHalfDoneDownload(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(r *rig)
		kept bool
	}{
		"killed":               {func(r *rig) { r.signalled(syscall.SIGKILL) }, true},
		"terminated":           {func(r *rig) { r.signalled(syscall.SIGTERM) }, true},
		"controller went away": {(*rig).hungUp, true},
		"state: stopped":       {func(r *rig) { r.asked("stopped") }, true},
		"state: absent":        {func(r *rig) { r.asked("absent") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			data := r.slow(4 << 20)
			c.end(r)
			if left, _ := filepath.Glob(filepath.Join(r.dir, ".dest1.murder-*")); (len(left) > 0) != c.kept {
				t.Errorf("beside the destination there is %v", left)
			}
			r.must(true, "murder_seed", r.seed().with("state", "stopped"))
			r.must(true, "murder_seed", r.seed())
			res := r.must(true, "murder_peer", r.peer(1))
			r.arrived(1, data)
			reused, came := res["bytes_reused"].(float64), res["bytes_from_seed"].(float64)
			if (reused > 0) != c.kept || reused+came != float64(len(data)) {
				t.Errorf("%v bytes were reused and %v came, of %d", reused, came, len(data))
			}
		})
	}
}
