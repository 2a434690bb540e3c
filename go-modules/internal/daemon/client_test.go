package daemon

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"testing"
)

// TestConfigOfOneThatDoesNotServeYet: a daemon that has its lock but no socket is waited for.
func TestConfigOfOneThatDoesNotServeYet(t *testing.T) {
	i := instance(t)
	if _, err := makeDir(i.dir); err != nil {
		t.Fatal(err)
	}
	late := exec.Command(os.Args[0], "late", i.dir)
	stdin, err := late.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := late.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = late.Process.Kill(), late.Wait() })
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the late daemon said %q, %v", line, err)
	}
	var w work
	if err := i.ask(t.Context(), "/config", &w); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("without a socket: %v", err)
	}
	began, got := make(chan struct{}), make(chan error)
	go func() {
		close(began)
		got <- i.Config(t.Context(), &w)
	}()
	<-began
	_ = stdin.Close()
	if err := <-got; err != nil || w.Name != "late" {
		t.Errorf("configuration %+v, %v", w, err)
	}
}
