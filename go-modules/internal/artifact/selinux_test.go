package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// withSELinux pretends that the kernel has it. Labels are extended attributes that root may set anyway.
func withSELinux(t *testing.T) {
	t.Helper()
	needRoot(t, "set SELinux labels")
	fs, mounts := selinuxfs, mountinfo
	selinuxfs = tree{"enforce": "1"}.write(t, t.TempDir())
	mountinfo = filepath.Join(selinuxfs, "mounts")
	must(t, os.WriteFile(mountinfo, []byte(strings.ReplaceAll(read(t, mounts), "\n", ",seclabel\n")), 0o600))
	t.Cleanup(func() { selinuxfs, mountinfo = fs, mounts })
}

// withPolicy makes the shell command, which finds a path in $path and its kind in $kind, say what the policy's context is. It
// returns a file that counts the calls.
func withPolicy(t *testing.T, command string) (calls string) {
	t.Helper()
	bin := t.TempDir()
	tree{"matchpathcon": script("#!/bin/sh\n[ \"$1 $2 $3\" = '-n -N -m' ] || exit 1\nkind=$4; shift 4\necho >>" + bin +
		"/calls\nfor path; do " + command + "; done\n")}.write(t, bin)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return bin + "/calls"
}

func labelOf(t *testing.T, path string) string {
	t.Helper()
	label, err := readContext(unix.AT_FDCWD, path)
	must(t, err)
	return label
}

func TestContexts(t *testing.T) {
	withSELinux(t)
	withPolicy(t, "case $path in */d/f) echo system_u:object_r:special_t:s0;; *) echo system_u:object_r:usual_t:s0:c1;; esac")
	top := t.TempDir()
	src := tree{"d/f": "new", "f": "new", "l": link("f")}.write(t, top+"/src")
	dest := tree{"d/f": "old", "f": "old"}.write(t, top+"/dest")
	for _, path := range []string{"", "/d", "/d/f"} {
		must(t, writeContext(unix.AT_FDCWD, dest+path, "u:r:old_t:s0"))
	}
	// Without options what is replaced hands its label on.
	deploy(t, src, PlaceOptions{Dest: dest})
	expect := func(want map[string]string) {
		t.Helper()
		for path, label := range want {
			if got := labelOf(t, dest+path); got != label {
				t.Errorf("%q is %q, want %q", path, got, label)
			}
		}
	}
	expect(map[string]string{"": "u:r:old_t:s0", "/d": "u:r:old_t:s0", "/d/f": "u:r:old_t:s0"})
	must(t, writeContext(unix.AT_FDCWD, dest+"/f", "u:r:f_t:s0"))
	must(t, os.WriteFile(src+"/f", []byte("newer"), 0o644))
	p := deploy(t, src, PlaceOptions{Dest: dest, SEType: "new_t", SELevel: "s1:c2"})
	expect(map[string]string{"": "u:r:new_t:s1:c2", "/d/f": "u:r:new_t:s1:c2", "/f": "u:r:new_t:s1:c2"})
	p = plan(t, p.torrent, PlaceOptions{Dest: dest, SEType: "_default", SEUser: "system_u", SELevel: "_default"})
	changed, diff, err := p.Attributes(false)
	must(t, err)
	after := diff.After["files"].(map[string]any)["d/f"].(map[string]any)["secontext"].([]string)
	if !changed || strings.Join(after, ":") != "system_u:r:special_t:s0" {
		t.Errorf("changed %v, %v", changed, diff)
	}
	_, _, err = p.Attributes(true)
	must(t, err)
	expect(map[string]string{"": "system_u:r:usual_t:s0:c1", "/d/f": "system_u:r:special_t:s0"})
	if changed, diff, err := p.Attributes(true); changed || err != nil {
		t.Errorf("changed again: %v, %v", diff, err)
	}
	a, err := Describe(dest + "/d/f")
	if err != nil || strings.Join(a.Context, ":") != "system_u:r:special_t:s0" {
		t.Errorf("described as %v, %v", a, err)
	}
	// The label of a single file goes with its replacement.
	must(t, writeContext(unix.AT_FDCWD, dest+"/f", "u:r:f_t:s0"))
	must(t, os.WriteFile(src+"/f", []byte("newest"), 0o644))
	deploy(t, src+"/f", PlaceOptions{Dest: dest + "/f", SERole: "role"})
	expect(map[string]string{"/f": "u:role:f_t:s0"})
}

