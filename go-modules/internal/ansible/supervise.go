package ansible

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// supervise is the detached half of an async job: it runs the module as a child
// with the arguments on stdin and puts the result into the job file. Being a
// process of its own it can report a module that was killed or ran too long.
func supervise(ctx context.Context, streams Streams, s *Spec) int {
	data, err := readArgs("-", streams.Stdin)
	if err != nil {
		return 1
	}
	call, err := s.Parse(data)
	if err != nil || call.Async == nil {
		return 1 // start has parsed the same arguments: only a call by hand gets here
	}
	job := call.Async
	result := job.work(ctx, s.module, data)
	result["ansible_job_id"] = job.JID
	result["started"], result["finished"] = 1, 1
	scrub := scrubber(call.secrets)
	for key := range result {
		result[key] = scrub(result[key])
	}
	if err := job.write(result); err != nil {
		return 1
	}
	return 0
}

// work runs the module to its end, or to the limit, and returns its result.
func (a *Async) work(ctx context.Context, module string, data []byte) map[string]any {
	input, err := withoutAsync(data)
	if err != nil {
		return failure("the arguments of the job are damaged: " + err.Error())
	}
	tooLong := fmt.Errorf("timeout exceeded: %s did not finish within the async limit of %v", module, a.Limit)
	ctx, cancel := context.WithTimeoutCause(ctx, a.Limit, tooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, self)
	cmd.Args = []string{module, "-"}
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killGrace
	runErr := cmd.Run()
	result, err := lastObject(stdout.Bytes())
	switch {
	case runErr != nil && errors.Is(context.Cause(ctx), tooLong):
		result = failure(sentence(tooLong.Error()))
	case err != nil:
		result = failure(fmt.Sprintf("%s ended without a result: %v", module, errors.Join(runErr, err)))
	}
	if noise := strings.TrimSpace(stderr.String()); noise != "" {
		result["stderr"] = abbreviate(noise, 16<<10)
	}
	return result
}

func failure(msg string) map[string]any {
	return map[string]any{"failed": true, "changed": false, "msg": msg}
}

// withoutAsync removes the job from the arguments, so that the child runs the
// module itself.
func withoutAsync(data []byte) ([]byte, error) {
	var args map[string]json.RawMessage
	if err := json.Unmarshal(data, &args); err != nil {
		return nil, err
	}
	delete(args, asyncKey)
	return json.Marshal(args)
}

// lastObject decodes the last line of output, a module's result.
func lastObject(output []byte) (map[string]any, error) {
	lines := bytes.Split(bytes.TrimSpace(output), []byte("\n"))
	last := lines[len(lines)-1]
	if len(last) == 0 {
		return nil, errors.New("it printed nothing")
	}
	return decodeObject(last)
}
