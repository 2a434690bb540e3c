package daemon

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// run starts the test binary as another program; output may be nil.
func run(t *testing.T, argv []string, output io.Writer, extra ...*os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(self)
	cmd.Args, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = argv, output, output, extra
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// A daemon that keeps the module's stdout, or any copy of it, hangs the task.
func TestDaemonInheritsNothing(t *testing.T) {
	i := instance(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	starter := run(t, []string{"murder_peer", "starter", filepath.Dir(i.Dir()), "serve"}, writer, writer, writer)
	_ = writer.Close()
	if err := reader.SetReadDeadline(time.Now().Add(bound)); err != nil {
		t.Fatal(err)
	}
	output, err := io.ReadAll(reader)
	if err != nil || string(output) != "starter: <nil>\n" {
		t.Errorf("output %q, %v", output, err)
	}
	if err := starter.Wait(); err != nil {
		t.Error(err)
	}
	pid := pidOf(t, i) // lives on without its starter
	for fd, want := range map[int]string{0: os.DevNull, 1: filepath.Join(i.Dir(), "log"), 2: filepath.Join(i.Dir(), "log")} {
		if got, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, fd)); err != nil || got != want {
			t.Errorf("descriptor %d is %s, %v, want %s", fd, got, err, want)
		}
	}
	// Its own readiness pipe is closed right after the report that ended the starter.
	eventually(t, "the pipes to be closed", func() bool { return descriptors(t, pid, "pipe:") == 0 })
}

func TestDaemonIsDetached(t *testing.T) {
	i := instance(t)
	pid := start(t, i, work{})
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("cwd is %s, %v", cwd, err)
	}
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session is %d, %v, want %d", sid, err, pid)
	}
	if group, err := unix.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process group is %d, %v, want %d", group, err, pid)
	}
	const hangUp = uint64(1) << (syscall.SIGHUP - 1)
	status := read(t, fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(status, "SigIgn:")
	mask, err := strconv.ParseUint(strings.Fields(rest)[0], 16, 64)
	if err != nil || mask&hangUp == 0 {
		t.Errorf("SIGHUP is not ignored: %x, %v", mask, err)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := i.Status(t.Context(), new(any)); err != nil {
		t.Errorf("after SIGHUP: %v", err)
	}
}

func TestMainByHand(t *testing.T) {
	var output bytes.Buffer
	cmd := run(t, []string{"murder_peer", "daemon", t.TempDir()}, &output)
	if err := cmd.Wait(); err == nil || !strings.Contains(output.String(), "decode order: EOF") {
		t.Errorf("%v, %s", err, output.String())
	}
}

func TestLogFile(t *testing.T) {
	i := instance(t)
	log := filepath.Join(t.TempDir(), "murder.log")
	for n := range 2 {
		if err := i.Start(t.Context(), work{Mode: "late panic"}, log); err != nil {
			t.Fatal(err)
		}
		says(t, i.Wait(t.Context(), new(answer)), "late boom")
		if text := read(t, log); strings.Count(text, "panic: late boom") != n+1 || strings.Count(text, "configured") != n+1 {
			t.Errorf("log is %s", text)
		}
	}
	if _, err := i.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	absent(t, i.Dir())
	info, err := os.Stat(log)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("log is %v, %v", info, err)
	}
}

func TestLogFileThatCannotBe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/nonexistent/dir/log": "log file /nonexistent/dir/log cannot be opened: its directory does not exist; create it first",
		"/":                    "log file / cannot be opened: is a directory",
		fifo:                   "log file " + fifo + " cannot be",
	} {
		i := instance(t)
		if path != fifo { // which somebody may have begun to read by then
			says(t, i.Startable(path), want)
		}
		says(t, i.Start(t.Context(), work{}, path), want)
		absent(t, i.Dir())
	}
}

// A full disk under the log must not stop the work.
func TestFullLog(t *testing.T) {
	i := instance(t)
	if err := i.Start(t.Context(), work{Mode: "result"}, "/dev/full"); err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := i.Wait(t.Context(), &got); err != nil || got.Size != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
}
