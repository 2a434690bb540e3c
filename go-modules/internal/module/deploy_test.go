package module

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"corvus.murder/internal/daemon"
	"corvus.murder/internal/tracker"
)

func TestDeployEndsWithNothingLeft(t *testing.T) {
	r := newRig(t)
	data := r.source(3 << 20)
	const peers = 4
	r.must(true, "murder_tracker", r.tracker().with("expect", peers))
	seeded := r.must(true, "murder_seed", r.seed())
	if seeded["size"] != float64(len(data)) || seeded["files"] != 1.0 || seeded["port"].(float64) < 10000 {
		t.Errorf("murder_seed returned %v", seeded)
	}
	checksum := fmt.Sprintf("%x", sha1.Sum(data))
	var group sync.WaitGroup
	for n := range peers {
		group.Go(func() {
			o := r.peer(n)
			if n == 0 { // one gets the torrent with its options
				delete(o, "torrent")
				o["torrent_content"] = seeded["torrent_content"]
			}
			res := r.call("murder_peer", o)
			from := fmt.Sprint(res["bytes_from_seed"].(float64) + res["bytes_from_peers"].(float64))
			if res["changed"] != true || res["dest"] != o["dest"] || from != fmt.Sprint(float64(len(data))) ||
				res["infohash"] != seeded["infohash"] || res["checksum"] != checksum || res["mode"] != "0640" {
				t.Errorf("peer %d returned %v", n, res)
			}
		})
	}
	group.Wait()
	for n := range peers {
		r.arrived(n, data)
	}
	// The tracker tells the peers that all are complete, long before seed_time.
	r.eventually("peers end by themselves", func() bool { return len(r.left()) == 2 })
	res := r.must(false, "murder_peer", r.peer(1))
	if res["bytes_reused"] != float64(len(data)) {
		t.Errorf("the second run returned %v", res)
	}
	other := r.must(false, "murder_tracker", r.tracker().with("state", "stopped").with("infohash", strings.Repeat("0", 40)))
	if msg, _ := other["msg"].(string); !strings.Contains(msg, "goes on for artifact") {
		t.Errorf("a tracker in use was asked to stop and said %v", other)
	}
	r.refused("murder_tracker", r.tracker().with("state", "stopped").with("infohash", "abc"), "Option infohash", "is not 40 hex digits")
	capitals := r.tracker().with("state", "stopped").with("infohash", strings.ToUpper(seeded["infohash"].(string)))
	r.must(true, "murder_tracker", capitals.with("_ansible_check_mode", true))
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	r.must(true, "murder_tracker", r.tracker().with("state", "stopped").with("infohash", seeded["infohash"]))
	r.must(false, "murder_seed", r.seed().with("state", "stopped"))
	r.must(true, "murder_seed", r.seed().with("state", "absent"))
	r.must(false, "murder_seed", r.seed().with("state", "absent"))
	if _, err := os.Stat(r.src + ".torrent"); err == nil {
		t.Error("state: absent left the .torrent")
	}
	r.refused("murder_seed", r.seed().with("state", "absent").with("torrent", r.src), "Not removed", r.src)
	r.must(false, "murder_tracker", r.tracker().with("state", "stopped"))
	if left := r.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDaemonsAreStartedOnce(t *testing.T) {
	r := newRig(t)
	r.source(1 << 16)
	r.up()
	r.must(false, "murder_tracker", r.tracker())
	r.must(false, "murder_seed", r.seed())
	r.refused("murder_tracker", r.tracker().with("idle_timeout", 7), "runs already", "idle_timeout is 3600 there and 7 here")
	r.refused("murder_tracker", r.tracker().with("token", "4711"), "token is another one")
	r.refused("murder_seed", r.seed().with("upload_limit", "1M"), "runs already", "upload_limit is 0 there and 1048576 here")
	first := r.must(false, "murder_seed", r.seed())
	r.source(1<<16 + 1) // the source is another one now: the old seeder is of no use
	second := r.must(true, "murder_seed", r.seed())
	if first["infohash"] == second["infohash"] || first["pid"] == second["pid"] {
		t.Errorf("the seeder of the old content was not replaced: %v, %v", first, second)
	}
}

func TestTrackerThatCannotStartChangesNothing(t *testing.T) {
	r := newRig(t)
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", r.port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	res := r.call("murder_tracker", r.tracker())
	if msg, _ := res["msg"].(string); res["failed"] != true || res["changed"] != false || !strings.Contains(msg, "is taken by another program") {
		t.Errorf("on a taken port: %v", res)
	}
	if left := r.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSeederThatCannotStartLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.refused("murder_seed", r.seed(), "is not reachable")
	r.must(true, "murder_tracker", r.tracker())
	nowhere := filepath.Join(r.dir, "no such directory", "a.torrent")
	r.refused("murder_seed", r.seed().with("torrent", nowhere), "no such directory")
	if _, err := os.Stat(r.src + ".torrent"); err == nil {
		t.Error("a .torrent was left")
	}
	if left, _ := filepath.Glob(filepath.Join(r.state("seed"), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStartedThenPresent(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	r.up()
	started := r.peer(1).with("state", "started")
	r.must(true, "murder_peer", started)
	res := r.must(true, "murder_peer", r.peer(1))
	if res["bytes_from_seed"] != float64(len(data)) {
		t.Errorf("the result that was collected is %v", res)
	}
	r.arrived(1, data)
	r.must(false, "murder_peer", r.peer(1))
	r.must(true, "murder_peer", r.peer(1).with("state", "stopped"))
	r.must(false, "murder_peer", r.peer(1))

	// The daemon has ended before anybody asks.
	r.must(true, "murder_peer", r.peer(2).with("state", "started").with("seed_time", 0))
	inst, err := peerInstance(r.state("peer2"), r.peer(2)["dest"].(string))
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("the daemon ends", func() bool { _, running, err := inst.Running(); return err == nil && !running })
	told := r.must(false, "murder_peer", r.peer(2).with("state", "started"))
	if told["mode"] == nil || told["bytes_from_seed"] == 0.0 || told["pid"] != 0.0 || told["port"] != 0.0 {
		t.Errorf("of a daemon that has ended it is told %v", told)
	}
	r.must(true, "murder_peer", r.peer(2))
	r.must(false, "murder_peer", r.peer(2))
}

// TestChangedBeforeAnybodyAsked: a result that nobody has collected says nothing of what became of the artifact since, or of other options.
func TestChangedBeforeAnybodyAsked(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	r.up()
	dest := r.peer(1)["dest"].(string)
	for name, spoil := range map[string]func() error{
		"removed": func() error { return os.Remove(dest) },
		"edited":  func() error { return os.WriteFile(dest, make([]byte, len(data)), 0o644) },
		"closed":  func() error { return os.Chmod(dest, 0o400) },
	} {
		for _, seedTime := range []int{0, 60} { // the daemon has ended, or it goes on seeding
			for _, state := range []string{"present", "started"} {
				t.Run(fmt.Sprintf("%s %d %s", name, seedTime, state), func(t *testing.T) {
					r := r.on(t)
					o := r.peer(1).with("state", "started").with("seed_time", seedTime).with("mode", "0640")
					r.must(true, "murder_peer", o)
					inPlace := func() bool { return r.must(false, "murder_peer", o)["mode"] == "0640" }
					r.eventually("it is in place", inPlace)
					if err := spoil(); err != nil {
						t.Fatal(err)
					}
					again := o.with("state", state)
					r.must(true, "murder_peer", again.with("_ansible_check_mode", true))
					r.must(true, "murder_peer", again)
					r.eventually("it is in place again", inPlace)
					r.arrived(1, data)
					r.must(true, "murder_peer", o.with("state", "present").with("mode", "0600"))
					if stat, err := os.Stat(dest); err != nil || stat.Mode() != 0o600 {
						t.Errorf("another mode is not there: %v, %v", stat, err)
					}
					r.must(false, "murder_peer", o.with("state", "present").with("mode", "0600"))
					r.must(true, "murder_peer", o.with("state", "absent"))
					if err := os.Remove(dest); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}

func TestCheckModeWritesNothing(t *testing.T) {
	r := newRig(t)
	r.source(1 << 16)
	check := func(o options) options { return o.with("_ansible_check_mode", true).with("_ansible_diff", true) }
	r.must(true, "murder_tracker", check(r.tracker()))
	content := r.must(true, "murder_seed", check(r.seed()))["torrent_content"]
	peer := r.peer(1).with("torrent_content", content)
	delete(peer, "torrent")
	res := r.must(true, "murder_peer", check(peer))
	if res["diff"] == nil {
		t.Error("no diff")
	}
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("check mode left %v (%v), want the artifact alone", entries, err)
	}
	r.up()
	r.must(false, "murder_tracker", check(r.tracker()))
	r.must(false, "murder_seed", check(r.seed()))
	r.must(true, "murder_seed", check(r.seed().with("state", "stopped")))
	r.must(true, "murder_peer", r.peer(1))
	r.must(false, "murder_peer", check(r.peer(1)))
	t.Run("owner", func(t *testing.T) {
		needRoot(t, "give files away")
		r.on(t).must(true, "murder_peer", check(r.peer(1).with("owner", "1234")))
	})
	r.must(true, "murder_peer", check(r.peer(1).with("mode", "0600")))
	r.must(true, "murder_peer", r.peer(1).with("mode", "0600"))
	r.must(false, "murder_peer", r.peer(1).with("mode", "0600"))
}

// slow starts tracker and a seeder so slow that a download can be met half done.
func (r *rig) slow(size int) []byte {
	data := r.source(size)
	r.must(true, "murder_tracker", r.tracker())
	r.must(true, "murder_seed", r.seed().with("upload_limit", size/5))
	return data
}

// halfDone waits until a peer's daemon has some of the artifact.
func (r *rig) halfDone(n int) *daemon.Instance {
	r.t.Helper()
	inst, err := peerInstance(r.state(fmt.Sprintf("peer%d", n)), r.peer(n)["dest"].(string))
	if err != nil {
		r.t.Fatal(err)
	}
	r.eventually("the download is under way", func() bool {
		var status peerStatus
		return inst.Status(r.t.Context(), &status) == nil && status.Stats.PiecesHave > 0
	})
	return inst
}

func TestTwoDeploysToOneDestination(t *testing.T) {
	r := newRig(t)
	r.slow(4 << 20)
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.halfDone(1)
	r.must(false, "murder_peer", r.peer(1).with("state", "started"))
	r.refused("murder_peer", r.peer(1).with("seed_time", 1), "runs already", "seed_time is 60 there and 1 here")
	r.refused("murder_peer", r.peer(1).with("state_dir", r.state("other")), "is being written to by another deploy")
	apart := r.peer(1).with("state_dir", r.state("other")).with("partial_dir", filepath.Join(r.dir, "state"))
	r.refused("murder_peer", apart, "is being written to by another deploy (pid ")
	other := r.src + "2"
	if err := os.WriteFile(other, []byte("another artifact"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_seed", r.seed().with("src", other).with("state", "present"))
	r.refused("murder_peer", r.peer(1).with("torrent", other+".torrent"), "Another deploy", "is writing to "+r.peer(1)["dest"].(string))
	r.must(true, "murder_peer", r.peer(1).with("state", "absent"))
	r.must(false, "murder_peer", r.peer(1).with("state", "absent"))
}

func TestSameCallsAtTheSameMoment(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	atOnce := func(module string, o options) {
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if res := r.call(module, o); res["failed"] == true {
					t.Errorf("%s: %v", module, res["msg"])
				}
			})
		}
		group.Wait()
	}
	atOnce("murder_tracker", r.tracker())
	atOnce("murder_seed", r.seed())
	atOnce("murder_peer", r.peer(1))
	r.arrived(1, data)
}

func TestSourceThatChangesIsWithdrawn(t *testing.T) {
	r := newRig(t)
	data := r.slow(4 << 20)
	dest := r.peer(1)["dest"].(string)
	if err := os.WriteFile(dest, []byte("what was there"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.halfDone(1)
	if err := os.WriteFile(r.src, append(data, 'x'), 0o600); err != nil {
		t.Fatal(err)
	}
	r.refused("murder_peer", r.peer(1), "was withdrawn", r.src, "changed")
	if got, err := os.ReadFile(dest); err != nil || string(got) != "what was there" {
		t.Errorf("the destination holds %q (%v)", got, err)
	}
}

func TestIdleSeederEndsByItself(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.must(true, "murder_tracker", r.tracker())
	r.must(true, "murder_seed", r.seed().with("idle_timeout", 1))
	r.eventually("the seeder ends", func() bool {
		found, _ := filepath.Glob(filepath.Join(r.state("seed"), "*"))
		return len(found) == 0
	})
}

func TestTrackerRestartLosesNothing(t *testing.T) {
	r := newRig(t)
	data := r.slow(2 << 20)
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.halfDone(1)
	pid := r.must(false, "murder_tracker", r.tracker())["pid"].(float64)
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_tracker", r.tracker())
	r.must(true, "murder_peer", r.peer(2))
	r.must(true, "murder_peer", r.peer(1))
	r.arrived(1, data)
	r.arrived(2, data)
}

func TestTree(t *testing.T) {
	r := newRig(t)
	for path, content := range map[string]string{
		"bin/run": "#!/bin/sh\n", "empty": "", "deep/er/file with ümlaut": strings.Repeat("x", 100_000),
	} {
		full := filepath.Join(r.src, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("bin/run", filepath.Join(r.src, "link")); err != nil {
		t.Fatal(err)
	}
	r.up()
	r.must(true, "murder_peer", r.peer(1))
	if out, err := exec.Command("diff", "-r", "--no-dereference", r.src, r.peer(1)["dest"].(string)).CombinedOutput(); err != nil {
		t.Errorf("the trees differ: %s", out)
	}
	r.must(false, "murder_peer", r.peer(1))
}

func TestStatusPageOfTracker(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	res := r.must(true, "murder_tracker", r.tracker())
	if want := fmt.Sprintf("http://127.0.0.1:%d/announce", r.port); res["announce_url"] != want {
		t.Errorf("announce_url is %v, want %s", res["announce_url"], want)
	}
	r.must(true, "murder_seed", r.seed())
	resp, err := http.Get(res["status_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var status tracker.Status
	err = json.NewDecoder(resp.Body).Decode(&status)
	if err != nil || len(status.Torrents) != 1 || status.Torrents[0].Name != "artifact" || status.Torrents[0].Seeders != 1 {
		t.Errorf("status is %+v (%v)", status, err)
	}
}

func TestDaemonShowsNoSecret(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	res := r.must(true, "murder_peer", r.peer(1))
	all, err := json.Marshal(res)
	if err != nil || bytes.Contains(all, []byte("s3cret")) {
		t.Errorf("the result holds the token: %s", all)
	}
	raw, err := os.ReadFile(r.src + ".torrent")
	if err != nil || bytes.Contains(raw, []byte("s3cret")) {
		t.Errorf("the torrent holds the token: %v", err)
	}
	for _, file := range []string{"cmdline", "environ"} {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%v/%s", res["pid"], file))
		if err != nil || bytes.Contains(line, []byte("s3cret")) || bytes.Contains(line, []byte(base64.StdEncoding.EncodeToString([]byte("s3cret")))) {
			t.Errorf("%s of the daemon holds the token: %q (%v)", file, line, err)
		}
	}
}
