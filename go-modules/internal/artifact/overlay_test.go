package artifact

import (
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestDirectoryOfAnImage: overlayfs, as containers have it, renames no directory of a lower layer, and nobody can tell beforehand which are. What
// the message says helps.
func TestDirectoryOfAnImage(t *testing.T) {
	at := mountTmpfs(t, "size=4m")
	tree{"image/dest/f": "old", "image/dest/d/stranger": "x", "upper": dir(0o755), "work": dir(0o755), "top": dir(0o755)}.write(t, at)
	options := "redirect_dir=off,lowerdir=" + at + "/image,upperdir=" + at + "/upper,workdir=" + at + "/work"
	err := unix.Mount("overlay", at+"/top", "overlay", 0, options)
	if errors.Is(err, unix.ENODEV) {
		// Of a kernel without it nothing is to be seen here, and make test counts the test as skipped.
		t.Skip("the kernel has no overlayfs")
	}
	must(t, err)
	t.Cleanup(func() { must(t, unix.Unmount(at+"/top", unix.MNT_DETACH)) })
	torrent, source := build(t, tree{"f": "new"}.write(t, t.TempDir()))
	dest := at + "/top/dest"
	p := plan(t, torrent, PlaceOptions{Dest: dest})
	transfer(t, torrent, source, p)
	err = p.Place(t.Context())
	wantError(t, err, "Destination "+dest+" cannot be replaced, for its filesystem does not rename this directory, as overlayfs does none of an image; "+
		"make it a new one (cp -a, rm -r, mv) and deploy again, without a download")
	if !errors.Is(err, unix.EXDEV) || read(t, dest+"/f") != "old" || read(t, dest+"/d/stranger") != "x" {
		t.Errorf("the destination is not as it was: %v", err)
	}
	must(t, exec.CommandContext(t.Context(), "cp", "-a", dest, dest+".new").Run())
	must(t, errors.Join(os.RemoveAll(dest), os.Rename(dest+".new", dest)))
	must(t, p.Place(t.Context()))
	if read(t, dest+"/f") != "new" || read(t, dest+"/d/stranger") != "x" {
		t.Error("not placed")
	}
	noStaging(t, at+"/top")
}
