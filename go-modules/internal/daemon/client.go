package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// outcome is how a daemon's work ended: what /result answers and result.json holds.
type outcome struct {
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// errEnding means that the daemon still runs, but not for long.
var errEnding = fmt.Errorf("%w any more: it is ending", ErrNotRunning)

// Config decodes into v the configuration that the running daemon was started
// with; Secrets are redacted as by Redact. The error wraps ErrNotRunning when
// there is no daemon or it is ending: then Start one, which waits for the end. It
// waits, for a bounded time, for one that has just been started and does not
// serve yet.
func (i *Instance) Config(ctx context.Context, v any) error {
	ctx, cancel := context.WithTimeout(ctx, lockBound)
	defer cancel()
	var last error // of an attempt that the bound did not cut short
	for {
		err := i.ask(ctx, http.MethodGet, "/config", nil, v)
		switch {
		case ctx.Err() != nil && last != nil:
			return last
		case !errors.Is(err, ErrNotRunning), errors.Is(err, errEnding):
			return err
		}
		if _, running, lockErr := i.Running(); lockErr != nil || !running {
			return err
		}
		last = err
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// Status decodes into v what the daemon's status function says.
func (i *Instance) Status(ctx context.Context, v any) error {
	return i.ask(ctx, http.MethodGet, "/status", nil, v)
}

// Tell sends the daemon's work a message, any value that JSON can hold, and decodes into v what it answers. The
// error is that of Config.
func (i *Instance) Tell(ctx context.Context, message, v any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	return i.ask(ctx, http.MethodPost, "/tell", text, v)
}

func (i *Instance) ask(ctx context.Context, method, path string, message []byte, v any) error {
	if found, err := i.found(); !found {
		return errors.Join(err, i.absent())
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askBound, fmt.Errorf("waited %v for an answer", askBound))
	defer cancel()
	if err := request(ctx, i.dir, method, path, message, v); err != nil {
		return fmt.Errorf("ask %s in %s for %s: %w", i.program(), i.dir, path, because(ctx, err))
	}
	return nil
}

func (i *Instance) absent() error {
	return fmt.Errorf("%s in %s %w", i.program(), i.dir, ErrNotRunning)
}

// Wait blocks until the daemon has a result and decodes it into v; it answers
// after the daemon has ended too, until Remove. The error is the daemon's own
// when its work failed, and shows the end of its log when it died without a word.
// ctx bounds the wait.
func (i *Instance) Wait(ctx context.Context, v any) error {
	for {
		if found, err := i.found(); !found {
			return errors.Join(err, i.absent())
		}
		var o outcome
		err := request(ctx, i.dir, http.MethodGet, "/result", nil, &o)
		if err == nil {
			return o.decode(v)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wait for the result of %s in %s: %w", i.program(), i.dir, context.Cause(ctx))
		}
		// It has ended, or is about to serve. Look at the lock before the file: a
		// daemon that is gone writes no result any more.
		_, running, err := i.Running()
		if err != nil {
			return err
		}
		if text, err := os.ReadFile(filepath.Join(i.dir, resultName)); err == nil {
			if err := json.Unmarshal(text, &o); err != nil {
				return fmt.Errorf("decode result of %s in %s: %w", i.program(), i.dir, err)
			}
			return o.decode(v)
		}
		if !running {
			return fmt.Errorf("%w: it ended without a result%s", i.absent(), logTail(i.dir))
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
		}
	}
}

func (o outcome) decode(v any) error {
	if o.Error != "" {
		return errors.New(o.Error)
	}
	if err := json.Unmarshal(o.Result, v); err != nil {
		return fmt.Errorf("decode result: %w", err)
	}
	return nil
}

// answers tells whether a daemon serves in DIR and is not about to end.
func answers(ctx context.Context, dir string) bool {
	ctx, cancel := context.WithTimeout(ctx, askBound/5)
	defer cancel()
	return request(ctx, dir, http.MethodGet, "/config", nil, nil) == nil
}

// request makes one request, with message as its body, to the socket in DIR and decodes
// the answer into v unless v is nil.
func request(ctx context.Context, dir, method, path string, message []byte, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, bytes.NewReader(message))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, dir)
		},
	}}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return ErrNotRunning
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE), errors.Is(err, io.EOF): // it closed the socket before it had answered
		return errEnding
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		return errEnding
	case resp.StatusCode >= 300:
		return fmt.Errorf("answer is %s", resp.Status)
	case v == nil:
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// because puts the cause of an ended context in the place of its plain error.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// dial connects to the socket in DIR. A socket's path may have 107 bytes only,
// so it goes through a descriptor of the directory.
func dial(ctx context.Context, dir string) (net.Conn, error) {
	d, path, err := shortPath(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return new(net.Dialer).DialContext(ctx, "unix", path)
}

// shortPath gives a short path of DIR/sock that is good as long as d is open.
func shortPath(dir string) (d *os.File, path string, err error) {
	d, err = os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, "", fmt.Errorf("open instance directory: %w", err)
	}
	return d, fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), sockName), nil
}
