package module

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"time"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/daemon"
)

// checkProfile refuses a directory that the daemon could not keep its profiles in.
func (o *common) checkProfile() error {
	if o.profile == "" || o.state != "started" && o.state != "present" {
		return nil
	}
	var err error
	if o.profile, err = filepath.Abs(o.profile); err != nil {
		return fmt.Errorf("Option profile: %w", err)
	}
	info, err := os.Stat(o.profile)
	switch {
	case err != nil:
		return fmt.Errorf("Option profile is %s: %w; make that directory first", o.profile, errors.Unwrap(err))
	case !info.IsDir():
		return fmt.Errorf("Option profile is %s, which is not a directory; name one that exists on this host", o.profile)
	}
	if err := unix.Access(o.profile, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("Option profile is %s, where nothing can be written: %w; name a directory of this user", o.profile, err)
	}
	return nil
}

// profiled notes what a daemon spends its time on, and, when end is called, writes that and what its memory is used
// for into dir, two files in pprof's format. Without a directory it does nothing. A daemon that is killed
// leaves no profiles.
func profiled(p *daemon.Process, dir string) (end func(), err error) {
	if dir == "" {
		runtime.MemProfileRate = 0 // nobody will ask for its samples
		return func() {}, nil
	}
	var cpu bytes.Buffer
	if err := pprof.StartCPUProfile(&cpu); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	stem := filepath.Join(dir, fmt.Sprintf("murder_%s-%s-%d", filepath.Base(p.Dir), time.Now().UTC().Format("20060102T150405"), os.Getpid()))
	return func() {
		pprof.StopCPUProfile()
		var heap bytes.Buffer
		runtime.GC() // the profile is of what has outlived a collection
		err := errors.Join(pprof.WriteHeapProfile(&heap), writeNew(stem+".cpu.pprof", cpu.Bytes()), writeNew(stem+".heap.pprof", heap.Bytes()))
		if err != nil { // too late, and too little, to make the work fail
			p.Log.Warn("profiles are not written", "err", err)
			return
		}
		p.Log.Info("profiles are written", "cpu", stem+".cpu.pprof", "heap", stem+".heap.pprof")
	}, nil
}

// writeNew writes a file that is not there yet; one that cannot be written whole goes again.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
