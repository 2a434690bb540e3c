package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anacrolix/torrent/bencode"
)

// info dictionaries for the tables; d is short for a bencoded dictionary's Go shape.
type d = map[string]any

// singleFile is a good torrent of one file, with changes.
func singleFile(changes d) []byte {
	info := d{"name": "a", "length": 5, "piece length": 16384, "pieces": strings.Repeat("h", 20)}
	return torrentOf(info, changes)
}

// files is a good torrent of a tree, with these as its files.
func files(entries ...any) []byte { return filesAnd(nil, entries...) }

func filesAnd(changes d, entries ...any) []byte {
	total := 0
	for _, entry := range entries {
		if length, ok := entry.(d)["length"].(int); ok && length > 0 {
			total += length
		}
	}
	pieces := strings.Repeat("h", 20*((total+16383)/16384))
	return torrentOf(d{"name": "t", "files": entries, "piece length": 16384, "pieces": pieces}, changes)
}

func torrentOf(info, changes d) []byte {
	for key, value := range changes {
		info[key] = value
		if value == nil {
			delete(info, key)
		}
	}
	return bencode.MustMarshal(d{"announce": "http://t/announce", "info": info})
}

func entryOf(path string, length int) d {
	return d{"path": strings.Split(path, "/"), "length": length}
}

func named(length int, components ...string) d { return d{"path": components, "length": length} }

var hostile = []struct {
	name string
	data []byte
	want string
}{
	{"empty", nil, "it is empty"},
	{"not a torrent", []byte("<!DOCTYPE html>"), "it is not a .torrent file"},
	{"truncated", singleFile(nil)[:60], "it may be truncated"},
	{"trailing garbage", append(singleFile(nil), 'x'), "1 bytes follow its end"},
	{"no info", []byte("d8:announce1:xe"), "no info dictionary"},
	{"info is a list", []byte("d4:infolee"), "info is not a dictionary"},
	{"string longer than the input", []byte("d4:infod4:name99999999999999999999:x"), "longer than the torrent"},
	{"string a little too long", []byte("d4:infod4:name9:abc"), "truncated"},
	{"negative string", []byte("d4:infod4:name-1:ee"), "not a string"},
	{"huge number", []byte("d4:infod6:lengthi99999999999999999999eee"), "length is too large"},
	{"leading zero", []byte("d4:infod6:lengthi05eee"), "leading zero"},
	{"minus zero", []byte("d4:infod6:lengthi-0eee"), "leading zero"},
	{"no digits", []byte("d4:infod6:lengthieee"), "not a number"},
	{"same key twice", []byte("d4:infode4:infodee"), `key "info" twice`},
	{"same unknown key twice", []byte("d1:ad1:bi1e1:bi2ee4:infodee"), `key "b" twice`},
	{"keys out of order", []byte("d4:infod4:name1:a6:lengthi1eee"), "not in order"},
	{"deep nesting", []byte("d1:a" + strings.Repeat("l", 100_000)), "nested more than"},
	{"key without a value", []byte("d1:ai1e1:be"), "not a string"},
	{"no name", singleFile(d{"name": nil}), "name \"\" is empty"},
	{"name leads out", singleFile(d{"name": ".."}), `name ".." would lead out`},
	{"name with slash", singleFile(d{"name": "/etc/passwd"}), `name "/etc/passwd" contains "/"`},
	{"no length", singleFile(d{"length": nil}), "neither length nor files"},
	{"length and files", singleFile(d{"files": []any{}}), "both length and files"},
	{"negative length", singleFile(d{"length": -5}), "a has a negative length"},
	{"too few pieces", singleFile(d{"length": 16385}), "1 piece hashes where 16385 bytes in pieces of 16384 need 2"},
	{"too many pieces", singleFile(d{"length": 0}), "1 piece hashes where 0 bytes"},
	{"largest number", singleFile(d{"length": int64(1<<63 - 1)}), "need 562949953421312"},
	{"ragged pieces", singleFile(d{"pieces": "short"}), "5 bytes, not a multiple of 20"},
	{"no piece length", singleFile(d{"piece length": nil}), "piece length 0 is not between"},
	{"small pieces", singleFile(d{"piece length": 1}), "piece length 1 is not between"},
	{"huge pieces", singleFile(d{"piece length": 1 << 40}), "is not between"},
	{"v2 only", singleFile(d{"pieces": nil, "length": nil, "meta version": 2}), "v1 and hybrid torrents"},
	{"file with directories", singleFile(d{"murder": d{"dirs": []any{d{"path": []string{"x"}}}}}), "but is a single file"},
	{"path leads out", files(entryOf("a/../../b", 1)), `file 1: the name ".." in its path would lead out`},
	{"dot", files(entryOf("./a", 1)), `the name "." in its path`},
	{"absolute path", files(named(1, "", "etc", "passwd")), `the name "" in its path is empty`},
	{"slash in a name", files(named(1, "a/b")), `contains "/"`},
	{"NUL in a name", files(named(1, "a\x00b")), "contains NUL"},
	{"long name", files(named(1, strings.Repeat("n", 256))), "longer than 255 bytes"},
	{"long path", files(entryOf(strings.Repeat("n/", 2100)+"n", 1)), "longer than 4095 bytes"},
	{"no path", files(d{"length": 1}), "file 1: it has no path"},
	{"empty path", files(d{"length": 1, "path": []string{}}), "file 1: it has no path"},
	{"file without length", files(d{"path": []string{"a"}}), "a has no length"},
	{"negative file", filesAnd(nil, entryOf("a", 5), entryOf("b", -5)), "b has a negative length"},
	{"sum overflows", filesAnd(d{"pieces": ""}, d{"path": []string{"a"}, "length": int64(1 << 62)}, d{"path": []string{"b"}, "length": int64(1 << 62)}), "larger together than any disk"},
	{"same path twice", files(entryOf("a/b", 1), entryOf("c", 1), entryOf("a/b", 1)), "the path a/b occurs twice"},
	{"file is a directory too", files(entryOf("a", 1), entryOf("a.b", 1), entryOf("a/b", 1)), "a/b lies below a, which is not a directory"},
	{"below a symlink", files(entryOf("a/b", 1), d{"path": []string{"a"}, "link": "/etc", "length": 0}), "a/b lies below a"},
	{"symlink with bytes", files(d{"path": []string{"a"}, "link": "/etc", "length": 7}), "is a symbolic link but has a length"},
	{"symlink of padding", files(d{"path": []string{"a"}, "attr": "lp", "link": "/etc", "length": 0}), "is a symbolic link and padding at once"},
	{"symlink without target", files(d{"path": []string{"a"}, "attr": "l", "length": 0}), "without a target"},
	{"symlink path leads out", files(d{"path": []string{"a"}, "attr": "l", "length": 0, "symlink path": []string{"..", "etc"}}), "in its symlink path would lead out"},
	{"NUL in a link", files(d{"path": []string{"a"}, "link": "/etc\x00", "length": 0}), "contains NUL"},
	{"directory leads out", filesAnd(d{"murder": d{"dirs": []any{d{"path": []string{".."}}}}}), `directory 1: the name ".."`},
	{"directory is a file too", filesAnd(d{"murder": d{"dirs": []any{d{"path": []string{"a"}}}}}, entryOf("a", 1)), "the path a occurs twice"},
	{"directory without path", filesAnd(d{"murder": d{"dirs": []any{d{}}}}), "directory 1: it has no path"},
}

