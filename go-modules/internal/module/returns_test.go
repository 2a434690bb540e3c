package module

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gopkg.in/yaml.v3"

	"corvus.murder/internal/testarchive"
)

// documented is a return value, as plugins/modules/NAME.py describes it.
type documented struct {
	Returned string                `yaml:"returned"`
	Type     string                `yaml:"type"`
	Elements string                `yaml:"elements"`
	Contains map[string]documented `yaml:"contains"`
}

var (
	returnBlock = regexp.MustCompile(`(?s)RETURN = r"""\n(.*?)"""`)
	stateOption = regexp.MustCompile(`O\(state=(\w+)\)`)
)

// returns reads the RETURN of a module's documentation.
func returns(t *testing.T, module string) map[string]documented {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "plugins", "modules", module+".py"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]documented
	block := returnBlock.FindSubmatch(text)
	if block == nil {
		t.Fatalf("%s.py has no RETURN", module)
	}
	if err := yaml.Unmarshal(block[1], &values); err != nil {
		t.Fatalf("RETURN of %s: %v", module, err)
	}
	return values
}

// promised tells whether a value must be among the results of a state, and whether it may be. A condition is
// "success" or "when O(state=A) or O(state=B)", and what follows on an " and " is known only to the writer.
func (d documented) promised(state string) (must, may bool) {
	states, _, more := strings.Cut(d.Returned, " and ")
	may = states == "success"
	for _, named := range stateOption.FindAllStringSubmatch(states, -1) {
		may = may || named[1] == state
	}
	return may && !more, may
}

// fits tells whether a value that JSON has given is of the documented type, all its elements and their keys included.
func (d documented) fits(value any) bool {
	switch v := value.(type) {
	case string:
		return d.Type == "str"
	case bool:
		return d.Type == "bool"
	case float64:
		return d.Type == "float" || d.Type == "int" && v == float64(int64(v))
	case []any:
		element := documented{Type: d.Elements, Contains: d.Contains}
		return d.Type == "list" && !slices.ContainsFunc(v, func(one any) bool { return !element.fits(one) })
	case map[string]any:
		for key, inner := range v {
			if len(d.Contains) > 0 && !d.Contains[key].fits(inner) {
				return false
			}
		}
		return d.Type == "dict" && (len(d.Contains) == 0 || len(v) == len(d.Contains))
	}
	return false
}

// keeps runs a module twice and demands of both results the documented keys and types, the same ones when
// nothing has changed any more. It returns the first result.
func (r *rig) keeps(module string, o options) options {
	r.t.Helper()
	state, _ := o["state"].(string)
	if state == "" { // the default is the first choice
		state = map[string]string{"murder_peer": "present"}[module]
	}
	if state == "" {
		state = "started"
	}
	first := r.must(module != "murder_info", module, o)
	second := r.must(false, module, o)
	for _, res := range []options{first, second} {
		r.asDocumented(module, state, res)
	}
	replaced := maps.Clone(first)
	delete(replaced, "backup_file") // documented as returned when something was replaced
	a, b := slices.Sorted(maps.Keys(replaced)), slices.Sorted(maps.Keys(second))
	if !slices.Equal(a, b) {
		r.t.Errorf("%s, state %s: the first run returned %v, the second %v", module, state, a, b)
	}
	return first
}

func (r *rig) asDocumented(module, state string, res options) {
	r.t.Helper()
	values := returns(r.t, module)
	for key, d := range values {
		must, may := d.promised(state)
		value, there := res[key]
		switch {
		case must && !there:
			r.t.Errorf("%s, state %s: %s is documented and missing", module, state, key)
		case there && !may:
			r.t.Errorf("%s, state %s: %s is returned, but documented as returned %q", module, state, key, d.Returned)
		case there && !d.fits(value):
			r.t.Errorf("%s, state %s: %s is %v, which is not the documented %s", module, state, key, value, d.Type)
		}
	}
	for _, key := range []string{"skipped", "ansible_facts", "results"} {
		if _, there := res[key]; there {
			r.t.Errorf("%s, state %s: returns %s, by which Ansible means something else", module, state, key)
		}
	}
	if msg, there := res["msg"]; there && !(documented{Type: "str"}).fits(msg) {
		r.t.Errorf("%s, state %s: msg is %v", module, state, msg)
	}
	for key := range res {
		if _, known := values[key]; !known && !slices.Contains([]string{"changed", "invocation", "msg"}, key) {
			r.t.Errorf("%s, state %s: %s is returned and not documented", module, state, key)
		}
	}
}

