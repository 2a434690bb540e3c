package ansible

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Async describes an asynchronous job, in the terms of ansible-core's
// async_wrapper, whose part is played here without Python on the target.
type Async struct {
	JID   string        // job id, the name of the job file
	Dir   string        // directory of job files, expanded
	Limit time.Duration // the job is ended after this long
}

const (
	// superviseFlag makes the program the supervisor of a job, see supervise.
	superviseFlag = "--async"
	// self is the running program, also after its file was deleted, as Ansible
	// does with a module as soon as the task is over.
	self = "/proc/self/exe"
	// startBound limits how long the supervisor may take to read its arguments.
	startBound = 30 * time.Second
	// killGrace is how long a job that was told to end may take to do so.
	killGrace = 5 * time.Second
)

func parseAsync(raw any) (*Async, error) {
	fields, ok := raw.(map[string]any)
	if !ok {
		return nil, errors.New("is not a dictionary with jid, dir and limit")
	}
	jid, _ := fields["jid"].(string)
	if jid == "" || jid != filepath.Base(jid) || strings.HasPrefix(jid, ".") {
		return nil, fmt.Errorf("jid %q is not a plain file name", jid)
	}
	dir, err := coercePath(fields["dir"])
	if err != nil || dir == "" {
		return nil, errors.New("dir is not the path of a directory")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("dir: %w", err)
	}
	limit, err := coerceInt(fields["limit"])
	if err != nil || limit < 1 {
		return nil, errors.New("limit is not a number of seconds")
	}
	return &Async{JID: jid, Dir: dir, Limit: time.Duration(limit) * time.Second}, nil
}

// file is the job file, which async_status reads.
func (a *Async) file() string { return filepath.Join(a.Dir, a.JID) }

// write replaces the job file; async_status never sees a part of it.
func (a *Async) write(content map[string]any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return fmt.Errorf("encode job file: %w", err)
	}
	// Not 0644 as core has it: a result may say what only this user should read.
	if err := os.WriteFile(a.file()+".tmp", text, 0o600); err != nil {
		return fmt.Errorf("write job file: %w", err)
	}
	if err := os.Rename(a.file()+".tmp", a.file()); err != nil {
		return fmt.Errorf("rename job file: %w", err)
	}
	return nil
}

// start writes the job file and detaches the supervisor of the job, which gets
// the same arguments. Its result is what async_wrapper prints.
func (a *Async) start(ctx context.Context, module string, args []byte) (Result, error) {
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return Result{}, fmt.Errorf("directory of async jobs %s cannot be made: %w", a.Dir, err)
	}
	if err := a.write(map[string]any{"started": 1, "finished": 0, "ansible_job_id": a.JID}); err != nil {
		return Result{}, err
	}
	if err := detach(ctx, []string{module, superviseFlag}, args); err != nil {
		_ = os.Remove(a.file())
		return Result{}, fmt.Errorf("start job %s: %w", a.JID, err)
	}
	return Result{Values: map[string]any{
		"failed": false, "started": 1, "finished": 0, "ansible_job_id": a.JID, "results_file": a.file(),
	}}, nil
}

// detach starts this program again in a session of its own, with no descriptor
// of ours, and returns when it has read its input.
func detach(ctx context.Context, argv []string, input []byte) error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make pipe: %w", err)
	}
	defer writer.Close()
	cmd := exec.Command(self)
	cmd.Args = argv
	cmd.Stdin = reader // stdout and stderr become /dev/null
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = reader.Close()
	if err != nil {
		return fmt.Errorf("start supervisor: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = writer.SetWriteDeadline(time.Now()) })()
	_ = writer.SetWriteDeadline(time.Now().Add(startBound))
	if _, err := writer.Write(input); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("hand the arguments to the supervisor: %w", err)
	}
	return cmd.Process.Release()
}
