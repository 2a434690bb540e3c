package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// infoOptions are the options of murder_info.
type infoOptions struct {
	common
	dest string
}

func infoModule() ansible.Module {
	var o infoOptions
	s := ansible.NewSpec("murder_info", "tell what runs on this host and what has been deployed to it")
	o.common.declareDir(s)
	s.Path(&o.dest, "dest", "", "only the peers and deploys of this destination; by default all")
	return ansible.Module{Spec: s, Run: o.run}
}

// run asks and changes nothing, so that check mode needs no attention.
func (o *infoOptions) run(ctx context.Context, _ ansible.Call) (ansible.Result, error) {
	dir, err := o.dir()
	if err != nil {
		return ansible.Result{}, err
	}
	var silent []string
	trackers, err := ask(ctx, dir, "tracker", &silent, describeTracker)
	if err != nil {
		return ansible.Result{}, err
	}
	seeders, err := ask(ctx, dir, "seed", &silent, describeSeeder)
	if err != nil {
		return ansible.Result{}, err
	}
	peers, err := ask(ctx, dir, "peer", &silent, describePeer)
	if err != nil {
		return ansible.Result{}, err
	}
	records, err := artifact.OpenRecords(dir).All()
	if err != nil {
		return ansible.Result{}, err
	}
	wanted, err := o.filter()
	if err != nil {
		return ansible.Result{}, err
	}
	return ansible.Result{
		Warnings: silent,
		Values: map[string]any{
			"state_dir": dir, "trackers": trackers, "seeders": seeders,
			"peers":   only(peers, func(p peerInfo) bool { return wanted(p.Dest) }),
			"deploys": only(describeDeploys(records), func(d *deployInfo) bool { return wanted(d.Dest) }),
		},
	}, nil
}

// filter tells whether a destination is among those that were asked for.
func (o *infoOptions) filter() (func(dest string) bool, error) {
	if o.dest == "" {
		return func(string) bool { return true }, nil
	}
	dest, err := filepath.Abs(o.dest)
	if err != nil {
		return nil, fmt.Errorf("Option dest: %w", err)
	}
	// With a slash at its end murder_peer puts a file into that directory.
	inside := strings.HasSuffix(o.dest, "/")
	return func(d string) bool { return same(d, dest) || inside && same(filepath.Dir(d), dest) }, nil
}

// same tells whether two paths name the same place, also by way of symlinks as long as they lead somewhere.
func same(a, b string) bool {
	if a == b {
		return true
	}
	first, err1 := os.Stat(a)
	second, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(first, second)
}

// only returns the elements that are wanted, an empty list rather than none.
func only[T any](all []T, wanted func(T) bool) []T {
	kept := []T{}
	for _, element := range all {
		if wanted(element) {
			kept = append(kept, element)
		}
	}
	return kept
}

// ask returns what describe makes of every daemon of a kind. One that is just starting or ending is left
// out; one that gives no answer is told of in silent, for it may be the very reason why somebody looks.
func ask[T any](ctx context.Context, dir, kind string, silent *[]string,
	describe func(context.Context, *daemon.Instance, int) (T, error),
) ([]T, error) {
	instances, err := daemon.List(dir, kind)
	if err != nil {
		return nil, err
	}
	found := []T{}
	for _, inst := range instances {
		pid, running, err := inst.Running()
		if err != nil {
			return nil, err
		}
		if !running {
			continue
		}
		one, err := describe(ctx, inst, pid)
		switch {
		case err == nil:
			found = append(found, one)
		case ctx.Err() != nil:
			return nil, err
		case !errors.Is(err, daemon.ErrNotRunning):
			*silent = append(*silent, fmt.Sprintf("murder_%s (pid %d) runs and does not answer: %v; state: stopped ends it", kind, pid, err))
		}
	}
	return found, nil
}
