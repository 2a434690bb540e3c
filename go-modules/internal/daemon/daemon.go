// Package daemon runs the background processes of the modules: it starts one
// detached, once per instance, waits until it serves, asks for its status and
// result, and ends exactly that process. It needs no systemd and no root.
//
// An instance is a directory, DIR, of the state directory:
//
//	lock         locked by the daemon as long as it lives; the kernel names the holder
//	sock         HTTP over a unix socket: /status, /config, /result, /stop
//	log          the daemon's log, or a link to the log file that was asked for
//	result.json  the result, for a caller that comes when the daemon has ended
//
// and whatever the daemon's own work keeps there. It imports no other package
// of this program.
package daemon

import (
	"errors"
	"io/fs"
	"path/filepath"
	"regexp"
	"time"
)

// Errors of an Instance, and causes (context.Cause) of a daemon's end.
var (
	// ErrRunning says that a daemon of this instance runs already.
	ErrRunning = errors.New("is already running")
	// ErrNotRunning says that there is no daemon to ask, or that it is ending.
	ErrNotRunning = errors.New("is not running")
	// ErrStopped is the cause when Stop ended the daemon: its state is forgotten.
	ErrStopped = errors.New("it was stopped")
	// ErrIdle is the cause when nothing was active for the time given to Process.ExpireAfter.
	ErrIdle = errors.New("it was idle for too long")
)

// Names of the files in DIR.
const (
	lockName   = "lock"
	sockName   = "sock"
	logName    = "log"
	resultName = "result.json"
)

// Bounds of the waits.
const (
	startBound = 30 * time.Second // for a daemon to say that it is ready
	lockBound  = 10 * time.Second // for a predecessor to end, when a daemon starts
	askBound   = 10 * time.Second // for an answer of the socket
	flushBound = 2 * time.Second  // for open requests when the daemon ends
	pollEvery  = 20 * time.Millisecond
)

// Instance is one daemon that may or may not run. Its methods may be called
// from any process of the user who owns it, except the daemon itself.
type Instance struct {
	kind string
	dir  string

	patience time.Duration // for a daemon to end after /stop
	force    time.Duration // and after each signal that follows
}

// plain is a key that can stand in a file name as it is.
var plain = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$`)

// Open names the instance of a kind of daemon (tracker, seed, peer) that belongs
// to key in the state directory, and touches nothing. Keys that make no good file
// name, such as paths, are replaced by a part of their SHA-256.
func Open(stateDir, kind, key string) *Instance {
	if !plain.MatchString(key) {
		key = digest(key)[:16]
	}
	dir := filepath.Join(stateDir, kind+"-"+key)
	if absolute, err := filepath.Abs(dir); err == nil {
		dir = absolute
	}
	return &Instance{kind: kind, dir: dir, patience: 10 * time.Second, force: 5 * time.Second}
}

// Dir is the directory of the instance; it exists only while there is something
// to keep in it.
func (i *Instance) Dir() string { return i.dir }

// program is the name the daemon is called by.
func (i *Instance) program() string { return "murder_" + i.kind }

// Running tells whether the daemon lives, and its process id. It asks the kernel
// who holds the lock. A pid of 0 means a process that cannot be seen from here:
// of another container or, on a network file system, of another machine.
func (i *Instance) Running() (pid int, running bool, err error) {
	if found, err := i.found(); !found {
		return 0, false, err
	}
	return holder(i.dir)
}

// Remove removes what a daemon that no longer runs has left. It is an error that
// wraps ErrRunning when one runs, and none when nothing is left.
func (i *Instance) Remove() error {
	if found, err := i.found(); !found {
		return err
	}
	lock, err := tryLock(i.dir, cleanLock)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // somebody else was faster
	case err != nil:
		return i.explain("remove", err)
	}
	defer lock.Close()
	return removeTree(i.dir, lock)
}