// TestReturnValuesAreAsDocumented takes every module through its states, each twice.
func TestReturnValuesAreAsDocumented(t *testing.T) {
	r := newRig(t)
	r.source(1 << 16)
	tree := filepath.Join(r.dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.keeps("murder_tracker", r.tracker())
	r.keeps("murder_seed", r.seed())
	r.keeps("murder_seed", r.seed().with("src", tree).with("state", "present"))
	r.keeps("murder_peer", r.peer(1).with("state", "started").with("seed_time", 600))
	r.must(true, "murder_peer", r.peer(1).with("seed_time", 600))
	for _, who := range []string{"tracker", "seed", "peer1", "nobody"} {
		r.keeps("murder_info", options{"state_dir": r.state(who)})
	}
	r.keeps("murder_peer", r.peer(2))
	for n, state := range []string{"stopped", "absent"} {
		r.must(true, "murder_peer", r.peer(3+n).with("state", "started"))
		r.keeps("murder_peer", r.peer(3+n).with("state", state))
	}
	r.keepsReleases()
	r.keepsOptions()
	r.keeps("murder_seed", r.seed().with("state", "stopped"))
	r.keeps("murder_seed", r.seed().with("state", "absent"))
	r.must(true, "murder_peer", r.peer(2).with("state", "stopped"))
	r.keeps("murder_tracker", r.tracker().with("state", "stopped"))
}

// keepsReleases deploys two releases and goes back to the first by the name that was returned of it.
func (r *rig) keepsReleases() {
	r.t.Helper()
	o := r.peer(5).with("dest", filepath.Join(r.dir, "current")).with("keep", 1).with("seed_time", 0)
	first := r.keeps("murder_peer", o)
	other := r.seed().with("src", filepath.Join(r.dir, "tree")).with("state", "present")
	r.keeps("murder_peer", o.with("torrent", other["src"].(string)+".torrent"))
	back := r.keeps("murder_peer", options{
		"state": "rolledback", "dest": o["dest"], "state_dir": o["state_dir"], "release": first["release"],
	})
	if back["release"] != first["release"] {
		r.t.Errorf("gone back to %v, not %v", back["release"], first["release"])
	}
}

// keepsOptions runs what the options special, unpack, backup and force add to the results.
func (r *rig) keepsOptions() {
	r.t.Helper()
	if err := syscall.Mkfifo(filepath.Join(r.dir, "tree", "pipe"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	special := r.seed().with("src", filepath.Join(r.dir, "tree")).with("torrent", r.src+".special.torrent").with("special", "skip")
	for _, state := range []string{"present", "started"} {
		if res := r.keeps("murder_seed", special.with("state", state)); fmt.Sprint(res["left_out"]) != "[pipe]" {
			r.t.Errorf("left out: %v", res["left_out"])
		}
		r.must(true, "murder_seed", special.with("state", "absent"))
	}
	archive := r.seed().with("src", filepath.Join(r.dir, "release.tar"))
	if err := os.WriteFile(archive["src"].(string), testarchive.Tar(r.t, release...), 0o644); err != nil {
		r.t.Fatal(err)
	}
	r.must(true, "murder_seed", archive)
	unpack := r.unpack(6).with("torrent", archive["src"].(string)+".torrent")
	predicted := r.must(true, "murder_peer", unpack.with("_ansible_check_mode", true))
	r.asDocumented("murder_peer", "present", predicted)
	for key := range r.keeps("murder_peer", unpack) {
		if d := returns(r.t, "murder_peer")[key]; predicted[key] == nil && strings.Contains(d.Returned, "unpack") {
			r.t.Errorf("check mode of unpack does not return %s", key)
		}
	}
	r.must(true, "murder_seed", archive.with("state", "stopped"))

	backup := r.peer(7).with("backup", true)
	if err := os.WriteFile(backup["dest"].(string), []byte("old"), 0o600); err != nil {
		r.t.Fatal(err)
	}
	left := r.must(false, "murder_peer", backup.with("force", false))
	r.asDocumented("murder_peer", "present", left)
	done := r.keeps("murder_peer", backup)
	if done["backup_file"] == nil || left["msg"] == nil {
		r.t.Errorf("a backup returned %v, force: false before it %v", done, left)
	}
	delete(left, "msg")
	for _, key := range []string{"backup_file", "checksum"} { // of what replaced it
		delete(done, key)
	}
	if a, b := slices.Sorted(maps.Keys(left)), slices.Sorted(maps.Keys(done)); !slices.Equal(a, b) {
		r.t.Errorf("force: false returned %v, the deploy after it %v", a, b)
	}
}

// TestReturnValuesOfCheckMode demands the same of predictions.
func TestReturnValuesOfCheckMode(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	check := func(o options) options { return o.with("_ansible_check_mode", true) }
	for state, o := range map[string]options{"started": r.tracker().with("port", 1), "stopped": r.tracker().with("state", "stopped")} {
		r.asDocumented("murder_tracker", state, r.must(true, "murder_tracker", check(o)))
	}
	for _, state := range []string{"stopped", "absent"} {
		r.asDocumented("murder_seed", state, r.must(true, "murder_seed", check(r.seed().with("state", state))))
	}
	other := r.seed().with("torrent", filepath.Join(r.dir, "other.torrent"))
	for _, state := range []string{"started", "present"} {
		r.asDocumented("murder_seed", state, r.must(true, "murder_seed", check(other.with("state", state))))
	}
	for _, state := range []string{"started", "present"} {
		r.asDocumented("murder_peer", state, r.must(true, "murder_peer", check(r.peer(1).with("state", state))))
	}
	// What would be done returns what doing it does, and what it returns when there is nothing left to do.
	current := r.peer(2).with("dest", filepath.Join(r.dir, "current")).with("keep", 1)
	first := r.must(true, "murder_peer", current)
	r.reseed("the second release")
	r.must(true, "murder_peer", current)
	r.must(true, "murder_peer", r.peer(1).with("state", "started"))
	for _, o := range []options{
		current.with("state", "rolledback").with("release", first["release"]), r.peer(1).with("state", "stopped"), r.peer(1).with("state", "absent"),
	} {
		predicted := r.must(true, "murder_peer", check(o))
		r.asDocumented("murder_peer", o["state"].(string), predicted)
		done := r.must(true, "murder_peer", o)
		nothing := r.must(false, "murder_peer", check(o))
		for what, res := range map[string]options{"it": done, "what is done already": nothing} {
			if a, b := slices.Sorted(maps.Keys(predicted)), slices.Sorted(maps.Keys(res)); !slices.Equal(a, b) {
				t.Errorf("check mode of %s returned %v, %s %v", o["state"], a, what, b)
			}
		}
	}
}
