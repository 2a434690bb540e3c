package module

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestTokensThatNoHeaderCarries: of a token that the tracker would never hear it is said at once, and without the token.
func TestTokensThatNoHeaderCarries(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.must(true, "murder_seed", r.seed().with("state", "present"))
	for _, token := range []string{"opensesame\n", " opensesame", "opensesame\t", "open\rsesame", "opense\x7fsame"} {
		for module, o := range map[string]options{"murder_tracker": r.tracker(), "murder_seed": r.seed(), "murder_peer": r.peer(1)} {
			res := r.call(module, o.with("token", token))
			msg, _ := res["msg"].(string)
			if res["failed"] != true || !strings.Contains(msg, "Option token holds a line break") || strings.Contains(msg, "sesame") {
				t.Errorf("%s with the token %q: %v", module, token, res)
			}
		}
	}
}

func TestAddressesOfTrackers(t *testing.T) {
	r := newRig(t)
	for _, address := range []string{"10.0.0.1:8998", "[2001:db8::1]", "build1:8998", "2001:db8::1]:8998"} {
		r.refused("murder_tracker", r.tracker().with("address", address), "Option address", "without a port")
	}
	for address, want := range map[string]string{"2001:db8::1": "http://[2001:db8::1]:", "build1": "http://build1:"} {
		res := r.must(true, "murder_tracker", r.tracker().with("address", address).with("_ansible_check_mode", true))
		if url, _ := res["announce_url"].(string); !strings.HasPrefix(url, want) {
			t.Errorf("address %s gave %s", address, url)
		}
	}
}

