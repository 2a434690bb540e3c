package daemon

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lookEvery = 500 * time.Millisecond
	// Of the time of one processor, the shares from which on all are used, and below which one is enough after quietLooks
	// looks. A busy daemon is often in long system calls; with one processor each of them costs a change of threads.
	busyShare, quietShare = 0.3, 0.15
	quietLooks            = 2
	timerSlack            = time.Millisecond
)

// processors decides how many processors Go's scheduler uses at a time. A daemon on a link of 1 Gbit/s needs a part of
// one. With more, each message from goroutine to goroutine wakes a thread on another one, which finds nothing to do:
// with 11 peers on links of 100 Mbit/s that was a fifth of all CPU time.
type processors struct {
	all   int
	now   int
	quiet int // looks in a row that saw little work
}

// decide takes how much CPU time was used since the last look, as a share of the time of one processor.
func (p *processors) decide(share float64) (number int) {
	p.quiet++
	switch {
	case share >= busyShare:
		p.now, p.quiet = p.all, 0
	case share >= quietShare:
		p.quiet = 0
	case p.quiet >= quietLooks:
		p.now = 1
	}
	return p.now
}

// spare has the scheduler use one processor while there is little work, and all of them otherwise, until ctx ends.
func spare(ctx context.Context) {
	all := runtime.GOMAXPROCS(0)
	if all == 1 {
		return
	}
	p := processors{all: all, now: all}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	at, used := time.Now(), cpuTime()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, total := time.Now(), cpuTime()
		before := p.now
		if number := p.decide(float64(total-used) / float64(now.Sub(at))); number != before {
			runtime.GOMAXPROCS(number)
		}
		at, used = now, total
	}
}

// unhurried calls a function that starts a process, whose timers may then be late by timerSlack. A thread gets this from the one that
// makes it, also through exec, so that all threads of the process have it, the scheduler's monitor too, which no code of
// its own could reach: it sleeps for 20 µs at a time while anything runs, which becomes timerSlack.
func unhurried(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack.Nanoseconds()), 0, 0, 0) == nil {
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(before), 0, 0, 0) }()
	}
	return start()
}

// cpuTime is what this process has used until now, the kernel's work for it included.
func cpuTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0 // never for oneself
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
