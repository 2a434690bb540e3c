package module

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// seedOptions are the options of murder_seed.
type seedOptions struct {
	common
	reach
	src         string
	tracker     string
	torrent     string
	pieceSize   int64
	exclude     []string
	special     string
	uploadLimit int64
	idleTimeout int
	content     bool
	deploy      string
}

// seedConfig is what the seeding daemon is started with.
type seedConfig struct {
	Infohash    string        `json:"infohash"`
	Torrent     string        `json:"torrent"` // path of the .torrent
	Tracker     string        `json:"tracker"`
	Token       daemon.Secret `json:"token"`
	IP          string        `json:"ip"`
	PortRange   string        `json:"port_range"`
	UploadLimit int64         `json:"upload_limit"`
	IdleTimeout int           `json:"idle_timeout"`
	LogFile     string        `json:"log_file"`
	Profile     string        `json:"profile"`
	Deploy      string        `json:"deploy,omitempty"` // that it is started for
	raw         []byte        // the .torrent
	source      []byte        // artifact.Source
}

func seedModule() ansible.Module {
	var o seedOptions
	s := ansible.NewSpec("murder_seed", "make a torrent of a file or directory and seed it from this host")
	o.common.declare(s, "started", "stopped", "present", "absent")
	s.Path(&o.src, "src", "", "file or directory to seed")
	s.String(&o.tracker, "tracker", "", "tracker as HOST:PORT or announce URL")
	s.Path(&o.torrent, "torrent", "", "path of the .torrent; by default src with .torrent behind it")
	o.reach.declare(s)
	s.Size(&o.pieceSize, "piece_size", 0, "bytes of a piece, a power of two; 0 chooses by the size of src")
	s.List(&o.exclude, "exclude", nil, "patterns of names to leave out of a directory")
	s.Choice(&o.special, "special", "refuse", "what becomes of pipes, sockets and devices in a directory", "refuse", "skip")
	s.Size(&o.uploadLimit, "upload_limit", 0, "bytes a second, 64K or more; 0 means no limit")
	s.Int(&o.idleTimeout, "idle_timeout", 3600, "seconds without a connected peer after which it ends by itself; 0 means never").Range(0, 1<<31)
	s.Bool(&o.content, "return_content", true, "return the .torrent itself as torrent_content")
	s.String(&o.deploy, "deploy", "", "name of the deploy that comes or goes: as long as another one has come and not gone, states stopped and absent leave the seeder alone")
	s.RequiredIf("state", "started", "src", "tracker")
	s.RequiredIf("state", "present", "src")
	s.RequiredOneOf("src", "torrent")
	return ansible.Module{Spec: s, Run: againIfRunning(o.run)}
}

func (o *seedOptions) run(ctx context.Context, call ansible.Call) (ansible.Result, error) {
	if err := o.check(); err != nil {
		return ansible.Result{}, err
	}
	dir, err := o.dir()
	if err != nil {
		return ansible.Result{}, err
	}
	inst := daemon.Open(dir, "seed", o.torrent)
	switch o.state {
	case "stopped":
		return o.stop(ctx, call, inst)
	case "absent":
		return o.remove(ctx, call, inst)
	}
	t, source, err := artifact.Build(ctx, o.src, artifact.BuildOptions{
		PieceLength: o.pieceSize, Exclude: o.exclude, SkipSpecial: o.special == "skip",
		Announce: o.tracker, Workers: runtime.GOMAXPROCS(0),
	})
	if err != nil {
		return ansible.Result{}, err
	}
	values := torrentValues(t)
	if o.content {
		values["torrent_content"] = base64.StdEncoding.EncodeToString(t.Raw)
	}
	values["torrent"], values["state"], values["pid"], values["port"] = o.torrent, o.state, 0, 0
	values["left_out"] = append([]string{}, source.Skipped...)
	if o.state == "present" {
		changed, err := o.write(t, call.Check)
		res := ansible.Result{Changed: changed, Values: values}
		show(call, &res, map[string]any{"torrent": "absent or another one"}, map[string]any{"torrent": o.torrent, "infohash": values["infohash"]})
		return res, err
	}
	return o.start(ctx, call, inst, o.config(t, source), t, values)
}

