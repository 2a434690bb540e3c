package module

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// shown runs a call in check mode, where it must show this and write nothing; for real, with the very diff that was predicted;
// and again, when there is nothing to show. It returns the result of the second.
func (r *rig) shown(module string, o options, want string) options {
	r.t.Helper()
	before := snapshot(r.t, r.dir)
	diff := o.with("_ansible_diff", true)
	predicted := r.must(true, module, diff.with("_ansible_check_mode", true))
	if snapshot(r.t, r.dir) != before {
		r.t.Errorf("%s %v wrote in check mode", module, o)
	}
	if got := fmt.Sprint(predicted["diff"]); !strings.Contains(got, want) {
		r.t.Errorf("%s %v shows %s, want %s", module, o, got, want)
	}
	done := r.must(true, module, diff)
	if !reflect.DeepEqual(done["diff"], predicted["diff"]) {
		r.t.Errorf("%s %v predicted the diff %v, and then it was %v", module, o, predicted["diff"], done["diff"])
	}
	r.settled(module, o)
	return done
}

// TestCheckAndDiffOfDaemons: the other two modules predict and show their changes.
func TestCheckAndDiffOfDaemons(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	stopped := func(o options) options { return o.with("state", "stopped") }
	absent := r.seed().with("state", "absent")
	r.shown("murder_tracker", r.tracker(), "before:map[state:stopped]")
	r.shown("murder_seed", r.seed().with("state", "present"), "infohash:")
	seeded := r.shown("murder_seed", r.seed(), "before:map[state:stopped]")
	res := r.must(false, "murder_seed", r.seed().with("_ansible_check_mode", true))
	if res["pid"] != seeded["pid"] || res["port"] != seeded["port"] {
		t.Errorf("check mode of a running seeder returns %v", res)
	}
	r.source(1001)
	r.shown("murder_seed", r.seed(), fmt.Sprintf("before:map[infohash:%v state:started]", seeded["infohash"]))
	r.shown("murder_seed", stopped(r.seed()), "after:map[state:stopped]")
	r.shown("murder_seed", absent, "after:map[torrent:absent]")
	r.must(true, "murder_seed", r.seed())
	r.shown("murder_seed", absent, "after:map[torrent:absent]") // and the seeder that runs
	r.shown("murder_tracker", stopped(r.tracker()), "after:map[state:stopped]")
	for _, state := range []string{"stopped", "absent"} {
		r.settled("murder_peer", r.peer(1).with("torrent", nil).with("state", state))
	}
}

// TestDiffOfAPeerThatEnds: so does murder_peer where it deploys nothing itself.
func TestDiffOfAPeerThatEnds(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	stopped, absent := r.peer(1).with("state", "stopped"), r.peer(1).with("state", "absent")
	r.shown("murder_peer", r.peer(1).with("state", "started"), "state:file")
	r.must(true, "murder_peer", r.peer(1))
	r.shown("murder_peer", stopped, "map[after:map[state:stopped] before:map[state:started]]")
	r.shown("murder_peer", absent, "map[after:map[state:absent] before:map[state:stopped]]") // the record of the deploy
	r.must(true, "murder_peer", r.peer(2))
	r.shown("murder_peer", r.peer(2).with("state", "absent"), "map[after:map[state:absent] before:map[state:started]]")
}
