package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/anacrolix/torrent/metainfo"
	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/dial"
)

const (
	maxConns         = 300 // connections at once
	wantConns        = 50  // as long as there are fewer, more are dialed; in a topology all that the tracker names
	maxDialing       = 20
	handshakeTimeout = 10 * time.Second
	maxDialFailures  = 6
	// passing is for how long a connection that we dialed lasts whose peer does not want us, or has no use for us.
	passing = 2 * time.Second
)

// candidate is an address that the tracker named.
type candidate struct {
	dialing  bool
	failures int       // since a connection to it lasted
	next     time.Time // not to be dialed before
}

// putOff lets an address rest, longer each time.
func (c *candidate) putOff() {
	c.failures++
	backoff := time.Second << min(c.failures, 4)
	c.next = time.Now().Add(backoff/2 + mrand.N(backoff))
}

// ended notes for how long a connection to an address has lasted. Whoever hangs up at once, as peers do that are complete when we
// are, would do so four times a second.
func (c *candidate) ended(lasted time.Duration) {
	if lasted < passing {
		c.putOff()
	} else {
		c.failures = 0
	}
}

type dialResult struct {
	addr netip.AddrPort
	err  error
}

// dialMore connects to known addresses while more peers are wanted.
func (s *Swarm) dialMore(ctx context.Context, now time.Time) {
	if s.picker.Missing() == 0 && !s.cfg.Seeder {
		return // whoever still wants something from us connects
	}
	for addr, cand := range s.candidates {
		if s.dialing >= maxDialing || (len(s.conns)+s.dialing >= wantConns && s.place.stripes == 0) {
			return
		}
		if cand.dialing || now.Before(cand.next) || s.isConnected(addr) {
			continue
		}
		cand.dialing = true
		s.dialing++
		s.workers.Go(func() { s.dial(ctx, addr) })
	}
}

// isConnected tells whether there is a connection that we dialed to this address. One that its peer
// dialed comes from another port; dialing it once more is cheap and ends in keepFirst.
func (s *Swarm) isConnected(addr netip.AddrPort) bool {
	for _, c := range s.conns {
		if c.addr == addr || c.listens == addr {
			return true
		}
	}
	return false
}

// dial connects, shakes hands and hands the connection to the swarm's goroutine.
func (s *Swarm) dial(ctx context.Context, addr netip.AddrPort) {
	local := s.cfg.Local
	if local.Is4() != addr.Addr().Is4() {
		local = netip.Addr{}
	}
	nc, err := dial.TCP(ctx, local, addr.String())
	if err == nil {
		var c *conn
		if c, err = s.handshake(ctx, nc, addr); err == nil {
			c.dialed = true
			s.deliver(ctx, c)
			return
		}
		_ = nc.Close()
	}
	select {
	case s.dialled <- dialResult{addr, err}:
	case <-ctx.Done():
	}
}

// deliver hands a new connection over, or closes it when the swarm has ended.
func (s *Swarm) deliver(ctx context.Context, c *conn) {
	select {
	case s.joined <- c:
	case <-ctx.Done():
		_ = c.nc.Close()
	}
}

// dialEnded gives back what a dial took, and returns its candidate: nil if the address was forgotten meanwhile.
func (s *Swarm) dialEnded(addr netip.AddrPort) *candidate {
	s.dialing--
	cand := s.candidates[addr]
	if cand != nil {
		cand.dialing = false
	}
	return cand
}

// dialFailed puts an address off, and forgets it after several failures. The
// tracker will name it again if it is still in the swarm.
func (s *Swarm) dialFailed(r dialResult) {
	cand := s.dialEnded(r.addr)
	if cand == nil {
		return
	}
	s.cfg.Log.Debug("cannot reach a peer", "addr", r.addr, "err", r.err)
	cand.putOff()
	if cand.failures >= maxDialFailures {
		delete(s.candidates, r.addr)
	}
}

// accepter takes incoming connections until the listener closes.
func (s *Swarm) accepter(ctx context.Context) {
	entering := lobby{in: make(map[net.Conn]netip.Addr)}
	for {
		nc, err := s.cfg.Listener.Accept()
		if errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil { // out of descriptors, for one: a moment later it may go
			s.cfg.Log.Warn("cannot accept a connection", "err", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		if !entering.enter(nc) {
			_ = nc.Close()
			continue
		}
		s.workers.Go(func() {
			defer entering.leave(nc)
			c, err := s.handshake(ctx, nc, netip.AddrPort{})
			if err != nil {
				s.cfg.Log.Debug("incoming connection refused", "addr", nc.RemoteAddr(), "err", err)
				_ = nc.Close()
				return
			}
			s.deliver(ctx, c)
		})
	}
}

// handshake is that of BEP 3 with the bits of BEP 6 and 10. The address is the one that was dialed,
// or zero for an incoming connection.
func (s *Swarm) handshake(ctx context.Context, nc net.Conn, dialed netip.AddrPort) (*conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = nc.Close() })
	defer stop()
	err := errors.Join(tune(nc), s.download.narrow(nc))
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(handshakeTimeout))
	want := metainfo.Hash(s.cfg.Torrent.Infohash)
	expect := &want
	if !dialed.IsValid() {
		expect = nil
	}
	bits := pp.NewPeerExtensionBytes(pp.ExtensionBitFast, pp.ExtensionBitLtep)
	var rw io.ReadWriter = nc
	if !dialed.IsValid() {
		// Nothing is said before the peer is known to speak plainly: those that try encryption first take an answer for
		// consent, and try again without only when the connection ends in silence.
		if rw, err = heard(nc); err != nil {
			return nil, fmt.Errorf("handshake: %w", err)
		}
	}
	res, err := pp.Handshake(ctx, rw, expect, s.peerID, bits)
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	if res.Hash != want {
		return nil, fmt.Errorf("handshake: the peer has torrent %v, not ours", res.Hash)
	}
	_ = nc.SetDeadline(time.Time{})
	return &conn{
		nc:      nc,
		r:       newReader(nc),
		addr:    remote(nc),
		peerID:  res.PeerID,
		fast:    res.SupportsFast(),
		ltep:    res.SupportsExtended(),
		out:     newOutbox(&s.uplink),
		listens: dialed,
	}, nil
}

// heard returns the connection once the peer has begun as BEP 3 has it; what was read is read again.
func heard(nc net.Conn) (io.ReadWriter, error) {
	head := make([]byte, len(pp.Protocol))
	if _, err := io.ReadFull(nc, head); err != nil {
		return nil, err
	}
	if string(head) != pp.Protocol {
		return nil, errors.New("the peer does not begin as BitTorrent does; it may want encryption")
	}
	return struct {
		io.Reader
		io.Writer
	}{io.MultiReader(bytes.NewReader(head), nc), nc}, nil
}

// port is where other peers reach us.
func (s *Swarm) port() int {
	if a, ok := s.cfg.Listener.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}