// check refuses bad options before anything is read, and completes the others.
func (o *seedOptions) check() error {
	if err := errors.Join(o.common.check(), o.reach.check(), checkLimit("upload_limit", o.uploadLimit)); err != nil {
		return err
	}
	if o.src != "" {
		o.src = filepath.Clean(o.src)
	}
	if o.torrent == "" {
		o.torrent = o.src + ".torrent"
	}
	var err error
	if o.torrent, err = filepath.Abs(o.torrent); err != nil {
		return fmt.Errorf("Option torrent: %w", err)
	}
	if o.src != "" {
		if o.src, err = filepath.Abs(o.src); err != nil {
			return fmt.Errorf("Option src: %w", err)
		}
		if strings.HasPrefix(o.torrent, strings.TrimSuffix(o.src, "/")+"/") {
			return fmt.Errorf("Option torrent is %s, inside the directory that it describes; put it beside %s", o.torrent, o.src)
		}
	}
	if o.state == "started" || o.state == "present" {
		if err := artifact.Replaceable(o.torrent); err != nil {
			return err
		}
	}
	if o.tracker != "" {
		client, err := announce.New(o.tracker, o.token, netip.Addr{})
		if err != nil {
			return err
		}
		o.tracker = client.AnnounceURL()
	}
	return nil
}

// Bulk is daemon.Bulky's.
func (c seedConfig) Bulk() [][]byte { return [][]byte{c.raw, c.source} }

func (o *seedOptions) config(t *artifact.Torrent, source *artifact.Source) seedConfig {
	return seedConfig{
		Infohash: hex.EncodeToString(t.Infohash[:]), Torrent: o.torrent, Tracker: o.tracker, Token: daemon.Secret(o.token),
		IP: o.ip, PortRange: o.portRange, UploadLimit: o.uploadLimit, IdleTimeout: o.idleTimeout,
		LogFile: o.logFile, Profile: o.profile, Deploy: o.deploy, raw: t.Raw, source: source.Encode(),
	}
}

// write puts the .torrent in place if it is not there already; in check mode it only tells.
func (o *seedOptions) write(t *artifact.Torrent, check bool) (changed bool, err error) {
	if !check {
		return t.WriteFile(o.torrent)
	}
	old, err := os.ReadFile(o.torrent)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, fmt.Errorf("read torrent: %w", err)
	}
	return err != nil || !bytes.Equal(old, t.Raw), nil
}

// start makes sure that the wanted daemon runs. One that seeds an earlier content of src is replaced;
// one with other options is somebody's decision and an error.
func (o *seedOptions) start(ctx context.Context, call ansible.Call, inst *daemon.Instance, cfg seedConfig,
	t *artifact.Torrent, values map[string]any,
) (ansible.Result, error) {
	pid, running, err := inst.Running()
	if err != nil {
		return ansible.Result{}, err
	}
	before := map[string]any{"state": "stopped"}
	stale, anew := false, false
	if running {
		old, err := cfg.outdates(ctx, inst, pid)
		switch {
		case errors.Is(err, daemon.ErrNotRunning):
			running = false // it is ending by itself
		case err != nil:
			return ansible.Result{Values: values}, err
		default:
			if stale = old != cfg.Infohash; !stale {
				anew, err = o.registerAnew(ctx, t, call.Check)
				if err == nil && !call.Check {
					running, err = join(ctx, inst, news{Deploy: o.deploy})
				}
			}
			if err != nil {
				return ansible.Result{Values: values}, err
			}
			before = map[string]any{"state": "started", "infohash": old}
		}
	}
	res := ansible.Result{Changed: !running || stale, Values: values}
	if call.Check && res.Changed {
		if err := inst.Startable(cfg.LogFile); err != nil {
			return ansible.Result{}, err
		}
	} else if res.Changed {
		if stale {
			if _, err := inst.Stop(ctx); err != nil {
				return res, err
			}
		}
		if err := inst.Start(ctx, cfg, cfg.LogFile); err != nil {
			return ansible.Result{Changed: stale}, err
		}
	}
	// Only now: a seeder that cannot start leaves no .torrent behind.
	wrote, err := o.write(t, call.Check)
	if err != nil {
		if res.Changed && !call.Check {
			_, stopErr := inst.Stop(ctx)
			err = errors.Join(err, stopErr)
		}
		return ansible.Result{Changed: stale}, err
	}
	idle := call.Check && res.Changed // there is no daemon to ask
	res.Changed = res.Changed || wrote || anew
	show(call, &res, before, map[string]any{"state": "started", "infohash": cfg.Infohash, "torrent": o.torrent})
	if idle {
		return res, nil
	}
	return res, addProcess(ctx, inst, values)
}

