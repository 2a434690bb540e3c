package ansible

import (
	"context"
	"errors"
	"os"
	"syscall"
)

// ErrHangUp is the cause of a context that HangUp ended.
var ErrHangUp = errors.New("the controller went away")

// HangUp returns a context that ends with ErrHangUp when nobody can read any
// more what is written to f: the other end of a pipe or socket is closed, a
// terminal hung up. That is how a module learns that its controller was
// interrupted, since ssh without a terminal sends no signal. Files that cannot
// hang up are not watched. The returned function releases the watch.
func HangUp(ctx context.Context, f *os.File) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	watch, err := newWatch(f)
	if err != nil {
		return ctx, func() { cancel(context.Canceled) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if hungUp(watch) {
			cancel(ErrHangUp)
		}
	}()
	return ctx, func() {
		_ = watch.Close() // wakes the goroutine
		<-done
		cancel(context.Canceled)
	}
}

// newWatch makes an epoll descriptor that becomes readable when f hangs up. The
// detour keeps f itself, whose flags other processes share, in blocking mode.
func newWatch(f *os.File) (*os.File, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Without the flag os.NewFile would not hand it to the runtime's poller.
	if err := syscall.SetNonblock(epoll, true); err != nil {
		_ = syscall.Close(epoll)
		return nil, os.NewSyscallError("fcntl", err)
	}
	watch := os.NewFile(uintptr(epoll), "hang-up watch")
	raw, err := f.SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) {
			// No events are asked for: errors and hang-ups come always.
			err = syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, int(fd), &syscall.EpollEvent{})
		})
		err = errors.Join(err, controlErr)
	}
	if err != nil {
		_ = watch.Close()
		return nil, err
	}
	return watch, nil
}

// hungUp waits for the hang-up; false means that the watch was closed.
func hungUp(watch *os.File) bool {
	raw, err := watch.SyscallConn()
	if err != nil {
		return false
	}
	events := make([]syscall.EpollEvent, 1)
	found := false
	err = raw.Read(func(fd uintptr) bool {
		n, err := syscall.EpollWait(int(fd), events, 0)
		found = err == nil && n > 0
		return found
	})
	return err == nil && found
}
