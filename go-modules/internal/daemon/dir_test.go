package daemon

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestUntrustedDirectories(t *testing.T) {
	for name, row := range map[string]struct {
		prepare func(state, dir string) error
		want    string
	}{
		"state is a file": {
			func(state, _ string) error { return os.WriteFile(state, nil, 0o600) }, "cannot be made: not a directory",
		},
		"state open to all": {
			func(state, _ string) error {
				return errorOf(os.Mkdir(state, 0o700), os.Chmod(state, 0o777))
			}, "can be written to by everyone; close it (chmod o-w)",
		},
		"instance is a link": {
			func(state, dir string) error { return errorOf(os.Mkdir(state, 0o700), os.Symlink("/tmp", dir)) },
			"is not a directory; remove it",
		},
		"instance is a file": {
			func(state, dir string) error {
				return errorOf(os.Mkdir(state, 0o700), os.WriteFile(dir, nil, 0o600))
			}, "is not a directory; remove it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			state := filepath.Join(t.TempDir(), "state")
			i := Open(state, "peer", "x")
			if err := row.prepare(state, i.Dir()); err != nil {
				t.Fatal(err)
			}
			says(t, i.Startable(""), row.want)
			says(t, i.Start(t.Context(), work{}, ""), row.want)
		})
	}
}

// errorOf gives the first error.
func errorOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestStickyStateDirectory(t *testing.T) {
	state := t.TempDir()
	if err := os.Chmod(state, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	i := Open(state, "peer", "x")
	killAfter(t, i)
	start(t, i, work{})
	if _, err := i.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// Nobody works with the directory of somebody else, root neither.
func TestForeignDirectory(t *testing.T) {
	foreign, name := "/", "root (uid 0)"
	if os.Geteuid() == 0 {
		foreign, name = t.TempDir(), "(uid 65534)"
		if err := os.Chown(foreign, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(foreign)
	if err != nil {
		t.Fatal(err)
	}
	says(t, own(foreign, info), "instance directory "+foreign+" belongs to", name,
		fmt.Sprintf("this runs as uid %d; run it as that user (become_user) or give another state_dir", os.Geteuid()))
}

// asNobody runs the starter as an ordinary user when the tests run as root.
func asNobody(t *testing.T, state string) string {
	t.Helper()
	var output, noise bytes.Buffer
	cmd := exec.Command(self)
	cmd.Args, cmd.Stdout, cmd.Stderr = []string{"murder_peer", "starter", state, "serve"}, &output, &noise
	cmd.Dir = "/"
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %s", err, noise.String())
	}
	return output.String()
}

func TestOrdinaryUser(t *testing.T) {
	base, err := os.MkdirTemp("", "murder") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(base, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(state, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	output := asNobody(t, state)
	dir := Open(state, "peer", "x").Dir()
	pid, running, err := holder(dir)
	if err != nil || !running || output != "starter: <nil>\n" {
		t.Errorf("running: %v, %v, %s", running, err, output)
	}
	if running {
		err = syscall.Kill(pid, syscall.SIGTERM)
	}
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon to end", func() bool {
		_, running, err := holder(dir)
		return err == nil && !running
	})
	if output := asNobody(t, "/proc/murder"); strings.Count(output, "state directory /proc/murder cannot be made") != 2 {
		t.Errorf("got %s", output)
	}
	if output := asNobody(t, "/usr"); strings.Count(output, "state directory /usr cannot be written to: permission denied; give a state_dir that uid") != 2 &&
		strings.Count(output, "read-only file system") != 2 {
		t.Errorf("got %s", output)
	}
}