// registerAnew makes a torrent that is being seeded known to a tracker that was started since; in check mode it only tells. A tracker that
// does not answer may come back: the seeder goes on asking.
func (o *seedOptions) registerAnew(ctx context.Context, t *artifact.Torrent, check bool) (changed bool, err error) {
	client, err := announce.New(o.tracker, o.token, o.local())
	if err != nil {
		return false, err
	}
	known, err := client.Registered(ctx, t.Infohash)
	if known || err != nil || check {
		return !known && err == nil, nil
	}
	return true, register(ctx, client, t)
}

// outdates returns the infohash of what the running daemon seeds, which may be an earlier content.
func (c seedConfig) outdates(ctx context.Context, inst *daemon.Instance, pid int) (infohash string, err error) {
	var running seedConfig
	if err := inst.Config(ctx, &running); err != nil {
		return "", err
	}
	infohash, running.Infohash = running.Infohash, c.Infohash
	running.Deploy = c.Deploy
	diff, err := differences(c, running)
	if err == nil && len(diff) > 0 {
		err = alreadyRunning("A seeder of "+c.Torrent, pid, diff)
	}
	return infohash, err
}

// stop ends the daemon, unless another deploy uses it.
func (o *seedOptions) stop(ctx context.Context, call ansible.Call, inst *daemon.Instance) (ansible.Result, error) {
	values := map[string]any{"torrent": o.torrent, "port": 0}
	if o.deploy == "" {
		return stop(ctx, call, inst, values)
	}
	return leave(ctx, call, inst, "The seeder", news{Deploy: o.deploy}, values)
}

// remove is state: absent. It ends the daemon and removes the .torrent, never the source.
func (o *seedOptions) remove(ctx context.Context, call ansible.Call, inst *daemon.Instance) (ansible.Result, error) {
	if _, err := os.Lstat(o.torrent); err == nil {
		// A wrong path here would remove somebody's file, so it must be what it is taken for.
		if _, err := artifact.Load(o.torrent); err != nil {
			return ansible.Result{}, fmt.Errorf("not removed: %w", err)
		}
	}
	res, err := o.stop(ctx, call, inst)
	if err != nil || res.Values["state"] == "started" {
		return res, err
	}
	res.Values["state"] = "absent"
	remove := os.Remove
	if !call.Check {
		artifact.Sweep(filepath.Dir(o.torrent))
	} else {
		remove = func(path string) error {
			_, err := os.Lstat(path)
			return err
		}
	}
	if err = remove(o.torrent); errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG) {
		return res, nil
	}
	res.Changed = true
	show(call, &res, map[string]any{"torrent": o.torrent}, map[string]any{"torrent": "absent"})
	return res, err
}

// addProcess completes return values with what only the running daemon knows.
func addProcess(ctx context.Context, inst *daemon.Instance, values map[string]any) error {
	pid, _, err := inst.Running()
	if err != nil {
		return err
	}
	var status struct {
		Port int `json:"port"`
	}
	if err := inst.Status(ctx, &status); err != nil {
		return err
	}
	values["pid"], values["port"] = pid, status.Port
	return nil
}

// torrentValues are the return values that describe a torrent.
func torrentValues(t *artifact.Torrent) map[string]any {
	files := 0
	for _, f := range t.Files {
		if !f.Pad() {
			files++
		}
	}
	return map[string]any{
		"infohash":   hex.EncodeToString(t.Infohash[:]),
		"size":       t.Size,
		"piece_size": t.PieceLength,
		"pieces":     t.NumPieces(),
		"files":      files,
	}
}