// TestTorrentOfSomebodyElse: neither a .torrent that others have made is replaced, nor any other file.
func TestTorrentOfSomebodyElse(t *testing.T) {
	r := newRig(t)
	data := r.source(1000)
	foreign := filepath.Join(r.dir, "foreign.torrent")
	info := "d6:lengthi1000e4:name8:artifact12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae"
	for path, content := range map[string]string{foreign: "d4:info" + info + "e", r.src: string(data)} {
		for _, state := range []string{"present", "started"} {
			for _, check := range []bool{true, false} {
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
				r.refused("murder_seed", r.seed().with("torrent", path).with("state", state).with("_ansible_check_mode", check),
					"Torrent "+path+" would replace something that murder_seed has not made")
				if got := read(t, path); got != content {
					t.Errorf("%s holds %q", path, got)
				}
			}
		}
	}
	empty := filepath.Join(r.dir, "empty.torrent") // such as the module tempfile makes
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_seed", r.seed().with("torrent", empty).with("state", "present"))
	if err := os.WriteFile(r.src, []byte("another artifact"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.must(true, "murder_seed", r.seed().with("torrent", empty).with("state", "present")) // its own
}

// TestNoPlaceForStateOrLog: check mode, which writes neither, says so too.
func TestNoPlaceForStateOrLog(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	other := r.seed().with("torrent", filepath.Join(r.dir, "other.torrent"))
	for option, paths := range map[string]map[string]string{
		"state_dir": {r.src: "state directory " + r.src + " cannot be made: not a directory", r.src + "/below": "cannot be made: not a directory"},
		"log_file":  {r.dir: "log file " + r.dir + " cannot be opened: is a directory", r.dir + "/no/log": "its directory does not exist"},
	} {
		for path, want := range paths {
			for module, o := range map[string]options{"murder_tracker": r.tracker().with("port", 1), "murder_seed": other, "murder_peer": r.peer(1)} {
				if option == "log_file" {
					o = o.with("state_dir", r.state("new"))
				}
				for _, check := range []bool{true, false} {
					r.refused(module, o.with(option, path).with("_ansible_check_mode", check), module, want)
				}
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(r.state("new"), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAddressOfAnotherHost: check mode, which does not listen, says so too.
func TestAddressOfAnotherHost(t *testing.T) {
	r := newRig(t)
	for _, check := range []bool{true, false} {
		for _, listen := range []string{"192.0.2.1", "2001:db8::1"} {
			r.refused("murder_tracker", r.tracker().with("listen", listen).with("_ansible_check_mode", check),
				"Address "+listen+" does not belong to this host; choose one of its own or 0.0.0.0")
		}
		for _, listen := range []string{"127.0.0.1", "127.1.2.3", "0.0.0.0"} {
			if check {
				r.must(true, "murder_tracker", r.tracker().with("listen", listen).with("_ansible_check_mode", check))
			}
		}
	}
}

// TestSourceOfTheLongestName: no .torrent can be called by it, which is said before it is hashed; another path helps, and nothing is no reason
// to fail where there is to be nothing.
func TestSourceOfTheLongestName(t *testing.T) {
	r := newRig(t)
	r.src = filepath.Join(r.dir, strings.Repeat("n", 255))
	data := r.source(1000)
	r.must(true, "murder_tracker", r.tracker())
	for _, check := range []bool{true, false} {
		for _, state := range []string{"present", "started"} {
			r.refused("murder_seed", r.seed().with("state", state).with("_ansible_check_mode", check),
				"Torrent "+r.src+".torrent has too long a name; give the option torrent another path")
		}
		r.must(false, "murder_seed", r.seed().with("state", "absent").with("_ansible_check_mode", check))
	}
	torrent := filepath.Join(r.dir, "torrent")
	r.must(true, "murder_seed", r.seed().with("torrent", torrent))
	dest := filepath.Join(r.dir, strings.Repeat("d", 255))
	r.must(true, "murder_peer", r.peer(1).with("torrent", torrent).with("dest", dest))
	if got := read(t, dest); got != string(data) {
		t.Errorf("there are %d bytes", len(got))
	}
}

// TestLongPathsAreWithdrawn: peers hear why a source is not served any more, however long its path is.
func TestLongPathsAreWithdrawn(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.src = filepath.Join(filepath.Dir(r.src), strings.Repeat("d", 200), "artifact")
	}
	if err := os.MkdirAll(filepath.Dir(r.src), 0o755); err != nil {
		t.Fatal(err)
	}
	data := r.slow(4 << 20)
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	r.halfDone(1)
	if err := os.WriteFile(r.src, append(data, 'x'), 0o600); err != nil {
		t.Fatal(err)
	}
	r.refused("murder_peer", r.peer(1), "was withdrawn", "Source ", "deploy again")
}

// TestKilledTrackerLeavesNothing: what a tracker kept for its successor goes with state stopped.
func TestKilledTrackerLeavesNothing(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	pid := int(r.must(false, "murder_tracker", r.tracker())["pid"].(float64))
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	r.eventually("the tracker is gone", func() bool {
		return r.must(true, "murder_tracker", r.tracker().with("_ansible_check_mode", true))["pid"] == 0.0
	})
	r.must(false, "murder_tracker", r.tracker().with("state", "stopped"))
	if left, err := os.ReadDir(r.state("tracker")); !os.IsNotExist(err) {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

// TestForgettingWhatNeverBegan: check mode and the run agree on a download that has failed before it had anything.
func TestForgettingWhatNeverBegan(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	o := r.peer(1).with("stall_timeout", 1)
	r.call("murder_peer", o.with("state", "started"))
	inst, err := peerInstance(r.state("peer1"), o["dest"].(string))
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("the download fails", func() bool { _, running, err := inst.Running(); return err == nil && !running })
	r.must(true, "murder_peer", o.with("state", "absent").with("_ansible_check_mode", true))
	r.must(true, "murder_peer", o.with("state", "absent"))
	r.must(false, "murder_peer", o.with("state", "absent"))
}

// TestSeederOfATrackerThatWasStartedAnew: a seeder that runs is of no use while its tracker does not know the torrent.
func TestSeederOfATrackerThatWasStartedAnew(t *testing.T) {
	r := newRig(t)
	data := r.source(1000)
	r.up()
	r.must(false, "murder_seed", r.seed())
	r.must(true, "murder_tracker", r.tracker().with("state", "stopped"))
	r.must(false, "murder_seed", r.seed()) // it waits for the tracker to come back
	r.must(true, "murder_tracker", r.tracker().with("idle_timeout", 7))
	r.must(true, "murder_seed", r.seed().with("_ansible_check_mode", true))
	r.must(true, "murder_seed", r.seed())
	r.must(false, "murder_seed", r.seed())
	r.must(true, "murder_peer", r.peer(1))
	r.arrived(1, data)
}
