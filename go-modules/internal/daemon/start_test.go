package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestStartStatusStop(t *testing.T) {
	i := instance(t)
	pid := start(t, i, work{Name: "n", Token: "s3cret", blob: strings.Repeat("x", 1<<20)})
	var status struct {
		Pid, Blob int
		Secret    string
	}
	if err := i.Status(t.Context(), &status); err != nil {
		t.Fatal(err)
	}
	if status.Pid != pid || status.Blob != 1<<20 || status.Secret != "s3cret" {
		t.Errorf("status is %+v, want pid %d", status, pid)
	}
	err := filepath.WalkDir(i.Dir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if want := fs.FileMode(0o600); err == nil && !entry.IsDir() && info.Mode().Perm() != want || entry.IsDir() && info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	stopped, err := i.Stop(t.Context())
	if err != nil || !stopped {
		t.Errorf("stop: %v, %v", stopped, err)
	}
	absent(t, i.Dir())
	if alive(t, i) {
		t.Error("it runs after Stop")
	}
	if stopped, err := i.Stop(t.Context()); stopped || err != nil {
		t.Errorf("second stop: %v, %v", stopped, err)
	}
}

func TestConfigIsRedacted(t *testing.T) {
	i := instance(t)
	want := work{Mode: "serve", Name: "n", Token: "s3cret"}
	start(t, i, want)
	var got work
	if err := i.Config(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	redacted, err := Redact(want)
	if err != nil {
		t.Fatal(err)
	}
	if got != redacted || got.Token != Secret("sha256:"+digest("s3cret")) || got.Name != "n" {
		t.Errorf("got %#v, want %#v", got, redacted)
	}
	log := read(t, filepath.Join(i.Dir(), "log"))
	if strings.Contains(log, "s3cret") || !strings.Contains(log, "configured") {
		t.Errorf("log is %s", log)
	}
	cmdline := read(t, fmt.Sprintf("/proc/%d/cmdline", pidOf(t, i)))
	if want := "murder_peer\x00daemon\x00" + i.Dir() + "\x00"; cmdline != want {
		t.Errorf("command line is %q, want %q", cmdline, want)
	}
}

func TestStartReportsDaemonsError(t *testing.T) {
	for mode, want := range map[string]string{
		"fail":  "murder_peer did not start: port 8998 is taken",
		"quiet": "murder_peer did not start: it ended before it was ready",
		"panic": "boom",
		"exit":  "murder_peer did not start: it ended before it was ready; its log ends:",
	} {
		t.Run(mode, func(t *testing.T) {
			i := instance(t)
			says(t, i.Start(t.Context(), work{Mode: mode}, ""), want)
			absent(t, i.Dir())
		})
	}
}

func TestFailedStartKeepsState(t *testing.T) {
	i := instance(t)
	start(t, i, work{Mode: "state", Name: "kept"})
	kill(t, i, syscall.SIGTERM)
	for _, mode := range []string{"fail", "exit"} {
		says(t, i.Start(t.Context(), work{Mode: mode}, ""), "did not start")
		if got := read(t, filepath.Join(i.Dir(), "state")); got != "kept" {
			t.Errorf("state is %q", got)
		}
	}
}

func TestStartIsBounded(t *testing.T) {
	i := instance(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- i.Start(ctx, work{Mode: "never"}, "") }()
	eventually(t, "the daemon to wait", func() bool { return exists(filepath.Join(i.Dir(), "waiting")) })
	cancel(errors.New("controller went away"))
	says(t, <-failed, "murder_peer did not start: controller went away")
	absent(t, i.Dir())
}

func TestSecondStart(t *testing.T) {
	i := instance(t)
	pid := start(t, i, work{})
	err := i.Start(t.Context(), work{}, "")
	says(t, err, fmt.Sprintf("murder_peer (pid %d) is already running", pid))
	if !errors.Is(err, ErrRunning) {
		t.Errorf("%v is not ErrRunning", err)
	}
	if now := pidOf(t, i); now != pid {
		t.Errorf("pid was %d and is %d", pid, now)
	}
	if err := i.Remove(); !errors.Is(err, ErrRunning) {
		t.Errorf("remove of a running one: %v", err)
	}
}

func TestStartsRace(t *testing.T) {
	i := instance(t)
	const racers = 5
	results := make(chan error, racers)
	for range racers {
		go func() { results <- i.Start(t.Context(), work{}, "") }()
	}
	won := 0
	for range racers {
		switch err := <-results; {
		case err == nil:
			won++
		case !errors.Is(err, ErrRunning):
			t.Errorf("a loser got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d of %d starts won", won, racers)
	}
	pidOf(t, i)
}

func TestStartWaitsForEndingOne(t *testing.T) {
	i := instance(t)
	old := start(t, i, work{Mode: "slow end"})
	if err := request(t.Context(), i.Dir(), "POST", "/stop", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := i.Config(t.Context(), new(work)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("an ending daemon gives its configuration: %v", err)
	}
	started := make(chan error, 1)
	go func() { started <- i.Start(t.Context(), work{}, "") }()
	if err := os.WriteFile(filepath.Join(filepath.Dir(i.Dir()), "may end"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if pid := pidOf(t, i); pid == old {
		t.Errorf("the old daemon %d still runs", pid)
	}
}

func TestStartsAndStopsRace(t *testing.T) {
	i := instance(t)
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for range 4 {
				if err := i.Start(t.Context(), work{}, ""); err != nil && !errors.Is(err, ErrRunning) &&
					!strings.Contains(err.Error(), ErrStopped.Error()) {
					t.Errorf("start: %v", err)
				}
			}
		})
		wait.Go(func() {
			for range 4 {
				if _, err := i.Stop(t.Context()); err != nil {
					t.Errorf("stop: %v", err)
				}
			}
		})
	}
	wait.Wait()
	if _, err := i.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	absent(t, i.Dir())
}

func TestStartAfterKill(t *testing.T) {
	i := instance(t)
	start(t, i, work{Mode: "result"})
	eventually(t, "the result", func() bool { return exists(filepath.Join(i.Dir(), resultName)) })
	kill(t, i, syscall.SIGKILL)
	if !exists(filepath.Join(i.Dir(), sockName)) {
		t.Error("there is no stale socket, the test shows nothing")
	}
	start(t, i, work{})
	absent(t, filepath.Join(i.Dir(), resultName))
	if err := i.Status(t.Context(), new(any)); err != nil {
		t.Error(err)
	}
}

func TestStateSurvivesSigterm(t *testing.T) {
	i := instance(t)
	start(t, i, work{Mode: "state", Name: "first"})
	kill(t, i, syscall.SIGTERM)
	if got := read(t, filepath.Join(i.Dir(), "state")); got != "first" {
		t.Errorf("state is %q", got)
	}
	absent(t, filepath.Join(i.Dir(), sockName))
	start(t, i, work{})
	if _, err := i.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	absent(t, i.Dir())
}

func TestDaemonEndsWhenStarterDies(t *testing.T) {
	i := instance(t)
	starter := run(t, []string{"murder_peer", "starter", filepath.Dir(i.Dir()), "gate"}, nil)
	eventually(t, "the daemon to hold its lock", func() bool { return alive(t, i) && exists(filepath.Join(i.Dir(), sockName)) })
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait()
	if err := os.WriteFile(filepath.Join(i.Dir(), "gate"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
	absent(t, i.Dir())
}

func TestLongStateDirectory(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("long/", 40)+strings.Repeat("x", 100))
	i := Open(deep, "tracker", "8998")
	killAfter(t, i)
	start(t, i, work{})
	if err := i.Status(t.Context(), new(any)); err != nil {
		t.Error(err)
	}
	if stopped, err := i.Stop(t.Context()); !stopped || err != nil {
		t.Errorf("stop: %v, %v", stopped, err)
	}
}

func TestOpenNames(t *testing.T) {
	for key, want := range map[string]string{
		"8998":      "/s/peer-8998",
		"/srv/a b":  "/s/peer-" + digest("/srv/a b")[:16],
		"..":        "/s/peer-" + digest("..")[:16],
		"":          "/s/peer-" + digest("")[:16],
		"a\nb":      "/s/peer-" + digest("a\nb")[:16],
		"0a1b.c_-d": "/s/peer-0a1b.c_-d",
	} {
		if got := Open("/s", "peer", key).Dir(); got != want {
			t.Errorf("%q: %s, want %s", key, got, want)
		}
	}
	if got := Open("s", "peer", "x").Dir(); !filepath.IsAbs(got) {
		t.Errorf("%s is not absolute", got)
	}
}

func TestIdleDaemonEnds(t *testing.T) {
	i := instance(t)
	start(t, i, work{Idle: 50 * time.Millisecond})
	ended(t, i)
	eventually(t, "the directory to go", func() bool { return !exists(i.Dir()) })
}
