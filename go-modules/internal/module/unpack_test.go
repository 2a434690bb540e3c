package module

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"corvus.murder/internal/testarchive"
)

var release = []testarchive.Entry{
	{Name: "bin/", Mode: 0o755}, {Name: "bin/run", Mode: 0o755, Body: "#!/bin/sh\n"},
	{Name: "data", Mode: 0o640, Body: strings.Repeat("0123456789abcdef", 100_000)}, {Name: "empty/", Mode: 0o700},
	{Name: "current", Type: tar.TypeSymlink, Link: "bin/run", Mode: 0o777},
}

// archive makes the source an archive.
func (r *rig) archive(data []byte) {
	r.t.Helper()
	if err := os.WriteFile(r.src, data, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// unpacked demands that a peer's destination holds the release.
func (r *rig) unpacked(n int) {
	r.t.Helper()
	dest := r.peer(n)["dest"].(string)
	for _, e := range release {
		path := filepath.Join(dest, e.Name)
		if e.Type == tar.TypeSymlink {
			if target, err := os.Readlink(path); err != nil || target != e.Link {
				r.t.Errorf("%s leads to %q (%v)", path, target, err)
			}
			continue
		}
		stat, err := os.Lstat(path)
		if err != nil || int64(stat.Mode().Perm()) != e.Mode || !stat.ModTime().Equal(testarchive.When) {
			r.t.Errorf("%s: %v, %v", path, stat, err)
		}
		if e.Body != "" {
			if got, err := os.ReadFile(path); err != nil || string(got) != e.Body {
				r.t.Errorf("%s holds %d bytes (%v)", path, len(got), err)
			}
		}
	}
	if staged, _ := filepath.Glob(filepath.Join(r.dir, ".dest*")); len(staged) > 0 {
		r.t.Errorf("left beside the destination: %v", staged)
	}
}

func (r *rig) unpack(n int) options { return r.peer(n).with("unpack", true) }

func TestUnpack(t *testing.T) {
	for name, data := range testarchive.Formats(t, release...) {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.archive(data)
			r.up()
			first := r.must(true, "murder_peer", r.unpack(1))
			r.unpacked(1)
			want := options{"unpacked": true, "files": 3.0, "unpacked_size": 1_600_010.0, "size": float64(len(data))}
			for _, res := range []options{first, r.must(false, "murder_peer", r.unpack(1))} {
				for key, value := range want {
					if res[key] != value {
						t.Errorf("%s is %v, want %v", key, res[key], value)
					}
				}
			}
			again := r.must(true, "murder_peer", r.peer(2).with("unpack", true).with("state", "started"))
			if again["unpacked"] != true {
				t.Errorf("state: started returned %v", again)
			}
			r.must(true, "murder_peer", r.unpack(2))
			r.unpacked(2)
		})
	}
}

