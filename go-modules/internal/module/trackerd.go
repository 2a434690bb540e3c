package module

import (
	"context"
	"path/filepath"
	"strconv"
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
		// Beside the daemon's own directory, which does not outlive a crash: the state does.
		StateDir: filepath.Join(cfg.StateDir, "tracker-"+strconv.Itoa(cfg.Port)+".torrents"),
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
	p.SetStatus(func() any { return server.Status() })
	p.Ready()
	if err := server.Serve(ctx, ln); err != nil {
		return err
	}
	if p.Stopped() || server.Idle() {
		return server.Forget()
	}
	return nil
}
