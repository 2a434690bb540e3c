// Package ansible is the conversation between Ansible and a binary module: the
// argument file with its options in, one line of JSON out. It knows check and
// diff mode, no_log, asynchronous jobs and what to do when the controller goes
// away, and nothing of what a module does.
//
// It may import the standard library only, no other package of this program.
package ansible

import (
	"context"
	"io"
)

// Module is one Ansible module: its options, and what to do once they are known.
type Module struct {
	// Spec declares the options and holds the variables they are bound to.
	Spec *Spec
	// Run does the work. Its context ends when the module is signalled or the
	// controller goes away; context.Cause then says why. An error makes the
	// result failed, with the error's text as msg; the result's other values
	// are printed all the same.
	Run func(ctx context.Context, call Call) (Result, error)
}

// Streams are the standard streams of a module. Only the result goes to Stdout.
type Streams struct {
	Stdin  io.Reader
	Stdout io.Writer // when it is an *os.File, the loss of its reader ends the module
	Stderr io.Writer
}

// Call is what Ansible says about one invocation, beside the module's own options.
type Call struct {
	Check bool // predict, change nothing
	Diff  bool // describe the change in Result.Diff
	NoLog bool // the task has no_log: write nothing about it anywhere

	Verbosity      int    // number of -v on the command line
	Module         string // name as the task wrote it, collection included
	AnsibleVersion string // of the controller's ansible-core
	TmpDir         string // directory for temporary files, "" when Ansible gave none

	// Given names the options the user set, under their main names. An option
	// set to null counts as not given.
	Given map[string]bool
	// Async is set when the task runs under async.
	Async *Async

	params  map[string]any // options as they are in effect
	secrets []string       // values that no output may show
}
