package module

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"corvus.murder/internal/artifact"
)

// warned demands one warning, which holds the words.
func (r *rig) warned(res options, words string) {
	r.t.Helper()
	if list, _ := res["warnings"].([]any); len(list) != 1 || !strings.Contains(fmt.Sprint(list[0]), words) {
		r.t.Errorf("the warnings are %v, want %q", res["warnings"], words)
	}
}

// TestDeployThatCannotTidyUp succeeds, and tells what it had to leave: the run that deploys, and those that find all in place.
func TestDeployThatCannotTidyUp(t *testing.T) {
	r := newRig(t)
	r.must(true, "murder_tracker", r.tracker())
	app := filepath.Join(r.dir, "app")
	other := filepath.Join(app, "releases", ".other.murder")
	keep := r.quiet(1).with("dest", filepath.Join(app, "current")).with("keep", 1)
	if err := os.Mkdir(app, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"one", "two"} {
		r.reseed(version)
		r.must(true, "murder_peer", keep)
	}
	if err := os.WriteFile(other, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reseed("three")
	for _, changed := range []bool{true, false} {
		r.warned(r.must(changed, "murder_peer", keep), "The record of releases "+other+" cannot be read")
	}
	if read(t, filepath.Join(app, "current")) != "three" {
		t.Error("not deployed")
	}
}

// TestOldTreeOfAKilledRun: what cannot be removed of it is no reason to fail when the artifact is in place, and is in nobody's
// way afterwards.
func TestOldTreeOfAKilledRun(t *testing.T) {
	needFlags(t)
	needRoot(t, "make a file immutable")
	r := newRig(t)
	data := r.source(1000)
	r.up()
	r.must(true, "murder_peer", r.quiet(1))
	for _, o := range []options{r.quiet(1), r.peer(1).with("state", "absent")} {
		old := filepath.Join(r.dir, ".dest1.murder-01234567", "final-1")
		if err := os.MkdirAll(old, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(old, "f"), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		seal(t, filepath.Join(old, "f"), 0x10)
		r.warned(r.must(o["state"] == "absent", "murder_peer", o), "The old content of "+o["dest"].(string)+" is left in ")
		left, _ := filepath.Glob(filepath.Join(r.dir, ".dest1.murder-*"))
		if len(left) != 1 {
			t.Fatalf("left are %v", left)
		}
		if read(t, filepath.Join(left[0], "f")) != "old" {
			t.Error("it is not what was there")
		}
		if res := r.must(false, "murder_peer", o); res["warnings"] != nil {
			t.Errorf("the run after that: %v", res)
		}
		seal(t, filepath.Join(left[0], "f"), 0)
		if err := os.RemoveAll(left[0]); err != nil {
			t.Fatal(err)
		}
	}
	r.arrived(1, data)
}

// seal sets the attributes of a file that keep it from being removed.
func seal(t *testing.T, path string, bits int) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, bits); err != nil {
		t.Fatal(err)
	}
}

// TestResultOfAnyName: a daemon's result reaches the module as it was, whatever the artifact is called.
func TestResultOfAnyName(t *testing.T) {
	want := peerResult{Dest: "/srv/caf\xe9.tar", Place: artifact.Path("/srv/\u00e9/\xff\ufffd"), Port: 1, Warnings: []string{"w"}}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got peerResult
	if err := json.Unmarshal(text, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v became %s and then %+v, %v", want, text, got, err)
	}
	values := map[string]any{}
	got.fill(values)
	if values["dest"] != "/srv/caf\xe9.tar" {
		t.Errorf("the values are %v", values)
	}
}

// TestNothingOfAFirstReleaseThatFailed is left with state absent, which says so.
func TestNothingOfAFirstReleaseThatFailed(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	top := filepath.Join(r.dir, "app")
	if err := os.Mkdir(top, 0o755); err != nil {
		t.Fatal(err)
	}
	o := r.quiet(1).with("dest", filepath.Join(top, "current")).with("keep", 1)
	r.refused("murder_peer", o.with("validate", "false %s"), "Validation of ")
	o = o.with("state", "absent")
	r.must(true, "murder_peer", o.with("_ansible_check_mode", true))
	r.must(true, "murder_peer", o)
	if left, err := os.ReadDir(top); len(left) > 0 || err != nil {
		t.Errorf("left is %v, %v", left, err)
	}
	for _, check := range []bool{true, false} {
		r.must(false, "murder_peer", o.with("_ansible_check_mode", check))
	}
}
