package module

import (
	"os"
	"strings"
	"testing"
)

// goesOn demands that a daemon was asked to stop by one deploy and goes on for another.
func (r *rig) goesOn(module string, o options, user string) {
	r.t.Helper()
	res := r.must(false, module, o)
	if msg, _ := res["msg"].(string); res["state"] != "started" || !strings.Contains(msg, "goes on for "+user) {
		r.t.Errorf("%s used by %s was asked to stop and said %v", module, user, res)
	}
}

// TestTrackerOfTwoDeploys: the one that ends first, or fails, leaves the tracker to the other one, which has no torrent there yet.
func TestTrackerOfTwoDeploys(t *testing.T) {
	r := newRig(t)
	nothing := strings.Repeat("f", 40)
	first, second := r.tracker().with("deploy", "first"), r.tracker().with("deploy", "second")
	r.must(true, "murder_tracker", first)
	r.must(false, "murder_tracker", second.with("_ansible_check_mode", true))
	r.must(true, "murder_tracker", first.with("state", "stopped").with("_ansible_check_mode", true))
	pid := r.must(false, "murder_tracker", second)["pid"]
	for _, check := range []bool{true, false, false} {
		r.goesOn("murder_tracker", first.with("state", "stopped").with("infohash", nothing).with("_ansible_check_mode", check), "second")
	}
	if again := r.must(false, "murder_tracker", first)["pid"]; again != pid {
		t.Errorf("tracker %v has become %v", pid, again)
	}
	r.goesOn("murder_tracker", second.with("state", "stopped"), "first")
	r.must(true, "murder_tracker", first.with("state", "stopped"))
	r.must(false, "murder_tracker", first.with("state", "stopped"))

	r.must(true, "murder_tracker", first)
	r.must(true, "murder_tracker", r.tracker().with("state", "stopped")) // teardown
	if left := r.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestSeederOfTwoDeploys: deploys of one source share a seeder, which the last of them ends.
func TestSeederOfTwoDeploys(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	r.must(true, "murder_tracker", r.tracker())
	first, second := r.seed().with("deploy", "first"), r.seed().with("deploy", "second")
	r.must(true, "murder_seed", first)
	r.must(false, "murder_seed", second)
	for _, state := range []string{"stopped", "absent"} {
		r.goesOn("murder_seed", first.with("state", state), "second")
	}
	r.must(true, "murder_peer", r.peer(1))
	r.arrived(1, data)
	r.must(true, "murder_seed", second.with("state", "absent"))
	if _, err := os.Stat(r.src + ".torrent"); err == nil {
		t.Error("the last one left the .torrent")
	}
	r.must(true, "murder_seed", first)
	r.must(true, "murder_seed", r.seed().with("state", "absent")) // teardown
}
