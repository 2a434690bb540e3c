package artifact

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// preview is the diff as Ansible gets it.
func preview(t *testing.T, p *Plan) (before, after map[string]any) {
	t.Helper()
	d, err := p.Preview(t.Context())
	must(t, err)
	text, err := json.Marshal(d)
	must(t, err)
	var decoded struct{ Before, After map[string]any }
	must(t, json.Unmarshal(text, &decoded))
	if len(decoded.Before) != len(decoded.After) {
		t.Errorf("before and after have different keys: %s", text)
	}
	if strings.Contains(strings.ToLower(string(text)), "secret content") {
		t.Errorf("the diff shows content: %s", text)
	}
	return decoded.Before, decoded.After
}

func expectKeys(t *testing.T, got map[string]any, want map[string]any) {
	t.Helper()
	for key, value := range want {
		a, _ := json.Marshal(got[key])
		b, _ := json.Marshal(value)
		if string(a) != string(b) {
			t.Errorf("%s is %s, want %s", key, a, b)
		}
	}
}

func TestPreviewOfATree(t *testing.T) {
	top := t.TempDir()
	src := tree{
		"same": "x", "touched": "secret content", "other bytes": "secret content", "longer": "xx", "new": "", "d/new": "x", "empty": dir(0o755),
		"big": content(2 * MinPieceLength), "l": link("same"), "was a file/f": "x",
		"pair": "s", "pair 2": hard("pair"), "lone": "s", "lone 2": hard("lone"), "new pair": "s", "new pair 2": hard("new pair"),
		"turned": "s", "turned 2": hard("turned"),
	}.write(t, top+"/src")
	torrent, _ := build(t, src)
	dest := top + "/dest"
	p := plan(t, torrent, PlaceOptions{Dest: dest, Delete: true, DirectoryMode: "0711"})
	before, after := preview(t, p)
	expectKeys(t, before, map[string]any{"state": "absent", "path": dest, "files_added": 0})
	expectKeys(t, after, map[string]any{"state": "directory", "files_added": 17, "files_changed": 0, "files_removed": 0})
	tree{
		"same": "x", "touched": "secret content", "other bytes": "SECRET CONTENT", "longer": "x", "stranger": "x", "own/x": "x", "d/x": "x",
		"big": content(2 * MinPieceLength), "l": link("other"), "was a file": "x",
		"pair": "s", "pair 2": "s", "lone": "s", "turned": dir(0o755), "turned 2": "s",
	}.write(t, dest)
	for _, name := range []string{"/touched", "/other bytes", "/big"} {
		must(t, os.Chtimes(dest+name, time.Now(), time.Now()))
	}
	p = plan(t, torrent, PlaceOptions{Dest: dest, Delete: true, DirectoryMode: "0711"})
	want := listing(t, dest)
	before, after = preview(t, p)
	sameTree(t, listing(t, dest), want)
	// "touched" shares a piece with a file that has changed, so that it cannot be told from it without its time.
	expectKeys(t, after, map[string]any{
		"files_added": 8, "files_changed": 5, "files_removed": 4,
		"added":   []string{"d/new", "empty/", "lone 2", "new", "new pair", "new pair 2", "was a file/", "was a file/f"},
		"changed": []string{"l", "longer", "other bytes", "touched", "turned"},
		"removed": []string{"d/x", "own/", "stranger", "turned/"},
	})
	expectKeys(t, before, map[string]any{"state": "directory", "added": []string{}, "files_changed": 0})
	files := after["files"].(map[string]any)
	d, pair := files["d"].(map[string]any), files["pair 2"].(map[string]any)
	if d["mode"] != "0711" || pair["hardlink"] != "pair" || files["turned 2"] != nil {
		t.Errorf("attributes are not shown: %v", files)
	}
}

func TestPreviewOfAFile(t *testing.T) {
	top := t.TempDir()
	tree{"src": "secret content", "dest": "old secret content"}.write(t, top)
	torrent, _ := build(t, top+"/src")
	before, after := preview(t, plan(t, torrent, PlaceOptions{Dest: top + "/dest", Mode: "0600"}))
	expectKeys(t, before, map[string]any{"state": "file", "size": 18, "mode": "0644", "path": top + "/dest"})
	expectKeys(t, after, map[string]any{"state": "file", "size": 14, "mode": "0600"})
	before, after = preview(t, plan(t, torrent, PlaceOptions{Dest: top + "/none"}))
	expectKeys(t, before, map[string]any{"state": "absent", "size": nil})
	expectKeys(t, after, map[string]any{"state": "file", "size": 14})
}

func TestPreviewIsShort(t *testing.T) {
	src := tree{}
	for i := range 150 {
		src[strings.Repeat("f", i+1)] = ""
	}
	top := t.TempDir()
	torrent, _ := build(t, src.write(t, top+"/src"))
	_, after := preview(t, plan(t, torrent, PlaceOptions{Dest: top + "/dest"}))
	if after["files_added"] != 150.0 || len(after["added"].([]any)) != mostInDiff {
		t.Errorf("%v added, %d named", after["files_added"], len(after["added"].([]any)))
	}
}
