package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// self is the running program, also after its file was deleted, as Ansible does
// with a module as soon as the task is over.
const self = "/proc/self/exe"

// order is what a daemon reads from its stdin.
type order struct {
	Config  json.RawMessage `json:"config"`
	Public  json.RawMessage `json:"public"` // Config with its Secrets redacted
	LogFile string          `json:"log_file"`
	Sizes   []int           `json:"sizes,omitempty"` // bytes of each part of bulk, which follows
	bulk    [][]byte
}

// report is a line on the readiness pipe.
type report struct {
	Ready   bool   `json:"ready,omitempty"`
	Running bool   `json:"running,omitempty"` // Error is ErrRunning
	Error   string `json:"error,omitempty"`
}

// Start starts the daemon with a configuration, any value that JSON can hold, and
// returns when it says that it is ready, or with the error it ended with; an
// error that wraps ErrRunning when one runs already. The wait is bounded by ctx
// and 30 s; a daemon that is not ready by then is killed. The log goes to
// logFile, which is appended to and survives the daemon, or to DIR/log if "".
func (i *Instance) Start(ctx context.Context, config any, logFile string) error {
	existed, err := i.found()
	if err != nil {
		return err
	}
	input, err := newOrder(config, logFile)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startBound,
		fmt.Errorf("waited %v for the daemon to say that it is ready", startBound))
	defer cancel()
	child, err := i.spawn()
	if err != nil {
		return fmt.Errorf("start %s: %w", i.program(), err)
	}
	defer child.close()
	stop := context.AfterFunc(ctx, child.giveUp)
	defer stop()
	// A child that died early breaks the pipe; its report says why.
	for _, part := range input {
		_, _ = child.input.Write(part)
	}
	_ = child.input.Close()
	err = child.await()
	if err == nil {
		return child.cmd.Process.Release()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	_ = child.cmd.Process.Kill()
	_ = child.cmd.Wait()
	switch {
	case errors.Is(err, ErrRunning):
		return i.explain("start", err)
	case errors.Is(err, errSilent):
		err = fmt.Errorf("%w%s", err, logTail(i.dir))
	}
	if !existed {
		_ = i.Remove() // a daemon that was killed could not; what went wrong matters more
	}
	return fmt.Errorf("%s did not start: %w", i.program(), err)
}

// newOrder returns what is to be written, in parts.
func newOrder(config any, logFile string) ([][]byte, error) {
	public, err := Redact(config)
	if err != nil {
		return nil, err
	}
	var o order
	if c, ok := config.(Bulky); ok {
		o.bulk = c.Bulk()
	}
	for _, part := range o.bulk {
		o.Sizes = append(o.Sizes, len(part))
	}
	if o.Config, err = json.Marshal(config); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	if o.Public, err = json.Marshal(public); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	if logFile != "" {
		if o.LogFile, err = filepath.Abs(logFile); err != nil {
			return nil, fmt.Errorf("log file %s: %w", logFile, err)
		}
	}
	head, err := json.Marshal(o)
	return append([][]byte{head}, o.bulk...), err
}

// child is a daemon that is not ready yet.
type child struct {
	cmd   *exec.Cmd
	input *os.File // its stdin
	ready *os.File // its reports, and whatever it writes to stderr before its log is open
}

// spawn starts the program again, detached: a session of its own, cwd /, none of
// our descriptors.
func (i *Instance) spawn() (*child, error) {
	stdin, input, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer stdin.Close()
	ready, reports, err := os.Pipe()
	if err != nil {
		_ = input.Close()
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer reports.Close()
	closeOnExec()
	cmd := exec.Command(self)
	cmd.Args = []string{i.program(), Verb, i.dir}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stderr = stdin, reports
	cmd.ExtraFiles = []*os.File{reports} // becomes readyFd
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
	c := &child{cmd: cmd, input: input, ready: ready}
	if err := unhurried(cmd.Start); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// closeOnExec keeps descriptors that this process itself was born with from the
// daemon: one of them may be a copy of the pipe that Ansible reads to its end.
func closeOnExec() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, entry := range entries {
		if fd, err := strconv.Atoi(entry.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
}

func (c *child) close() {
	_ = c.input.Close()
	_ = c.ready.Close()
}

// giveUp makes pending reads and writes fail.
func (c *child) giveUp() {
	_ = c.input.SetDeadline(time.Now())
	_ = c.ready.SetDeadline(time.Now())
}

// errSilent means that the daemon ended and did not say why.
var errSilent = errors.New("it ended before it was ready")

// await reads the reports until one says ready, or until the daemon has ended.
func (c *child) await() error {
	var failed error
	var noise []string
	lines := bufio.NewReader(c.ready)
	for {
		line, err := lines.ReadBytes('\n')
		var r report
		switch text := bytes.TrimSpace(line); {
		case len(text) == 0:
		case json.Unmarshal(text, &r) != nil:
			noise = append(noise, string(text))
		case r.Ready:
			return nil
		case r.Running:
			failed = ErrRunning
		default:
			failed = errors.New(r.Error)
		}
		if err == nil {
			continue
		}
		switch {
		case failed != nil:
			return failed
		case len(noise) > 0: // a crash of the runtime
			return fmt.Errorf("it ended before it was ready: %s", strings.Join(noise[:min(len(noise), 20)], "\n"))
		}
		return errSilent
	}
}
