// Package swarm runs one torrent's life: its connections, its wire protocol, its requests and what
// it serves (BEP 3, 6, 10, 23, 27).
//
// One goroutine, in Run, owns the state; everything else (readers, writers, dialers, hashers, the
// announcer) sends it events. What to ask of whom is decided by package policy. It may import
// policy, artifact and announce.
package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anacrolix/chansync"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
	"corvus.murder/internal/policy"
)

// BlockSize is the unit of requests in bytes (BEP 3: what every client accepts).
const BlockSize = 16 << 10

const (
	tickEvery  = 250 * time.Millisecond
	pausedFor  = 3 * tickEvery // since the last tick means that this process had no time
	openMemory = 24 << 20      // bytes of pieces that are begun and not yet verified
	// maxRequest is the longest request served, and made to peers of this program, in bytes. Foreign
	// clients are asked for single blocks.
	maxRequest = 128 << 10
)

// Announcer tells a tracker about this peer; *announce.Client is one.
type Announcer interface {
	// URL names the tracker in messages.
	URL() string
	Announce(context.Context, announce.Request) (announce.Response, error)
}

// Store holds the torrent's byte stream; *artifact.Store is one. It must be safe for concurrent use.
type Store interface {
	io.ReaderAt
	io.WriterAt
}

// Config is what a swarm needs to know. Torrent, Store, Announcer, Listener and Log are required.
type Config struct {
	Torrent   *artifact.Torrent
	Store     Store
	Have      []bool // pieces that the store holds already, verified by the caller
	Announcer Announcer
	Listener  net.Listener // where other peers connect; closed by Run
	// Local is the source address of outgoing connections; the zero Addr leaves it to the system.
	Local netip.Addr
	// IP is announced to the tracker; empty means that the tracker takes the address it sees.
	IP string
	// Seeder marks the origin of the artifact, so that its peers can tell whose bytes they got.
	Seeder bool
	// UploadLimit and DownloadLimit are bytes of the artifact a second; 0 means no limit.
	UploadLimit, DownloadLimit int64
	// StallTimeout ends a download that got no new data for so long; 0 means never.
	StallTimeout time.Duration
	Log          *slog.Logger
}

// Swarm is one torrent in work. Make one with New, then call Run once.
type Swarm struct {
	cfg    Config
	peerID [20]byte
	picker *policy.Picker
	began  time.Time

	conns      map[policy.PeerID]*conn
	nextID     policy.PeerID
	candidates map[netip.AddrPort]*candidate
	dialing    int
	banned     map[[20]byte]bool       // peers that sent damaged data, by peer id
	own        map[netip.AddrPort]bool // addresses that lead to ourselves
	buffers    map[int][]byte          // pieces being received
	free       [][]byte
	writes     int       // pieces written until now
	written    []int     // which of these writes each piece was, from 1 on
	lastNew    time.Time // when the last missing block came
	ticked     time.Time // when the last tick was
	tracker    trackerState
	place      place
	uplink     uplink
	balance    balance // if we are the origin
	totals     Stats

	joined    chan *conn
	events    chan event
	dialled   chan dialResult
	toVerify  chan verifyJob
	verified  chan verifyResult
	toTrack   chan announce.Request
	announced chan announceResult
	workers   sync.WaitGroup

	done     chansync.SetOnce // every piece is verified
	up       chansync.SetOnce // the tracker answered for the first time
	finished chansync.SetOnce // so has everybody else, as the tracker says
	stats    atomic.Pointer[Stats]
	upload   *throttle
	download *throttle
}

// New prepares a swarm. Nothing runs and nothing is sent before Run.
func New(cfg Config) (*Swarm, error) {
	t := cfg.Torrent
	if t == nil || cfg.Store == nil || cfg.Announcer == nil || cfg.Listener == nil || cfg.Log == nil {
		return nil, errors.New("new swarm: torrent, store, announcer, listener and log are required")
	}
	s := &Swarm{
		cfg:        cfg,
		conns:      make(map[policy.PeerID]*conn),
		candidates: make(map[netip.AddrPort]*candidate),
		banned:     make(map[[20]byte]bool),
		own:        make(map[netip.AddrPort]bool),
		buffers:    make(map[int][]byte),
		written:    make([]int, t.NumPieces()),
		balance:    balance{most: leadMost * t.PieceLength},
		place:      place{rank: announce.NoRank, byRank: make(map[int]*conn)},
		joined:     make(chan *conn),
		events:     make(chan event, 32),
		dialled:    make(chan dialResult),
		verified:   make(chan verifyResult, 16),
		toTrack:    make(chan announce.Request, 1),
		announced:  make(chan announceResult, 1),
		upload:     newThrottle(cfg.UploadLimit),
		download:   newThrottle(cfg.DownloadLimit),
	}
	copy(s.peerID[:], "-MU0100-")
	if _, err := rand.Read(s.peerID[8:]); err != nil {
		return nil, fmt.Errorf("make peer id: %w", err)
	}
	maxOpen := max(2, int(openMemory/max(1, t.PieceLength)))
	s.toVerify = make(chan verifyJob, maxOpen)
	s.picker = policy.New(policy.Config{
		Pieces:  t.NumPieces(),
		Blocks:  func(i int) int { return int((t.PieceSize(i) + BlockSize - 1) / BlockSize) },
		Have:    cfg.Have,
		MaxOpen: maxOpen,
		Rand:    mrand.New(mrand.NewPCG(mrand.Uint64(), mrand.Uint64())),
	})
	if s.picker.Missing() == 0 {
		s.done.Set()
	}
	s.totals.BytesReused = s.bytesHave()
	s.publish()
	return s, nil
}

