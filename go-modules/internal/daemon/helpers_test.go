package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bound is how long a test waits for something that must happen.
const bound = 20 * time.Second

// instance opens an instance in a state directory of its own.
func instance(t *testing.T) *Instance {
	t.Helper()
	i := Open(filepath.Join(t.TempDir(), "state"), "peer", "x")
	killAfter(t, i)
	return i
}

// killAfter kills whatever runs in the instance at the end of the test.
func killAfter(t *testing.T, i *Instance) {
	t.Cleanup(func() {
		if pid, running, err := i.Running(); running && err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			ended(t, i)
		}
	})
}

func alive(t *testing.T, i *Instance) bool {
	t.Helper()
	_, running, err := i.Running()
	if err != nil {
		t.Fatal(err)
	}
	return running
}

// start starts a daemon and returns its pid.
func start(t *testing.T, i *Instance, w work) int {
	t.Helper()
	if err := i.Start(t.Context(), w, ""); err != nil {
		t.Fatal(err)
	}
	return pidOf(t, i)
}

func pidOf(t *testing.T, i *Instance) int {
	t.Helper()
	pid, running, err := i.Running()
	if err != nil || !running || pid <= 0 {
		t.Fatalf("running: %d, %v, %v", pid, running, err)
	}
	return pid
}

// kill ends the daemon the hard way.
func kill(t *testing.T, i *Instance, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pidOf(t, i), signal); err != nil {
		t.Fatal(err)
	}
	ended(t, i)
}

// ended waits until nobody holds the lock.
func ended(t *testing.T, i *Instance) {
	t.Helper()
	eventually(t, "the daemon to end", func() bool { return !alive(t, i) })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(bound); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", bound, what)
		}
	}
}

// absent fails the test when path exists.
func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", path, err)
	}
}

// exists tells whether path is there.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// says fails the test unless err holds all the texts.
func says(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v does not say %q", err, text)
		}
	}
}

// read gives the text of a file.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// descriptors counts what a process holds open of a kind: pipe: or socket:.
func descriptors(t *testing.T, pid int, kind string) int {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, entry := range entries {
		if target, _ := os.Readlink(filepath.Join(dir, entry.Name())); strings.HasPrefix(target, kind) {
			n++
		}
	}
	return n
}
