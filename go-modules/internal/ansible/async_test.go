package ansible

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// submit starts a job with the test module and returns its job file.
func submit(t *testing.T, options string, limit int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "async dir")
	job := filepath.Join(dir, "j123.456")
	args := fmt.Sprintf(`{%s, "token": "s3cret", "_murder_async": {"jid": "j123.456", "dir": %q, "limit": %d}}`, options, dir, limit)
	code, stdout, stderr := call(t, args, "-")
	r := result(t, stdout)
	if code != 0 || r["started"] != 1.0 || r["finished"] != 0.0 || r["failed"] != false || r["changed"] != false ||
		r["ansible_job_id"] != "j123.456" || r["results_file"] != job {
		t.Fatalf("%d %s %s", code, stdout, stderr)
	}
	return job
}

// status reads a job file as async_status does.
func status(t *testing.T, job string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(job)
	if err != nil {
		t.Fatal(err)
	}
	var r map[string]any
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if _, found := r["started"]; !found {
		r["finished"] = 1.0
	}
	return r
}

// finish waits for the end of a job.
func finish(t *testing.T, job string) map[string]any {
	t.Helper()
	eventually(t, "the job to finish", func() bool { return status(t, job)["finished"] == 1.0 })
	r := status(t, job)
	if text := fmt.Sprint(r); strings.Contains(text, "s3cret") {
		t.Errorf("the job file shows the secret: %s", text)
	}
	if r["ansible_job_id"] != "j123.456" {
		t.Errorf("the job file has no job id: %v", r)
	}
	if left, err := filepath.Glob(job + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return r
}

func TestAsync(t *testing.T) {
	r := finish(t, submit(t, `"lines": ["a"]`, 60))
	if r["changed"] != true || len(r["lines"].([]any)) != 1 || r["failed"] != nil {
		t.Errorf("got %v", r)
	}
}

func TestAsyncRunning(t *testing.T) {
	begun := filepath.Join(t.TempDir(), "begun")
	job := submit(t, fmt.Sprintf(`"do": "wait", "file": %q`, begun), 2)
	eventually(t, "the module to begin", func() bool {
		_, err := os.Stat(begun)
		return err == nil
	})
	// A key failed would end Ansible's polling, whatever its value.
	if r := status(t, job); r["started"] == 1.0 && r["finished"] == 0.0 {
		if _, found := r["failed"]; found {
			t.Errorf("a running job says failed: %v", r)
		}
	}
	if r := finish(t, job); r["failed"] != true || !strings.Contains(fmt.Sprint(r["msg"]), "did not finish within the async limit of 2s") {
		t.Errorf("got %v", r)
	}
}

func TestAsyncFailures(t *testing.T) {
	for name, row := range map[string]struct {
		options string
		limit   int
		want    string
	}{
		"failed":  {`"do": "fail"`, 60, "Source /srv/a not found"},
		"killed":  {`"do": "die"`, 60, "murder_test ended without a result: signal: killed"},
		"panic":   {`"do": "panic"`, 60, "Internal error: token is ********"},
		"lingers": {`"do": "linger"`, 1, "Timeout exceeded: murder_test did not finish"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := finish(t, submit(t, row.options, row.limit))
			if r["failed"] != true || !strings.HasPrefix(fmt.Sprint(r["msg"]), row.want) {
				t.Errorf("got %v, want %q", r, row.want)
			}
		})
	}
}

func TestAsyncKeepsStderr(t *testing.T) {
	r := finish(t, submit(t, `"do": "noise"`, 60))
	if r["changed"] != true || r["stderr"] != "complaint about ********" {
		t.Errorf("got %v", r)
	}
}

func TestAsyncDirectoryFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := call(t, fmt.Sprintf(`{"_murder_async": {"jid": "j", "dir": %q, "limit": 5}}`, file), "-")
	want := "Directory of async jobs " + file + " cannot be made"
	if r := result(t, stdout); code != 1 || r["failed"] != true || !strings.HasPrefix(fmt.Sprint(r["msg"]), want) {
		t.Errorf("%d %s, want %q", code, stdout, want)
	}
}
