package ansible

import (
	"fmt"
	"strings"
)

// rule is a condition over several options; it returns what is wrong, or "".
type rule func(given map[string]bool) string

// RequiredOneOf demands that at least one of the options is given.
func (s *Spec) RequiredOneOf(names ...string) {
	s.demand(names)
	s.rules = append(s.rules, func(given map[string]bool) string {
		if count(given, names) > 0 {
			return ""
		}
		return fmt.Sprintf("One of the options %s is required", strings.Join(names, ", "))
	})
}

// MutuallyExclusive allows at most one of the options.
func (s *Spec) MutuallyExclusive(names ...string) {
	s.demand(names)
	s.rules = append(s.rules, func(given map[string]bool) string {
		if count(given, names) < 2 {
			return ""
		}
		return fmt.Sprintf("Options %s exclude each other; give only one of them", strings.Join(names, ", "))
	})
}

// RequiredIf demands every one of names when option has that value, be it given
// or its default.
func (s *Spec) RequiredIf(option, value string, names ...string) {
	s.demand(append([]string{option}, names...))
	for _, name := range names {
		s.rules = append(s.rules, func(given map[string]bool) string {
			if given[name] || !s.has(option, value) {
				return ""
			}
			return fmt.Sprintf("Option %s is required when %s is %s", name, option, value)
		})
	}
}

// RequiredOneOfIf demands at least one of names when option has that value.
func (s *Spec) RequiredOneOfIf(option, value string, names ...string) {
	s.demand(append([]string{option}, names...))
	s.rules = append(s.rules, func(given map[string]bool) string {
		if count(given, names) > 0 || !s.has(option, value) {
			return ""
		}
		return fmt.Sprintf("One of the options %s is required when %s is %s", strings.Join(names, ", "), option, value)
	})
}

// has tells whether value is in effect for the option.
func (s *Spec) has(option, value string) bool {
	return fmt.Sprint(s.names[option].value) == value
}

// demand panics about rules that name an option nobody declared.
func (s *Spec) demand(names []string) {
	for _, name := range names {
		if o := s.names[name]; o == nil || o.name != name {
			panic(fmt.Sprintf("ansible: a rule of %s names %s, which is no option", s.module, name))
		}
	}
}

func count(given map[string]bool, names []string) int {
	n := 0
	for _, name := range names {
		if given[name] {
			n++
		}
	}
	return n
}
