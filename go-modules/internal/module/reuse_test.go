package module

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// aged sets the source's time back, for one cannot tell whether a file of this very moment changes again.
func (r *rig) aged(path string) {
	r.t.Helper()
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, long, long); err != nil {
		r.t.Fatal(err)
	}
}

// vouch records whatever is at a peer's destination as the artifact.
func (r *rig) vouch(n int, dest string) {
	r.t.Helper()
	t, err := artifact.Load(r.src + ".torrent")
	if err != nil {
		r.t.Fatal(err)
	}
	plan, err := artifact.NewPlan(t, artifact.PlaceOptions{Dest: dest})
	if err == nil {
		err = artifact.OpenRecords(r.state(fmt.Sprintf("peer%d", n))).Save(plan.Placed())
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestRecordSavesTheHashing(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	r.aged(r.src)
	r.up()
	r.must(true, "murder_peer", r.peer(1).with("seed_time", 0))
	r.must(false, "murder_peer", r.peer(1))
	dest := r.peer(1)["dest"].(string)
	records := artifact.OpenRecords(r.state("peer1"))
	rec := records.Load(dest)
	if rec.Name != "artifact" || rec.Size != 1<<20 || rec.Stamps == (artifact.Stamps{}) || time.Since(rec.When) > patience {
		t.Errorf("the record is %+v", rec)
	}

	// Whether anything was hashed shows with a record that tells a lie.
	if err := os.WriteFile(dest, bytes.Repeat([]byte("x"), 1<<20), 0o640); err != nil {
		t.Fatal(err)
	}
	r.aged(dest)
	info, err := os.Stat(r.src)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dest, info.ModTime(), info.ModTime().Truncate(time.Second)); err != nil {
		t.Fatal(err)
	}
	r.vouch(1, dest)
	r.must(false, "murder_peer", r.peer(1))
	r.must(true, "murder_peer", r.peer(1).with("verify", "full").with("_ansible_check_mode", true))
	r.must(true, "murder_peer", r.peer(1).with("verify", "full"))
	r.arrived(1, data)

	// Without a record everything is hashed, once.
	r.must(true, "murder_peer", r.peer(1).with("state", "absent").with("_ansible_check_mode", true))
	r.must(true, "murder_peer", r.peer(1).with("state", "absent"))
	r.must(false, "murder_peer", r.peer(1).with("state", "absent"))
	if rec := records.Load(dest); rec != (artifact.Record{}) {
		t.Errorf("state: absent left %+v", rec)
	}
	r.must(false, "murder_peer", r.peer(1).with("_ansible_check_mode", true))
	if all, err := records.All(); len(all) != 0 || err != nil {
		t.Errorf("check mode wrote %v (%v)", all, err)
	}
	r.must(false, "murder_peer", r.peer(1))
	if rec := records.Load(dest); rec.Stamps == (artifact.Stamps{}) {
		t.Errorf("the record of what was found in place is %+v", rec)
	}

	// A changed mode is set right, and the record with it.
	if err := os.Chmod(dest, 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(false, "murder_peer", r.peer(1))
	r.must(true, "murder_peer", r.peer(1).with("mode", "0644"))
	before := records.Load(dest)
	r.must(false, "murder_peer", r.peer(1))
	if after := records.Load(dest); after != before {
		t.Errorf("the second run after a change of mode hashed again: %+v, then %+v", before, after)
	}
}

func TestRecordThatCannotBeKept(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.aged(r.src)
	r.up()
	r.must(true, "murder_peer", r.peer(1))
	placed := filepath.Join(r.state("peer1"), "placed")
	if err := errors.Join(os.RemoveAll(placed), os.WriteFile(placed, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	res := r.must(false, "murder_peer", r.peer(1))
	if warnings := fmt.Sprint(res["warnings"]); !strings.Contains(warnings, "is not remembered in "+placed) {
		t.Errorf("warnings are %v", warnings)
	}
}

// release writes a tree of a hundred files and one that keeps the others from beginning with a piece.
func (r *rig) release(changed ...int) (size int) {
	r.t.Helper()
	const length = 256 << 10
	if err := os.MkdirAll(r.src, 0o755); err != nil {
		r.t.Fatal(err)
	}
	for n := range 101 {
		data := bytes.Repeat([]byte(fmt.Sprintf("%8d", n)), length/8)
		if n == 0 {
			data = data[:1001]
		}
		for _, c := range changed {
			if n == c {
				data = bytes.ToUpper(append([]byte("changed"), data[7:]...))
			}
		}
		size += len(data)
		path := filepath.Join(r.src, fmt.Sprintf("%03d", n))
		if err := os.WriteFile(path, data, 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	return size
}

// moved demands that a peer gets less than this part of the size over the network, and the rest from its own disk.
func (r *rig) moved(o options, size int, part float64) {
	r.t.Helper()
	res := r.must(true, "murder_peer", o)
	came := res["bytes_from_seed"].(float64) + res["bytes_from_peers"].(float64)
	if came > part*float64(size) || came+res["bytes_reused"].(float64) != float64(size) {
		r.t.Errorf("%.0f of %d bytes came over the network, %v were reused", came, size, res["bytes_reused"])
	}
}

// unlinked demands that no file of a tree has another name, and that a directory that was reused stays as it is when
// somebody writes into the tree.
func (r *rig) unlinked(dest, old string) {
	r.t.Helper()
	before := snapshot(r.t, old)
	names, err := filepath.Glob(filepath.Join(dest, "*"))
	if err != nil || len(names) != 101 {
		r.t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		stat, err := os.Stat(name)
		if err == nil && stat.Sys().(*syscall.Stat_t).Nlink != 1 {
			r.t.Errorf("%s has another name", name)
		}
		was, wasErr := os.Stat(filepath.Join(old, filepath.Base(name)))
		if wasErr == nil && os.SameFile(stat, was) {
			r.t.Errorf("%s is the very file that was reused", name)
		}
		if err := errors.Join(err, wasErr, os.WriteFile(name, []byte("written to later"), 0)); err != nil {
			r.t.Fatal(err)
		}
	}
	if snapshot(r.t, old) != before {
		r.t.Error("writing into what was placed has changed what was reused")
	}
}

func TestOnlyWhatChangedMoves(t *testing.T) {
	r := newRig(t)
	r.release()
	r.up()
	r.must(true, "murder_peer", r.peer(1).with("seed_time", 0))
	size := r.release(50) // one in a hundred
	r.must(true, "murder_seed", r.seed())
	r.moved(r.peer(1).with("seed_time", 0), size, 0.013)

	// The same from directories, one of which this host does not have, with every file at another place of the stream.
	if err := os.WriteFile(filepath.Join(r.src, "000"), []byte("shorter"), 0o644); err != nil {
		t.Fatal(err)
	}
	size -= 1001 - 7
	r.must(true, "murder_seed", r.seed())
	old := r.peer(1)["dest"].(string)
	r.moved(r.peer(2).with("reuse", []string{filepath.Join(r.dir, "missing"), old}), size, 0.01)
	r.must(false, "murder_peer", r.peer(2))
	r.unlinked(r.peer(2)["dest"].(string), old)
	r.refused("murder_peer", r.peer(3).with("reuse", "old"), `Option reuse names "old"; give absolute paths`)
}

func TestKilledDownloadWithATornWriteIsResumed(t *testing.T) {
	r := newRig(t)
	data := r.slow(4 << 20)
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.endHalfDone(1, syscall.SIGKILL)
	found, _ := filepath.Glob(filepath.Join(r.dir, ".dest1.murder-*", "content"))
	if len(found) != 1 {
		t.Fatalf("the staging holds %v", found)
	}
	staged, err := os.OpenFile(found[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	// A crash may leave any part of a write: here the second half of every block of 64 KiB has not reached the disk but for the last.
	for off := int64(32 << 10); off < 3<<20; off += 64 << 10 {
		if _, err := staged.WriteAt(make([]byte, 32<<10), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := staged.Close(); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	r.must(true, "murder_seed", r.seed())
	r.must(true, "murder_peer", r.peer(1))
	r.arrived(1, data)
}

// While it looks at what is there a peer's time runs, and what it has found stays when it runs out.
func TestTimeoutWhileChecking(t *testing.T) {
	r := newRig(t)
	r.source(1 << 20)
	torrent, _, err := artifact.Build(t.Context(), r.src, artifact.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	dest := filepath.Join(r.dir, "dest")
	d := &peer{
		torrent: torrent, cfg: peerConfig{Timeout: 5}, began: time.Now().Add(-5 * time.Second),
		process: &daemon.Process{Log: slog.New(slog.DiscardHandler)},
	}
	if d.plan, err = artifact.NewPlan(torrent, artifact.PlaceOptions{Dest: dest, Reuse: []string{r.src}}); err != nil {
		t.Fatal(err)
	}
	if d.store, _, err = d.plan.OpenStaging(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.store.Close() }()
	_, err = d.inventory(t.Context(), true)
	if err == nil || !strings.Contains(err.Error(), "did not finish within timeout 5s: what is on this host already was still being checked") {
		t.Errorf("got %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.inventory(stopped, true); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped, it says %v", err)
	}
	if err := d.tidy(err); err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(r.dir, ".dest.murder-*")); len(found) != 1 {
		t.Errorf("what was there to be resumed has become %v", found)
	}
}
