package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"corvus.murder/internal/testarchive"
)

type in = testarchive.Entry

// read lists an archive: one line for each entry, with its content.
func read(data []byte) (lines []string, err error) {
	a, err := Open("app", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	defer a.Close()
	for {
		e, err := a.Next()
		if errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return lines, err
		}
		line := fmt.Sprintf("%s %q", e.Kind, e.Path)
		if e.HasMode {
			line += fmt.Sprintf(" %04o", e.Mode)
		}
		if e.Link != "" {
			line += " -> " + e.Link
		}
		if e.Again {
			line += " again"
		}
		if e.Kind == File {
			content, err := io.ReadAll(a)
			if err != nil {
				return lines, err
			}
			if int64(len(content)) != e.Size {
				return lines, fmt.Errorf("%s has %d bytes, want %d", e.Path, len(content), e.Size)
			}
			line += " " + string(content)
		}
		lines = append(lines, line)
	}
}

func TestFormats(t *testing.T) {
	long := strings.Repeat("d/", 120) + "file"
	archives := testarchive.Formats(t,
		in{Name: "./", Mode: 0o750}, in{Name: "./bin/", Mode: 0o755}, in{Name: "./bin//run", Mode: 0o4755, Body: "#!/bin/sh\n"},
		in{Name: "etc/größe ☃\n", Mode: 0o600}, in{Name: "current", Type: tar.TypeSymlink, Link: "/bin/../bin", Mode: 0o777}, in{Name: long, Mode: 0o644, Body: "x"})
	want := []string{
		`directory "" 0750`, `directory "bin" 0755`, "file \"bin/run\" 4755 #!/bin/sh\n", `directory "etc"`, `file "etc/größe ☃\n" 0600 `,
		`symbolic link "current" 0777 -> /bin/../bin`,
	}
	for i := range 120 {
		want = append(want, fmt.Sprintf("directory %q", strings.TrimSuffix(strings.Repeat("d/", i+1), "/")))
	}
	want = append(want, fmt.Sprintf("file %q 0644 x", long))
	for name, data := range archives {
		t.Run(name, func(t *testing.T) {
			got, err := read(data)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.Clone(want)
			if name == ".zip" { // as unzip does it
				want[2] = strings.Replace(want[2], "4755", "0755", 1)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestTarOnly(t *testing.T) {
	got, err := read(testarchive.Tar(t,
		in{Name: "a", Body: "old", Mode: 0o644}, in{Name: "b", Type: tar.TypeLink, Link: "./a"}, in{Name: "a", Body: "new", Mode: 0o600},
		in{Name: "d/", Mode: 0o700}, in{Name: "d", Type: tar.TypeDir, Mode: 0o755}, in{Name: "pipe", Type: tar.TypeFifo},
		in{Name: "null", Type: tar.TypeChar, Major: 1, Minor: 3}, in{Name: "disk", Type: tar.TypeBlock, Major: 8},
		in{Name: "s", Type: tar.TypeSymlink, Link: "a"}, in{Name: "s", Body: "x"}))
	want := []string{
		`file "a" 0644 old`, `hard link "b" 0000 -> a`, `file "a" 0600 again new`, `directory "d" 0700`, `directory "d" 0755 again`,
		`named pipe "pipe" 0000`, `character device "null" 0000`, `block device "disk" 0000`, `symbolic link "s" 0000 -> a`, `file "s" 0000 again x`,
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got\n%s\n%v", strings.Join(got, "\n"), err)
	}
}

func TestEmpty(t *testing.T) {
	for name, data := range testarchive.Formats(t) {
		if got, err := read(data); len(got) > 0 || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestRefused has what no program of good will writes, and demands a message that says so.
func TestRefused(t *testing.T) {
	file := in{Name: "f", Body: "x"}
	for name, c := range map[string]struct {
		entries []in
		words   string
	}{
		"absolute":                  {[]in{{Name: "/etc/passwd"}}, `holds the name "/etc/passwd", which is absolute`},
		"out":                       {[]in{{Name: "a/../../b"}}, `leads out of its directory`},
		"dots alone":                {[]in{{Name: ".."}}, `leads out of its directory`},
		"long part":                 {[]in{{Name: strings.Repeat("n", 256)}}, `has a part longer than 255 bytes`},
		"long path":                 {[]in{{Name: strings.Repeat("n/", 2048)}}, `is longer than 4095 bytes`},
		"file without a name":       {[]in{{Name: ".", Body: "x"}}, `without a name`},
		"beneath a file":            {[]in{file, {Name: "f/g"}}, `"f/g", which lies beneath the file "f"`},
		"through a symlink":         {[]in{{Name: "l", Type: tar.TypeSymlink, Link: "/etc"}, {Name: "l/passwd"}}, `beneath the symbolic link "l"`},
		"symlink to nowhere":        {[]in{{Name: "l", Type: tar.TypeSymlink}}, `is no path`},
		"file and directory":        {[]in{file, {Name: "f/"}}, `twice, as a file and as a directory`},
		"directory and file":        {[]in{{Name: "f/g"}, file}, `twice, as a directory and as a file`},
		"directory and symlink":     {[]in{{Name: "d/"}, {Name: "d", Type: tar.TypeSymlink, Link: "/"}}, `twice, as a directory and as a symbolic link`},
		"hard link out":             {[]in{{Name: "h", Type: tar.TypeLink, Link: "../x"}}, `leads out`},
		"hard link to absolute":     {[]in{{Name: "h", Type: tar.TypeLink, Link: "/etc/shadow"}}, `is absolute`},
		"hard link to nothing":      {[]in{{Name: "h", Type: tar.TypeLink, Link: "x"}}, `no file that came before`},
		"hard link to a directory":  {[]in{{Name: "d/"}, {Name: "h", Type: tar.TypeLink, Link: "d"}}, `no file that came before`},
		"hard link to itself":       {[]in{file, {Name: "f", Type: tar.TypeLink, Link: "f"}}, `hard link to itself`},
		"hard link through symlink": {[]in{{Name: "l", Type: tar.TypeSymlink, Link: "/etc"}, {Name: "h", Type: tar.TypeLink, Link: "l/shadow"}}, `no file that came before`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(testarchive.Tar(t, c.entries...))
			if !errors.Is(err, ErrArchive) || !strings.Contains(fmt.Sprint(err), c.words) || !strings.HasPrefix(err.Error(), "Archive app ") {
				t.Errorf("got %v, want %q", err, c.words)
			}
			only := func(e in) bool { return e.Type == tar.TypeLink || e.Name == "." || len(e.Name) > 2000 }
			if slices.ContainsFunc(c.entries, only) {
				return
			}
			if _, err := read(testarchive.Zip(t, c.entries...)); !errors.Is(err, ErrArchive) || !strings.Contains(fmt.Sprint(err), c.words) {
				t.Errorf("zip: got %v, want %q", err, c.words)
			}
		})
	}
}

func TestZipRefused(t *testing.T) {
	for name, c := range map[string]struct {
		entries []in
		change  func(data []byte)
		words   string
	}{
		"NUL":       {[]in{{Name: "a\x00b", Body: "x"}}, nil, `contains NUL`},
		"twice":     {[]in{{Name: "a"}, {Name: "./a"}}, nil, `holds "a" twice`},
		"backslash": {[]in{{Name: `a\b`, Body: "x"}}, nil, `which is no separator`},
		"pipe":      {[]in{{Name: "p", Type: tar.TypeFifo}}, nil, `neither a file nor a directory nor a symbolic link`},
		"encrypted": {[]in{{Name: "a", Body: "x"}}, func(data []byte) { directory(data)[8] |= 1 }, `is encrypted ("a"); pack it again without a password`},
		"method":    {[]in{{Name: "a", Body: "x"}}, func(data []byte) { directory(data)[10] = 99 }, `compressed by method 99`},
		"damaged":   {[]in{{Name: "a", Body: "x"}}, func(data []byte) { directory(data)[16] ^= 1 }, `is damaged at or after "a" (zip: checksum error)`},
	} {
		t.Run(name, func(t *testing.T) {
			data := testarchive.Zip(t, c.entries...)
			if c.change != nil {
				c.change(data)
			}
			if _, err := read(data); !errors.Is(err, ErrArchive) || !strings.Contains(fmt.Sprint(err), c.words) {
				t.Errorf("got %v, want %q", err, c.words)
			}
		})
	}
}

// directory is the first entry of the central directory.
func directory(data []byte) []byte { return data[bytes.Index(data, []byte("PK\x01\x02")):] }

func TestNoArchive(t *testing.T) {
	for content, words := range map[string]string{
		"":                                     "is neither tar",
		"text":                                 "is neither tar",
		strings.Repeat("text", 1000):           "is neither tar",
		"BZh91AY&SY" + strings.Repeat("x", 99): "is made with bzip2",
		"\xfd7zXZ\x00\x00":                     "is made with xz",
		string(testarchive.Gzip(t, []byte("some text"))): "is compressed with gzip, but what is in it is no tar",
		string(testarchive.Zstd(t, make([]byte, 100))):   "is compressed with zstd, but what is in it is no tar",
		"PK\x03\x04 and no more":                         "is damaged at its beginning",
		"\x1f\x8b\x08":                                   "is damaged at its beginning",
		"\x28\xb5\x2f\xfd":                               "is damaged at its beginning",
	} {
		if _, err := read([]byte(content)); !errors.Is(err, ErrArchive) || !strings.Contains(fmt.Sprint(err), words) {
			t.Errorf("%.20q: got %v, want %q", content, err, words)
		}
	}
}

// TestCutShort cuts archives anywhere: what is missing is noticed, wherever the end is.
func TestCutShort(t *testing.T) {
	archives := testarchive.Formats(t, in{Name: "a", Body: strings.Repeat("x", 5120)}, in{Name: "b", Body: strings.Repeat("y", 512)})
	for _, name := range slices.Sorted(maps.Keys(archives)) {
		whole := archives[name]
		end := len(whole)
		if name == ".tar" {
			end -= 1024 // GNU tar does without the mark of the end, too
		}
		for n := range end {
			if name == ".tar" && n%512 == 0 && n > 0 {
				continue // between two entries
			}
			if _, err := read(whole[:n]); !errors.Is(err, ErrArchive) {
				t.Fatalf("%s, %d of %d bytes: %v", name, n, len(whole), err)
			}
		}
	}
}

func TestReadErrorIsNotTheArchives(t *testing.T) {
	broken := errors.New("the disk is broken")
	for name, data := range testarchive.Formats(t, in{Name: "a", Body: strings.Repeat("x", 1<<20)}) {
		a, err := Open("app", failing{bytes.NewReader(data), int64(len(data) / 2), broken}, int64(len(data)))
		for err == nil {
			if _, err = a.Next(); err == nil {
				_, err = io.Copy(io.Discard, a)
			}
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrArchive) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// failing fails at and after an offset.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(p, off)
}

// obey checks what Reader promises about the entries that it lets through.
func obey(t interface{ Errorf(string, ...any) }, data []byte) {
	a, err := Open("app", bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return
	}
	defer a.Close()
	kinds := map[string]Kind{}
	for range 10_000 {
		e, err := a.Next()
		if err != nil {
			return
		}
		for part := range strings.SplitSeq(e.Path, "/") {
			if part == ".." || part == "." || part == "" && e.Path != "" || strings.Contains(part, "\x00") || len(part) > 255 {
				t.Errorf("path %q", e.Path)
			}
		}
		if i := strings.LastIndexByte(e.Path, '/'); i >= 0 && kinds[e.Path[:i]] != Directory {
			t.Errorf("%q is beneath no directory", e.Path)
		} else if _, there := kinds[e.Path[:max(i, 0)]]; i >= 0 && !there {
			t.Errorf("%q comes before its directory", e.Path)
		}
		old, there := kinds[e.Path]
		if there != e.Again || there && (old == Directory) != (e.Kind == Directory) {
			t.Errorf("%q comes again: %v, %v", e.Path, e.Again, old)
		}
		if target, there := kinds[e.Link]; e.Kind == Hardlink && (!there || target == Directory || e.Link == e.Path) {
			t.Errorf("%q is a hard link to %q", e.Path, e.Link)
		}
		if e.Size < 0 || e.Mode > 0o7777 {
			t.Errorf("%+v", e)
		}
		kinds[e.Path] = e.Kind
		if e.Kind == File {
			if n, err := io.CopyN(io.Discard, a, 1<<20); err == nil && n < 1<<20 || n > e.Size {
				t.Errorf("%q: %d bytes of %d", e.Path, n, e.Size)
			}
		}
	}
}

func TestTreesProperty(t *testing.T) {
	part := rapid.SampledFrom([]string{"a", "b", "A", "..", ".", "", "ü"})
	name := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(part, 1, 4).Draw(t, "parts"), "/") })
	entry := rapid.Custom(func(t *rapid.T) in {
		kind := rapid.SampledFrom([]byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeFifo}).Draw(t, "type")
		e := in{Name: name.Draw(t, "name"), Type: kind}
		if kind == tar.TypeSymlink || kind == tar.TypeLink {
			e.Link = name.Draw(t, "link")
		} else if kind == tar.TypeReg {
			e.Body = "x"
		}
		if kind != tar.TypeDir {
			e.Name = strings.TrimRight(e.Name, "/")
		}
		return e
	})
	rapid.Check(t, func(rt *rapid.T) {
		entries := rapid.SliceOfN(entry, 0, 12).Draw(rt, "entries")
		entries = slices.DeleteFunc(entries, func(e in) bool { return e.Name == "" })
		obey(rt, testarchive.Tar(t, entries...))
	})
}

func fuzz(f *testing.F, name string) {
	for _, data := range [][]byte{
		testarchive.Formats(f, in{Name: "d/", Mode: 0o755}, in{Name: "d/f", Body: "hello", Mode: 0o644}, in{Name: "l", Type: tar.TypeSymlink, Link: "d"})[name],
		testarchive.Formats(f)[name],
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) { obey(t, data) })
}

func FuzzTar(f *testing.F)  { fuzz(f, ".tar") }
func FuzzGzip(f *testing.F) { fuzz(f, ".tar.gz") }
func FuzzZstd(f *testing.F) { fuzz(f, ".tar.zst") }
func FuzzZip(f *testing.F)  { fuzz(f, ".zip") }
