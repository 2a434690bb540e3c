package module

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"corvus.murder/internal/ansible"
	"corvus.murder/internal/daemon"
	"corvus.murder/internal/tracker"
)

// trackerOptions are the options of murder_tracker.
type trackerOptions struct {
	common
	listen      string
	port        int
	address     string
	allow       []string
	idleTimeout int
	expect      int
	deploy      string
	infohash    string
	over        [20]byte // infohash
}

// trackerConfig is what the tracker's daemon is started with; it is compared to tell whether a
// running one is the wanted one.
type trackerConfig struct {
	Listen      string         `json:"listen"`
	Port        int            `json:"port"`
	Address     string         `json:"address"`
	Allow       []netip.Prefix `json:"allow"`
	Token       daemon.Secret  `json:"token"`
	IdleTimeout int            `json:"idle_timeout"`
	StateDir    string         `json:"state_dir"`
	LogFile     string         `json:"log_file"`
	Profile     string         `json:"profile"`
	// Expect and Deploy are left out of the comparison: they say who comes, not what is served.
	Expect int    `json:"expect,omitempty"`
	Deploy string `json:"deploy,omitempty"`
}

func trackerModule() ansible.Module {
	var o trackerOptions
	s := ansible.NewSpec("murder_tracker", "run the BitTorrent tracker of a deploy on this host")
	o.common.declare(s, "started", "stopped")
	s.String(&o.listen, "listen", "0.0.0.0", "address to listen on")
	s.Int(&o.port, "port", 8998, "tcp port to listen on").Range(1, 65535)
	s.String(&o.address, "address", "", "address that peers use; by default listen, or this host's first address")
	s.List(&o.allow, "allow", nil, "networks that may ask, as CIDR; by default all")
	s.Int(&o.idleTimeout, "idle_timeout", 3600, "seconds without an announce after which it ends by itself; 0 means never").Range(0, 1<<31)
	s.Int(&o.expect, "expect", 0, "how many peers will come; 0 means unknown").Range(0, 1<<20)
	s.String(&o.deploy, "deploy", "", "name of the deploy that comes or goes: as long as another one has come and not gone, state stopped leaves the tracker alone")
	s.String(&o.infohash, "infohash", "", "with state stopped, the torrent that is over: a tracker that others still use goes on")
	return ansible.Module{Spec: s, Run: againIfRunning(o.run)}
}

func (o *trackerOptions) run(ctx context.Context, call ansible.Call) (ansible.Result, error) {
	cfg, err := o.config()
	if err != nil {
		return ansible.Result{}, err
	}
	inst := daemon.Open(cfg.StateDir, "tracker", strconv.Itoa(o.port))
	pid, running, err := inst.Running()
	if err != nil {
		return ansible.Result{}, err
	}
	if o.state == "stopped" {
		values := map[string]any{"port": o.port}
		if o.deploy == "" && o.infohash == "" {
			return stop(ctx, call, inst, values)
		}
		return leave(ctx, call, inst, "The tracker", news{Deploy: o.deploy, Infohash: o.over}, values)
	}
	if running {
		running, err = cfg.same(ctx, inst, pid)
	}
	if running && err == nil && !call.Check {
		running, err = join(ctx, inst, news{Deploy: o.deploy, Expect: o.expect})
	}
	res := ansible.Result{Changed: !running, Values: cfg.values(pid)}
	if err == nil && !running && call.Check {
		err = errors.Join(tracker.Config{Listen: cfg.Listen}.Listenable(), inst.Startable(cfg.LogFile))
	} else if err == nil && !running {
		if err = inst.Start(ctx, cfg, cfg.LogFile); err == nil {
			pid, _, err = inst.Running()
			res.Values["pid"] = pid
		}
	}
	if err != nil {
		return ansible.Result{}, err
	}
	show(call, &res, map[string]any{"state": "stopped"}, map[string]any{"state": "started", "announce_url": res.Values["announce_url"]})
	return res, nil
}

// config makes the daemon's configuration from the options.
func (o *trackerOptions) config() (trackerConfig, error) {
	if err := o.check(); err != nil {
		return trackerConfig{}, err
	}
	dir, err := o.dir()
	if err != nil {
		return trackerConfig{}, err
	}
	cfg := trackerConfig{
		Listen: o.listen, Port: o.port, Address: o.address, Token: daemon.Secret(o.token),
		IdleTimeout: o.idleTimeout, StateDir: dir, LogFile: o.logFile, Profile: o.profile, Expect: o.expect, Deploy: o.deploy,
	}
	if _, err := netip.ParseAddr(o.listen); err != nil {
		return cfg, fmt.Errorf("Option listen is %q, which is not an IP address; write one of this host's, or 0.0.0.0", o.listen)
	}
	for _, network := range o.allow {
		prefix, err := netip.ParsePrefix(network)
		if addr, aerr := netip.ParseAddr(network); aerr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return cfg, fmt.Errorf("Option allow has %q, which is not a network; write it as 192.0.2.0/24", network)
		}
		cfg.Allow = append(cfg.Allow, prefix)
	}
	if o.infohash != "" {
		var err error
		if o.over, err = parseInfohash(o.infohash); err != nil {
			return cfg, err
		}
	}
	if _, err := netip.ParseAddr(o.address); strings.ContainsAny(o.address, "/ ?#@[]:") && err != nil { // IPv6 has colons
		return cfg, fmt.Errorf("Option address is %q; write a host name or an IP address without a port", o.address)
	}
	if cfg.Address == "" {
		if cfg.Address = o.listen; netip.MustParseAddr(o.listen).IsUnspecified() {
			cfg.Address = hostAddress()
		}
	}
	return cfg, nil
}

// same tells whether the tracker still runs, and returns an error if it has other options.
func (c trackerConfig) same(ctx context.Context, inst *daemon.Instance, pid int) (running bool, err error) {
	var other trackerConfig
	if err := inst.Config(ctx, &other); errors.Is(err, daemon.ErrNotRunning) {
		return false, nil // it is ending by itself
	} else if err != nil {
		return true, err
	}
	other.Expect, other.Deploy, c.Expect, c.Deploy = 0, "", 0, ""
	diff, err := differences(c, other)
	if err == nil && len(diff) > 0 {
		err = alreadyRunning(fmt.Sprintf("A tracker on port %d", c.Port), pid, diff)
	}
	return true, err
}

// values are the module's return values.
func (c trackerConfig) values(pid int) map[string]any {
	base := "http://" + net.JoinHostPort(c.Address, strconv.Itoa(c.Port))
	return map[string]any{
		"state":        "started",
		"announce_url": base + "/announce",
		"status_url":   base + "/status.json",
		"port":         c.Port,
		"pid":          pid,
	}
}
