package module

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEmptyOptionsAreRefused: no option takes empty text. As a path it would be the working directory, which with delete would become
// the artifact; as a name or a command it would be one that somebody meant to give.
func TestEmptyOptionsAreRefused(t *testing.T) {
	r := newRig(t)
	here := filepath.Join(r.dir, "here")
	err := errors.Join(os.Mkdir(here, 0o755), os.WriteFile(filepath.Join(here, "marker"), nil, 0o600),
		os.Mkdir(r.src, 0o755), os.WriteFile(filepath.Join(r.src, "new"), nil, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(here)
	r.up()
	before := snapshot(t, r.dir)
	refused := func(module string, o options, option string, words ...string) {
		t.Helper()
		r.refused(module, o, append(words, "Option "+option+":", "is empty")...)
		if after := snapshot(t, r.dir); after != before {
			t.Fatalf("%s %v has changed something; before:\n%s\nafter:\n%s", module, o, before, after)
		}
	}
	peer := r.quiet(1).with("delete", true)
	for module, o := range map[string]options{
		"murder_tracker": r.tracker(), "murder_seed": r.seed(), "murder_peer": peer, "murder_info": {"state_dir": r.state("seed")},
	} {
		for _, option := range texts(t, module) {
			refused(module, o.with(option, ""), option)
		}
	}
	for _, state := range []string{"started", "stopped", "absent", "rolledback"} {
		refused("murder_peer", peer.with("state", state).with("dest", ""), "dest")
	}
	for _, state := range []string{"present", "stopped", "absent"} {
		refused("murder_seed", r.seed().with("state", state).with("src", ""), "src")
	}
	refused("murder_peer", peer.with("reuse", []string{"/srv", ""}), "reuse", "element (number 2)", "leave it out")
	refused("murder_peer", peer.with("reuse", "/srv,"), "reuse", "element (number 2)")
}

// texts names the options of a module that are text of any kind.
func texts(t *testing.T, module string) (names []string) {
	t.Helper()
	var described struct {
		Options map[string]moduleOption `json:"options"`
	}
	if err := json.Unmarshal(find(module).module().Spec.Describe(), &described); err != nil {
		t.Fatal(err)
	}
	for name, option := range described.Options {
		if strings.Contains("str path", option.Type) && len(option.Choices) == 0 {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s has no options", module)
	}
	return names
}
