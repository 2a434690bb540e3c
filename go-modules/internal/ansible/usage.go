package ansible

import (
	"fmt"
	"io"
	"strings"
)

// usage is what the module prints when it is run by hand.
func (s *Spec) usage(version string) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s: %s\n\n", s.module, version, s.summary)
	fmt.Fprintf(&text, "usage: %s ARGSFILE    run with the options in a JSON file, - for stdin\n", s.module)
	fmt.Fprintf(&text, "       %s --spec      print the options as JSON\n", s.module)
	fmt.Fprintf(&text, "       %s --version\n\n", s.module)
	fmt.Fprintf(&text, "Ansible runs it as a module: ansible-doc %s\n\noptions:\n", s.module)
	for _, o := range s.options {
		fmt.Fprintf(&text, "  %-16s %s\n  %-16s (%s)\n", o.name, o.usage, "", strings.Join(o.traits(), ", "))
	}
	return text.String()
}

// traits are the type of an option and what else holds for its values.
func (o *Option) traits() []string {
	traits := []string{o.kind}
	if o.required {
		traits = append(traits, "required")
	}
	if len(o.choices) > 0 {
		traits = append(traits, strings.Join(o.choices, " or "))
	}
	if o.def != nil {
		traits = append(traits, fmt.Sprintf("default %v", o.def))
	}
	if len(o.aliases) > 0 {
		traits = append(traits, "also "+strings.Join(o.aliases, ", "))
	}
	return traits
}

// say prints text that is no result.
func say(streams Streams, text string) int {
	if _, err := io.WriteString(streams.Stdout, text); err != nil {
		return 1
	}
	return 0
}
