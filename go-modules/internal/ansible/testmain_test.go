package ansible

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is also the module under test: started as murder_test it runs
// testModule, as the real program would.
func TestMain(m *testing.M) {
	if strings.TrimPrefix(os.Args[0], "AnsiballZ_") == "murder_test" {
		os.Exit(Main(context.Background(), os.Args,
			Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}, "1.2.3", testModule()))
	}
	goleak.VerifyTestMain(m)
}

// testModule does what its option `do` says.
func testModule() Module {
	var do, token, file string
	var lines []string
	spec := NewSpec("murder_test", "does what it is told")
	spec.Choice(&do, "do", "return", "what to do", "return", "fail", "panic", "wait", "linger", "die", "noise", "leak")
	spec.String(&token, "token", "", "a secret").Secret()
	spec.Path(&file, "file", "", "file that is made when the work begins")
	spec.List(&lines, "lines", nil, "text that is returned")
	return Module{Spec: spec, Run: func(ctx context.Context, call Call) (Result, error) {
		if file != "" {
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				return Result{}, err
			}
		}
		switch do {
		case "fail":
			return Result{Values: map[string]any{"elapsed": 3}}, errors.New("source /srv/a not found")
		case "panic":
			panic("token is " + token)
		case "wait":
			<-ctx.Done()
			return Result{}, fmt.Errorf("wait: %w", ctx.Err())
		case "linger": // takes no notice of signals
			time.Sleep(time.Minute)
		case "die":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "noise":
			fmt.Println("some noise")
			fmt.Fprintln(os.Stderr, "complaint about "+token)
		case "leak":
			return Result{Changed: true, Msg: "used " + token, Values: map[string]any{
				"url":    "http://tracker/announce?token=" + token,
				"nested": map[string]any{"list": []string{token, "x" + token + "y"}},
			}}, nil
		}
		return Result{Changed: true, Values: map[string]any{"lines": lines, "check": call.Check}}, nil
	}}
}
