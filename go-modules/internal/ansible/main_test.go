package ansible

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bound is how long a test waits for something that must happen.
const bound = 20 * time.Second

// call runs Main in this process.
func call(t *testing.T, stdin string, argv ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = Main(t.Context(), append([]string{"murder_test"}, argv...),
		Streams{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &err}, "1.2.3", testModule())
	return code, out.String(), err.String()
}

// result decodes what a module printed.
func result(t *testing.T, line string) map[string]any {
	t.Helper()
	var r map[string]any
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return r
}

// eventually polls until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", bound, what)
		}
	}
}

func TestMainByHand(t *testing.T) {
	for _, row := range []struct {
		argv []string
		code int
		want string
	}{
		{nil, 0, "usage: murder_test ARGSFILE"},
		{[]string{"--help"}, 0, "return or fail or"},
		{[]string{"--version"}, 0, "murder_test 1.2.3\n"},
		{[]string{"--spec"}, 0, `{"module":"murder_test","options":{`},
		{[]string{"--frobnicate"}, 2, "wrong arguments: --frobnicate"},
		{[]string{"a", "b"}, 2, "usage: murder_test ARGSFILE"},
	} {
		code, stdout, stderr := call(t, "", row.argv...)
		if code != row.code || !strings.Contains(stdout+stderr, row.want) {
			t.Errorf("%v: %d %q %q, want %d %q", row.argv, code, stdout, stderr, row.code, row.want)
		}
	}
}

func TestMainResult(t *testing.T) {
	file := filepath.Join(t.TempDir(), "args")
	if err := os.WriteFile(file, []byte(`{"lines": "a,b", "_ansible_check_mode": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := call(t, "", file)
	r := result(t, stdout)
	if code != 0 || stderr != "" || r["changed"] != true || r["check"] != true || len(r["lines"].([]any)) != 2 {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
}

func TestMainFailures(t *testing.T) {
	for name, row := range map[string]struct {
		file, args, want string
	}{
		"error":      {"-", `{"do": "fail"}`, "Source /srv/a not found"},
		"options":    {"-", `{"od": "fail"}`, "Unknown option od; did you mean do?"},
		"no JSON":    {"-", `do=fail`, "The arguments are not a JSON object of options: invalid character"},
		"no file":    {"/nonexistent/args", "", "Argument file /nonexistent/args cannot be read: no such file or directory; give the path"},
		"directory":  {"/", "", "Arguments cannot be read from /: read /: is a directory"},
		"panic":      {"-", `{"do": "panic", "token": "s3cret"}`, "Internal error: token is ********; please report"},
		"empty file": {"-", "", "The arguments are not a JSON object of options: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, _ := call(t, row.args, row.file)
			r := result(t, stdout)
			if msg, _ := r["msg"].(string); code != 1 || r["failed"] != true || !strings.HasPrefix(msg, row.want) {
				t.Errorf("%d %s, want %q", code, stdout, row.want)
			}
			if strings.Contains(stdout, "s3cret") {
				t.Errorf("%s shows the secret", stdout)
			}
		})
	}
	_, stdout, _ := call(t, `{"do": "fail"}`, "-")
	if r := result(t, stdout); r["elapsed"] != 3.0 {
		t.Errorf("values of a failed result are lost: %s", stdout)
	}
}

func TestMainScrubs(t *testing.T) {
	code, stdout, stderr := call(t, `{"do": "leak", "token": "s3cret"}`, "-")
	if code != 0 || strings.Contains(stdout+stderr, "s3cret") || !strings.Contains(stdout, masked) {
		t.Errorf("%d %s %s", code, stdout, stderr)
	}
}

func TestMainUnencodableValue(t *testing.T) {
	m := Module{Spec: NewSpec("murder_test", ""), Run: func(context.Context, Call) (Result, error) {
		return Result{Changed: true, Values: map[string]any{"f": func() {}}}, nil
	}}
	var out bytes.Buffer
	code := Main(t.Context(), []string{"murder_test", "-"}, Streams{Stdin: strings.NewReader("{}"), Stdout: &out}, "1", m)
	if r := result(t, out.String()); code != 1 || r["failed"] != true || r["changed"] != true {
		t.Errorf("%d %s", code, out.String())
	}
}

// start runs the test module as a process of its own that waits to be ended,
// and returns when its work has begun.
func start(t *testing.T, do string) (cmd *exec.Cmd, stdout *os.File) {
	t.Helper()
	begun := filepath.Join(t.TempDir(), "begun")
	cmd = exec.Command(self)
	cmd.Args = []string{"AnsiballZ_murder_test", "-"}
	cmd.Stdin = strings.NewReader(`{"do": "` + do + `", "file": "` + begun + `"}`)
	stdout, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = stdout.Close()
	})
	eventually(t, "the module to begin", func() bool {
		_, err := os.Stat(begun)
		return err == nil
	})
	return cmd, stdout
}

func TestSignalEndsModule(t *testing.T) {
	// Under nohup the module would inherit that SIGHUP is ignored, and respect it. What is caught here is not ignored there.
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP)
	defer signal.Stop(caught)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		cmd, stdout := start(t, "wait")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := stdout.SetReadDeadline(time.Now().Add(bound)); err != nil {
			t.Fatal(err)
		}
		line, err := io.ReadAll(stdout)
		if err != nil {
			t.Fatal(err)
		}
		if want := `Interrupted: got the signal "` + sig.String() + `"`; result(t, string(line))["msg"] != want {
			t.Errorf("%v: %s, want %q", sig, line, want)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

func TestHangUpEndsModule(t *testing.T) {
	cmd, stdout := start(t, "wait")
	if err := stdout.Close(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("it ended with %v, want exit status 1", err)
		}
	case <-time.After(bound):
		t.Fatal("the module outlives its controller")
	}
}

func TestHangUp(t *testing.T) {
	pipe := func() (near, far *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		return w, r
	}
	socket := func() (near, far *os.File) {
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	}
	for name, open := range map[string]func() (near, far *os.File){"pipe": pipe, "socket": socket} {
		t.Run(name, func(t *testing.T) {
			near, far := open()
			defer near.Close()
			ctx, stop := HangUp(t.Context(), near)
			defer stop()
			if _, err := near.WriteString("progress\n"); err != nil || ctx.Err() != nil {
				t.Fatalf("ended early: %v, %v", err, context.Cause(ctx))
			}
			if err := far.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(bound):
				t.Fatal("the hang-up was not noticed")
			}
			if !errors.Is(context.Cause(ctx), ErrHangUp) {
				t.Errorf("cause is %v", context.Cause(ctx))
			}
		})
	}
}

func TestHangUpOfFile(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, stop := HangUp(t.Context(), f)
	if ctx.Err() != nil {
		t.Errorf("a regular file hung up: %v", context.Cause(ctx))
	}
	stop()
	if !errors.Is(context.Cause(ctx), context.Canceled) {
		t.Errorf("cause is %v", context.Cause(ctx))
	}
}
