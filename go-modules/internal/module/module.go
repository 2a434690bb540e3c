// Package module is what the four Ansible modules do: from options to a desired state, to the
// daemon that keeps it, to the result. Each module has two files: NAME.go, the module itself, which
// Ansible runs and waits for, and NAMEd.go, its daemon. The fourth, info.go, only asks the daemons. It may import every other package.
package module

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/daemon"
)

// Version is the collection's version; the build sets it.
var Version = "development"

// program is one of the names that the multi-call program goes by.
type program struct {
	name   string
	module func() ansible.Module
	daemon func(context.Context, *daemon.Process) error // nil: it starts none
}

var programs = []program{
	{"murder_tracker", trackerModule, runTracker},
	{"murder_seed", seedModule, runSeed},
	{"murder_peer", peerModule, runPeer},
	{"murder_info", infoModule, nil},
}

// Main acts by the name that the program was called by (Ansible's prefix AnsiballZ_ included) or,
// under any other name, by its first argument. It returns the exit code.
func Main(ctx context.Context, argv []string, streams ansible.Streams) int {
	name := strings.TrimPrefix(filepath.Base(argv[0]), "AnsiballZ_")
	p := find(name)
	if p == nil && len(argv) > 1 {
		argv = argv[1:]
		p = find(argv[0])
	}
	if p == nil {
		fmt.Fprintln(streams.Stderr, usage())
		return 2
	}
	argv = append([]string{p.name}, argv[1:]...)
	if len(argv) > 1 && argv[1] == daemon.Verb && p.daemon != nil {
		return daemon.Main(ctx, argv, streams.Stdin, p.daemon)
	}
	return ansible.Main(ctx, argv, streams, Version, p.module())
}

func find(name string) *program {
	i := slices.IndexFunc(programs, func(p program) bool { return p.name == name })
	if i < 0 {
		return nil
	}
	return &programs[i]
}

func usage() string {
	var names []string
	for _, p := range programs {
		names = append(names, p.name)
	}
	return fmt.Sprintf("corvus.murder %s: call it by one of the names %s, or with one of them as the first argument",
		Version, strings.Join(names, ", "))
}
