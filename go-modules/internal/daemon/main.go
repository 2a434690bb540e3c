package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const (
	// Verb is the argument that makes the program a daemon.
	Verb    = "daemon"
	readyFd = 3 // the readiness pipe
)

// errSignal is the cause when a signal ended the daemon: its state is kept.
var errSignal = errors.New("it was ended by a signal")

// Main is the main function of a daemon that Instance.Start has executed as
// `PROGRAM daemon DIR`, with its order on stdin. run does the work until it is
// done or its context ends, and calls Process.Ready when it serves. When run
// fails before that, its error is what Start returns; later, what Wait returns.
// The result is the exit status of the process.
func Main(ctx context.Context, argv []string, stdin io.Reader, run func(ctx context.Context, p *Process) error) int {
	reports := readyPipe()
	err := supervise(ctx, argv, stdin, reports, run)
	if err == nil {
		return 0
	}
	if reports == nil {
		fmt.Fprintln(os.Stderr, err)
	} else if !errors.Is(err, errReported) {
		// The starter may be gone: then nobody is left to tell.
		_ = json.NewEncoder(reports).Encode(report{Error: err.Error(), Running: errors.Is(err, ErrRunning)})
	}
	return 1
}

// errReported marks a failure after Ready, which goes to Wait and the log.
var errReported = errors.New("failed after it was ready")

// readyPipe is the pipe to the starter, nil when a person runs the daemon by hand.
func readyPipe() *os.File {
	var stat unix.Stat_t
	if unix.Fstat(readyFd, &stat) != nil || stat.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil
	}
	unix.CloseOnExec(readyFd)
	return os.NewFile(readyFd, "readiness pipe")
}

// supervise sets the process up, runs the work and clears up behind it.
func supervise(ctx context.Context, argv []string, stdin io.Reader, reports *os.File, run func(context.Context, *Process) error) error {
	if len(argv) != 3 || argv[1] != Verb || !filepath.IsAbs(argv[2]) {
		return errors.New("a daemon is started by its module, not by hand")
	}
	dir := argv[2]
	o, err := readOrder(stdin)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(context.Canceled)
	defer endBySignal(ctx, end)()
	if err := detach(); err != nil {
		return err
	}
	lock, fresh, err := acquire(ctx, dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	p := &Process{
		Dir: dir, Level: new(slog.LevelVar), ctx: ctx, end: end,
		order: o, reports: reports, decided: make(chan struct{}), answering: make(chan struct{}),
	}
	listener, err := p.settleIn()
	if err != nil {
		if fresh {
			err = errors.Join(err, removeTree(dir, lock))
		}
		return err
	}
	s := serve(p, listener)
	p.Log.Info("started", "program", argv[0], "pid", os.Getpid())
	go spare(ctx)
	runErr := run(ctx, p)
	remove, err := p.conclude(fresh, runErr)
	s.close()
	if remove() {
		err = errors.Join(err, removeTree(dir, lock))
	}
	return err
}

// detach finishes what Start began: the daemon survives its terminal and keeps no
// directory busy. The umask stays the user's, as far as the daemon can still read
// and write its own files.
func detach() error {
	signal.Ignore(unix.SIGHUP)
	unix.Umask(unix.Umask(0) &^ 0o700)
	if err := os.Chdir("/"); err != nil {
		return fmt.Errorf("change directory: %w", err)
	}
	return nil
}

// endBySignal ends the context on the first SIGTERM or SIGINT; the second one
// kills the process as usual.
func endBySignal(ctx context.Context, end context.CancelCauseFunc) (release func()) {
	caught, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	unhook := context.AfterFunc(caught, func() {
		stop()
		end(errSignal) // without effect when ctx had ended before
	})
	return func() {
		unhook()
		stop()
	}
}

// settleIn clears what a predecessor left, opens the log and makes the socket.
func (p *Process) settleIn() (net.Listener, error) {
	for _, name := range []string{sockName, resultName, resultName + ".tmp"} {
		if err := os.RemoveAll(filepath.Join(p.Dir, name)); err != nil {
			return nil, fmt.Errorf("clear instance directory: %w", err)
		}
	}
	log, err := openLog(p.Dir, p.order.LogFile)
	if err != nil {
		return nil, err
	}
	p.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: p.Level}))
	listener, err := listen(p.Dir)
	if err != nil {
		return nil, err
	}
	if err := redirect(log); err != nil {
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// conclude decides what the end of the work means: the error of the process, and
// whether DIR is to go, which is known only when the last answers are out.
func (p *Process) conclude(fresh bool, runErr error) (remove func() bool, err error) {
	p.ExpireAfter(0)
	cause := context.Cause(p.ctx)
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	p.Log.Info("ended", "cause", cause, "err", runErr)
	always := func(yes bool) func() bool { return func() bool { return yes } }
	switch {
	case !ready:
		err = because(p.ctx, runErr)
		if err == nil {
			err = errors.New("it ended before it was ready")
		}
		p.settle(outcome{Error: err.Error()}, false)
		return always(fresh), err
	case errors.Is(cause, ErrStopped), errors.Is(cause, errSignal):
		p.settle(outcome{Error: cause.Error() + " before it had a result"}, false)
		return always(errors.Is(cause, ErrStopped)), nil
	case runErr != nil && (cause == nil || !errors.Is(runErr, context.Canceled)):
		p.settle(outcome{Error: runErr.Error()}, true)
		return p.Collected, errReported
	case cause != nil && !errors.Is(cause, ErrIdle):
		p.settle(outcome{Error: cause.Error()}, true)
		return p.Collected, errReported
	case p.wanted():
		return p.Collected, nil
	}
	p.settle(outcome{Error: "it ended without a result"}, false)
	return always(true), nil
}

// wanted tells that there is an outcome for somebody to collect.
func (p *Process) wanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome != nil
}

// Collected tells that a caller has got the outcome.
func (p *Process) Collected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.collected
}
