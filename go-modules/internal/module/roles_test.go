package module

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// modules are the roles that do what a module does, and that module.
var modules = map[string]string{"tracker": "murder_tracker", "seeder": "murder_seed", "peer": "murder_peer"}

// onlyRole are the options that a role has beside those of its module.
var onlyRole = map[string]bool{"tracker_transient": true, "seeder_transient": true, "peer_start_first": true}

// demanded are the options that a role demands, and its module in some states only.
var demanded = map[string]bool{"seeder_src": true}

// noOption are the variables of deploy.yml that are no option of a role.
var noOption = map[string]bool{"murder_firewall": true, "murder_token_file": true}

// roleOption is an option of a role, as its argument_specs.yml describes it.
type roleOption struct {
	Type     string   `yaml:"type"`
	Elements string   `yaml:"elements"`
	Required bool     `yaml:"required"`
	Default  any      `yaml:"default"`
	Choices  []string `yaml:"choices"`
}

// role is what the files of a role say.
type role struct {
	specs    map[string]roleOption
	defaults map[string]any
	tasks    string
}

// TestRolesAreInStepWithModules demands that each role has every option of its module under its own
// prefix, with the same type, elements, choices and default, passes it on, and knows no other.
func TestRolesAreInStepWithModules(t *testing.T) {
	for name, module := range modules {
		t.Run(name, func(t *testing.T) {
			r := readRole(t, name)
			described := describedOptions(t, module)
			passed := passedOn(t, r.tasks, "corvus.murder."+module)
			for option, want := range described {
				full := name + "_" + option
				spec, ok := r.specs[full]
				if !ok {
					t.Errorf("role %s has no option for %s of %s", name, option, module)
					continue
				}
				spec.compare(t, full, want)
				if !mentions(passed[option], full) {
					t.Errorf("%s is not what tasks/main.yml gives %s as %s: %s", full, module, option, passed[option])
				}
			}
			for option := range r.specs {
				if _, ok := described[strings.TrimPrefix(option, name+"_")]; !ok && !onlyRole[option] {
					t.Errorf("%s is no option of %s", option, module)
				}
			}
		})
	}
}

// TestRolesHaveTheDefaultsThatTheyDescribe demands that argument_specs.yml and defaults/main.yml of every role
// agree, and that no option is without use.
func TestRolesHaveTheDefaultsThatTheyDescribe(t *testing.T) {
	for _, name := range []string{"tracker", "seeder", "peer", "firewall"} {
		t.Run(name, func(t *testing.T) {
			r := readRole(t, name)
			for option, spec := range r.specs {
				value, ok := r.defaults[option]
				switch {
				case ok && spec.Required:
					t.Errorf("%s is required and has the default %v", option, value)
				case !ok && spec.Default != nil:
					t.Errorf("%s is missing in defaults/main.yml", option)
				case !ok && !spec.Required && !strings.Contains(r.tasks, option+" | default("):
					t.Errorf("%s is optional and has no default", option)
				case ok && spec.Default == nil && !strings.Contains(fmt.Sprint(value), "{{"):
					t.Errorf("%s is %v in defaults/main.yml, and nothing in argument_specs.yml", option, value)
				case spec.Default != nil && fmt.Sprint(value) != fmt.Sprint(spec.Default):
					t.Errorf("%s is %v in defaults/main.yml and %v in argument_specs.yml", option, value, spec.Default)
				}
				if !mentions(r.tasks, option) {
					t.Errorf("%s is used nowhere in tasks/main.yml", option)
				}
			}
			for option := range r.defaults {
				if _, ok := r.specs[option]; !ok {
					t.Errorf("%s is in defaults/main.yml and not in argument_specs.yml", option)
				}
			}
		})
	}
}

