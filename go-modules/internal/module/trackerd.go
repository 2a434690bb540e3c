package module

import (
	"context"
	"path/filepath"
	"time"

	"corvus.murder/internal/daemon"
	"corvus.murder/internal/tracker"
)

// runTracker is the daemon of murder_tracker.
func runTracker(ctx context.Context, p *daemon.Process) error {
	var cfg trackerConfig
	if err := p.Config(&cfg); err != nil {
		return err
	}
	end, err := profiled(p, cfg.Profile)
	if err != nil {
		return err
	}
	defer end()
	tc := tracker.Config{
		Listen: cfg.Listen, Port: cfg.Port, Allow: cfg.Allow, Token: string(cfg.Token), Expect: cfg.Expect,
		IdleTimeout: time.Duration(cfg.IdleTimeout) * time.Second,
		StateDir:    filepath.Join(p.Dir, "torrents"), // it outlives a crash, and goes with the daemon's own directory
	}
	ln, err := tracker.Listen(ctx, tc)
	if err != nil {
		return err
	}
	server, err := tracker.New(tc, p.Log)
	if err != nil {
		_ = ln.Close()
		return err
	}
	server.Join(cfg.Deploy, cfg.Expect)
	heed(p, func(n news) { server.Join(n.Deploy, n.Expect) }, func(n news) string { return server.Leave(n.Deploy, n.Infohash, n.Look) })
	p.SetStatus(func() any { return server.Status() })
	p.Ready()
	return server.Serve(ctx, ln)
}