// TestNewFilesGetThePolicysContext: as with copy, and whatever directory they have been staged in.
func TestNewFilesGetThePolicysContext(t *testing.T) {
	withSELinux(t)
	calls := withPolicy(t, `case $path in */none) echo '<<none>>';; *) echo system_u:object_r:$kind:s0;; esac`)
	top := t.TempDir()
	files := tree{"d/none": "x", "l": link("f")}
	for i := range 700 {
		files[fmt.Sprintf("d/%d", i)] = "x"
	}
	src := files.write(t, top+"/src")
	deploy(t, src, PlaceOptions{Dest: top + "/dest"})
	for path, want := range map[string]string{"": "dir", "/d": "dir", "/d/1": "file", "/d/699": "file", "/l": "lnk_file"} {
		if got := labelOf(t, top+"/dest"+path); got != "system_u:object_r:"+want+":s0" {
			t.Errorf("%q is %q", path, got)
		}
	}
	if got := labelOf(t, top+"/dest/d/none"); got != "" {
		t.Errorf("what the policy leaves alone is %q", got)
	}
	if n := len(read(t, calls)); n > 6 {
		t.Errorf("matchpathcon ran %d times", n)
	}
	// What the policy leaves alone has no part for _default either, and a policy without levels none for selevel.
	must(t, writeContext(unix.AT_FDCWD, top+"/dest/d/none", "u:r:t"))
	deploy(t, src+"/d/none", PlaceOptions{Dest: top + "/dest/d/none", SEUser: "_default", SEType: "new_t", SELevel: "s0"})
	if got := labelOf(t, top+"/dest/d/none"); got != "u:r:new_t" {
		t.Errorf("what the policy leaves alone is %q", got)
	}
	// Links have labels, and options are for them too; another kind of file hands on none.
	must(t, os.Remove(src+"/d/1"))
	must(t, os.Symlink("2", src+"/d/1"))
	deploy(t, src, PlaceOptions{Dest: top + "/dest", SELevel: "s1"})
	if l, was := labelOf(t, top+"/dest/l"), labelOf(t, top+"/dest/d/1"); l != "system_u:object_r:lnk_file:s1" || was != l {
		t.Errorf("links are %q and %q", l, was)
	}
}

// TestContextThatMayNotBeGiven: for what nobody has asked for, the kernel's choice is good enough.
func TestContextThatMayNotBeGiven(t *testing.T) {
	needFlags(t) // an append-only file stands for one whose label may not be changed
	withSELinux(t)
	withPolicy(t, "echo system_u:object_r:usual_t:s0")
	top := tree{"src": "x", "dest": "x"}.write(t, t.TempDir())
	must(t, writeContext(unix.AT_FDCWD, top+"/dest", "user_u:object_r:t:s0"))
	// Nobody may change the label of a file that can only be appended to.
	seal, err := parseFlags("+a")
	must(t, err)
	unseal, err := parseFlags("-a")
	must(t, err)
	must(t, seal.setFlags(unix.AT_FDCWD, top+"/dest", false, ^uint32(0)))
	defer func() { must(t, unseal.setFlags(unix.AT_FDCWD, top+"/dest", false, ^uint32(0))) }()
	torrent, _ := build(t, top+"/src")
	label := func(o PlaceOptions) error {
		o.Dest = top + "/other"
		return plan(t, torrent, o).context.label(spot{unix.AT_FDCWD, top + "/dest"}, nil, o.Dest, unix.S_IFREG)
	}
	must(t, label(PlaceOptions{}))
	if err := label(PlaceOptions{SEType: "new_t"}); !errors.Is(err, unix.EPERM) {
		t.Errorf("what was asked for: %v", err)
	}
}

func TestContextsMeanNothingWithoutLabels(t *testing.T) {
	withSELinux(t)
	must(t, os.WriteFile(mountinfo, []byte(strings.ReplaceAll(read(t, mountinfo), ",seclabel", "")), 0o600))
	top := t.TempDir()
	tree{"src": "new", "dest": "old"}.write(t, top)
	must(t, writeContext(unix.AT_FDCWD, top+"/dest", "u:r:t:s0"))
	p := deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", SEType: "new_t", SELevel: "_default"})
	if changed, diff, err := p.Attributes(true); changed || err != nil || labelOf(t, top+"/dest") != "" {
		t.Errorf("changed %v, %v, %v", changed, diff, err)
	}
}

// TestContextOfAFileWrittenInPlace: it is the old one, with what the options say.
func TestContextOfAFileWrittenInPlace(t *testing.T) {
	withSELinux(t)
	top := t.TempDir()
	tree{"src": "new", "inner": "old", "dest": "old"}.write(t, top)
	must(t, writeContext(unix.AT_FDCWD, top+"/inner", "u:r:t:s0"))
	must(t, unix.Mount(top+"/inner", top+"/dest", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(top+"/dest", unix.MNT_DETACH)) })
	deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", UnsafeWrites: true, SEType: "new_t"})
	if got := labelOf(t, top+"/inner"); got != "u:r:new_t:s0" {
		t.Errorf("it is %q", got)
	}
}

func TestContextsThatAreRefused(t *testing.T) {
	torrent, _ := build(t, tree{"f": "x"}.write(t, t.TempDir()))
	o := PlaceOptions{Dest: t.TempDir() + "/dest", SEType: "_default"}
	if _, err := os.Stat(selinuxfs); err != nil {
		plan(t, torrent, o) // without SELinux the options mean nothing
	}
	withSELinux(t)
	t.Setenv("PATH", t.TempDir())
	_, err := NewPlan(torrent, o)
	wantError(t, err, "_default takes the program matchpathcon, which is not on this host; install libselinux-utils (Debian: selinux-utils), or")
	o.SEType = "a:b"
	_, err = NewPlan(torrent, o)
	wantError(t, err, `Option setype is "a:b", which is no part of an SELinux context`)
	// A file of the kernel's that takes numbers only stands for the one that takes contexts only.
	must(t, os.Symlink("/proc/self/coredump_filter", filepath.Join(selinuxfs, "context")))
	must(t, os.Mkdir(o.Dest, 0o755))
	must(t, writeContext(unix.AT_FDCWD, o.Dest, "u:r:t:s0"))
	o.SEType = "nonsense_t"
	_, err = NewPlan(torrent, o)
	wantError(t, err, "SELinux context u:r:nonsense_t:s0 for "+o.Dest+" is not valid on this host; look at the options seuser")
}