func TestUnpackedTreeIsLookedAfter(t *testing.T) {
	r := newRig(t)
	r.archive(testarchive.Formats(t, release...)[".tar.zst"])
	r.up()
	dest := r.peer(1)["dest"].(string)
	if err := os.MkdirAll(filepath.Join(dest, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	stranger, run := filepath.Join(dest, "bin", "stranger"), filepath.Join(dest, "bin", "run")
	if err := os.WriteFile(stranger, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	o := r.unpack(1).with("seed_time", 0)
	check := o.with("_ansible_check_mode", true).with("_ansible_diff", true)
	must := func(changed bool, o options) {
		t.Helper()
		r.must(changed, "murder_peer", o)
		inst, err := peerInstance(r.state("peer1"), dest)
		if err != nil {
			t.Fatal(err)
		}
		r.eventually("the daemon ends", func() bool { _, running, err := inst.Running(); return err == nil && !running })
	}
	must(true, check)
	if _, err := os.Stat(run); err == nil {
		t.Fatal("check mode unpacked")
	}
	must(true, o)
	r.unpacked(1)
	must(false, check)

	change := func(what func(path string) error) {
		t.Helper()
		if err := what(run); err != nil {
			t.Fatal(err)
		}
		must(true, check)
		must(true, o)
		r.unpacked(1)
		must(false, o)
	}
	change(os.Remove)
	change(func(path string) error { return os.Chmod(path, 0o600) })
	change(func(path string) error { return os.WriteFile(path, []byte("#!/bin/su\n"), 0o755) })
	change(func(path string) error { // what tar --diff does not see
		if err := os.WriteFile(path, []byte("#!/bin/su\n"), 0o755); err != nil {
			return err
		}
		return os.Chtimes(path, testarchive.When, testarchive.When)
	})
	must(true, o.with("mode", "u=rw,g=r,o=").with("directory_mode", "0711"))
	must(false, o.with("mode", "u=rw,g=r,o=").with("directory_mode", "0711"))
	if stat, err := os.Stat(run); err != nil || stat.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", stat, err)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Errorf("what was there beside the archive's files is gone: %v", err)
	}
	must(true, o.with("state", "absent"))
	must(false, o.with("state", "absent"))
	if left, _ := filepath.Glob(filepath.Join(r.state("peer1"), "*")); len(left) > 0 {
		t.Errorf("left in the state: %v", left)
	}
	must(true, o)
	r.unpacked(1)
}

// TestDiffAndDeleteOfAnUnpackedTree: what an archive holds is not known before it has come, so a diff names the archive, and never content;
// of what is in place it shows attributes and what goes.
func TestDiffAndDeleteOfAnUnpackedTree(t *testing.T) {
	r := newRig(t)
	r.archive(testarchive.Formats(t, release...)[".tar.gz"])
	r.up()
	o := r.quiet(1).with("unpack", true).with("delete", true)
	dest := o["dest"].(string)
	stranger := filepath.Join(dest, "late", "stranger")
	strange := func() {
		t.Helper()
		err := os.MkdirAll(filepath.Dir(stranger), 0o755)
		if err == nil {
			err = os.WriteFile(stranger, []byte("old content"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	deployed := func() map[string]any {
		t.Helper()
		diff, _, _ := r.applied("murder_peer", o)
		r.unpacked(1)
		if _, err := os.Lstat(filepath.Dir(stranger)); err == nil {
			t.Error("the stranger is still there")
		}
		if text := fmt.Sprint(diff); strings.Contains(text, "old content") || strings.Contains(text, "#!/bin") {
			t.Errorf("the diff shows content: %s", text)
		}
		return diff["after"].(map[string]any)
	}
	strange()
	if after := deployed(); after["archive"] != "artifact" || after["state"] != "directory" || after["path"] != dest || after["added"] != nil {
		t.Errorf("the diff is %v", after)
	}
	strange()
	if err := os.Chmod(filepath.Join(dest, "data"), 0o604); err != nil {
		t.Fatal(err)
	}
	after := deployed()
	if fmt.Sprint(after["removed"], after["files_removed"], after["files"]) != "[late/] 1 map[data:map[mode:0640]]" {
		t.Errorf("the diff of what is in place is %v", after)
	}
	strange()
	r.must(false, "murder_peer", o.with("delete", false))
}

func TestBadArchivesAreRefused(t *testing.T) {
	tree := testarchive.Tar(t, release...)
	for name, c := range map[string]struct {
		data  []byte
		words string
	}{
		"text":    {[]byte(strings.Repeat("no archive ", 1000)), "is neither tar nor tar.gz nor tar.zst nor zip"},
		"damaged": {testarchive.Gzip(t, tree)[:2000], "Archive artifact is damaged"},
		"out":     {testarchive.Tar(t, testarchive.Entry{Name: "../../out", Body: "x"}), "leads out of its directory"},
		"device":  {testarchive.Tar(t, testarchive.Entry{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3}), "set unpack_devices"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.archive(c.data)
			r.up()
			dest := r.peer(1)["dest"].(string)
			if err := os.Mkdir(dest, 0o755); err != nil {
				t.Fatal(err)
			}
			kept := filepath.Join(dest, "kept")
			if err := os.WriteFile(kept, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			r.refused("murder_peer", r.unpack(1), c.words, "Archive artifact")
			if got, err := os.ReadFile(kept); err != nil || string(got) != "old" {
				t.Errorf("the destination holds %q, %v", got, err)
			}
			if staged, _ := filepath.Glob(filepath.Join(r.dir, ".dest*")); len(staged) > 0 {
				t.Errorf("left beside the destination: %v", staged)
			}
		})
	}
}

func TestUnpackOfADirectory(t *testing.T) {
	r := newRig(t)
	if err := os.MkdirAll(filepath.Join(r.src, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.up()
	r.refused("murder_peer", r.unpack(1), "Option unpack is for an archive, but artifact is a directory")
}

func TestKilledUnpackingIsResumed(t *testing.T) {
	r := newRig(t)
	r.archive(testarchive.Tar(t, append(release, testarchive.Entry{Name: "more", Body: strings.Repeat("y", 4<<20), Mode: 0o600})...))
	r.must(true, "murder_tracker", r.tracker())
	r.must(true, "murder_seed", r.seed().with("upload_limit", "700K"))
	r.must(true, "murder_peer", r.unpack(1).with("state", "started"))
	inst := r.halfDone(1)
	pid, _, err := inst.Running()
	if err != nil {
		t.Fatal(err)
	}
	staged := filepath.Join(r.dir, ".dest1.murder-*", "content", "data")
	r.eventually("unpacking begins while the archive comes", func() bool { found, _ := filepath.Glob(staged); return len(found) > 0 })
	var status peerStatus
	if err := inst.Status(t.Context(), &status); err != nil || status.State != downloading || status.Stats.PiecesHave == status.Stats.Pieces {
		t.Errorf("nothing of it was unpacked before all of it was there: %+v (%v)", status, err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	r.must(true, "murder_seed", r.seed())
	res := r.must(true, "murder_peer", r.unpack(1))
	r.unpacked(1)
	if res["bytes_reused"].(float64) == 0 {
		t.Errorf("nothing was reused: %v", res)
	}
}
