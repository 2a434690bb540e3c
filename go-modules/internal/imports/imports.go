// Package imports holds the rules of who may import whom in this module; its test keeps them. Dependencies point
// downwards only, so that every package can be read, tested and replaced without the ones above it.
//
// It imports nothing internal and nothing imports it.
package imports

// Rule says what the files of one package (its tests excepted) may import.
type Rule struct {
	Package  string   // path below the module
	Internal []string // packages of this module that it may import
	Foreign  []string // modules of others that it may import; packages of the standard library are free
	Never    []string // packages of the standard library that it may not import, those below them included
	Why      string
}

const (
	torrent = "github.com/anacrolix/torrent"
	sys     = "golang.org/x/sys"
)

// world is what code without I/O stays away from: with the same input it decides the same, here and in a simulator.
var world = []string{"net", "os", "io", "syscall", "log"}

// Rules is the whole module from the top to the bottom.
var Rules = []Rule{
	{
		Package:  "cmd/murder",
		Internal: []string{"internal/ansible", "internal/module"},
		Why:      "the program picks the module that it is called by; it decides nothing else",
	},
	{
		Package: "internal/module",
		Internal: []string{
			"internal/announce", "internal/ansible", "internal/artifact", "internal/daemon",
			"internal/swarm", "internal/tracker",
		},
		Foreign: []string{sys},
		Why:     "options become a desired state here, which needs every part, and no part needs to know of options",
	},
	{
		Package: "internal/swarm",
		Internal: []string{
			"internal/announce", "internal/artifact", "internal/dial", "internal/policy", "internal/tracker/topology",
		},
		Foreign: []string{torrent, "github.com/anacrolix/chansync", sys},
		Why:     "the engine moves pieces; who asked for it, and how a daemon lives, is not its business",
	},
	{
		Package:  "internal/tracker",
		Internal: []string{"internal/announce", "internal/tracker/topology"},
		Foreign:  []string{torrent, sys},
		Why:      "a tracker works without any file of the artifact and without the engine",
	},
	{
		Package: "internal/tracker/topology",
		Never:   world,
		Why:     "who feeds whom is decided without I/O, the same in the tracker, in peers and in the simulator",
	},
	{
		Package:  "internal/sim",
		Internal: []string{"internal/policy", "internal/tracker/topology"},
		Never:    world,
		Why:      "a simulator of the very code of the engine needs no I/O",
	},
	{
		Package: "internal/policy",
		Never:   world,
		Why:     "which piece comes from whom is decided without I/O, so that a simulator decides the same",
	},
	{
		Package:  "internal/announce",
		Internal: []string{"internal/dial"},
		Foreign:  []string{torrent},
		Why:      "the client's side of BEP 3, usable against any tracker",
	},
	{
		Package: "internal/dial",
		Why:     "how a connection is opened does not depend on what is said on it",
	},
	{
		Package:  "internal/artifact",
		Internal: []string{"internal/archive"},
		Foreign:  []string{torrent, sys},
		Why:      "files and their metainfo, without any network",
	},
	{
		Package: "internal/archive",
		Foreign: []string{"github.com/klauspost/compress"},
		Never:   []string{"net", "os", "syscall", "log"},
		Why:     "archives of strangers are read here, where nothing can be written; what may be made of them is decided above",
	},
	{
		Package: "internal/daemon",
		Foreign: []string{sys},
		Why:     "detaching and stopping a process is the same for every daemon",
	},
	{
		Package: "internal/ansible",
		Why:     "Ansible's conventions need the standard library and nothing else",
	},
	{
		Package:  "internal/testswarm",
		Internal: []string{"internal/announce", "internal/artifact", "internal/policy", "internal/swarm", "internal/tracker"},
		Why:      "whole swarms inside one process, for tests: no rule above lets anything else import it",
	},
	{
		Package: "internal/testarchive",
		Foreign: []string{"github.com/klauspost/compress"},
		Why:     "archives for tests: no rule above lets anything else import it",
	},
	{
		Package: "internal/imports",
		Never:   world,
		Why:     "the rules are data",
	},
}
