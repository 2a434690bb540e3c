package artifact

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// metainfoOf is a torrent of files of one byte at these paths.
func metainfoOf(paths []string) []byte {
	b := []byte("d4:infod5:filesl")
	for _, path := range paths {
		b = appendInt(appendString(append(b, 'd'), "length"), 1)
		b = append(appendStrings(appendString(b, "path"), strings.Split(path, "/")), 'e')
	}
	b = appendString(appendString(append(b, 'e'), "name"), "many")
	b = appendInt(appendString(b, "piece length"), MinPieceLength)
	hashes := strings.Repeat("x", 20*((len(paths)+MinPieceLength-1)/MinPieceLength))
	return append(appendString(appendString(b, "pieces"), hashes), "ee"...)
}

// Room for many files is made by the length of the first thousand, whatever the others are like.
func TestParseManyFiles(t *testing.T) {
	short := func(i int) string { return fmt.Sprintf("d%02d/%d", i/100, i) }
	long := func(i int) string { return fmt.Sprintf("d%02d/%s%d", i/100, strings.Repeat("long", 40), i) }
	for name, naming := range map[string][2]func(i int) string{
		"all short": {short, short}, "long ones last": {short, long}, "short ones last": {long, short},
	} {
		for _, n := range []int{sampleFiles - 1, sampleFiles, sampleFiles + 1, 4 * sampleFiles} {
			t.Run(fmt.Sprintf("%s, %d", name, n), func(t *testing.T) {
				paths := make([]string, n)
				for i := range paths {
					paths[i] = naming[min(1, i/sampleFiles)](i)
				}
				for order, shuffle := range map[string]bool{"in order": false, "in no order": true} {
					if shuffle {
						rand.Shuffle(n, func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
					}
					torrent, err := Parse(metainfoOf(paths))
					must(t, err)
					got := make([]string, 0, n)
					for i := range torrent.Files {
						got = append(got, torrent.Files[i].Path)
					}
					if !slices.Equal(got, paths) || len(torrent.Dirs) != (n+99)/100 {
						t.Errorf("%s: %d files, %d directories", order, len(got), len(torrent.Dirs))
					}
					at := rand.IntN(n)
					if _, err := Parse(metainfoOf(append(paths[:n:n], paths[at]))); err == nil || !strings.Contains(err.Error(), "twice") {
						t.Errorf("%s: with %s twice: %v", order, paths[at], err)
					}
					if _, err := Parse(metainfoOf(append(paths[:n:n], paths[at]+"/x"))); err == nil || !strings.Contains(err.Error(), "not a directory") {
						t.Errorf("%s: with a file below %s: %v", order, paths[at], err)
					}
				}
			})
		}
	}
}

// There may be hundreds of thousands of files, in every daemon of a swarm.
func TestFilesAreSmall(t *testing.T) {
	if size := unsafe.Sizeof(File{}); size > 64 {
		t.Errorf("a file takes %d bytes", size)
	}
}

// A torrent without its metainfo is the same torrent.
func TestDropRaw(t *testing.T) {
	for _, src := range []string{tree{"d/f": content(40000)}.write(t, t.TempDir()), tree{"f": content(40000)}.write(t, t.TempDir()) + "/f"} {
		torrent, _ := build(t, src)
		before, err := Parse(slices.Clone(torrent.Raw))
		must(t, err)
		raw := torrent.Raw
		torrent.DropRaw()
		clear(raw)
		if torrent.Raw != nil || torrent.NumPieces() != before.NumPieces() || torrent.Checksum() != before.Checksum() {
			t.Errorf("%s has become %d pieces, checksum %q", src, torrent.NumPieces(), torrent.Checksum())
		}
		for i := range before.NumPieces() {
			if torrent.PieceHash(i) != before.PieceHash(i) {
				t.Errorf("%s: piece %d has another hash", src, i)
			}
		}
	}
}
