package module

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
	anyOption   = regexp.MustCompile(`O\((\w+)=(\w+)\)`)
)

// What RETURN says of a call beside its options, and only the caller knows the truth of.
const (
	inPlace  = "it is in place"
	labelled = "it is in place on a host with SELinux"
	known    = "it is known"
	replaced = "something was replaced"
	linked   = "the artifact is in place with O(keep)"
)

// selinuxfs is there where the kernel has SELinux.
const selinuxfs = "/sys/fs/selinux"

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

// promised tells whether a value is among the results of a call with these options. A condition is "success" or "when O(state=A) or
// O(state=B)", and each " and " adds an option, or one of the facts above, of which holding has those that are true.
func (d documented) promised(t *testing.T, o options, holding []string) bool {
	t.Helper()
	states, more, _ := strings.Cut(d.Returned, " and ")
	promised := states == "success" || anyHolds(o, states)
	for _, fact := range strings.Split(more, " and ") {
		switch {
		case fact == "":
		case anyOption.MatchString(fact):
			promised = promised && anyHolds(o, fact)
		case slices.Contains([]string{inPlace, labelled, known, replaced, linked}, fact):
			promised = promised && slices.Contains(holding, fact)
		default:
			t.Errorf("RETURN has a condition that no test knows the truth of: %s", fact)
		}
	}
	return promised
}