func TestHostileTorrents(t *testing.T) {
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			torrent, err := Parse(c.data)
			if torrent != nil || !errors.Is(err, ErrTorrent) {
				t.Errorf("Parse gives %v, %v", torrent, err)
			}
			wantError(t, err, "Torrent is not valid: ", c.want)
		})
	}
}

func TestForeignTorrents(t *testing.T) {
	pad := d{"path": []string{".pad", "7"}, "attr": "p", "length": 7}
	data := filesAnd(d{"mtime": "1600000000", "murder": nil},
		entryOf("z", 3), pad, entryOf("b/c", 1), pad,
		d{"path": []string{"b", "l"}, "attr": "l", "length": 0, "symlink path": []string{"b", "c"}},
		d{"path": []string{"x"}, "attr": "hx", "length": 1, "mode": 0o100644, "mtime": "yesterday", "sha1": "s"},
	)
	torrent, err := Parse(data)
	must(t, err)
	if torrent.Files[4].Symlink() != "../b/c" {
		t.Errorf("symlink path became %q", torrent.Files[4].Symlink())
	}
	x := torrent.Files[5]
	if x.Mode != 0o111 || x.HasMode || x.HasTime || x.Offset != 18 {
		t.Errorf("foreign attributes became %+v", x)
	}
	if len(torrent.Dirs) != 1 || torrent.Dirs[0].Path != "b" {
		t.Errorf("directories are %v", torrent.Dirs)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	top := t.TempDir()
	path := filepath.Join(top, "a.torrent")
	_, err := Load(path)
	wantError(t, err, "Torrent "+path+" not found")
	_, err = Load(top)
	wantError(t, err, "Torrent "+top+" cannot be read: is a directory")
	must(t, os.WriteFile(path, singleFile(nil)[:50], 0o600))
	_, err = Load(path)
	wantError(t, err, "Torrent "+path+" is not valid: ", "truncated")
	must(t, os.Truncate(path, MaxTorrentSize+1))
	_, err = Load(path)
	wantError(t, err, "larger than 134.2 MB")
	must(t, os.WriteFile(path, singleFile(nil), 0o600))
	torrent, err := Load(path)
	must(t, err)
	if !torrent.Single || torrent.Size != 5 {
		t.Errorf("loaded %+v", torrent)
	}
}

func TestWriteFile(t *testing.T) {
	top := t.TempDir()
	torrent, err := Parse(singleFile(nil))
	must(t, err)
	path := filepath.Join(top, "a.torrent")
	for i, want := range []bool{true, false} {
		changed, err := torrent.WriteFile(path)
		must(t, err)
		if changed != want {
			t.Errorf("write %d: changed is %v", i+1, changed)
		}
	}
	must(t, os.Symlink("a.torrent", filepath.Join(top, "link")))
	must(t, os.WriteFile(path, append(bytes.Clone(torrent.Raw), 'x'), 0o600))
	changed, err := torrent.WriteFile(filepath.Join(top, "link"))
	must(t, err)
	if data, _ := os.ReadFile(path); !changed || !bytes.Equal(data, torrent.Raw) {
		t.Errorf("through a symlink: changed %v, %d bytes", changed, len(data))
	}
	if stat, _ := os.Stat(path); stat.Mode() != 0o644 {
		t.Errorf("mode is %v", stat.Mode())
	}
	_, err = torrent.WriteFile(filepath.Join(top, "none", "a"))
	wantError(t, err, "Directory "+top+"/none for the torrent does not exist")
	_, err = torrent.WriteFile(top)
	wantError(t, err, "Torrent "+top+" cannot be written")
	if names, _ := os.ReadDir(filepath.Dir(top)); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

// FuzzParse feeds Parse anything; what it accepts must keep every promise of Torrent.
func FuzzParse(f *testing.F) {
	for _, c := range hostile {
		f.Add(c.data)
	}
	f.Add(singleFile(nil))
	f.Add(files(entryOf("a", 1), entryOf("b/c", 20_000), d{"path": []string{"p"}, "attr": "p", "length": 3}))
	torrent, _ := build(f, tree{"a/b": "x", "l": link("/x"), "e": dir(0o700)}.write(f, f.TempDir()))
	f.Add(torrent.Raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		torrent, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrTorrent) || torrent != nil {
				t.Fatalf("%v with %v", err, torrent)
			}
			return
		}
		if err := promises(torrent); err != nil {
			t.Fatal(err)
		}
	})
}

