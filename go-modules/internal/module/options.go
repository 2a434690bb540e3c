package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// leastLimit is the smallest limit in bytes a second. Below, a block takes so long that peers take one another for dead.
const leastLimit = 64 << 10

// checkLimit refuses a limit with which a swarm cannot go on.
func checkLimit(option string, limit int64) error {
	if limit == 0 || limit >= leastLimit {
		return nil
	}
	return fmt.Errorf("Option %s is %d bytes a second, too little for peers to go on with; give 64K or more, such as 10M, or 0 for no limit",
		option, limit)
}

// common are the options that every module has.
type common struct {
	state    string
	stateDir string
	logFile  string
	profile  string
	token    string
}

func (o *common) declare(s *ansible.Spec, states ...string) {
	s.Choice(&o.state, "state", states[0], "what shall be", states...)
	o.declareDir(s)
	s.Path(&o.logFile, "log_file", "", "where the daemon logs; by default in its state, which goes when it ends")
	s.Path(&o.profile, "profile", "", "directory that the daemon writes profiles of its CPU time and memory to when it ends")
	s.String(&o.token, "token", "", "secret of the fleet, which the tracker demands").Secret()
}

// check refuses what a daemon could not use.
func (o *common) check() error { return errors.Join(o.checkToken(), o.checkProfile()) }

// checkToken refuses a token that no header of HTTP can carry as it is. What it is stands in no error.
func (o *common) checkToken() error {
	if strings.TrimSpace(o.token) != o.token || strings.ContainsFunc(o.token, unicode.IsControl) {
		return errors.New("Option token holds a line break, a control character or blanks at its ends; take them away, " +
			"such as with the filter trim or with |- instead of | in YAML")
	}
	return nil
}

// declareDir is for a module that starts nothing.
func (o *common) declareDir(s *ansible.Spec) {
	s.Path(&o.stateDir, "state_dir", "", "where daemons keep their state; /var/lib/murder for root, else ~/.local/state/murder")
}

// dir is where the daemons of this user keep their state.
func (o *common) dir() (string, error) {
	if o.stateDir != "" {
		return filepath.Abs(o.stateDir)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/murder", nil
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "murder"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no state_dir is given and the user has no home directory (%w); set state_dir", err)
	}
	return filepath.Join(home, ".local", "state", "murder"), nil
}

// show adds what a change is to the result, under --diff.
func show(call ansible.Call, res *ansible.Result, before, after map[string]any) {
	if call.Diff && res.Changed {
		res.Diff = artifact.Diff{Before: before, After: after}
	}
}

// differences names the options in which two configurations of a daemon differ, with both values.
// Configurations are compared as the JSON that they are passed as, secrets by their digests.
func differences(want, running any) ([]string, error) {
	want, err := daemon.Redact(want)
	if err != nil {
		return nil, err
	}
	w, err := fields(want)
	if err != nil {
		return nil, err
	}
	r, err := fields(running)
	if err != nil {
		return nil, err
	}
	var diff []string
	for name, value := range w {
		switch {
		case bytes.Equal(value, r[name]):
		case name == "token":
			diff = append(diff, "token is another one")
		default:
			diff = append(diff, fmt.Sprintf("%s is %s there and %s here", name, r[name], value))
		}
	}
	slices.Sort(diff)
	return diff, nil
}

func fields(v any) (map[string]json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("decode configuration: %w", err)
	}
	return m, nil
}

// alreadyRunning is the error for a daemon that runs with other options than are wanted now.
func alreadyRunning(what string, pid int, diff []string) error {
	return fmt.Errorf("%s runs already (pid %d) with other options: %s; stop it first (state: stopped)",
		what, pid, strings.Join(diff, ", "))
}

// againIfRunning runs a module once more when another call has started the same daemon meanwhile: it
// then finds that one running, and joins it or says what differs.
func againIfRunning(run func(context.Context, ansible.Call) (ansible.Result, error)) func(context.Context, ansible.Call) (ansible.Result, error) {
	return func(ctx context.Context, call ansible.Call) (ansible.Result, error) {
		res, err := run(ctx, call)
		for range 3 {
			if !errors.Is(err, daemon.ErrRunning) {
				break
			}
			res, err = run(ctx, call)
		}
		return res, err
	}
}
