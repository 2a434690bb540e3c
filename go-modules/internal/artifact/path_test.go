package artifact

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestPathsInJSON: any path comes back as it was, and one that is UTF-8 is written as older versions wrote it.
func TestPathsInJSON(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		path := strings.ReplaceAll(string(rapid.SliceOf(rapid.Byte()).Draw(r, "bytes")), "\x00", "/")
		if rapid.Bool().Draw(r, "text") {
			path = strings.ReplaceAll(rapid.String().Draw(r, "path"), "\x00", "/")
			plain, err := json.Marshal(path)
			must(t, err)
			if ours, err := json.Marshal(Path(path)); err != nil || string(ours) != string(plain) {
				t.Errorf("%q is written as %s, not %s: %v", path, ours, plain, err)
			}
		}
		data, err := json.Marshal(Path(path))
		must(t, err)
		var back Path
		if err := json.Unmarshal(data, &back); err != nil || string(back) != path {
			t.Errorf("%q became %s and then %q, %v", path, data, back, err)
		}
	})
	for _, bad := range []string{`"\u0000"`, `"\u00001"`, `"a\u0000zz"`, `1`} {
		var path Path
		if err := json.Unmarshal([]byte(bad), &path); err == nil {
			t.Errorf("%s is the path %q", bad, path)
		}
	}
}

// TestRecordOfAnyName: the record of an artifact whose name is not UTF-8 vouches for it as any other, and goes as any other.
func TestRecordOfAnyName(t *testing.T) {
	top := t.TempDir()
	src := tree{"caf\xe9.tar": "x"}.write(t, top+"/src")
	must(t, os.Mkdir(top+"/dest", 0o755))
	p := deploy(t, src+"/caf\xe9.tar", PlaceOptions{Dest: top + "/dest/"})
	records := OpenRecords(filepath.Join(top, "state"))
	saved := p.Placed()
	saved.Asked = top + "/asked for \xff"
	must(t, records.Save(saved))
	if rec := records.Load(top + "/dest/caf\xe9.tar"); rec.Asked != saved.Asked || !p.Matches(rec) {
		t.Errorf("the record %+v does not match", rec)
	}
	if all, err := records.All(); err != nil || len(all) != 1 {
		t.Errorf("the records are %v, %v", all, err)
	}
	if n, err := records.Forget(saved.Asked, false); n != 1 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
}

// TestRecordOfAnOlderVersion is read.
func TestRecordOfAnOlderVersion(t *testing.T) {
	top := t.TempDir()
	records := OpenRecords(top)
	dest := "/srv/caf\u00e9 <1>\ufffd"
	text := `{"infohash": "aa", "name": "x", "dest": "` + dest + `", "asked": "/srv/", "size": 7, "when": "2026-01-31T12:00:00Z",
		"verified": "2026-01-31T12:00:00Z", "stamps": {"content": "c", "change": "d"}, "linkless": true}`
	must(t, errors.Join(os.Mkdir(top+"/placed", 0o700), os.WriteFile(records.path(dest), []byte(text), 0o600)))
	rec := records.Load(dest)
	if rec.Asked != "/srv/" || rec.Size != 7 || rec.Stamps != (Stamps{"c", "d"}) || !rec.Linkless || rec.When.Year() != 2026 {
		t.Errorf("the record is %+v", rec)
	}
}