// promises checks what the comment on Torrent and its fields says.
func promises(torrent *Torrent) error {
	total := int64(0)
	for i := range torrent.NumPieces() {
		if n := torrent.PieceSize(i); n <= 0 || n > torrent.PieceLength {
			return fmt.Errorf("piece %d has %d bytes", i, n)
		}
		total += torrent.PieceSize(i)
	}
	if total != torrent.Size || badName([]byte(torrent.Name)) != "" {
		return fmt.Errorf("%q: pieces sum up to %d of %d", torrent.Name, total, torrent.Size)
	}
	directories, seen, offset := map[string]bool{"": true}, map[string]bool{}, int64(0)
	for _, dir := range torrent.Dirs {
		if directories[dir.Path] || !directories[parent(dir.Path)] {
			return fmt.Errorf("directory %q is there twice or before its parent", dir.Path)
		}
		directories[dir.Path] = true
	}
	for _, file := range torrent.Files {
		if file.Offset != offset || file.Length < 0 || file.Symlink() != "" && file.Length > 0 {
			return fmt.Errorf("%q has %d bytes at %d, want %d", file.Path, file.Length, file.Offset, offset)
		}
		offset += file.Length
		if file.Pad() {
			continue
		}
		if seen[file.Path] || !directories[parent(file.Path)] || directories[file.Path] && !torrent.Single {
			return fmt.Errorf("%q collides or has no directory", file.Path)
		}
		seen[file.Path] = true
		for name := range strings.SplitSeq(file.Path, "/") {
			if badName([]byte(name)) != "" && !torrent.Single {
				return fmt.Errorf("bad name in %q", file.Path)
			}
		}
	}
	if offset != torrent.Size || torrent.Single && (len(torrent.Files) != 1 || len(torrent.Dirs) != 0) {
		return fmt.Errorf("files sum up to %d of %d", offset, torrent.Size)
	}
	return nil
}
