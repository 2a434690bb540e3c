package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The test binary is also the program under test: as `PROGRAM daemon DIR` it is a
// daemon that does testWork, as `PROGRAM starter STATEDIR MODE` a process that
// starts one and prints what came of it, and before that why none can be started.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == Verb {
		os.Exit(Main(context.Background(), os.Args, os.Stdin, testWork))
	}
	if len(os.Args) == 4 && os.Args[1] == "starter" {
		i := Open(os.Args[2], "peer", "x")
		if err := i.Startable(""); err != nil {
			fmt.Println("startable:", err)
		}
		fmt.Println("starter:", i.Start(context.Background(), work{Mode: os.Args[3]}, ""))
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == "late" {
		os.Exit(serveLate(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

// serveLate is a daemon that has its lock, says so, and serves a configuration only when its stdin ends.
func serveLate(dir string) int {
	lock, err := tryLock(dir, daemonLock)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer lock.Close()
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	listener, err := listen(dir)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	answer := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"Name":"late"}`) }
	_ = http.Serve(listener, http.HandlerFunc(answer))
	return 0
}

// work is the configuration of a test daemon.
type work struct {
	Mode  string
	Name  string
	Token Secret
	blob  string // handed over in bulk
	Idle  time.Duration
}

func (w work) Bulk() [][]byte { return [][]byte{nil, []byte(w.blob)} }

type answer struct{ Size int }

func testWork(ctx context.Context, p *Process) error {
	var w work
	if err := p.Config(&w); err != nil {
		return err
	}
	switch w.Mode {
	case "fail":
		return errors.New("port 8998 is taken")
	case "quiet":
		return nil
	case "panic":
		panic("boom")
	case "exit":
		os.Exit(3)
	case "never":
		if err := os.WriteFile(filepath.Join(p.Dir, "waiting"), nil, 0o600); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	case "gate": // is not ready before somebody makes the file
		if err := await(ctx, filepath.Join(p.Dir, "gate")); err != nil {
			return err
		}
	}
	blob := len(p.Bulk(1)) + len(p.Bulk(1)) + len(p.Bulk(2)) // it is given once
	p.SetStatus(func() any { return map[string]any{"pid": os.Getpid(), "secret": string(w.Token), "blob": blob} })
	p.Log.Info("configured", "token", w.Token, "config", w)
	p.SetAnswer(func(message []byte) (any, error) {
		if string(message) == `"end"` {
			p.End()
		}
		return len(message), nil
	})
	p.ExpireAfter(w.Idle)
	p.Ready()
	return afterReady(ctx, p, w)
}

func afterReady(ctx context.Context, p *Process, w work) error {
	switch w.Mode {
	case "nothing":
		return nil
	case "finish":
		p.SetResult(answer{Size: 5})
		return nil
	case "late failure":
		return errors.New("no data for 120 s")
	case "late panic":
		panic("late boom")
	case "error":
		p.SetError(errors.New("disk is full"))
	case "result":
		p.SetResult(answer{Size: 5})
	case "unwritable":
		if err := os.Mkdir(filepath.Join(p.Dir, resultName+".tmp"), 0o700); err != nil {
			return err
		}
		p.SetResult(answer{Size: 5})
	case "state":
		if err := os.WriteFile(filepath.Join(p.Dir, "state"), []byte(w.Name), 0o600); err != nil {
			return err
		}
	case "slow end":
		<-ctx.Done()
		return await(context.Background(), filepath.Join(filepath.Dir(p.Dir), "may end"))
	case "stubborn":
		select {}
	}
	<-ctx.Done()
	p.Log.Info("ending", "cause", context.Cause(ctx))
	return ctx.Err()
}

// await polls for a file.
func await(ctx context.Context, path string) error {
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
