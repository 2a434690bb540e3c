package module

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
	"corvus.murder/internal/swarm"
	"corvus.murder/internal/tracker"
)

const withdrawBound = 5 * time.Second

// runSeed is the daemon of murder_seed.
func runSeed(ctx context.Context, p *daemon.Process) error {
	var cfg seedConfig
	if err := p.Config(&cfg); err != nil {
		return err
	}
	users := tracker.Deploys{}
	users.Add(cfg.Deploy)
	heed(p, func(n news) { users.Add(n.Deploy) }, func(n news) string {
		if !n.Look {
			delete(users, n.Deploy)
		}
		return users.Other(n.Deploy)
	})
	end, err := profiled(p, cfg.Profile)
	if err != nil {
		return err
	}
	defer end()
	t, err := artifact.Parse(p.Bulk(0))
	if err != nil {
		return err
	}
	origin, err := artifact.DecodeSource(p.Bulk(1), t)
	if err != nil {
		return err
	}
	store, err := origin.Open()
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	where := reach{ip: cfg.IP, portRange: cfg.PortRange}
	client, err := announce.New(cfg.Tracker, string(cfg.Token), where.local())
	if err != nil {
		return err
	}
	if err := register(ctx, client, t); err != nil {
		return err
	}
	t.DropRaw()
	boundMemory()
	ln, err := where.listen(ctx)
	if err != nil {
		return err
	}
	source := &watchedSource{store: store, changed: make(chan error, 1)}
	s, err := swarm.New(swarm.Config{
		Torrent: t, Store: source, Have: all(t.NumPieces()), Announcer: client, Listener: ln,
		Local: where.local(), IP: cfg.IP, Seeder: true, UploadLimit: cfg.UploadLimit, Log: p.Log,
	})
	if err != nil {
		return err
	}
	p.SetStatus(func() any {
		return seedStatus{State: seeding, Infohash: cfg.Infohash, Name: t.Name, Size: t.Size, Port: port(ln), Stats: s.Stats()}
	})
	p.ExpireAfter(time.Duration(cfg.IdleTimeout) * time.Second)
	return serve(ctx, p, s, client, t, source)
}

// seedStatus is what the daemon tells on its status socket.
type seedStatus struct {
	State    string      `json:"state"`
	Infohash string      `json:"infohash"`
	Name     string      `json:"name"`
	Size     int64       `json:"size"`
	Port     int         `json:"port"`
	Stats    swarm.Stats `json:"stats"`
}

// register makes the torrent known to our tracker, and leaves the .torrent there for the peers; a foreign tracker needs no registration.
func register(ctx context.Context, client *announce.Client, t *artifact.Torrent) error {
	err := client.Register(ctx, announce.Torrent{
		Infohash: t.Infohash, Name: t.Name, Size: t.Size, PieceLength: t.PieceLength, Pieces: int64(t.NumPieces()),
	})
	if errors.Is(err, announce.ErrNoRegistration) {
		return nil
	}
	if err != nil {
		return err
	}
	return client.Deposit(ctx, t.Infohash, t.Raw)
}

// serve runs the swarm until it is stopped, is not needed any more, or the source changes.
func serve(ctx context.Context, p *daemon.Process, s *swarm.Swarm, client *announce.Client, t *artifact.Torrent,
	source *watchedSource,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	announced := s.Announced()
	for {
		select {
		case err := <-ended:
			return err
		case <-announced:
			announced = nil
			p.Ready()
		case err := <-source.changed:
			withdraw(p, client, t, err)
			cancel()
			return errors.Join(err, <-ended)
		case <-tick.C:
			if len(s.Stats().Peers) > 0 {
				p.Active()
			}
		}
	}
}

// withdraw makes the tracker tell every peer why the torrent cannot be finished.
func withdraw(p *daemon.Process, client *announce.Client, t *artifact.Torrent, why error) {
	p.Log.Error("the torrent is withdrawn", "infohash", hex.EncodeToString(t.Infohash[:]), "err", why)
	ctx, cancel := context.WithTimeout(context.Background(), withdrawBound)
	defer cancel()
	if err := client.Withdraw(ctx, t.Infohash, why.Error()); err != nil {
		p.Log.Warn("the tracker did not hear that the torrent is withdrawn", "err", err)
	}
}

// watchedSource is the seeder's store: it reads the source, and tells the daemon when that is no longer what was hashed.
type watchedSource struct {
	store   *artifact.Store
	changed chan error
}

// ReadAt is io.ReaderAt's.
func (w *watchedSource) ReadAt(b []byte, off int64) (int, error) {
	n, err := w.store.ReadAt(b, off)
	return n, w.report(err)
}

// Segments lets the swarm have the kernel send the files. A change that is noticed only after they
// were sent does no harm: every piece is verified where it arrives.
func (w *watchedSource) Segments(off, n int64) iter.Seq2[artifact.Segment, error] {
	return func(yield func(artifact.Segment, error) bool) {
		for segment, err := range w.store.Segments(off, n) {
			if !yield(segment, w.report(err)) {
				return
			}
		}
	}
}

// report tells the daemon why reading failed.
func (w *watchedSource) report(err error) error {
	if err != nil {
		select {
		case w.changed <- err:
		default: // the first reason is enough
		}
	}
	return err
}

// WriteAt refuses: a seeder has everything.
func (w *watchedSource) WriteAt([]byte, int64) (int, error) {
	return 0, fmt.Errorf("write to the source: %w", errors.ErrUnsupported)
}

// all returns a have list of n pieces.
func all(n int) []bool {
	have := make([]bool, n)
	for i := range have {
		have[i] = true
	}
	return have
}
