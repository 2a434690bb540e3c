package tracker

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"time"

	"corvus.murder/internal/announce"
)

// refusal is why a registration or withdrawal was not done; both are for the client.
type refusal struct {
	status int // of HTTP
	announce.Failure
}

func refuseWith(status int, format string, args ...any) error {
	return refusal{status, announce.Failure{Reason: fmt.Sprintf(format, args...)}}
}

// register lets a torrent be announced. It is on disk when register returns.
func (s *Server) register(info announce.Torrent) error {
	if err := info.Validate(); err != nil {
		return refuseWith(http.StatusBadRequest, "Torrent %x is not well described: %v", info.Infohash, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	old, known := s.torrents[info.Infohash]
	if known && old.info != info {
		return refuseWith(http.StatusConflict, "Torrent %x is registered as %q of %d bytes; the same infohash cannot mean something else",
			info.Infohash, old.info.Name, old.info.Size)
	}
	if known && old.withdrawn.IsZero() {
		old.over, old.expect = false, s.expect
		s.active = now
		return nil
	}
	next := maps.Clone(s.torrents)
	if known {
		again := *old
		again.withdrawn, again.reason = time.Time{}, ""
		again.swarm.completed = 0 // those that are expected are to complete again
		again.over, again.expect = false, s.expect
		next[info.Infohash] = &again
	} else {
		if len(next) >= s.limits.torrents && !dropWithdrawn(next) {
			return refuseWith(http.StatusInsufficientStorage, "Tracker holds %d torrents, which is the most it takes; withdraw one first", len(next))
		}
		next[info.Infohash] = &torrent{info: info, registered: now, expect: s.expect, swarm: newSwarm(newTrees(s.expect))}
	}
	if err := s.replace(next); err != nil {
		return err
	}
	s.active = now
	s.log.Info("torrent registered", "infohash", fmt.Sprintf("%x", info.Infohash), "name", info.Name, "size", info.Size)
	return nil
}

// withdraw ends a registration; announces get reason from then on. It is on disk when withdraw returns.
func (s *Server) withdraw(infohash [20]byte, reason string) error {
	if reason == "" {
		reason = "its seeder has ended"
	}
	if len(reason) > announce.MaxReason {
		return refuseWith(http.StatusBadRequest, "Reason has %d bytes; it may have %d", len(reason), announce.MaxReason)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, known := s.torrents[infohash]
	if !known {
		return refuseWith(http.StatusNotFound, "Torrent %x is not registered with this tracker", infohash)
	}
	gone := *old
	gone.withdrawn, gone.reason = s.now(), reason
	next := maps.Clone(s.torrents)
	next[infohash] = &gone
	if err := s.replace(next); err != nil {
		return err
	}
	gone.swarm.disband()
	s.dropMetainfo(infohash)
	s.dirty = true
	s.log.Info("torrent withdrawn", "infohash", fmt.Sprintf("%x", infohash), "reason", reason)
	return nil
}

// replace makes next the registrations, but only once they are on disk: a seeder that was told "yes"
// must find its torrent after a crash. It holds up announces for the time of one small write.
func (s *Server) replace(next map[[20]byte]*torrent) error {
	if err := s.saveTorrents(next); err != nil {
		return fmt.Errorf("save registrations: %w", err)
	}
	s.torrents = next
	return nil
}

// dropWithdrawn makes room by forgetting the torrent that was withdrawn first.
func dropWithdrawn(torrents map[[20]byte]*torrent) bool {
	var first *torrent
	for _, t := range torrents {
		if t.withdrawn.IsZero() {
			continue
		}
		if first == nil || t.withdrawn.Before(first.withdrawn) ||
			t.withdrawn.Equal(first.withdrawn) && bytes.Compare(t.info.Infohash[:], first.info.Infohash[:]) < 0 {
			first = t
		}
	}
	if first == nil {
		return false
	}
	delete(torrents, first.info.Infohash)
	return true
}
