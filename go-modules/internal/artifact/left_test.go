package artifact

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// leftIn finds the only thing that could not be removed, which a message has to name, and checks that it holds what is another
// user's.
func leftIn(t *testing.T, top, message string) {
	t.Helper()
	found, err := filepath.Glob(top + "/.dest.murder-left-*")
	must(t, err)
	if len(found) != 1 {
		t.Fatalf("left are %q", found)
	}
	want := "The old content of " + top + "/dest is left in " + found[0] + ", for " + found[0] + "/theirs"
	const end = " cannot be removed (operation not permitted); remove it by hand"
	if !strings.HasPrefix(message, want) || !strings.HasSuffix(message, end) {
		t.Errorf("%q is not %q ... %q", message, want, end)
	}
	if read(t, found[0]+"/theirs/f") != "root's" {
		t.Error("what is another user's is gone")
	}
}

// TestOldTreeThatCannotBeRemoved: the new tree is in place, and what is left of the old one is in no later run's way.
func TestOldTreeThatCannotBeRemoved(t *testing.T) {
	needRoot(t, "put another user's directory into a tree")
	for _, rename := range everyRename {
		top := t.TempDir()
		dest := tree{"f": "old", "theirs/f": "root's"}.write(t, top+"/dest")
		one, oneFrom := build(t, tree{"f": "1"}.write(t, top+"/one"))
		two, twoFrom := build(t, tree{"f": "2"}.write(t, top+"/two"))
		must(t, errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chown(top, 65534, 65534), os.Chown(dest, 65534, 65534)))
		asUser(t, func(string) {
			o := PlaceOptions{Dest: dest, Delete: true}
			p := plan(t, one, o)
			transfer(t, one, oneFrom, p)
			p.staging.renameat2 = rename
			must(t, p.Place(t.Context()))
			if len(p.Warnings()) != 1 || read(t, dest+"/f") != "1" {
				t.Fatalf("the warnings are %q", p.Warnings())
			}
			leftIn(t, top, p.Warnings()[0])
			again := plan(t, one, o)
			if found, err := Forget(t.Context(), dest, "", false); !complete(t, again) || found != 0 || err != nil {
				t.Errorf("the second run: %d stagings, %v", found, err)
			}
			next := plan(t, two, o)
			transfer(t, two, twoFrom, next)
			must(t, next.Place(t.Context()))
			if len(next.Warnings()) > 0 || read(t, dest+"/f") != "2" {
				t.Errorf("the next deploy: %q", next.Warnings())
			}
		})
	}
}

// TestOldTreeOfAKilledRunThatCannotBeRemoved: whoever comes next says where it is, and goes on.
func TestOldTreeOfAKilledRunThatCannotBeRemoved(t *testing.T) {
	needRoot(t, "put another user's directory into a tree")
	for name, next := range map[string]func(p, other *Plan) string{
		"same artifact": func(p, _ *Plan) string {
			_, _, err := p.OpenStaging(t.Context())
			must(t, err)
			must(t, p.Discard())
			return strings.Join(p.Warnings(), "\n")
		},
		"another": func(_, other *Plan) string {
			_, _, err := other.OpenStaging(t.Context())
			must(t, err)
			must(t, other.Discard())
			return strings.Join(other.Warnings(), "\n")
		},
		"discarded": func(p, _ *Plan) string {
			must(t, p.Discard())
			return strings.Join(p.Warnings(), "\n")
		},
		"forgotten": func(p, _ *Plan) string {
			found, err := Forget(t.Context(), p.Dest, "", false)
			if found != 1 || !errors.Is(err, ErrLeft) {
				t.Fatalf("forgot %d, %v", found, err)
			}
			return err.Error()
		},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			one, _ := build(t, tree{"f": "1"}.write(t, top+"/one"))
			two, _ := build(t, tree{"f": "2"}.write(t, top+"/two"))
			tree{"dest/f": "new"}.write(t, top)
			o := PlaceOptions{Dest: top + "/dest"}
			p, other := plan(t, one, o), plan(t, two, o)
			old := tree{"f": "old", "theirs/f": "root's"}.write(t, p.Staging+"/"+finalName(1))
			must(t, errors.Join(os.Chmod(filepath.Dir(top), 0o755), os.Chmod(p.Staging, 0o700)))
			for _, path := range []string{top, p.Staging, old, old + "/f"} {
				must(t, os.Chown(path, 65534, 65534))
			}
			asUser(t, func(string) {
				leftIn(t, top, next(p, other))
				if found, err := Forget(t.Context(), p.Dest, "", false); found != 0 || err != nil || read(t, top+"/dest/f") != "new" {
					t.Errorf("then forgot %d, %v", found, err)
				}
			})
		})
	}
}

// TestClosedInsideATree: what has the attribute i or a is found before anything is downloaded, wherever it is in the tree.
func TestClosedInsideATree(t *testing.T) {
	needFlags(t)
	needRoot(t, "make files immutable")
	src := tree{"d/f": "new", "g": "new"}.write(t, t.TempDir())
	torrent, source := build(t, src)
	for path, flag := range map[string]uint32{"d/f": flagImmutable, "d": flagAppend, "stranger/s": flagImmutable} {
		top := t.TempDir()
		dest := tree{"d/f": "old", "stranger/s": "x"}.write(t, top+"/dest")
		change := flagChange{set: flag}
		must(t, change.setFlags(unix.AT_FDCWD, dest+"/"+path, path == "d", flagsOfClosing))
		t.Cleanup(func() { // or the directory could not be removed
			r, err := openRoot(top)
			must(t, err)
			r.unseal("")
			must(t, r.Close())
		})
		for _, deletes := range []bool{false, true} {
			p := plan(t, torrent, PlaceOptions{Dest: dest, Delete: deletes})
			wantError(t, p.Space(), "Destination "+dest+" holds "+path+", which has the attribute "+showFlags(flag)+
				" and cannot be replaced; take that from it first (chattr -R -ia "+dest+")")
		}
		saved := plan(t, torrent, PlaceOptions{Dest: dest, Delete: true, Backup: true})
		must(t, saved.Space())
		transfer(t, torrent, source, saved)
		must(t, saved.Place(t.Context()))
		if read(t, dest+"/d/f") != "new" || read(t, saved.Backup()+"/d/f") != "old" || len(saved.Warnings()) > 0 {
			t.Errorf("with backup: warnings %q", saved.Warnings())
		}
	}
}
