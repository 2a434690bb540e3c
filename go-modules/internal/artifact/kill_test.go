package artifact

import (
	"bufio"
	"bytes"
	"context"
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

// placerVariable makes the test binary a process that deploys the versions a and b below its directory in turn, for ever. Of the kind
// rollback it deploys b and goes back.
const placerVariable = "MURDER_TEST_PLACER"

// deployForEver is that process. It prints a line after each deploy.
func deployForEver() error {
	kind, top, _ := strings.Cut(os.Getenv(placerVariable), ":")
	for i := 0; ; i++ {
		name := []string{"a", "b"}[i%2]
		if kind == "rollback" {
			name = "b"
		}
		if kind == "rollback" && i%2 == 1 {
			if _, err := RollBack(top+"/dest", "", false); err != nil {
				return err
			}
			fmt.Println("rolled back")
			continue
		}
		torrent, source, err := Build(context.Background(), sourceOf(kind, top, name), BuildOptions{PieceLength: MinPieceLength})
		if err != nil {
			return err
		}
		p, err := NewPlan(torrent, options(kind, top))
		if err != nil {
			return err
		}
		if err := place(p, torrent, source); err != nil {
			return err
		}
		fmt.Println(name)
	}
}

// sourceOf is the path of a version.
func sourceOf(kind, top, name string) string {
	src := filepath.Join(top, name, "app")
	switch kind {
	case "file":
		src += "/f0"
	case "unpack":
		src += ".tar"
	}
	return src
}

func options(kind, top string) PlaceOptions {
	o := PlaceOptions{Dest: top + "/dest", Mode: "u=rw,go=r"}
	switch kind {
	case "keep", "rollback":
		o.Keep = 1
	case "unpack":
		o.Unpack, o.StateDir = true, top+"/state"
	case "backup":
		o.Backup = true
	case "delete":
		o.Delete = true
	}
	return o
}

func place(p *Plan, torrent *Torrent, source *Source) error {
	complete, err := p.Complete(context.Background())
	if err != nil {
		return err
	}
	if complete {
		if _, err := Forget(p.asked.Dest, "", false); err != nil {
			return err
		}
		_, err := p.Activate(true)
		return err
	}
	store, _, err := p.OpenStaging()
	if err != nil {
		return err
	}
	defer store.Close()
	from, err := source.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	for i := range torrent.NumPieces() {
		piece := make([]byte, torrent.PieceSize(i))
		if _, err := from.ReadAt(piece, int64(i)*torrent.PieceLength); err != nil {
			return err
		}
		if _, err := store.WriteAt(piece, int64(i)*torrent.PieceLength); err != nil {
			return err
		}
	}
	if p.unpack != nil {
		if err := p.Unpack(context.Background(), store); err != nil {
			return err
		}
	}
	if err := p.Place(context.Background()); err != nil {
		return err
	}
	return p.Remember()
}

const killFiles = 12

// packed is a tree of nothing but files in an archive.
func (tr tree) packed() (entries []packed) {
	for _, path := range slices.Sorted(maps.Keys(tr)) {
		entries = append(entries, packed{Name: path, Body: tr[path].(string), Mode: 0o644})
	}
	return entries
}

// versionAt says which version is at dest, all of it; it is an error that it is neither, or both.
func versionAt(kind, dest string) (string, error) {
	if kind == "file" {
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

// TestKillAnywhere kills a process that deploys, with SIGKILL, at many moments. Each time either the old artifact is there or
// the new one, whole, and the next run goes on from there. All the time a reader finds the one or the other.
func TestKillAnywhere(t *testing.T) {
	for _, kind := range []string{"tree", "file", "keep", "backup", "delete", "unpack", "rollback"} {
		t.Run(kind, func(t *testing.T) {
			top := t.TempDir()
			for _, name := range []string{"a", "b"} {
				app := tree{"only in " + name: "x"}
				for i := range killFiles {
					app[fmt.Sprintf("f%d", i)] = strings.Repeat(name, 1000)
				}
				app.write(t, top+"/"+name+"/app")
				must(t, os.WriteFile(top+"/"+name+"/app.tar", testarchive.Tar(t, app.packed()...), 0o644))
			}
			place := func() {
				t.Helper()
				torrent, source := build(t, sourceOf(kind, top, "a"))
				must(t, place(plan(t, torrent, options(kind, top)), torrent, source))
			}
			place()
			strangers := kind == "tree" || kind == "backup" || kind == "unpack"
			if strangers {
				must(t, os.WriteFile(top+"/dest/stranger", []byte("kept"), 0o600))
			}
			stop := watch(t, kind, top+"/dest")
			for round := range 30 {
				killOnce(t, kind, top)
				if strangers && read(t, top+"/dest/stranger") != "kept" {
					t.Fatalf("round %d: the stranger is lost", round)
				}
				if name, err := versionAt(kind, top+"/dest"); err != nil {
					t.Fatalf("round %d: version %q: %v", round, name, err)
				}
			}
			stop()
			place()
			place()
			if read(t, map[bool]string{true: top + "/dest", false: top + "/dest/f0"}[kind == "file"])[0] != 'a' {
				t.Error("the last deploy did not succeed")
			}
			noStaging(t, top)
		})
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
	if kind == "file" {
		data, err := os.ReadFile(dest)
		return errors.Join(err, oneVersion(data, 1000))
	}
	dir, err := os.OpenRoot(dest)
	if err != nil {
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
