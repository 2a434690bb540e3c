package module

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/ansible"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
)

// peerOptions are the options of murder_peer.
type peerOptions struct {
	common
	reach
	place          artifact.PlaceOptions
	torrent        string
	torrentContent string
	infohash       string
	seedTime       int
	timeout        int
	stallTimeout   int
	downloadLimit  int64
	uploadLimit    int64
	tracker        string
	verify         string
	force          bool
	release        string
}

// peerConfig is what the downloading daemon is started with.
type peerConfig struct {
	Infohash      string                `json:"infohash"`
	Place         artifact.PlaceOptions `json:"place"`
	Tracker       string                `json:"tracker"`
	Token         daemon.Secret         `json:"token"`
	IP            string                `json:"ip"`
	PortRange     string                `json:"port_range"`
	SeedTime      int                   `json:"seed_time"`
	Timeout       int                   `json:"timeout"`
	StallTimeout  int                   `json:"stall_timeout"`
	DownloadLimit int64                 `json:"download_limit"`
	UploadLimit   int64                 `json:"upload_limit"`
	LogFile       string                `json:"log_file"`
	Profile       string                `json:"profile"`
	raw           []byte                // the .torrent
}

// Bulk is daemon.Bulky's.
func (c peerConfig) Bulk() [][]byte { return [][]byte{c.raw} }

func peerModule() ansible.Module {
	var o peerOptions
	s := ansible.NewSpec("murder_peer", "download a torrent's artifact, put it in place, and seed it to the other peers")
	o.common.declare(s, "present", "started", "stopped", "absent", "rolledback")
	s.Path(&o.torrent, "torrent", "", "path of the .torrent on this host")
	s.String(&o.torrentContent, "torrent_content", "", "the .torrent itself in base64")
	s.String(&o.infohash, "infohash", "", "infohash of a torrent whose .torrent the tracker has got from the seeder")
	s.Path(&o.place.Dest, "dest", "", "where the artifact shall be").Required()
	o.reach.declare(s)
	s.Int(&o.seedTime, "seed_time", 30, "seconds to go on seeding once the artifact is in place").Range(0, 1<<31)
	s.Int(&o.timeout, "timeout", 3600, "seconds that the download may take").Range(1, 1<<31)
	s.Int(&o.stallTimeout, "stall_timeout", 120, "seconds without new data after which the download fails").Range(1, 1<<31)
	s.Size(&o.downloadLimit, "download_limit", 0, "bytes a second, 64K or more; 0 means no limit")
	s.Size(&o.uploadLimit, "upload_limit", 0, "bytes a second, 64K or more; 0 means no limit")
	o.declarePlace(s)
	s.Bool(&o.place.Unpack, "unpack", false, "the artifact is an archive (tar, tar.gz, tar.zst, zip), and dest the directory that its content becomes")
	s.Bool(&o.place.UnpackDevices, "unpack_devices", false, "make the devices and named pipes that the archive holds, instead of refusing it")
	s.String(&o.tracker, "tracker", "", "tracker to use instead of the torrent's own")
	s.Choice(&o.verify, "verify", quick, "how to find out whether the artifact is in place already", quick, full)
	s.Paths(&o.place.Reuse, "reuse", "files and directories of this host that may hold parts of the artifact")
	s.MutuallyExclusive("torrent", "torrent_content", "infohash")
	for _, state := range []string{"present", "started"} {
		s.RequiredOneOfIf("state", state, "torrent", "torrent_content", "infohash")
	}
	return ansible.Module{Spec: s, Run: againIfRunning(o.run)}
}

func (o *peerOptions) run(ctx context.Context, call ansible.Call) (ansible.Result, error) {
	if err := errors.Join(o.common.check(), o.reach.check(), o.checkPlace(),
		checkLimit("download_limit", o.downloadLimit), checkLimit("upload_limit", o.uploadLimit)); err != nil {
		return ansible.Result{}, err
	}
	dir, err := o.dir()
	if err != nil {
		return ansible.Result{}, err
	}
	inst, err := peerInstance(dir, o.place.Dest)
	if err != nil {
		return ansible.Result{}, err
	}
	switch o.state {
	case "stopped":
		return stop(ctx, call, inst, map[string]any{"dest": o.place.Dest, "port": 0})
	case "absent":
		return o.forget(ctx, call, inst, dir)
	case "rolledback":
		return o.rollBack(ctx, call, inst)
	}
	t, err := o.load(ctx)
	if err != nil {
		return ansible.Result{}, err
	}
	o.place.StateDir = dir
	cfg, err := o.config(t)
	if err != nil {
		return ansible.Result{}, err
	}
	d := &delivery{
		call: call, torrent: t, cfg: cfg, inst: inst, wait: o.state == "present", force: o.force, verify: o.verify,
		records: artifact.OpenRecords(dir), counts: o.infohash != "",
	}
	return d.run(ctx)
}

