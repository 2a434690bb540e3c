package artifact

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"corvus.murder/internal/testarchive"
)

// Each version has killFiles files, and of the kind links one name more for the first of them.
const (
	killFiles = 12
	killLink  = "link"
)

// packed is a tree of nothing but files in an archive.
func (tr tree) packed() (entries []packed) {
	for _, path := range slices.Sorted(maps.Keys(tr)) {
		entries = append(entries, packed{Name: path, Body: tr[path].(string), Mode: 0o644})
	}
	return entries
}

// versionAt says which version is at dest, all of it; it is an error that it is neither, or both.
func versionAt(kind, dest string) (string, error) {
	if isFile(kind) {
		data, err := os.ReadFile(dest)
		if err == nil && len(data) != 1000 {
			err = fmt.Errorf("%d bytes", len(data))
		}
		return string(data[:min(1, len(data))]), err
	}
	seen := map[string]int{}
	err := filepath.WalkDir(dest+"/", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name()[0] != 'f' {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && len(data) != 1000 {
			err = fmt.Errorf("%s has %d bytes", path, len(data))
		}
		seen[string(data[:min(1, len(data))])]++
		return err
	})
	for name, count := range seen {
		if err == nil && (len(seen) > 1 || count != killFiles) {
			err = fmt.Errorf("the files are of %v", seen)
		}
		return name, err
	}
	return "", errors.Join(err, errors.New("it is empty"))
}

func isFile(kind string) bool { return kind == "file" || kind == "saved file" }

// TestKillAnywhere kills a process that deploys, with SIGKILL, at many moments. Each time either the old artifact is there or
// the new one, whole, and the next run goes on from there. All the time a reader finds the one or the other; only where the
// filesystem cannot exchange it may find nothing, until the next run.
func TestKillAnywhere(t *testing.T) {
	for _, kind := range []string{
		"tree", "file", "keep", "backup", "saved file", "delete", "unpack", "rollback", "partial", "links", "two steps",
	} {
		t.Run(kind, func(t *testing.T) {
			top := t.TempDir()
			writeVersions(t, kind, top)
			place := func() {
				t.Helper()
				torrent, source := build(t, sourceOf(kind, top, "a"))
				must(t, place(kind, plan(t, torrent, options(kind, top)), torrent, source, false))
			}
			place()
			strangers := !slices.Contains([]string{"file", "saved file", "keep", "delete", "rollback"}, kind)
			if strangers {
				must(t, os.WriteFile(top+"/dest/stranger", []byte("kept"), 0o600))
			}
			stop := watch(t, kind, top+"/dest")
			between := 0
			for round := range 30 {
				killOnce(t, kind, top)
				if _, err := os.Lstat(top + "/dest"); kind == "two steps" && errors.Is(err, fs.ErrNotExist) {
					between++
					place()
				}
				if strangers && read(t, top+"/dest/stranger") != "kept" {
					t.Fatalf("round %d: the stranger is lost", round)
				}
				if name, err := versionAt(kind, top+"/dest"); err != nil {
					t.Fatalf("round %d: version %q: %v", round, name, err)
				}
			}
			stop()
			if kind == "two steps" && between == 0 {
				t.Error("no process was killed between the two steps")
			}
			place()
			place()
			if read(t, map[bool]string{true: top + "/dest", false: top + "/dest/f0"}[isFile(kind)])[0] != 'a' {
				t.Error("the last deploy did not succeed")
			}
			nothingLeft(t, kind, top)
		})
	}
}

// writeVersions makes the sources a and b.
func writeVersions(t *testing.T, kind, top string) {
	must(t, os.Mkdir(top+"/partial", 0o755))
	for _, name := range []string{"a", "b"} {
		app := tree{"only in " + name: "x"}
		for i := range killFiles {
			app[fmt.Sprintf("f%d", i)] = strings.Repeat(name, 1000)
		}
		must(t, os.MkdirAll(top+"/"+name, 0o755))
		must(t, os.WriteFile(top+"/"+name+"/app.tar", testarchive.Tar(t, app.packed()...), 0o644))
		if kind == "links" {
			app[killLink] = hard("f0")
		}
		app.write(t, top+"/"+name+"/app")
	}
}

