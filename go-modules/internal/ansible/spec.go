package ansible

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Spec declares the options of a module, each bound to a variable as in package
// flag. A mistake in a declaration (a name used twice, a rule about an option
// that does not exist) panics: it is a fault of the program, not of the user.
type Spec struct {
	module  string
	summary string
	options []*Option
	names   map[string]*Option // main names and aliases
	rules   []rule
}

// Option is one declared option.
type Option struct {
	spec     *Spec
	name     string
	kind     string // Ansible's name of the type
	elements string // and of a list's elements
	usage    string
	def      any // nil: no default
	choices  []string
	aliases  []string
	required bool
	secret   bool
	min, max int64

	value any // what is in effect: the coerced value or the default
	reset func()
	set   func(raw any) error
}

// NewSpec makes a Spec without options for the module of that name; summary
// says in a few words what the module does.
func NewSpec(module, summary string) *Spec {
	return &Spec{module: module, summary: summary, names: map[string]*Option{}}
}

// Name is the name of the module.
func (s *Spec) Name() string { return s.module }

// String declares a str option. Numbers and booleans become text as in Ansible.
func (s *Spec) String(p *string, name, def, usage string) *Option {
	return declare(s, p, "str", name, def, usage, coerceString)
}

// Path declares a path option: $VARS, ~ and ~user are expanded as Ansible does,
// a relative path stays relative.
func (s *Spec) Path(p *string, name, def, usage string) *Option {
	return declare(s, p, "path", name, def, usage, coercePath)
}

// Choice declares a str option that takes only the given values.
func (s *Spec) Choice(p *string, name, def, usage string, choices ...string) *Option {
	o := declare(s, p, "str", name, def, usage, func(raw any) (string, error) {
		text, err := coerceString(raw)
		if err == nil && !slices.Contains(choices, text) {
			err = fmt.Errorf("is not one of %s", strings.Join(choices, ", "))
		}
		return text, err
	})
	o.choices = choices
	return o
}

// Bool declares a bool option: yes, no, on, off, true, false, 1, 0 and the rest.
func (s *Spec) Bool(p *bool, name string, def bool, usage string) *Option {
	return declare(s, p, "bool", name, def, usage, coerceBool)
}

// Int declares an int option.
func (s *Spec) Int(p *int, name string, def int, usage string) *Option {
	return declare(s, p, "int", name, def, usage, coerceInt)
}

// Size declares a bytes option: "10M", "64KiB", "1.5G", in powers of 1024.
func (s *Spec) Size(p *int64, name string, def int64, usage string) *Option {
	return declare(s, p, "bytes", name, def, usage, coerceSize)
}

// List declares a list option of str elements; a string is split at its commas.
func (s *Spec) List(p *[]string, name string, def []string, usage string) *Option {
	return declare(s, p, "list", name, def, usage, coerceList).of("str")
}

// Paths is List with elements that are expanded as those of Path.
func (s *Spec) Paths(p *[]string, name, usage string) *Option {
	return declare(s, p, "list", name, nil, usage, coercePaths).of("path")
}

func (o *Option) of(elements string) *Option {
	o.elements = elements
	return o
}

// Mode declares a raw option that holds file permissions: "0644", 420 (what YAML
// makes of 0644), "u=rw,g=r" or "preserve". The variable gets octal digits with
// a leading zero, or the symbolic text as it was.
func (s *Spec) Mode(p *string, name, usage string) *Option {
	return declare(s, p, "raw", name, "", usage, coerceMode)
}

// Required makes the option mandatory; its default is not used then.
func (o *Option) Required() *Option {
	o.required, o.def = true, nil
	return o
}

// Secret keeps the option's value out of every output (Ansible's no_log).
func (o *Option) Secret() *Option {
	o.secret = true
	return o
}

// Range limits an int or bytes option to min..max, both included. A max of
// math.MaxInt64 means no upper limit.
func (o *Option) Range(min, max int64) *Option {
	o.min, o.max = min, max
	return o
}

// Alias lets the option be given under other names too.
func (o *Option) Alias(names ...string) *Option {
	for _, name := range names {
		o.spec.register(name, o)
	}
	o.aliases = append(o.aliases, names...)
	return o
}

func (s *Spec) register(name string, o *Option) {
	if _, taken := s.names[name]; taken {
		panic(fmt.Sprintf("ansible: option %s of %s is declared twice", name, s.module))
	}
	s.names[name] = o
}

// declare binds p to a new option. The default is stored at once, so that the
// variable is right even before Parse.
func declare[T any](s *Spec, p *T, kind, name string, def T, usage string, coerce func(any) (T, error)) *Option {
	o := &Option{
		spec: s, name: name, kind: kind, usage: usage,
		min: math.MinInt64, max: math.MaxInt64,
		choices: []string{}, aliases: []string{},
	}
	if !empty(def) {
		o.def = def
	}
	o.reset = func() { *p, o.value = def, o.def }
	o.set = func(raw any) error {
		value, err := coerce(raw)
		if err == nil {
			err = o.inRange(value)
		}
		if err == nil {
			err = o.filled(value)
		}
		if err != nil {
			o.value = nil // no rule shall judge by the default instead
			return err
		}
		*p, o.value = value, value
		return nil
	}
	o.reset()
	s.register(name, o)
	s.options = append(s.options, o)
	return o
}

// empty tells defaults that stand for "none": "" and an empty list.
func empty(def any) bool {
	switch v := def.(type) {
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	}
	return false
}

// filled refuses text that is empty, of every option: a path that is "" would be the working directory, a checksum that is "" none
// at all, and more often than not it comes of a variable that should have held something.
func (o *Option) filled(value any) error {
	switch {
	case value != "":
		return nil
	case o.required:
		return errors.New("is empty; give it a value")
	default:
		return errors.New("is empty; give it a value, or leave it out")
	}
}

func (o *Option) inRange(value any) error {
	var n int64
	switch v := value.(type) {
	case int:
		n = int64(v)
	case int64:
		n = v
	default:
		return nil
	}
	switch {
	case n >= o.min && n <= o.max:
		return nil
	case o.max == math.MaxInt64:
		return fmt.Errorf("is out of range; give %d or more", o.min)
	default:
		return fmt.Errorf("is out of range; give %d to %d", o.min, o.max)
	}
}

// Describe gives the options as JSON, in the terms of Ansible's documentation:
// what --spec prints.
func (s *Spec) Describe() []byte {
	type option struct {
		Type     string   `json:"type"`
		Elements string   `json:"elements,omitempty"`
		Required bool     `json:"required"`
		Default  any      `json:"default"`
		Choices  []string `json:"choices"`
		NoLog    bool     `json:"no_log"`
		Aliases  []string `json:"aliases"`
	}
	options := map[string]option{}
	for _, o := range s.options {
		described := option{
			Type: o.kind, Elements: o.elements, Required: o.required, Default: o.def,
			Choices: o.choices, NoLog: o.secret, Aliases: o.aliases,
		}
		options[o.name] = described
	}
	text, err := json.Marshal(map[string]any{"module": s.module, "options": options})
	if err != nil {
		panic(fmt.Sprintf("ansible: describe %s: %v", s.module, err)) // strings and numbers always marshal
	}
	return text
}
