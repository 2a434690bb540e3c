package module

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// snapshot lists everything below a directory with its type, mode, time and content; of what tracker and seeder write at any
// time only that it is there.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.Walk(dir, func(path string, stat os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		if daemon := filepath.Base(filepath.Dir(path)); daemon == "tracker" || daemon == "seed" {
			fmt.Fprintln(&all, path)
			return filepath.SkipDir
		}
		content, _ := os.ReadFile(path)
		target, _ := os.Readlink(path)
		fmt.Fprintln(&all, path, stat.Mode(), stat.ModTime(), target, len(content), sha1.Sum(content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// applied runs a call three times: in check mode, where it must predict the change and write nothing; for real, with the very
// diff that was predicted; and again, when nothing may change any more and there is nothing to show. It returns the diff and
// the result of the second and third.
func (r *rig) applied(module string, o options) (diff map[string]any, done, again options) {
	r.t.Helper()
	r.eventually("the daemon of the call before has ended", func() bool {
		left, err := os.ReadDir(o["state_dir"].(string))
		return err != nil || !slices.ContainsFunc(left, func(e os.DirEntry) bool { return e.Name() != "placed" && e.Name() != "unpacked" })
	})
	before := snapshot(r.t, r.dir)
	predicted := r.must(true, module, o.with("_ansible_check_mode", true).with("_ansible_diff", true))
	if after := snapshot(r.t, r.dir); after != before {
		r.t.Errorf("%s wrote in check mode; before:\n%s\nafter:\n%s", module, before, after)
	}
	diff, _ = predicted["diff"].(map[string]any)
	if len(diff) == 0 {
		r.t.Errorf("%s %v shows no diff", module, o)
	}
	done = r.must(true, module, o.with("_ansible_diff", true))
	if !reflect.DeepEqual(done["diff"], predicted["diff"]) {
		r.t.Errorf("%s predicted the diff %v, and then it was %v", module, predicted["diff"], done["diff"])
	}
	again = r.settled(module, o)
	for key := range done {
		if _, ok := again[key]; !ok && key != "backup_file" && key != "diff" {
			r.t.Errorf("%s returns %s only when something changed", module, key)
		}
	}
	return diff, done, again
}

// settled runs a call in check mode and for real, when there is nothing left to change, and returns the second result.
func (r *rig) settled(module string, o options) (res options) {
	r.t.Helper()
	for _, check := range []bool{true, false} {
		res = r.must(false, module, o.with("_ansible_check_mode", check).with("_ansible_diff", true))
		if diff, there := res["diff"]; there {
			r.t.Errorf("%s changes nothing (check mode %v) and shows %v", module, check, diff)
		}
	}
	return res
}

// quiet is a peer that ends as soon as it has delivered.
func (r *rig) quiet(n int) options { return r.peer(n).with("seed_time", 0) }

// reseed makes the source another one.
func (r *rig) reseed(content string) string {
	r.t.Helper()
	if err := os.WriteFile(r.src, []byte(content), 0o640); err != nil {
		r.t.Fatal(err)
	}
	return r.call("murder_seed", r.seed())["infohash"].(string)
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func TestCopyOptionsThereAndBack(t *testing.T) {
	r := newRig(t)
	r.must(true, "murder_tracker", r.tracker())
	r.reseed("version 1")
	dest := r.peer(1)["dest"].(string)
	if err := os.WriteFile(dest, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	left := r.must(false, "murder_peer", r.quiet(1).with("force", "no"))
	if read(t, dest) != "what was there" || left["msg"] == nil || left["mode"] != "0600" {
		t.Errorf("with force: no it is %q, and the result %v", read(t, dest), left)
	}
	_, done, _ := r.applied("murder_peer", r.quiet(1).with("backup", "yes").with("validate", "grep -q version %s").with("mode", "u=rw,go=r"))
	backup, _ := done["backup_file"].(string)
	if !strings.HasPrefix(backup, dest+".") || read(t, backup) != "what was there" || read(t, dest) != "version 1" || done["mode"] != "0644" {
		t.Errorf("backup and validate: %v", done)
	}
	r.reseed("something else")
	r.refused("murder_peer", r.quiet(1).with("validate", "sh -c 'echo no >&2; exit 3' %s"), "Validation of "+dest+" failed", "rc 3, stderr: no")
	if read(t, dest) != "version 1" {
		t.Error("a validation that failed changed the destination")
	}
	sum := fmt.Sprintf("%x", sha1.Sum([]byte("something else")))
	r.refused("murder_peer", r.quiet(1).with("checksum", strings.Repeat("1", 40)), "The checksum of artifact is "+sum+", but 1111", "is expected")
	r.refused("murder_peer", r.quiet(1).with("mode", "rwxr"), "mode")
	r.refused("murder_peer", r.quiet(1).with("owner", "nobody-at-all"), `Owner "nobody-at-all" does not exist on this host`)
	r.refused("murder_peer", r.quiet(1).with("group", "no-such-group"), `Group "no-such-group" does not exist on this host`)
	r.refused("murder_peer", r.quiet(1).with("attributes", "+!"), "Option attributes")
	r.refused("murder_peer", r.quiet(1).with("validate", "true"), "must contain %s")
	r.refused("murder_peer", r.quiet(1).with("partial_dir", "/no/such/place"), "/no/such/place of option partial_dir does not exist")
	r.refused("murder_peer", r.quiet(1).with("keep", 1).with("backup", true), "backup and keep exclude each other")
	partial := filepath.Join(r.dir, "partial")
	if err := os.Mkdir(partial, 0o700); err != nil {
		t.Fatal(err)
	}
	if read(t, dest) != "version 1" {
		t.Error("something that was refused changed the destination")
	}
	r.must(true, "murder_peer", r.peer(1).with("state", "absent")) // what the failed validation has left
	r.applied("murder_peer", r.quiet(1).with("checksum", sum).with("partial_dir", partial).with("unsafe_writes", true))
	if read(t, dest) != "something else" {
		t.Error("not placed")
	}
}

// TestForceFalseWhereNothingIs: it deploys then, and only then.
func TestForceFalseWhereNothingIs(t *testing.T) {
	r := newRig(t)
	data := r.source(1000)
	r.up()
	o := r.quiet(1).with("force", false)
	check := o.with("_ansible_check_mode", true).with("_ansible_diff", true)
	unchanged := func() {
		t.Helper()
		before := snapshot(t, r.dir)
		res := r.must(false, "murder_peer", check)
		if msg, _ := res["msg"].(string); !strings.Contains(msg, "exists already") || res["diff"] != nil {
			t.Errorf("check mode where something is returned %v", res)
		}
		r.must(false, "murder_peer", o)
		if snapshot(t, r.dir) != before {
			t.Error("what is there was changed")
		}
	}
	before := snapshot(t, r.dir)
	if res := r.must(true, "murder_peer", check); res["diff"] == nil || snapshot(t, r.dir) != before {
		t.Errorf("check mode where nothing is returned %v", res)
	}
	r.must(true, "murder_peer", o.with("seed_time", 60))
	r.arrived(1, data)
	unchanged()
	if err := os.WriteFile(o["dest"].(string), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	unchanged()
}

// TestAttributesOfATreeThereAndBack: modes and file attributes by the module's options, of a tree that is deployed with them
// and of one that is in place.
func TestAttributesOfATreeThereAndBack(t *testing.T) {
	r := newRig(t)
	if err := os.MkdirAll(filepath.Join(r.src, "d"), 0o750); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(r.src, "d", "f")
	if err := os.WriteFile(file, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	r.up()
	dest := r.peer(1)["dest"].(string)
	expect := func(root, d, f string) {
		t.Helper()
		for path, want := range map[string]string{"": root, "d": d, "d/f": f} {
			if stat, err := os.Stat(filepath.Join(dest, path)); err != nil || fmt.Sprintf("%04o", stat.Mode().Perm()) != want {
				t.Errorf("%q is %v (%v), want %s", path, stat.Mode(), err, want)
			}
		}
	}
	r.applied("murder_peer", r.quiet(1).with("mode", "u=rwX,go=").with("directory_mode", "0711"))
	expect("0711", "0711", "0600")
	r.applied("murder_peer", r.quiet(1).with("directory_mode", "g+rx"))
	expect("0751", "0751", "0640")
	if err := errors.Join(os.Chmod(filepath.Join(dest, "d"), 0o777), os.Chmod(filepath.Join(dest, "d", "f"), 0o666)); err != nil {
		t.Fatal(err)
	}
	diff, _, _ := r.applied("murder_peer", r.quiet(1).with("mode", "preserve"))
	expect("0751", "0750", "0640") // of the tree's own directory those that it has stay
	if text := fmt.Sprint(diff["before"], diff["after"]); !strings.Contains(text, "0666") || !strings.Contains(text, "0640") {
		t.Errorf("the diff is %s", text)
	}
	// There are none in /proc.
	r.refused("murder_peer", r.quiet(1).with("attributes", "+d").with("dest", "/proc/dest"), "Option attributes cannot be followed")
	t.Run("attributes", func(t *testing.T) {
		needFlags(t)
		r := r.on(t)
		for _, change := range []string{"+d", "-d"} {
			diff, _, _ := r.applied("murder_peer", r.quiet(1).with("mode", "preserve").with("attributes", change))
			if !strings.Contains(fmt.Sprint(diff), "attributes:") {
				t.Errorf("the diff is %v", diff)
			}
			if set := undumped(filepath.Join(dest, "d", "f")); set != (change == "+d") {
				t.Errorf("with %s the attribute d is set: %v", change, set)
			}
		}
	})
}

// flags reads those that chattr sets.
func flags(path string) (uint32, error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	return unix.IoctlGetUint32(int(file.Fd()), unix.FS_IOC_GETFLAGS)
}

// undumped tells whether a file has the attribute d.
func undumped(path string) bool {
	set, err := flags(path)
	return err == nil && set&0x40 != 0
}

// needFlags skips a test that takes a filesystem whose files have attributes. There is nothing to set on others, and make test counts it as
// skipped; that they refuse attributes has a test wherever tests run.
func needFlags(t *testing.T) {
	t.Helper()
	_, err := flags(t.TempDir())
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the temporary directory's filesystem has no file attributes")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeleteThereAndBack(t *testing.T) {
	r := newRig(t)
	write := func(path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(r.src, "a"), "new")
	write(filepath.Join(r.src, "d", "b"), "new")
	dest := r.peer(1)["dest"].(string)
	write(filepath.Join(dest, "a"), "old content")
	write(filepath.Join(dest, "d", "stranger"), "x")
	r.up()
	diff, _, _ := r.applied("murder_peer", r.quiet(1).with("delete", true))
	after := diff["after"].(map[string]any)
	if fmt.Sprint(after["added"], after["changed"], after["removed"]) != "[d/b] [a] [d/stranger]" || strings.Contains(fmt.Sprint(diff), "old content") {
		t.Errorf("the diff is %v", diff)
	}
	write(filepath.Join(dest, "late", "x"), "x")
	r.must(false, "murder_peer", r.quiet(1)) // without delete it stays
	diff, done, _ := r.applied("murder_peer", r.quiet(1).with("delete", true))
	if done["bytes_reused"] != 6.0 || fmt.Sprint(diff["after"].(map[string]any)["removed"]) != "[late/]" {
		t.Errorf("the second run: %v, %v", done, diff)
	}
	if names, _ := filepath.Glob(dest + "/*"); len(names) != 2 {
		t.Errorf("there is %v", names)
	}
}

func TestKeepAndRollBack(t *testing.T) {
	r := newRig(t)
	r.must(true, "murder_tracker", r.tracker())
	app := filepath.Join(r.dir, "app")
	if err := os.Mkdir(app, 0o755); err != nil {
		t.Fatal(err)
	}
	current := filepath.Join(app, "current")
	keep := r.quiet(1).with("dest", current).with("keep", "1")
	r.refused("murder_peer", keep.with("state", "rolledback"), "no link to a release")
	var releases []string
	for _, version := range []string{"one", "two", "three"} {
		r.reseed(version)
		diff, done, again := r.applied("murder_peer", keep)
		if read(t, current) != version || done["dest"] != current || done["release"] != again["release"] ||
			fmt.Sprint(done["releases"]) != fmt.Sprint(again["releases"]) {
			t.Errorf("%s: %v, then %v", version, done, again)
		}
		if after := diff["after"].(map[string]any)["release"]; after != done["release"] {
			t.Errorf("the diff is %v", diff)
		}
		releases = append(releases, done["release"].(string))
	}
	if _, err := os.Stat(filepath.Join(app, "releases", releases[0])); err == nil {
		t.Error("the oldest release is still there")
	}
	back := options{"state": "rolledback", "dest": current, "state_dir": r.state("peer1")}
	before := snapshot(t, app)
	predicted := r.must(true, "murder_peer", back.with("_ansible_check_mode", true).with("_ansible_diff", true))
	if predicted["release"] != releases[1] || predicted["diff"] == nil || snapshot(t, app) != before {
		t.Errorf("check mode of a rollback: %v", predicted)
	}
	done := r.must(true, "murder_peer", back.with("_ansible_diff", true))
	if !reflect.DeepEqual(done["diff"], predicted["diff"]) {
		t.Errorf("the diff of a rollback is %v, predicted was %v", done["diff"], predicted["diff"])
	}
	if read(t, current) != "two" || done["release"] != releases[1] || !slices.Equal(done["releases"].([]any), []any{releases[1]}) {
		t.Errorf("rolled back: %v", done)
	}
	r.settled("murder_peer", back.with("release", releases[1]))
	r.refused("murder_peer", back, "There is no release before "+filepath.Join(app, "releases", releases[1]))
	res := r.must(true, "murder_peer", keep) // three again: its files are still there
	if read(t, current) != "three" || res["bytes_from_seed"] != 0.0 {
		t.Errorf("deployed again: %v", res)
	}
	r.refused("murder_peer", r.quiet(1).with("keep", 1).with("dest", app), "is a directory, but with keep it is a symbolic link")
}

// TestRolledBackBeforeAnybodyAsked: the link leads to an older release again when the result of the newer one is collected.
func TestRolledBackBeforeAnybodyAsked(t *testing.T) {
	r := newRig(t)
	r.must(true, "murder_tracker", r.tracker())
	current := filepath.Join(r.dir, "current")
	keep := r.quiet(1).with("dest", current).with("keep", 1)
	r.reseed("one")
	r.must(true, "murder_peer", keep)
	r.reseed("two")
	r.must(true, "murder_peer", keep.with("state", "started"))
	r.eventually("the second release is in place", func() bool {
		return r.must(false, "murder_peer", keep.with("state", "started"))["mode"] != nil
	})
	r.must(true, "murder_peer", options{"state": "rolledback", "dest": current, "state_dir": r.state("peer1")})
	r.must(true, "murder_peer", keep)
	if got := read(t, current); got != "two" {
		t.Errorf("the link leads to %q", got)
	}
	r.must(false, "murder_peer", keep)
}

// TestCheckModeCollectsNothing: a download that is under way, or done and not asked about, is still there after a check.
func TestCheckModeCollectsNothing(t *testing.T) {
	r := newRig(t)
	data := r.slow(4 << 20)
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.halfDone(1)
	r.must(true, "murder_peer", r.peer(1).with("_ansible_check_mode", true))
	r.must(false, "murder_peer", r.peer(1).with("_ansible_check_mode", true).with("state", "started"))
	r.must(true, "murder_peer", r.peer(1))
	r.arrived(1, data)
}
