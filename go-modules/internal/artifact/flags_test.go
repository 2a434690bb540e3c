package artifact

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseFlags(t *testing.T) {
	for _, c := range []struct {
		text        string
		dir         bool
		now         uint32
		want, error string // want as lsattr shows it
	}{
		{"i", false, 0, "i", ""},
		{"=ad", false, 0x80 | flagExtents, "ade", ""},
		{"", false, 0x80, "A", ""},
		{"=", false, 0x80 | flagExtents, "e", ""},
		{"+A", false, 0x40, "dA", ""},
		{"-A", false, 0x40 | 0x80, "d", ""},
		{"+DA", false, 0, "A", ""}, // D is for directories
		{"+DA", true, 0, "DA", ""},
		{"+", false, 0, "", `Option attributes is "+"`},
		{"+q", false, 0, "", `Option attributes is "+q", which chattr(1) would not take; write letters of`},
		{"a+i", false, 0, "", `Option attributes is "a+i"`},
	} {
		change, err := parseFlags(c.text)
		if c.error != "" {
			wantError(t, err, c.error)
			continue
		}
		must(t, err)
		got := c.now
		if change != nil {
			got = change.apply(c.now, c.dir)
		}
		if showFlags(got) != c.want {
			t.Errorf("%q on %q is %q, want %q", c.text, showFlags(c.now), showFlags(got), c.want)
		}
	}
}

// flagsAt reads flags for a test; can is false where the filesystem has none.
func flagsAt(t *testing.T, path string) (flags string, can bool) {
	t.Helper()
	bits, err := flagsOf(unix.AT_FDCWD, path)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", false
	}
	must(t, err)
	return strings.ReplaceAll(showFlags(bits), "e", ""), true
}

// needFlags skips a test that takes a filesystem whose files have flags, as ext4, XFS and Btrfs have. There is nothing to set on
// others, and make test counts it as skipped; that they refuse flags has a test wherever tests run.
func needFlags(t *testing.T) {
	t.Helper()
	if _, can := flagsAt(t, t.TempDir()); !can {
		t.Skip("the temporary directory's filesystem has no file attributes")
	}
}

// TestFlagsThatCannotBe: what is in /proc never has flags, and what is a user's no i and no a.
func TestFlagsThatCannotBe(t *testing.T) {
	src := tree{"f": "x"}.write(t, t.TempDir())
	for _, path := range []string{src, src + "/f"} { // a file stands for an archive, for nobody has looked into it yet
		torrent, _ := build(t, path)
		_, err := NewPlan(torrent, PlaceOptions{Dest: "/proc/dest", Attributes: "+d", Unpack: torrent.Single})
		wantError(t, err, "Option attributes cannot be followed: the filesystem of /proc/dest has no such attributes")
	}
	t.Run("a user's", func(t *testing.T) {
		needFlags(t)
		asUser(t, func(top string) {
			torrent, _ := build(t, tree{"f": "x"}.write(t, top+"/src"))
			_, err := NewPlan(torrent, PlaceOptions{Dest: top + "/dest", Attributes: "+a"})
			wantError(t, err, `Option attributes is "+a", but the attributes a and i take root's powers; run with become`)
		})
	})
}

func TestFlagsOfWhatIsPlaced(t *testing.T) {
	needFlags(t)
	top := t.TempDir()
	src := tree{"d/f": "new", "l": link("d/f")}.write(t, top+"/src")
	tree{"d/f": "old"}.write(t, top+"/dest")
	p := deploy(t, src, PlaceOptions{Dest: top + "/dest", Attributes: "+d"})
	expect := func(want string) {
		t.Helper()
		for _, path := range []string{"", "/d", "/d/f"} {
			if got, _ := flagsAt(t, p.Dest+path); got != want {
				t.Errorf("%q has %q, want %q", path, got, want)
			}
		}
	}
	expect("d")
	p = plan(t, p.torrent, PlaceOptions{Dest: p.Dest, Attributes: "-d"})
	for _, apply := range []bool{false, true} {
		changed, diff, err := p.Attributes(apply)
		must(t, err)
		f, _ := diff.After["files"].(map[string]any)["d/f"].(map[string]any)["attributes"].(string)
		if !changed || strings.Contains(f, "d") {
			t.Errorf("changed %v, %v", changed, diff)
		}
	}
	expect("")
	if changed, diff, err := p.Attributes(true); changed || err != nil {
		t.Errorf("changed again: %v, %v", diff, err)
	}
}

// TestImmutable: what is immutable is refused before anything is downloaded, and can be made so by a deploy.
func TestImmutable(t *testing.T) {
	needFlags(t)
	needRoot(t, "make files immutable")
	top := t.TempDir()
	src := tree{"d/f": "new", "f": "new"}.write(t, top+"/src")
	for _, path := range []string{src, src + "/f"} {
		dest := top + "/dest-of-" + strings.TrimPrefix(path, top+"/src")
		dest = strings.TrimSuffix(strings.ReplaceAll(dest, "of-/", "of-"), "/")
		p := deploy(t, path, PlaceOptions{Dest: dest, Attributes: "+i", Backup: true})
		t.Cleanup(func() { // or the directory could not be removed
			again := plan(t, p.torrent, PlaceOptions{Dest: dest, Attributes: "-i"})
			changed, _, err := again.Attributes(true)
			if !changed || err != nil {
				t.Errorf("taking i away: changed %v, %v", changed, err)
			}
		})
		if got, _ := flagsAt(t, dest); got != "i" {
			t.Errorf("%s has %q", dest, got)
		}
		same := plan(t, p.torrent, PlaceOptions{Dest: dest, Attributes: "+i"})
		if changed, diff, err := same.Attributes(true); changed || err != nil {
			t.Errorf("the second run: %v, %v", diff, err)
		}
		wantError(t, same.Space(), "Destination "+dest+" has the attribute i and cannot be replaced; take that from it first (chattr -R -ia "+dest+")")
		_, _, err := same.OpenStaging(t.Context())
		wantError(t, err, "has the attribute i")
	}
}
