package artifact

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mountBtrfs mounts a filesystem whose files can share blocks.
func mountBtrfs(t *testing.T, size int64) string {
	t.Helper()
	needRoot(t, "mount a filesystem of its own (btrfs)")
	image := t.TempDir() + "/image"
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, size))
	at := mkdir(t, filepath.Join(t.TempDir(), "btrfs"))
	for _, command := range []string{"mkfs.btrfs --quiet --mixed " + image, "mount -o loop " + image + " " + at} {
		words := strings.Fields(command)
		out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
		if err != nil && words[0] == "mount" {
			known, _ := os.ReadFile("/proc/filesystems")
			if _, err := os.Stat("/dev/loop-control"); err != nil || !strings.Contains(string(known), "\tbtrfs\n") {
				// Only a real filesystem shows whether blocks are shared; make test counts the test as skipped.
				t.Skip("needs a kernel with btrfs and loop devices")
			}
		}
		if err != nil {
			t.Fatalf("%s: %v, %s", command, err, out)
		}
	}
	t.Cleanup(func() { must(t, unix.Unmount(at, 0)) })
	return at
}

// free is how many bytes are free once everything is on disk.
func free(t *testing.T, at string) int64 {
	t.Helper()
	dir, err := os.Open(at)
	must(t, err)
	defer dir.Close()
	var fs unix.Statfs_t
	must(t, errors.Join(unix.Syncfs(int(dir.Fd())), unix.Fstatfs(int(dir.Fd()), &fs)))
	return available(&fs)
}

// TestClonesTakeNoSpace: where files can share blocks, a version that differs little from the old one fits on a disk that has no
// room for both, and takes hardly any.
func TestClonesTakeNoSpace(t *testing.T) {
	at := mountBtrfs(t, 64<<20)
	const size = 40 << 20
	old := random(1, size)
	must(t, os.WriteFile(at+"/dest", []byte(old), 0o644))
	changed := size / 2
	src := tree{"src": old[:changed] + "changed" + old[changed+7:]}.write(t, t.TempDir())
	torrent, source := build(t, src+"/src", BuildOptions{})
	before := free(t, at)
	if before > size*9/10 {
		t.Fatalf("%d bytes are free, so the test shows nothing", before)
	}
	wantError(t, plan(t, torrent, PlaceOptions{Dest: at + "/another"}).Space(), "Not enough space on "+at)
	p := plan(t, torrent, PlaceOptions{Dest: at + "/dest"})
	must(t, p.Space())
	store, _, err := p.OpenStaging(t.Context())
	must(t, err)
	defer store.Close()
	have := make([]bool, torrent.NumPieces())
	must(t, p.Reuse(t.Context(), have, nil))
	if got := count(have); got != len(have)-1 {
		t.Errorf("%d of %d pieces are reused", got, len(have))
	}
	must(t, p.Space())
	if taken := before - free(t, at); taken > size/20 {
		t.Errorf("the clone took %d bytes", taken)
	}
	from, err := source.Open()
	must(t, err)
	defer from.Close()
	for i := range have {
		if have[i] {
			continue
		}
		piece := make([]byte, torrent.PieceSize(i))
		_, err := from.ReadAt(piece, int64(i)*torrent.PieceLength)
		must(t, err)
		_, err = store.WriteAt(piece, int64(i)*torrent.PieceLength)
		must(t, err)
	}
	must(t, p.Place(t.Context()))
	if read(t, at+"/dest") != read(t, src+"/src") {
		t.Error("what was placed is not what was sent")
	}
}
