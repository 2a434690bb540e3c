package module

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// profiles lists the files of a directory whose names match.
func profiles(t *testing.T, dir, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestProfilesOfEveryDaemon demands two profiles of each daemon once it has ended, none before, and that go tool pprof reads them.
func TestProfilesOfEveryDaemon(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	dir := t.TempDir()
	daemons := map[string]options{"murder_tracker": r.tracker(), "murder_seed": r.seed(), "murder_peer": r.peer(1)}
	for _, module := range []string{"murder_tracker", "murder_seed", "murder_peer"} {
		r.must(true, module, daemons[module].with("profile", dir))
	}
	r.arrived(1, data)
	if early := profiles(t, dir, "*"); len(early) > 0 {
		t.Errorf("profiles of daemons that still run: %v", early)
	}
	r.refused("murder_seed", daemons["murder_seed"], "profile is", dir)
	for _, module := range []string{"murder_peer", "murder_seed", "murder_tracker"} {
		// The directory does not matter any more.
		r.must(true, module, daemons[module].with("profile", "/nowhere").with("state", "stopped"))
	}
	for _, kind := range []string{"tracker", "seed", "peer"} {
		for suffix, what := range map[string]string{"cpu": "Type: cpu", "heap": "Type: inuse_space"} {
			files := profiles(t, dir, "murder_"+kind+"-*."+suffix+".pprof")
			if len(files) != 1 {
				t.Errorf("murder_%s has left %d profiles of its %s: %v", kind, len(files), suffix, profiles(t, dir, "*"))
				continue
			}
			out, err := exec.Command("go", "tool", "pprof", "-top", files[0]).CombinedOutput()
			if err != nil || !strings.Contains(string(out), what) {
				t.Errorf("go tool pprof -top %s does not say %q: %v\n%s", files[0], what, err, out)
			}
		}
	}
}

func TestProfileThatCannotBeKeptIsRefused(t *testing.T) {
	r := newRig(t)
	r.source(1 << 10)
	for dir, words := range map[string][]string{
		filepath.Join(r.dir, "missing"): {"Option profile", "missing", "no such file or directory", "make that directory first"},
		r.src:                           {"Option profile", r.src, "not a directory"},
	} {
		r.refused("murder_tracker", r.tracker().with("profile", dir), words...)
		r.refused("murder_seed", r.seed().with("profile", dir), words...)
		r.refused("murder_peer", r.peer(1).with("profile", dir).with("torrent", "/nowhere"), words...)
	}
	if left := r.left(); len(left) > 0 {
		t.Errorf("a refused call has left %v", left)
	}
}

// TestProfileThatCannotBeWrittenIsNoFailure takes the directory away while the daemon runs.
func TestProfileThatCannotBeWrittenIsNoFailure(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 16)
	r.up()
	dir, log := filepath.Join(r.dir, "profiles"), filepath.Join(r.dir, "peer.log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_peer", r.peer(1).with("profile", dir).with("log_file", log))
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_peer", r.peer(1).with("state", "stopped"))
	r.arrived(1, data)
	if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "profiles are not written") {
		t.Errorf("the log does not say that the profiles are not written: %v\n%s", err, text)
	}
}

func TestProfileReplacesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.pprof")
	if err := writeNew(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := writeNew(path, []byte("second")); !os.IsExist(err) {
		t.Errorf("a second file of that name: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "first" {
		t.Errorf("the first file is now %q (%v)", text, err)
	}
}