// Done is closed once every piece is verified and written.
func (s *Swarm) Done() <-chan struct{} { return s.done.Done() }

// Announced is closed once the tracker has accepted this peer.
func (s *Swarm) Announced() <-chan struct{} { return s.up.Done() }

// Finished is closed once the tracker says that every peer it expects is complete.
func (s *Swarm) Finished() <-chan struct{} { return s.finished.Done() }

// Stats is a snapshot, at most a tick old. It is safe to call from anywhere.
func (s *Swarm) Stats() Stats { return *s.stats.Load() }

// Run takes part in the swarm until ctx ends (it then returns nil, after telling the tracker) or
// something makes going on useless: the tracker refuses, nothing new comes for StallTimeout, the
// store fails. It waits for everything that it started.
func (s *Swarm) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	s.began, s.lastNew, s.ticked = time.Now(), time.Now(), time.Now()
	s.start(ctx)
	err := s.loop(ctx)
	cancel()
	_ = s.cfg.Listener.Close()
	for _, c := range s.conns {
		c.close()
	}
	s.workers.Wait()
	s.publish()
	s.farewell()
	return err
}

// start launches the goroutines that live as long as Run.
func (s *Swarm) start(ctx context.Context) {
	for range runtime.NumCPU() { // of which the scheduler may use one only, until there is more to do
		s.workers.Go(func() { s.verifier(ctx) })
	}
	s.workers.Go(func() { s.accepter(ctx) })
	s.workers.Go(func() { s.announcer(ctx) })
	s.announceNow(announce.Started)
}

// loop is the table of contents: everything that can happen to a torrent.
func (s *Swarm) loop(ctx context.Context) error {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case c := <-s.joined:
			s.join(ctx, c)
		case ev := <-s.events:
			s.handle(ev)
		case r := <-s.dialled:
			s.dialFailed(r)
		case r := <-s.verified:
			err = s.pieceVerified(r)
		case r := <-s.announced:
			err = s.handleAnnounce(ctx, r)
		case now := <-tick.C:
			err = s.tick(ctx, now)
		}
		if err != nil {
			return err
		}
	}
}

// tick does what is due by time.
func (s *Swarm) tick(ctx context.Context, now time.Time) error {
	s.adopt(now)
	if s.paused() {
		s.picker.Paused()
	}
	s.picker.Tick()
	s.stepAside()
	s.subscribe()
	for _, c := range s.conns {
		s.tickConn(c, now)
	}
	s.findSlow()
	s.keepBalance(now)
	s.dialMore(ctx, now)
	s.announceIfDue(now)
	s.publish()
	return s.stalled(now)
}

// paused tells whether this process had no time since the last tick: everything that came meanwhile is seen at once then.
func (s *Swarm) paused() bool {
	late := time.Since(s.ticked) > pausedFor
	s.ticked = time.Now()
	return late
}

// stalled tells when a download gets nowhere, and as far as it is known, why.
func (s *Swarm) stalled(now time.Time) error {
	quiet := now.Sub(s.lastNew)
	if s.cfg.StallTimeout == 0 || s.picker.Missing() == 0 || quiet < s.cfg.StallTimeout {
		return nil
	}
	why := fmt.Sprintf("%d peers are connected, %d of the missing pieces are with none of them",
		len(s.conns), s.picker.Unavailable())
	if len(s.conns) == 0 {
		why = fmt.Sprintf("no peer is connected, %d addresses are known; check that the seeder runs and that the port range is open between the hosts", len(s.candidates))
	}
	if n := s.totals.BytesDamaged; n > 0 {
		why += fmt.Sprintf("; %d bytes came damaged, %d peers are banned for it", n, len(s.banned))
	}
	switch err := s.tracker.err; {
	case err != nil:
		why += "; the tracker: " + err.Error()
	case !s.tracker.answered:
		why = fmt.Sprintf("the tracker %s has not answered; check that it runs and that its port is open to this host", s.cfg.Announcer.URL())
	}
	return fmt.Errorf("No new data of %s for %s: %d of %d pieces are missing; %s",
		s.cfg.Torrent.Name, quiet.Round(time.Second), s.picker.Missing(), s.cfg.Torrent.NumPieces(), why)
}
