package swarm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"corvus.murder/internal/announce"
)

const (
	firstAnswer   = 20 * time.Second // within which the tracker must have answered once
	farewellBound = 3 * time.Second
	retryAtFirst  = time.Second
	retryAtMost   = 15 * time.Second
	moreWanted    = 20 // outside of the trees: with fewer connections, a download asks the tracker as often as it may
)

// trackerState is what is known of the tracker.
type trackerState struct {
	pending              announce.Event // an event that the tracker has not heard of yet
	owed                 announce.Event // one that it is to hear of after Started
	busy                 bool           // an announce is under way
	asked                time.Time      // when the last announce was sent
	answered             bool
	err                  error // of the last announce
	next                 time.Time
	retry                time.Duration
	complete, incomplete int
}

type announceResult struct {
	event announce.Event
	resp  announce.Response
	err   error
}

// announcer announces what it is given, one at a time.
func (s *Swarm) announcer(ctx context.Context) {
	for {
		select {
		case req := <-s.toTrack:
			resp, err := s.cfg.Announcer.Announce(ctx, req)
			select {
			case s.announced <- announceResult{req.Event, resp, err}:
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// announceNow announces an event as soon as the announcer is free, and not before the tracker has heard of us.
func (s *Swarm) announceNow(ev announce.Event) {
	if s.tracker.pending == announce.Started {
		s.tracker.owed = ev
	} else {
		s.tracker.pending = ev
	}
	s.tracker.next = time.Time{}
	s.announceIfDue(time.Now())
}

func (s *Swarm) announceIfDue(now time.Time) {
	t := &s.tracker
	if t.busy || now.Before(t.next) {
		return
	}
	t.busy, t.asked = true, now
	s.toTrack <- s.announcement(t.pending) // never blocks: one at a time
}

// announcement describes our state to the tracker.
func (s *Swarm) announcement(ev announce.Event) announce.Request {
	st := s.Stats()
	return announce.Request{
		Infohash: s.cfg.Torrent.Infohash, PeerID: s.peerID, IP: s.cfg.IP, Port: s.port(),
		Uploaded: st.BytesUp, Downloaded: st.BytesFromSeed + st.BytesFromPeers,
		Left: s.cfg.Torrent.Size - s.bytesHave(), Event: ev,
		NumWant: wantConns, Away: s.place.away, Origin: s.cfg.Seeder,
	}
}

// handleAnnounce takes the tracker's answer. The error ends the swarm.
func (s *Swarm) handleAnnounce(ctx context.Context, r announceResult) error {
	t := &s.tracker
	t.busy, t.err = false, r.err
	now := time.Now()
	if r.err != nil {
		t.retry = min(max(retryAtFirst, 2*t.retry), retryAtMost)
		t.next = now.Add(t.retry)
		return s.announceFailed(now)
	}
	t.retry = 0
	if t.pending == r.event {
		t.pending, t.owed = t.owed, announce.None
	}
	t.answered = true
	s.up.Set()
	t.complete, t.incomplete = r.resp.Complete, r.resp.Incomplete
	if r.resp.Finished {
		s.finished.Set()
	}
	s.take(r.resp, now)
	for _, addr := range r.resp.Peers {
		s.meet(addr)
	}
	wait := r.resp.Interval
	if s.picker.Missing() > 0 && !s.placed() {
		wait = min(wait, max(r.resp.MinInterval, time.Second))
	}
	if t.pending == announce.Completed {
		wait = 0
	}
	t.next = now.Add(wait)
	s.dialMore(ctx, now)
	return nil
}

// announceFailed decides whether an announce that failed ends the swarm: a refusal does while there
// is something to download; so does what never was a tracker, and a tracker that did not answer for
// a while; one that answered before may be restarting, and the peers know each other already.
func (s *Swarm) announceFailed(now time.Time) error {
	s.cfg.Log.Warn("announce failed", "err", s.tracker.err)
	var refusal announce.Failure
	var other *announce.NotTracker
	switch {
	case !s.tracker.answered && errors.As(s.tracker.err, &other):
		return s.tracker.err
	case errors.As(s.tracker.err, &refusal) && (s.picker.Missing() > 0 || s.cfg.Seeder):
		return s.tracker.err
	case !s.tracker.answered && now.Sub(s.began) > firstAnswer:
		return fmt.Errorf("%w (tried for %s)", s.tracker.err, firstAnswer)
	}
	return nil
}

// meet remembers an address, unless it is one of ours.
func (s *Swarm) meet(addr netip.AddrPort) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if _, known := s.candidates[addr]; !known && !s.own[addr] && addr.IsValid() && addr.Port() != 0 {
		s.candidates[addr] = &candidate{}
	}
}

// farewell tells the tracker that we leave, if it ever knew us.
func (s *Swarm) farewell() {
	if !s.tracker.answered {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), farewellBound)
	defer cancel()
	if _, err := s.cfg.Announcer.Announce(ctx, s.announcement(announce.Stopped)); err != nil {
		s.cfg.Log.Debug("the tracker did not hear that we leave", "err", err)
	}
}
