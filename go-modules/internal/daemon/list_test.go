package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListNamesTheInstancesOfAKind(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if found, err := List(state, "peer"); err != nil || len(found) > 0 {
		t.Errorf("without a state directory: %v, %v", found, err)
	}
	path := Open(state, "peer", "/a path/that needs/a digest")
	killAfter(t, path)
	start(t, path, work{Name: "a"})
	for _, name := range []string{"peer-old", "tracker-8998", "peer-", "peer", "other"} {
		if err := os.Mkdir(filepath.Join(state, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "peer-file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := List(state, "peer")
	if err != nil || len(found) != 2 {
		t.Fatalf("found %v, %v; want the daemon and the directory of one", found, err)
	}
	running := map[string]bool{}
	for _, i := range found {
		_, alive, err := i.Running()
		if err != nil {
			t.Error(err)
		}
		running[i.Dir()] = alive
	}
	if !running[path.Dir()] || running[filepath.Join(state, "peer-old")] {
		t.Errorf("running: %v", running)
	}
}

func TestListRefusesWhatIsNoDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := List(file, "seed"); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "state_dir") {
		t.Errorf("the error is %v", err)
	}
}