// anyHolds tells whether a condition names an option's value that the call has given.
func anyHolds(o options, condition string) bool {
	return slices.ContainsFunc(anyOption.FindAllStringSubmatch(condition, -1), func(named []string) bool {
		return fmt.Sprint(o[named[1]]) == named[2]
	})
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
// nothing has changed any more. Holding is what is true of the first. It returns the first result.
func (r *rig) keeps(module string, o options, holding ...string) options {
	r.t.Helper()
	first := r.must(module != "murder_info", module, o)
	r.asDocumented(module, o, first, holding...)
	second := r.must(false, module, o)
	holding = slices.DeleteFunc(holding, func(fact string) bool { return fact == replaced })
	r.asDocumented(module, o, second, holding...)
	rest := maps.Clone(first)
	delete(rest, "backup_file") // documented as returned when something was replaced
	a, b := slices.Sorted(maps.Keys(rest)), slices.Sorted(maps.Keys(second))
	if !slices.Equal(a, b) {
		r.t.Errorf("%s %v: the first run returned %v, the second %v", module, o, a, b)
	}
	return first
}

// asDocumented demands of a result the very keys that RETURN promises for these options where holding is true, and their types.
func (r *rig) asDocumented(module string, o options, res options, holding ...string) {
	r.t.Helper()
	all := options{}
	for name, option := range describedOptions(r.t, module) {
		all[name] = option.Default
	}
	maps.Copy(all, o)
	if slices.Contains(holding, inPlace) && labels(o["dest"].(string)) {
		holding = append(holding, labelled)
	}
	state, values := all["state"], returns(r.t, module)
	for key, d := range values {
		promised := d.promised(r.t, all, holding)
		value, there := res[key]
		switch {
		case promised && !there:
			r.t.Errorf("%s, state %v: %s is documented as returned %q and missing", module, state, key, d.Returned)
		case there && !promised:
			r.t.Errorf("%s, state %v: %s is returned, but documented as returned %q", module, state, key, d.Returned)
		case there && !d.fits(value):
			r.t.Errorf("%s, state %v: %s is %v, which is not the documented %s", module, state, key, value, d.Type)
		}
	}
	for _, key := range []string{"skipped", "ansible_facts", "results"} {
		if _, there := res[key]; there {
			r.t.Errorf("%s, state %v: returns %s, by which Ansible means something else", module, state, key)
		}
	}
	if msg, there := res["msg"]; there && !(documented{Type: "str"}).fits(msg) {
		r.t.Errorf("%s, state %v: msg is %v", module, state, msg)
	}
	for key := range res {
		if _, known := values[key]; !known && !slices.Contains([]string{"changed", "invocation", "msg"}, key) {
			r.t.Errorf("%s, state %v: %s is returned and not documented", module, state, key)
		}
	}
}

// labels tells whether the host has SELinux, which in a container can only be read about, and a file there a label.
func labels(path string) bool {
	var fs unix.Statfs_t
	err := unix.Statfs(selinuxfs+"/enforce", &fs)
	size, _ := unix.Lgetxattr(path, "security.selinux", nil)
	return err == nil && fs.Flags&unix.ST_RDONLY == 0 && size > 0
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
	r.keepsStarted(r.peer(1).with("seed_time", 600))
	for _, who := range []string{"tracker", "seed", "peer1", "nobody"} {
		r.keeps("murder_info", options{"state_dir": r.state(who)})
	}
	r.keeps("murder_peer", r.peer(2), inPlace, known)
	for _, o := range []options{r.peer(2).with("state", "started"), r.peer(2).with("_ansible_check_mode", true)} {
		r.asDocumented("murder_peer", o, r.must(false, "murder_peer", o), inPlace, known)
	}
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

// keepsStarted begins a download and asks what became of it until it is in place, which leaves the result to who collects it.
func (r *rig) keepsStarted(o options) {
	r.t.Helper()
	started := o.with("state", "started")
	first := r.must(true, "murder_peer", started)
	if first["owner"] == nil {
		r.asDocumented("murder_peer", started, first)
	}
	r.eventually("it is in place", func() bool { return r.must(false, "murder_peer", started)["owner"] != nil })
	told := r.must(false, "murder_peer", started)
	r.asDocumented("murder_peer", started, told, inPlace, known)
	predicted := r.must(true, "murder_peer", o.with("_ansible_check_mode", true))
	collected := r.must(true, "murder_peer", o)
	for name, res := range map[string]options{"check mode": predicted, "state: present": collected} {
		for _, key := range []string{"state", "changed", "invocation"} {
			delete(res, key)
			delete(told, key)
		}
		if !reflect.DeepEqual(res, told) {
			r.t.Errorf("state: started told %v, %s %v", told, name, res)
		}
	}
}

// keepsReleases deploys two releases and goes back to the first by the name that was returned of it.
func (r *rig) keepsReleases() {
	r.t.Helper()
	o := r.peer(5).with("dest", filepath.Join(r.dir, "current")).with("keep", 1).with("seed_time", 0)
	first := r.keeps("murder_peer", o, inPlace, known, linked)
	other := r.seed().with("src", filepath.Join(r.dir, "tree")).with("state", "present")
	r.keeps("murder_peer", o.with("torrent", other["src"].(string)+".torrent"), inPlace, linked)
	back := r.keeps("murder_peer", options{
		"state": "rolledback", "dest": o["dest"], "state_dir": o["state_dir"], "release": first["release"],
	}, linked)
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
	r.asDocumented("murder_peer", unpack, predicted)
	for key := range r.keeps("murder_peer", unpack, inPlace, known) {
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
	r.asDocumented("murder_peer", backup, left, inPlace)
	done := r.keeps("murder_peer", backup, inPlace, known, replaced)
	if left["msg"] == nil {
		r.t.Errorf("force: false returned %v", left)
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
		r.asDocumented("murder_tracker", o.with("state", state), r.must(true, "murder_tracker", check(o)))
	}
	for _, state := range []string{"stopped", "absent"} {
		o := check(r.seed().with("state", state))
		r.asDocumented("murder_seed", o, r.must(true, "murder_seed", o))
	}
	other := r.seed().with("torrent", filepath.Join(r.dir, "other.torrent"))
	for _, state := range []string{"started", "present"} {
		o := check(other.with("state", state))
		r.asDocumented("murder_seed", o, r.must(true, "murder_seed", o))
	}
	for _, state := range []string{"started", "present"} {
		o := check(r.peer(1).with("state", state))
		r.asDocumented("murder_peer", o, r.must(true, "murder_peer", o))
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
		r.asDocumented("murder_peer", o, predicted, linked)
		done := r.must(true, "murder_peer", o)
		nothing := r.must(false, "murder_peer", check(o))
		for what, res := range map[string]options{"it": done, "what is done already": nothing} {
			if a, b := slices.Sorted(maps.Keys(predicted)), slices.Sorted(maps.Keys(res)); !slices.Equal(a, b) {
				t.Errorf("check mode of %s returned %v, %s %v", o["state"], a, what, b)
			}
		}
	}
}

// TestOwnerAndModeThatAreReturned are what stat(2) says, of what was deployed, was there already, and is left as it is.
func TestOwnerAndModeThatAreReturned(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	r.described(r.peer(1).with("mode", "0604"))
	t.Run("others", func(t *testing.T) {
		needRoot(t, "give files away")
		r := r.on(t)
		r.described(r.peer(2).with("owner", "daemon").with("group", "2345"))
		r.described(r.peer(3).with("owner", "1234").with("group", "daemon"))
	})
}

// described compares what is returned of a file with the file.
func (r *rig) described(o options) {
	r.t.Helper()
	first := r.must(true, "murder_peer", o)
	for _, res := range []options{first, r.must(false, "murder_peer", o), r.must(false, "murder_peer", o.with("force", false))} {
		stat, err := os.Stat(o["dest"].(string))
		if err != nil {
			r.t.Fatal(err)
		}
		sys := stat.Sys().(*syscall.Stat_t)
		uid, gid := fmt.Sprint(sys.Uid), fmt.Sprint(sys.Gid)
		owner, group := uid, gid // without a name it is the number
		if u, err := user.LookupId(uid); err == nil {
			owner = u.Username
		}
		if g, err := user.LookupGroupId(gid); err == nil {
			group = g.Name
		}
		got := []any{res["owner"], res["uid"], res["group"], res["gid"], res["mode"]}
		want := []any{owner, float64(sys.Uid), group, float64(sys.Gid), fmt.Sprintf("%04o", stat.Mode().Perm())}
		if !slices.Equal(got, want) {
			r.t.Errorf("returned are %v, but it is %v", got, want)
		}
	}
}

// TestContextThatIsReturned: where the kernel has no SELinux a thread of its own, which ends with the test, sees what it would look like.
func TestContextThatIsReturned(t *testing.T) {
	needRoot(t, "set SELinux labels")
	path := filepath.Join(t.TempDir(), "f")
	err := os.WriteFile(path, nil, 0o600)
	if _, missing := os.Stat(selinuxfs); err == nil && missing != nil {
		runtime.LockOSThread()
		err = errors.Join(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("tmpfs", filepath.Dir(selinuxfs), "tmpfs", 0, ""), os.Mkdir(selinuxfs, 0o755),
			os.WriteFile(selinuxfs+"/enforce", []byte("1"), 0o644))
	}
	if err == nil {
		err = unix.Lsetxattr(path, "security.selinux", []byte("system_u:object_r:usr_t:s0:c1\x00"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := describe(values, path); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(values["secontext"]); got != "[system_u object_r usr_t s0:c1]" {
		t.Errorf("the context is %s", got)
	}
}
