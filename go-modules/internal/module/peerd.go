package module

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
	"corvus.murder/internal/swarm"
)

// The states of a peer's daemon.
const (
	checking    = "checking" // what an earlier run has left, and other files of this host
	downloading = "downloading"
	placing     = "placing"
	seeding     = "seeding"
)

// peerStatus is what the daemon tells on its status socket.
type peerStatus struct {
	State     string      `json:"state"`
	Infohash  string      `json:"infohash"`
	Name      string      `json:"name"`
	Dest      string      `json:"dest"`
	Size      int64       `json:"size"`
	Port      int         `json:"port"`
	Checked   int64       `json:"checked"`   // bytes looked for on this host
	Collected bool        `json:"collected"` // somebody has got the result
	Stats     swarm.Stats `json:"stats"`
	Result    *peerResult `json:"result,omitempty"` // once the artifact is in place
}

// peerResult is the outcome of a download.
type peerResult struct {
	Infohash       string        `json:"infohash"`
	Dest           artifact.Path `json:"dest"`
	Place          artifact.Path `json:"place"`   // of the artifact itself, with keep the release that dest leads to
	Elapsed        float64       `json:"elapsed"` // seconds from the daemon's start until the artifact was in place
	BytesFromSeed  int64         `json:"bytes_from_seed"`
	BytesFromPeers int64         `json:"bytes_from_peers"`
	BytesReused    int64         `json:"bytes_reused"`
	Port           int           `json:"port"`
	Files          int           `json:"files"` // that were unpacked, and their bytes
	UnpackedSize   int64         `json:"unpacked_size"`

	BackupFile string   `json:"backup_file,omitempty"`
	Release    string   `json:"release,omitempty"` // and Releases: with keep
	Releases   []string `json:"releases,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`
}

func (r *peerResult) fill(values map[string]any) {
	values["dest"], values["elapsed"], values["port"] = string(r.Dest), r.Elapsed, r.Port
	values["bytes_from_seed"], values["bytes_from_peers"] = r.BytesFromSeed, r.BytesFromPeers
	values["bytes_reused"] = r.BytesReused
	if r.BackupFile != "" {
		values["backup_file"] = r.BackupFile
	}
	if r.Release != "" {
		values["release"], values["releases"] = r.Release, r.Releases
	}
	if values["unpacked"] != nil {
		addUnpacked(values, r.Files, r.UnpackedSize)
	}
}

// peer is the work of one daemon of murder_peer.
type peer struct {
	process *daemon.Process
	cfg     peerConfig
	torrent *artifact.Torrent
	plan    *artifact.Plan
	store   *artifact.Store
	swarm   *swarm.Swarm
	port    int
	began   time.Time
	state   atomic.Value // string
	result  atomic.Pointer[peerResult]
	checked atomic.Int64
	keep    bool // the staging holds pieces from before the swarm

	unpacked <-chan error // says once how unpacking went; nil without
	workers  sync.WaitGroup
}

// runPeer is the daemon of murder_peer.
func runPeer(ctx context.Context, p *daemon.Process) error {
	d := &peer{process: p, began: time.Now()}
	if err := p.Config(&d.cfg); err != nil {
		return err
	}
	end, err := profiled(p, d.cfg.Profile)
	if err != nil {
		return err
	}
	defer end()
	if d.torrent, err = artifact.Parse(p.Bulk(0)); err != nil {
		return err
	}
	d.torrent.DropRaw()
	if d.plan, err = artifact.NewPlan(d.torrent, d.cfg.Place); err != nil {
		return err
	}
	var resumed bool
	if d.store, resumed, err = d.plan.OpenStaging(ctx); err != nil {
		return err
	}
	defer func() { _ = d.store.Close() }()
	err = d.deliver(ctx, resumed)
	return errors.Join(err, d.tidy(err))
}

// deliver downloads, places, and goes on seeding.
func (d *peer) deliver(ctx context.Context, resumed bool) error {
	where := reach{ip: d.cfg.IP, portRange: d.cfg.PortRange}
	client, err := announce.New(d.cfg.Tracker, string(d.cfg.Token), where.local())
	if err != nil {
		return err
	}
	ln, err := where.listen(ctx)
	if err != nil {
		return err
	}
	d.port = port(ln)
	d.state.Store(checking) // first: the status tells it
	d.process.SetStatus(d.status)
	d.process.Ready()
	boundMemory()
	have, err := d.inventory(ctx, resumed)
	if err != nil {
		_ = ln.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer d.workers.Wait()
	defer cancel()
	d.swarm, err = swarm.New(swarm.Config{
		Torrent: d.torrent, Store: d.unpack(ctx, have), Have: have, Announcer: client, Listener: ln,
		Local: where.local(), IP: d.cfg.IP, UploadLimit: d.cfg.UploadLimit, DownloadLimit: d.cfg.DownloadLimit,
		StallTimeout: time.Duration(d.cfg.StallTimeout) * time.Second, Log: d.process.Log,
	})
	if err != nil {
		_ = ln.Close()
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- d.swarm.Run(ctx) }()
	err = d.follow(ctx, ended)
	cancel()
	return errors.Join(err, <-ended)
}

// follow waits for the swarm to be complete, then places the artifact, then waits for seed_time.
func (d *peer) follow(ctx context.Context, ended chan error) error {
	d.state.Store(downloading)
	if done, err := d.arrive(ended); !done {
		return err
	}
	result, err := d.place(ctx)
	if err != nil {
		return err
	}
	d.result.Store(&result)
	d.process.SetResult(result)
	d.state.Store(seeding)
	timer := time.NewTimer(time.Duration(d.cfg.SeedTime) * time.Second)
	defer timer.Stop()
	select {
	case err := <-ended:
		ended <- nil
		return err
	case <-timer.C:
	case <-d.swarm.Finished():
	}
	return nil
}

func (d *peer) status() any {
	s := peerStatus{
		Infohash: d.cfg.Infohash, Name: d.torrent.Name, Dest: d.plan.Target(), Size: d.torrent.Size, Port: d.port,
		State: d.state.Load().(string), Checked: d.checked.Load(), Collected: d.process.Collected(),
		Result: d.result.Load(),
	}
	if s.State != checking {
		s.Stats = d.swarm.Stats()
	}
	return s
}

// tidy decides what becomes of a staged artifact that was not placed: with pieces in it, it is worth
// keeping for the next run, unless it fills the disk, is not what was wanted, or is an archive that nobody can unpack.
func (d *peer) tidy(err error) error {
	have := d.keep || d.swarm != nil && d.swarm.Stats().BytesHave > 0
	useless := errors.Is(err, artifact.ErrNoSpace) || errors.Is(err, artifact.ErrChecksum) || errors.Is(err, artifact.ErrArchive)
	if have && !useless {
		return d.plan.Release()
	}
	return d.plan.Discard()
}
