package artifact

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// withSELinux pretends that the kernel has it. Labels are extended attributes that root may set anyway.
func withSELinux(t *testing.T) {
	t.Helper()
	needRoot(t, "set SELinux labels")
	real := selinuxfs
	selinuxfs = tree{"enforce": "1"}.write(t, t.TempDir())
	t.Cleanup(func() { selinuxfs = real })
}

func labelOf(t *testing.T, path string) string {
	t.Helper()
	label, err := readContext(unix.AT_FDCWD, path)
	must(t, err)
	return label
}

func TestContexts(t *testing.T) {
	withSELinux(t)
	bin := t.TempDir()
	tree{"matchpathcon": script("#!/bin/sh\ncase $2 in */d/f) echo system_u:object_r:special_t:s0;; *) echo system_u:object_r:usual_t:s0:c1;; esac\n")}.write(t, bin)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	top := t.TempDir()
	src := tree{"d/f": "new", "f": "new", "l": link("f")}.write(t, top+"/src")
	dest := tree{"d/f": "old", "f": "old"}.write(t, top+"/dest")
	for _, path := range []string{"", "/d", "/d/f"} {
		must(t, writeContext(unix.AT_FDCWD, dest+path, "u:r:old_t:s0"))
	}
	// Without options what is replaced hands its label on, and a new file gets what its directory gives.
	deploy(t, src, PlaceOptions{Dest: dest})
	expect := func(want map[string]string) {
		t.Helper()
		for path, label := range want {
			if got := labelOf(t, dest+path); got != label {
				t.Errorf("%q is %q, want %q", path, got, label)
			}
		}
	}
	expect(map[string]string{"": "u:r:old_t:s0", "/d": "u:r:old_t:s0", "/d/f": "u:r:old_t:s0", "/f": ""})
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

func TestContextsThatAreRefused(t *testing.T) {
	torrent, _ := build(t, tree{"f": "x"}.write(t, t.TempDir()))
	o := PlaceOptions{Dest: t.TempDir() + "/dest", SEType: "_default"}
	if _, err := os.Stat(selinuxfs); err != nil {
		plan(t, torrent, o) // without SELinux the options mean nothing
	}
	withSELinux(t)
	t.Setenv("PATH", t.TempDir())
	_, err := NewPlan(torrent, o)
	wantError(t, err, "_default takes the program matchpathcon, which is not on this host; install libselinux-utils, or")
	o.SEType = "a:b"
	_, err = NewPlan(torrent, o)
	wantError(t, err, `Option setype is "a:b", which is no part of an SELinux context`)
}
