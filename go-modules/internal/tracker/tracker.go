// Package tracker is an HTTP tracker of BitTorrent: announce (BEP 3, 7 and 23), scrape (BEP 48),
// registration of torrents by their seeders, whose .torrent it keeps for the peers (metainfo.go), a status
// page. Peers of torrents that nobody registered are refused. One announce goes through parse.go (what was asked), decide.go (may it, and which peers
// does it get; choose.go), swarm.go (what is remembered) and reply.go (the answer on the wire).
//
// It imports internal/announce, which holds the types of the wire, and no other internal package.
package tracker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Config is what an operator decides about a tracker.
type Config struct {
	// Listen and Port are where Listen accepts connections; Port 0 takes any that is free.
	Listen string
	Port   int
	// StateDir is where registrations and peers survive a restart; it is made when it does not exist.
	// Empty means that they do not survive.
	StateDir string
	// Allow are the networks that may ask anything, judged by the source of the connection; empty means all.
	Allow []netip.Prefix
	// Token, when set, must come with every announce, registration and withdrawal: as bearer token or as
	// parameter "token" of the query.
	Token string
	// IdleTimeout ends Serve after so long without an accepted announce or registration; 0 means never.
	// A tracker that has no torrent yet waits an hour for one, however short the timeout.
	IdleTimeout time.Duration
	// Expect is how many peers will come, 0 when unknown, as long as Join says nothing else. When so many have completed, the
	// tracker tells the others that nobody needs them any more.
	Expect int
}

// Validate joins every fault of the configuration.
func (c Config) Validate() error {
	var faults []error
	if c.Port < 0 || c.Port > 65535 {
		faults = append(faults, fmt.Errorf("Port is %d; it must be 0 to 65535", c.Port))
	}
	if c.IdleTimeout < 0 {
		faults = append(faults, fmt.Errorf("Idle timeout is %v; it must not be negative", c.IdleTimeout))
	}
	if c.Expect < 0 {
		faults = append(faults, fmt.Errorf("Number of expected peers is %d; it must not be negative", c.Expect))
	}
	for _, prefix := range c.Allow {
		if !prefix.IsValid() {
			faults = append(faults, errors.New("Allowed network is not valid; write it as 10.0.0.0/8 or 2001:db8::/32"))
		}
	}
	return errors.Join(faults...)
}

// Listen opens the tracker's port.
func Listen(ctx context.Context, c Config) (net.Listener, error) {
	address := net.JoinHostPort(c.Listen, strconv.Itoa(c.Port))
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("Port %d on %s is taken by another program; stop that or choose another port", c.Port, c.Listen)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, c.notOurs()
	case err != nil:
		return nil, fmt.Errorf("Tracker cannot listen on %s (%w); choose another address or port", address, err)
	}
	return ln, nil
}

func (c Config) notOurs() error {
	return fmt.Errorf("Address %s does not belong to this host; choose one of its own or 0.0.0.0", c.Listen)
}

// Listenable says what Listen would say of an address of another host. It sends no packet and opens no port.
func (c Config) Listenable() error {
	from := net.UDPAddr{IP: net.ParseIP(c.Listen)}
	to := net.UDPAddr{IP: from.IP, Port: 9}
	conn, err := net.DialUDP("udp", &from, &to)
	if err == nil {
		_ = conn.Close()
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		return c.notOurs()
	}
	return nil
}

// limits bound what others can make the tracker hold.
type limits struct {
	torrents int
	peers    int // of one torrent
}

// Server is one tracker. Its methods are safe for concurrent use.
type Server struct {
	cfg    Config
	log    *slog.Logger
	limits limits
	now    func() time.Time
	period time.Duration // of housekeeping

	mu        sync.Mutex // owns everything below
	rng       *rand.Rand
	torrents  map[[20]byte]*torrent
	deploys   Deploys // that use the tracker
	expect    int     // peers of what is registered next
	started   time.Time
	active    time.Time // last accepted announce or registration
	announces int64
	dirty     bool // peers changed since they were saved
	saved     time.Time
}

// New makes a tracker and loads what its state directory holds. State that is damaged is set aside
// with a line in the log; a directory that cannot be used is an error.
func New(cfg Config, log *slog.Logger) (*Server, error) {
	s := newServer(cfg, log, time.Now)
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(cfg Config, log *slog.Logger, now func() time.Time) *Server {
	return &Server{
		cfg:      cfg,
		log:      log,
		limits:   limits{torrents: 1000, peers: 20000},
		now:      now,
		period:   time.Second,
		rng:      rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		torrents: map[[20]byte]*torrent{},
		deploys:  Deploys{},
		expect:   cfg.Expect,
		started:  now(),
		active:   now(),
		saved:    now(),
	}
}
