package module

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// roleOption is an option of a role, as its argument_specs.yml describes it.
type roleOption struct {
	Type    string `yaml:"type"`
	Default any    `yaml:"default"`
	Choices []any  `yaml:"choices"`
}

// onlyRole are the options that a role has beside those of its module.
var onlyRole = map[string]bool{"tracker_transient": true, "seeder_transient": true, "peer_start_first": true}

// TestRolesAreInStepWithModules demands that each role has every option of its module under its own
// prefix, that it knows no other, and that argument_specs.yml and defaults agree.
func TestRolesAreInStepWithModules(t *testing.T) {
	for role, module := range map[string]string{"tracker": "murder_tracker", "seeder": "murder_seed", "peer": "murder_peer"} {
		t.Run(role, func(t *testing.T) {
			specs, defaults := readRole(t, role)
			var described struct {
				Options map[string]struct {
					Choices []any `json:"choices"`
					Default any   `json:"default"`
				} `json:"options"`
			}
			if err := json.Unmarshal(find(module).module().Spec.Describe(), &described); err != nil {
				t.Fatal(err)
			}
			for name, option := range described.Options {
				spec, ok := specs[role+"_"+name]
				if !ok {
					t.Errorf("role %s has no option for %s of %s", role, name, module)
					continue
				}
				if fmt.Sprint(spec.Choices) != fmt.Sprint(option.Choices) && name == "state" {
					t.Errorf("%s_state is one of %v, but the module's state of %v", role, spec.Choices, option.Choices)
				}
				if option.Default != nil && fmt.Sprint(spec.Default) != fmt.Sprint(option.Default) {
					t.Errorf("%s_%s is %v by default, but the module's is %v", role, name, spec.Default, option.Default)
				}
			}
			for name, spec := range specs {
				if _, ok := described.Options[strings.TrimPrefix(name, role+"_")]; !ok && !onlyRole[name] {
					t.Errorf("%s is no option of %s", name, module)
				}
				if value, ok := defaults[name]; spec.Default != nil && ok && !strings.Contains(fmt.Sprint(value), "{{") &&
					fmt.Sprint(value) != fmt.Sprint(spec.Default) {
					t.Errorf("%s is %v in defaults and %v in argument_specs.yml", name, value, spec.Default)
				}
			}
		})
	}
}

func readRole(t *testing.T, role string) (specs map[string]roleOption, defaults map[string]any) {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "roles", role)
	var file struct {
		Specs map[string]struct {
			Options map[string]roleOption `yaml:"options"`
		} `yaml:"argument_specs"`
	}
	for path, into := range map[string]any{"meta/argument_specs.yml": &file, "defaults/main.yml": &defaults} {
		text, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatalf("%s of role %s: %v", path, role, err)
		}
	}
	return file.Specs["main"].Options, defaults
}
