// Command murder is the program behind the modules murder_tracker, murder_seed and murder_peer; it
// acts by the name it is called by.
package main

import (
	"context"
	"os"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/module"
)

func main() {
	os.Exit(module.Main(context.Background(), os.Args,
		ansible.Streams{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}