// TestVariablesOfThePlaybookAreOptionsOfRoles demands that what deploy.yml takes from its user is an option of a role,
// that what it gives to a role is one, and that README.md has all of it and no more in its table.
func TestVariablesOfThePlaybookAreOptionsOfRoles(t *testing.T) {
	options := map[string]bool{}
	for _, name := range []string{"tracker", "seeder", "peer", "firewall"} {
		for option := range readRole(t, name).specs {
			options[option] = true
			options["murder_"+option] = true // where it is one role's only, as murder_tracker_address
			options["murder_"+strings.TrimPrefix(option, name+"_")] = true
		}
	}
	text := readFile(t, "playbooks/deploy.yml")
	var plays []struct {
		Vars map[string]any `yaml:"vars"`
	}
	parse(t, text, &plays)
	for name := range plays[0].Vars {
		if !strings.HasPrefix(name, "swarm_") && !options[name] {
			t.Errorf("deploy.yml sets %s, which is no option of a role", name)
		}
	}

	used := variables(text + readFile(t, "playbooks/tasks/deploy.yml"))
	if len(used) < 40 {
		t.Fatalf("only %d variables have been found in deploy.yml", len(used))
	}
	listed := variables(strings.Join(regexp.MustCompile("(?m)^\\| `murder_[^|]*\\|").FindAllString(readFile(t, "README.md"), -1), "\n"))
	for _, name := range used {
		if !options[name] && !noOption[name] {
			t.Errorf("%s is no option of a role", name)
		}
		if !slices.Contains(listed, name) {
			t.Errorf("%s is not in the table of README.md", name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(used, name) {
			t.Errorf("README.md lists %s, which deploy.yml does not use", name)
		}
	}
}

// moduleOption is an option of a module, as it describes itself.
type moduleOption struct {
	Type     string   `json:"type"`
	Elements string   `json:"elements"`
	Required bool     `json:"required"`
	Default  any      `json:"default"`
	Choices  []string `json:"choices"`
}

func describedOptions(t *testing.T, module string) map[string]moduleOption {
	t.Helper()
	var described struct {
		Options map[string]moduleOption `json:"options"`
	}
	if err := json.Unmarshal(find(module).module().Spec.Describe(), &described); err != nil {
		t.Fatal(err)
	}
	return described.Options
}

// compare demands that a role's option is what its module's is.
func (o roleOption) compare(t *testing.T, name string, want moduleOption) {
	t.Helper()
	if want.Type == "bytes" { // it is text that only the module reads
		want.Type = "str"
	}
	if o.Type != want.Type || o.Elements != want.Elements {
		t.Errorf("%s is a %s of %q, but the module's is a %s of %q", name, o.Type, o.Elements, want.Type, want.Elements)
	}
	if o.Required != (want.Required || demanded[name]) {
		t.Errorf("%s is required: %v, but the module's: %v", name, o.Required, want.Required)
	}
	if !slices.Equal(o.Choices, want.Choices) {
		t.Errorf("%s is one of %v, but the module's of %v", name, o.Choices, want.Choices)
	}
	// An empty one stands for the module's own: none, or what it finds out.
	if empty := fmt.Sprint(o.Default); want.Default == nil && o.Default != nil && empty != "" && empty != "[]" ||
		want.Default != nil && fmt.Sprint(o.Default) != fmt.Sprint(want.Default) {
		t.Errorf("%s is %v by default, but the module's is %v", name, o.Default, want.Default)
	}
}

// passedOn is what tasks give a module, in itself or by module_defaults, option by option.
func passedOn(t *testing.T, tasks, module string) map[string]string {
	t.Helper()
	var parsed any
	parse(t, tasks, &parsed)
	passed := map[string]string{}
	var collect func(node any)
	collect = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, item := range node {
				collect(item)
			}
		case map[string]any:
			given, _ := node[module].(map[string]any)
			for option, value := range given {
				passed[option] += fmt.Sprint(value)
			}
			for _, item := range node {
				collect(item)
			}
		}
	}
	collect(parsed)
	return passed
}

// mentions says whether a text has a name as a word of its own.
func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + name + `\b`).MatchString(text)
}

// variables are the names of variables of the playbook's user in a text, each once.
func variables(text string) []string {
	found := regexp.MustCompile(`(?:^|[^\w.])(murder_[a-z_]+\w)`).FindAllStringSubmatch(text, -1)
	names := []string{}
	for _, match := range found {
		names = append(names, match[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func readRole(t *testing.T, name string) (r role) {
	t.Helper()
	var file struct {
		Specs map[string]struct {
			Options map[string]roleOption `yaml:"options"`
		} `yaml:"argument_specs"`
	}
	parse(t, readFile(t, "roles/"+name+"/meta/argument_specs.yml"), &file)
	parse(t, readFile(t, "roles/"+name+"/defaults/main.yml"), &r.defaults)
	r.specs, r.tasks = file.Specs["main"].Options, readFile(t, "roles/"+name+"/tasks/main.yml")
	if len(r.specs) == 0 {
		t.Fatalf("role %s describes no options", name)
	}
	return r
}

// readFile reads a file of the collection.
func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parse(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatal(err)
	}
}