// nothingLeft looks at all directories that killed runs may have left something in, and at the backups: each is whole and
// the only one of what was at dest.
func nothingLeft(t *testing.T, kind, top string) {
	t.Helper()
	for _, dir := range []string{"", "/partial", "/releases", "/state", "/state/placed", "/state/unpacked", "/dest"} {
		if stat, err := os.Stat(top + dir); err == nil && stat.IsDir() {
			noStaging(t, top+dir)
		}
	}
	if kind == "links" && inode(t, top+"/dest/f0") != inode(t, top+"/dest/"+killLink) {
		t.Error("the hard link is none any more")
	}
	backups, err := filepath.Glob(top + "/dest.*~")
	must(t, err)
	if saved := kind == "backup" || kind == "saved file"; saved != (len(backups) > 0) {
		t.Errorf("the backups are %q", backups)
	}
	seen := map[uint64]string{}
	for _, backup := range backups {
		if name, err := versionAt(kind, backup); err != nil {
			t.Errorf("backup %s: version %q: %v", backup, name, err)
		}
		if first, met := seen[inode(t, backup)]; met {
			t.Errorf("%s is the same as %s", backup, first)
		}
		seen[inode(t, backup)] = backup
	}
}

// killOnce lets the process deploy for a random while, counted from its first deploy.
func killOnce(t *testing.T, kind, top string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), placerVariable+"="+kind+":"+top)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	began := time.Now()
	for range 2 {
		if !lines.Scan() {
			_ = cmd.Wait()
			t.Fatalf("the process ended: %s", stderr.String())
		}
		if took := time.Since(began); took > 0 {
			began = began.Add(took / 2)
		}
	}
	each := time.Since(began)
	time.AfterFunc(time.Duration(rand.Int64N(int64(2*each))), func() { _ = cmd.Process.Kill() })
	for lines.Scan() { // until it is dead
	}
	if err := cmd.Wait(); !strings.Contains(fmt.Sprint(err), "killed") {
		t.Fatalf("the process ended by itself: %v, %s", err, stderr.String())
	}
}

// watch reads the artifact all the time: it is there at any moment, and of one version.
func watch(t *testing.T, kind, dest string) (stop func()) {
	var done atomic.Bool
	ended := make(chan error)
	go func() {
		var err error
		for err == nil && !done.Load() {
			err = readOnce(kind, dest)
		}
		ended <- err
	}()
	return func() {
		done.Store(true)
		if err := <-ended; err != nil {
			t.Errorf("a reader found %v", err)
		}
	}
}

// readOnce is a reader that opens the artifact's directory, or the release that the link leads to, and reads every file through that. What
// it reads is all of one version. Only from a directory that is at dest no longer, and no release, may files go.
func readOnce(kind, dest string) error {
	if isFile(kind) {
		data, err := os.ReadFile(dest)
		return errors.Join(err, oneVersion(data, 1000))
	}
	dir, err := os.OpenRoot(dest)
	if kind == "two steps" && errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer dir.Close()
	var all []byte
	files := 0
	for i := range killFiles {
		data, err := dir.ReadFile(fmt.Sprintf("f%d", i))
		if errors.Is(err, fs.ErrNotExist) && kind != "keep" && kind != "rollback" {
			var opened, now fs.FileInfo
			if opened, err = dir.Stat("."); err == nil {
				now, err = os.Stat(dest)
			}
			if kind == "two steps" && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err == nil && !os.SameFile(opened, now) {
				continue
			}
			err = errors.Join(fmt.Errorf("no f%d", i), err)
		}
		if err != nil {
			return err
		}
		all = append(all, data...)
		files++
	}
	return oneVersion(all, 1000*files)
}

// oneVersion says what is wrong with the content of files.
func oneVersion(data []byte, length int) error {
	if len(data) != length || length > 0 && bytes.Count(data, data[:1]) != length {
		return fmt.Errorf("%q of %d bytes", data, length)
	}
	return nil
}
