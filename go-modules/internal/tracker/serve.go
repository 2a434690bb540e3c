package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	writeTimeout    = 20 * time.Second
	keepAlive       = 30 * time.Second
	maxHeader       = 16 << 10
	shutdownTimeout = 5 * time.Second
	saveInterval    = 3 * time.Second
	// firstSeeder is how long an idle tracker waits for its first torrent, or that of a deploy that has joined: 2 TB take a seeder as long to hash.
	firstSeeder = time.Hour
)

// Serve answers on ln until ctx ends or nobody announced for Config.IdleTimeout, finishes
// the requests that are under way (5 s at most), saves the peers and returns nil. It closes ln.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       keepAlive,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.mu.Lock()
	s.active = s.now()
	s.mu.Unlock()
	s.log.Info("tracker serves", "address", ln.Addr().String(), "torrents", len(s.Status().Torrents))

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	err := s.keepHouse(ctx, failed)
	if err == nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(bounded); err != nil {
			s.log.Warn("tracker cuts requests that did not end", "waited", shutdownTimeout, "error", err)
			_ = server.Close() // the listener is closed already, and what else could fail is being cut
		}
		<-failed
	}
	return errors.Join(err, s.savePeers())
}

// keepHouse does what time makes necessary until the tracker shall end: nil means that it may.
func (s *Server) keepHouse(ctx context.Context, failed <-chan error) error {
	ticker := time.NewTicker(s.period)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.log.Info("tracker ends", "reason", context.Cause(ctx))
			return nil
		case err := <-failed:
			return fmt.Errorf("serve announces: %w", err)
		case <-ticker.C:
			if s.expire() {
				s.log.Info("tracker ends", "reason", fmt.Sprintf("no announce came for %v", s.cfg.IdleTimeout))
				return nil
			}
			if err := s.saveIfDue(); err != nil {
				s.log.Error("tracker cannot save its peers; they would be lost in a restart", "error", err)
			}
		}
	}
}

// expire drops peers that fell silent and reports whether the tracker itself has had nothing to do for too long.
func (s *Server) expire() (idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for infohash, t := range s.torrents {
		if n := t.swarm.expire(now); n > 0 {
			s.dirty = true
			s.log.Info("peers fell silent", "infohash", fmt.Sprintf("%x", infohash), "peers", n)
		}
	}
	timeout := s.cfg.IdleTimeout
	if len(s.torrents) == 0 || s.awaits() { // a seeder may still be hashing its source
		timeout = max(timeout, firstSeeder)
	}
	return s.cfg.IdleTimeout > 0 && now.Sub(s.active) >= timeout
}

func (s *Server) saveIfDue() error {
	s.mu.Lock()
	due := s.dirty && s.now().Sub(s.saved) >= saveInterval
	s.mu.Unlock()
	if !due {
		return nil
	}
	return s.savePeers()
}