// peerInstance is the daemon that delivers to dest, whatever torrent.
func peerInstance(stateDir, dest string) (*daemon.Instance, error) {
	abs, err := filepath.Abs(dest)
	if err != nil {
		return nil, fmt.Errorf("Option dest: %w", err)
	}
	return daemon.Open(stateDir, "peer", abs), nil
}

// load reads and validates the torrent.
func (o *peerOptions) load(ctx context.Context) (*artifact.Torrent, error) {
	if o.torrent != "" {
		return artifact.Load(o.torrent)
	}
	if o.infohash != "" {
		return o.fetch(ctx)
	}
	content := strings.Join(strings.Fields(o.torrentContent), "")
	raw, err := base64.StdEncoding.DecodeString(content)
	if err != nil {
		return nil, fmt.Errorf("Option torrent_content is not base64 (%w); give what murder_seed returns as torrent_content", err)
	}
	t, err := artifact.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("Option torrent_content: %w", err)
	}
	return t, nil
}

func (o *peerOptions) config(t *artifact.Torrent) (peerConfig, error) {
	tracker := o.tracker
	if tracker == "" {
		tracker = t.Announce
	}
	if tracker == "" {
		return peerConfig{}, fmt.Errorf("Torrent of %s names no tracker; set the option tracker", t.Name)
	}
	if _, err := announce.New(tracker, o.token, netip.Addr{}); err != nil {
		return peerConfig{}, err
	}
	place := o.place
	for i, path := range place.Reuse {
		if !filepath.IsAbs(path) {
			return peerConfig{}, fmt.Errorf("Option reuse names %q; give absolute paths of this host", path)
		}
		place.Reuse[i] = filepath.Clean(path)
	}
	if !filepath.IsAbs(place.Dest) {
		wd, err := os.Getwd()
		if err != nil {
			return peerConfig{}, fmt.Errorf("Option dest is relative and there is no current directory: %w", err)
		}
		place.Dest = wd + "/" + place.Dest // not Join: a slash at the end has a meaning
	}
	return peerConfig{
		Infohash: hex.EncodeToString(t.Infohash[:]), Place: place, Tracker: tracker, Token: daemon.Secret(o.token),
		IP: o.ip, PortRange: o.portRange, SeedTime: o.seedTime, Timeout: o.timeout, StallTimeout: o.stallTimeout,
		DownloadLimit: o.downloadLimit, UploadLimit: o.uploadLimit, LogFile: o.logFile, Profile: o.profile, raw: t.Raw,
	}, nil
}

// forget is state: absent. It ends the daemon and removes what is known and half done, and never
// touches the artifact.
func (o *peerOptions) forget(ctx context.Context, call ansible.Call, inst *daemon.Instance, dir string) (ansible.Result, error) {
	_, left := os.Lstat(inst.Dir()) // stopping removes it
	res, err := stop(ctx, call, inst, map[string]any{"dest": o.place.Dest, "port": 0})
	if err != nil {
		return res, err
	}
	before := "stopped"
	if res.Changed {
		before = "started"
	}
	res.Values["state"] = "absent"
	unfinished, err := artifact.Forget(ctx, o.place.Dest, o.place.PartialDir, call.Check)
	if errors.Is(err, artifact.ErrLeft) {
		res.Warnings = append(res.Warnings, err.Error())
	} else if err != nil {
		return res, err
	}
	unpacked, err := artifact.ForgetUnpacked(dir, o.place.Dest, call.Check)
	if err != nil {
		return res, err
	}
	known, err := artifact.OpenRecords(dir).Forget(o.place.Dest, call.Check)
	if err != nil {
		return res, err
	}
	res.Changed = res.Changed || unfinished+known > 0 || unpacked || left == nil
	show(call, &res, map[string]any{"state": before}, map[string]any{"state": "absent"})
	if call.Check {
		return res, nil
	}
	return res, inst.Remove()
}
