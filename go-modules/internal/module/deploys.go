package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/daemon"
)

// news is what the daemon of a tracker or seeder is told: that a deploy comes to use it, or goes.
type news struct {
	Deploy   string   `json:"deploy"`
	Expect   int      `json:"expect"` // peers that come with it, 0 when unknown
	Goes     bool     `json:"goes"`
	Look     bool     `json:"look"`     // it only might go
	Infohash [20]byte `json:"infohash"` // what is over when it goes
}

// heed has a daemon take in deploys that come and go. It ends when nobody uses it after one has gone.
func heed(p *daemon.Process, come func(news), leave func(news) (user string)) {
	p.SetAnswer(func(message []byte) (answer any, err error) {
		var n news
		if err = json.Unmarshal(message, &n); err != nil {
			return nil, err
		}
		user := ""
		if !n.Goes {
			come(n)
		} else if user = leave(n); user == "" && !n.Look {
			p.End()
		}
		return user, nil
	})
}

// join tells a daemon that a deploy uses it. It is not running when it is about to end.
func join(ctx context.Context, inst *daemon.Instance, n news) (running bool, err error) {
	var user string
	if err = inst.Tell(ctx, n, &user); errors.Is(err, daemon.ErrNotRunning) {
		return false, nil
	}
	return true, err
}

// leave is state stopped for one deploy: the daemon goes on while somebody else uses it. One that cannot be told is used by nobody.
func leave(ctx context.Context, call ansible.Call, inst *daemon.Instance, what string, n news, values map[string]any) (ansible.Result, error) {
	pid, running, err := inst.Running()
	if err != nil {
		return ansible.Result{}, err
	}
	n.Goes, n.Look = true, call.Check
	var user string
	if running && inst.Tell(ctx, n, &user) == nil && user != "" {
		values["state"], values["pid"] = "started", pid
		return ansible.Result{
			Msg:    fmt.Sprintf("%s goes on for %s and ends by itself after that", what, user),
			Values: values,
		}, nil
	}
	return end(ctx, call, inst, pid, running, values)
}

// stop is state stopped of every module: it ends exactly that daemon, and is quiet if none runs.
func stop(ctx context.Context, call ansible.Call, inst *daemon.Instance, values map[string]any) (ansible.Result, error) {
	pid, running, err := inst.Running()
	if err != nil {
		return ansible.Result{}, err
	}
	return end(ctx, call, inst, pid, running, values)
}

func end(ctx context.Context, call ansible.Call, inst *daemon.Instance, pid int, running bool, values map[string]any) (res ansible.Result, err error) {
	values["state"], values["pid"] = "stopped", 0
	res = ansible.Result{Changed: running, Values: values}
	if !call.Check {
		res.Changed, err = inst.StopProcess(ctx, pid, running)
	}
	show(call, &res, map[string]any{"state": "started"}, map[string]any{"state": "stopped"})
	return res, err
}
