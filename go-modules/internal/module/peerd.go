package module

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
	"corvus.murder/internal/swarm"
)

// The states of a peer's daemon.
const (
	checking    = "checking" // what an earlier run has left
	downloading = "downloading"
	placing     = "placing"
	seeding     = "seeding"
)

// peerStatus is what the daemon tells on its status socket.
type peerStatus struct {
	State     string      `json:"state"`
	Infohash  string      `json:"infohash"`
	Dest      string      `json:"dest"`
	Size      int64       `json:"size"`
	Port      int         `json:"port"`
	Collected bool        `json:"collected"` // somebody has got the result
	Stats     swarm.Stats `json:"stats"`
}

// peerResult is the outcome of a download.
type peerResult struct {
	Infohash       string  `json:"infohash"`
	Dest           string  `json:"dest"`
	Elapsed        float64 `json:"elapsed"` // seconds from the daemon's start until the artifact was in place
	BytesFromSeed  int64   `json:"bytes_from_seed"`
	BytesFromPeers int64   `json:"bytes_from_peers"`
	BytesReused    int64   `json:"bytes_reused"`
	Port           int     `json:"port"`
}

func (r peerResult) fill(values map[string]any) {
	values["dest"], values["elapsed"], values["port"] = r.Dest, r.Elapsed, r.Port
	values["bytes_from_seed"], values["bytes_from_peers"] = r.BytesFromSeed, r.BytesFromPeers
	values["bytes_reused"] = r.BytesReused
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
}

// runPeer is the daemon of murder_peer.
func runPeer(ctx context.Context, p *daemon.Process) error {
	d := &peer{process: p, began: time.Now()}
	if err := p.Config(&d.cfg); err != nil {
		return err
	}
	var err error
	if d.torrent, err = artifact.Parse(d.cfg.Raw); err != nil {
		return err
	}
	if d.plan, err = artifact.NewPlan(d.torrent, d.cfg.Place); err != nil {
		return err
	}
	var resumed bool
	if d.store, resumed, err = d.plan.OpenStaging(); err != nil {
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
	d.process.SetStatus(d.status)
	d.state.Store(checking)
	d.process.Ready()
	have := make([]bool, d.torrent.NumPieces())
	if resumed {
		if have, err = artifact.Verify(ctx, d.torrent, d.store, runtime.GOMAXPROCS(0)); err != nil {
			_ = ln.Close()
			return err
		}
	}
	if err := d.store.FillHoles(have); err != nil {
		_ = ln.Close()
		return err
	}
	d.swarm, err = swarm.New(swarm.Config{
		Torrent: d.torrent, Store: d.store, Have: have, Announcer: client, Listener: ln,
		Local: where.local(), IP: d.cfg.IP, UploadLimit: d.cfg.UploadLimit, DownloadLimit: d.cfg.DownloadLimit,
		StallTimeout: time.Duration(d.cfg.StallTimeout) * time.Second, Log: d.process.Log,
	})
	if err != nil {
		_ = ln.Close()
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.swarm.Run(ctx) }()
	err = d.follow(ctx, ended)
	cancel()
	return errors.Join(err, <-ended)
}

// follow waits for the swarm to be complete, then places the artifact, then waits for seed_time.
func (d *peer) follow(ctx context.Context, ended chan error) error {
	d.state.Store(downloading)
	timeout := time.Duration(d.cfg.Timeout) * time.Second
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-d.swarm.Done():
	case err := <-ended:
		ended <- nil
		return err
	case <-timer.C:
		st := d.swarm.Stats()
		return fmt.Errorf("Download of %s did not finish within timeout %s: %d of %d bytes came, %d peers are connected; raise timeout, or look at the tracker's status page for who is slow",
			d.torrent.Name, timeout, st.BytesHave, d.torrent.Size, len(st.Peers))
	}
	d.state.Store(placing)
	if err := d.plan.Place(ctx); err != nil {
		return err
	}
	st := d.swarm.Stats()
	d.process.SetResult(peerResult{
		Infohash: d.cfg.Infohash, Dest: d.plan.Dest, Elapsed: round(time.Since(d.began)),
		BytesFromSeed: st.BytesFromSeed, BytesFromPeers: st.BytesFromPeers, BytesReused: st.BytesReused, Port: d.port,
	})
	d.state.Store(seeding)
	timer.Reset(time.Duration(d.cfg.SeedTime) * time.Second)
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
		Infohash: d.cfg.Infohash, Dest: d.plan.Dest, Size: d.torrent.Size, Port: d.port,
		State: d.state.Load().(string), Collected: d.process.Collected(),
	}
	if s.State != checking {
		s.Stats = d.swarm.Stats()
	}
	return s
}

// tidy decides what becomes of a staged artifact that was not placed: with pieces in it, it is worth
// keeping for the next run, unless it fills the disk.
func (d *peer) tidy(err error) error {
	if d.swarm != nil && d.swarm.Stats().BytesHave > 0 && !errors.Is(err, artifact.ErrNoSpace) {
		return d.plan.Release()
	}
	return d.plan.Discard()
}
