package artifact

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// blocks is how many bytes of disk a file takes.
func blocks(t testing.TB, path string) int64 {
	t.Helper()
	stat, err := os.Lstat(path)
	must(t, err)
	return stat.Sys().(*syscall.Stat_t).Blocks * 512
}

// bytesRead is how much this process has read by system calls.
func bytesRead(t testing.TB) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/io")
	must(t, err)
	n, err := strconv.ParseInt(string(regexp.MustCompile(`rchar: (\d+)`).FindSubmatch(data)[1]), 10, 64)
	must(t, err)
	return n
}

// TestHolesAreNeitherReadNorSentNorStored takes 100 GB of holes through everything.
func TestHolesAreNeitherReadNorSentNorStored(t *testing.T) {
	top := t.TempDir()
	src := tree{"disk.img": sparse(100 << 30), "empty.img": sparse(8), "small": "x"}.write(t, filepath.Join(top, "src"))
	before := bytesRead(t)
	torrent, source, err := Build(t.Context(), src, BuildOptions{PieceLength: 4 << 20})
	must(t, err)
	if n := bytesRead(t) - before; n > 64<<20 {
		t.Errorf("%d bytes were read", n)
	}
	dest := filepath.Join(top, "dest")
	p := plan(t, torrent, PlaceOptions{Dest: dest})
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	have := make([]bool, torrent.NumPieces())
	must(t, store.FillHoles(have))
	from, err := source.Open()
	must(t, err)
	defer from.Close()
	sent := 0
	for i := range have {
		if have[i] {
			continue
		}
		sent++
		piece := make([]byte, torrent.PieceSize(i))
		_, err := from.ReadAt(piece, int64(i)*torrent.PieceLength)
		must(t, err)
		_, err = store.WriteAt(piece, int64(i)*torrent.PieceLength)
		must(t, err)
	}
	if sent != 2 {
		t.Errorf("%d pieces were sent, want the one with data and the one with the other files", sent)
	}
	must(t, p.Place(t.Context()))
	if got, want := blocks(t, dest+"/disk.img"), blocks(t, src+"/disk.img"); got > want {
		t.Errorf("it takes %d bytes of disk, at the source %d", got, want)
	}
	complete, err := p.Complete(t.Context())
	must(t, err)
	if !complete {
		t.Error("not complete after Place")
	}
}

func TestSparseFile(t *testing.T) {
	top := t.TempDir()
	tree{"src": sparse(10 << 20)}.write(t, top)
	src, dest := filepath.Join(top, "src"), filepath.Join(top, "dest")
	torrent, _ := build(t, src)
	sum, err := Checksum(t.Context(), src)
	must(t, err)
	if torrent.Checksum() != sum {
		t.Errorf("SHA-1 %s, want %s", torrent.Checksum(), sum)
	}
	deploy(t, src, PlaceOptions{Dest: dest})
	sameTree(t, listing(t, dest), listing(t, src))
	if got, want := blocks(t, dest), blocks(t, src); got > want {
		t.Errorf("it takes %d bytes of disk, at the source %d", got, want)
	}
}

// TestZerosReplaceData: holes are made also where something else was before, as in a staging that is resumed.
func TestZerosReplaceData(t *testing.T) {
	top := t.TempDir()
	rapid.Check(t, func(r *rapid.T) {
		was := rapid.SliceOfN(rapid.Byte(), 1, 20_000).Draw(r, "was")
		want := bytes.Clone(was)
		path := filepath.Join(top, "file")
		must(t, os.WriteFile(path, was, 0o600))
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		defer file.Close()
		off := rapid.IntRange(0, len(was)-1).Draw(r, "off")
		var p []byte
		for range rapid.IntRange(1, 4).Draw(r, "runs") {
			p = append(p, bytes.Repeat([]byte{rapid.SampledFrom([]byte{0, 0, 7}).Draw(r, "byte")}, rapid.IntRange(1, 9000).Draw(r, "length"))...)
		}
		p = p[:min(len(p), len(was)-off)]
		copy(want[off:], p)
		must(t, writeSparse(int(file.Fd()), p, int64(off)))
		got, err := os.ReadFile(path)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes at %d of %d went wrong", len(p), off, len(was))
		}
	})
}
