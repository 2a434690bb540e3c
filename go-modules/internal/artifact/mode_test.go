package artifact

import (
	"os"
	"strconv"
	"testing"
)

func TestModes(t *testing.T) {
	for _, c := range []struct {
		text    string
		current uint32
		dir     bool
		want    uint32
	}{
		{"0644", 0o700, false, 0o644},
		{"644", 0o700, false, 0o644},
		{"0o640", 0, false, 0o640},
		{"4755", 0, false, 0o4755},
		{"u=rw,g=r,o=", 0o777, false, 0o640},
		{"u+x", 0o644, false, 0o744},
		{"a-w", 0o666, false, 0o444},
		{"ug+w,o-r", 0o444, false, 0o660},
		{"g=u", 0o750, false, 0o770},
		{"go=u-w", 0o740, false, 0o755},
		{"u=rwX,g=rX,o=", 0o644, false, 0o640},
		{"u=rwX,g=rX,o=", 0o755, false, 0o750},
		{"u=rwX,g=rX,o=", 0o644, true, 0o750},
		{"+x", 0o644, false, 0o755},
		{"+w", 0o444, false, 0o644}, // less the umask of 022
		{"=r", 0o777, false, 0o444},
		{"u+s,g+s", 0o755, false, 0o6755},
		{"+t", 0o755, true, 0o1755},
		{"u=rwx", 0o4755, false, 0o755},
		{"g=rx", 0o2755, true, 0o2755},
		{"a=rx", 0o1777, true, 0o555},
		{"o+u", 0o750, false, 0o757},
	} {
		mode, err := parseMode("mode", c.text)
		must(t, err)
		if got := mode(c.current, c.dir); got != c.want {
			t.Errorf("%s of %04o is %04o, want %04o", c.text, c.current, got, c.want)
		}
	}
	for _, text := range []string{"", "preserve"} {
		if mode, err := parseMode("mode", text); mode != nil || err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"9", "0888", "rw", "u", "u=q", "z+x", "u+rw,", ",", "u=gx", "u==r g"} {
		if _, err := parseMode("mode", text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

// FuzzMode: whatever is accepted gives permission bits and nothing else.
func FuzzMode(f *testing.F) {
	for _, text := range []string{"0644", "u=rw,g+X,o-rwx", "a=rx,u+s", "g=u", "+t", "preserve"} {
		f.Add(text, uint16(0o644))
	}
	f.Fuzz(func(t *testing.T, text string, current uint16) {
		mode, err := parseMode("mode", text)
		if err != nil || mode == nil {
			return
		}
		if got := mode(uint32(current)&0o7777, false); got > 0o7777 {
			t.Errorf("%q gives %o", text, got)
		}
	})
}

func TestOwners(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	if got, err := lookUpUser(strconv.Itoa(uid)); err != nil || got != uid {
		t.Errorf("user %d is %d, %v", uid, got, err)
	}
	if got, err := lookUpUser(userName(uid)); err != nil || got != uid {
		t.Errorf("user %s is %d, %v", userName(uid), got, err)
	}
	if got, err := lookUpGroup(groupName(gid)); err != nil || got != gid {
		t.Errorf("group %s is %d, %v", groupName(gid), got, err)
	}
	if got, err := lookUpUser(""); err != nil || got != keep {
		t.Errorf("no user is %d, %v", got, err)
	}
	if name := userName(1_234_567); name != "1234567" {
		t.Errorf("a user without a name is %q", name)
	}
	if got := getent("passwd", "root", 2); got != "0" {
		t.Errorf("getent says that root is %q", got)
	}
	if got := getent("passwd", "--help", 0); got != "" {
		t.Errorf("getent took an option: %q", got)
	}
}
