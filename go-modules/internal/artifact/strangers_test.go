package artifact

import (
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestDelete(t *testing.T) {
	top := t.TempDir()
	src := tree{"a": "new", "d/f": "new", "was a directory": "new"}.write(t, top+"/src")
	dest := tree{
		"a": "old", "d/stranger": "x", "d/own/deep": "x", "old release": "x", "link": link("/nowhere"), "was a directory/full": "x",
	}.write(t, top+"/dest")
	p := deploy(t, src, PlaceOptions{Dest: dest, Delete: true})
	sameTree(t, listing(t, dest), listing(t, src))
	noStaging(t, top)
	// What comes later into an artifact that is in place.
	tree{"late": "x", "d/late/x": "x", "d/f": "new"}.write(t, dest)
	p = plan(t, p.torrent, PlaceOptions{Dest: dest, Delete: true})
	for _, apply := range []bool{false, true} {
		found, err := p.Strangers(t.Context(), apply)
		if err != nil || !slices.Equal(found, []string{"d/late/", "late"}) {
			t.Errorf("apply %v: found %q, %v", apply, found, err)
		}
	}
	found, err := p.Strangers(t.Context(), true)
	if err != nil || len(found) > 0 {
		t.Errorf("again: %q, %v", found, err)
	}
	kept := plan(t, p.torrent, PlaceOptions{Dest: dest})
	must(t, os.WriteFile(dest+"/late", nil, 0o600))
	if found, err := kept.Strangers(t.Context(), true); err != nil || len(found) > 0 || read(t, dest+"/late") != "" {
		t.Errorf("without delete: %q, %v", found, err)
	}
}

// TestDeleteFollowsNoLink: a symbolic link goes, and what it leads to stays, wherever the link is.
func TestDeleteFollowsNoLink(t *testing.T) {
	for name, of := range map[string]func(outside string) tree{
		"stranger":                func(outside string) tree { return tree{"link": link(outside)} },
		"relative":                func(string) tree { return tree{"d/link": link("../../outside")} },
		"in a stranger":           func(outside string) tree { return tree{"own/deep/link": link(outside)} },
		"chain":                   func(outside string) tree { return tree{"one": link("two"), "two": link(outside)} },
		"in place of a directory": func(outside string) tree { return tree{"e": link(outside)} },
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			src := tree{"a": "new", "d/f": "new", "e/f": "new"}.write(t, top+"/src")
			outside := tree{"f": "theirs", "full/deep": "theirs", "same": link("f")}.write(t, top+"/outside")
			before := listing(t, outside)
			dest := of(outside).write(t, top+"/dest")
			p := deploy(t, src, PlaceOptions{Dest: dest, Delete: true})
			sameTree(t, listing(t, dest), listing(t, src))
			sameTree(t, listing(t, outside), before)
			if name == "in place of a directory" {
				return
			}
			of(outside).write(t, dest) // into an artifact that is in place
			found, err := plan(t, p.torrent, PlaceOptions{Dest: dest, Delete: true}).Strangers(t.Context(), true)
			if err != nil || len(found) == 0 {
				t.Errorf("found %q, %v", found, err)
			}
			for _, path := range found {
				if _, err := os.Lstat(dest + "/" + path); err == nil {
					t.Errorf("%s is still there", path)
				}
			}
			sameTree(t, listing(t, outside), before)
		})
	}
}

// TestDeleteLeavesTheArtifactAlone: whatever lies where, with delete the tree becomes the source and without it a union.
func TestDeleteLeavesTheArtifactAlone(t *testing.T) {
	names := []string{"a", "b", "d/a", "d/b", "d/e/a", "f/a"}
	rapid.Check(t, func(r *rapid.T) {
		top, err := os.MkdirTemp(t.TempDir(), "")
		must(t, err)
		pick := func(label, content string) tree {
			out := tree{}
			for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(r, label) {
				out[name] = content
			}
			return out
		}
		src, dest := pick("source", "new"), pick("destination", "old")
		src["always"] = "new"
		src.write(t, top+"/src")
		dest.write(t, top+"/dest")
		deletes := rapid.Bool().Draw(r, "delete")
		deploy(t, top+"/src", PlaceOptions{Dest: top + "/dest", Delete: deletes})
		for _, name := range names {
			_, wanted := src[name]
			_, was := dest[name]
			data, err := os.ReadFile(top + "/dest/" + name)
			switch {
			case wanted && string(data) != "new", !wanted && was && !deletes && string(data) != "old",
				!wanted && (deletes || !was) && err == nil:
				t.Errorf("%s: wanted %v, was there %v, delete %v: %q, %v", name, wanted, was, deletes, data, err)
			}
		}
	})
}

// TestDeleteWhereNothingIsToGo: what cannot be changed need not be able to, and a check says what a run says.
func TestDeleteWhereNothingIsToGo(t *testing.T) {
	t.Run("closed directories", func(t *testing.T) {
		asUser(t, func(top string) {
			reopen(t, top)
			for _, closed := range []string{"/above", "/above/dest"} {
				must(t, os.MkdirAll(top+"/above", 0o755))
				src := tree{"d/f": "x"}.write(t, top+"/src")
				p := deploy(t, src, PlaceOptions{Dest: top + "/above/dest", Delete: true})
				nothing := func(want string) {
					t.Helper()
					must(t, os.Chmod(top+closed, 0o555))
					defer func() { must(t, os.Chmod(top+closed, 0o755)) }()
					again := plan(t, p.torrent, PlaceOptions{Dest: p.Dest, Delete: true})
					for _, apply := range []bool{false, true} {
						found, err := again.Strangers(t.Context(), apply)
						if want != "" {
							wantError(t, err, want)
						} else if err != nil || len(found) > 0 {
							t.Errorf("apply %v: %q, %v", apply, found, err)
						}
					}
				}
				nothing("")
				must(t, os.WriteFile(p.Dest+"/stranger", nil, 0o600))
				nothing("Destination directory " + top + closed + " cannot be written to by user ")
				must(t, os.RemoveAll(top+"/above"))
			}
		})
	})
	t.Run("immutable", func(t *testing.T) {
		needFlags(t)
		needRoot(t, "make files immutable")
		top := t.TempDir()
		o := PlaceOptions{Dest: top + "/dest", Delete: true, Attributes: "+i"}
		p := deploy(t, tree{"d/f": "x"}.write(t, top+"/src"), o)
		t.Cleanup(func() { // or the directory could not be removed
			o.Attributes = "-i"
			_, _, err := plan(t, p.torrent, o).Attributes(true)
			must(t, err)
		})
		if found, err := plan(t, p.torrent, o).Strangers(t.Context(), true); err != nil || len(found) > 0 {
			t.Errorf("the second run: %q, %v", found, err)
		}
	})
}
