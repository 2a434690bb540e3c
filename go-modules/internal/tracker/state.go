package tracker

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"corvus.murder/internal/announce"
)

// The state is in two files: registrations change seldom and must survive anything, peers change all
// the time and come back by themselves.
const (
	torrentsFile = "torrents.json"
	peersFile    = "peers.json"
	unfinished   = ".new"
	damaged      = ".damaged"
	stateVersion = 1
)

// identity is an infohash or a peer ID, in hex.
type identity [20]byte

func (id identity) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

func (id *identity) UnmarshalText(text []byte) error {
	raw, err := hex.AppendDecode(nil, text)
	if err != nil || len(raw) != len(id) {
		return fmt.Errorf("%.60q is not %d hex digits", text, 2*len(id))
	}
	copy(id[:], raw)
	return nil
}

type savedTorrents struct {
	Version  int            `json:"version"`
	Torrents []savedTorrent `json:"torrents"`
}

type savedTorrent struct {
	Infohash identity `json:"infohash"`
	announce.Torrent
	Registered time.Time `json:"registered"`
	Withdrawn  time.Time `json:"withdrawn,omitzero"`
	Reason     string    `json:"reason,omitempty"`
}

type savedPeers struct {
	Version int          `json:"version"`
	Swarms  []savedSwarm `json:"swarms"`
}

type savedSwarm struct {
	Infohash   identity             `json:"infohash"`
	Completed  int                  `json:"completed"`
	Uploaded   int64                `json:"uploaded"`
	Downloaded int64                `json:"downloaded"`
	Stripes    int                  `json:"stripes,omitempty"`
	Peers      []savedPeer          `json:"peers"`
	Sessions   map[identity]session `json:"sessions"`
}

type savedPeer struct {
	ID         identity       `json:"id"`
	Addr       netip.AddrPort `json:"addr"`
	Left       int64          `json:"left"`
	Uploaded   int64          `json:"uploaded"`
	Downloaded int64          `json:"downloaded"`
	Seen       time.Time      `json:"seen"`
	Rank       int            `json:"rank,omitempty"` // plus one; 0 for none
	Origin     bool           `json:"origin,omitempty"`
}

func (s *Server) path(name string) string { return filepath.Join(s.cfg.StateDir, name) }

func (s *Server) saveTorrents(torrents map[[20]byte]*torrent) error {
	saved := savedTorrents{Version: stateVersion, Torrents: []savedTorrent{}}
	for infohash, t := range torrents {
		saved.Torrents = append(saved.Torrents, savedTorrent{infohash, t.info, t.registered, t.withdrawn, t.reason})
	}
	return s.write(torrentsFile, saved, true)
}

// savePeers is for the goroutine that serves, so that two writes never meet.
func (s *Server) savePeers() error {
	s.mu.Lock()
	saved := savedPeers{Version: stateVersion, Swarms: []savedSwarm{}}
	for infohash, t := range s.torrents {
		saved.Swarms = append(saved.Swarms, t.swarm.save(infohash))
	}
	s.dirty, s.saved = false, s.now()
	s.mu.Unlock()
	if err := s.write(peersFile, saved, false); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("save peers: %w", err)
	}
	return nil
}

func (w *swarm) save(infohash [20]byte) savedSwarm {
	saved := savedSwarm{
		Infohash: infohash, Stripes: w.trees.stripes, Completed: w.completed, Uploaded: w.uploaded, Downloaded: w.downloaded,
		Peers: make([]savedPeer, len(w.peers)), Sessions: maps.Clone(w.sessions),
	}
	for i, p := range w.peers {
		saved.Peers[i] = savedPeer{p.ID, p.Addr, p.Left, p.Uploaded, p.Downloaded, p.Seen, p.rank + 1, p.Origin}
	}
	return saved
}

// write replaces a state file as a whole. What is durable survives also the loss of power.
func (s *Server) write(name string, v any, durable bool) error {
	if s.cfg.StateDir == "" {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	f, err := os.OpenFile(s.path(name)+unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), s.path(name)); err != nil || !durable {
		return err
	}
	dir, err := os.Open(s.cfg.StateDir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// load reads what an earlier tracker left.
func (s *Server) load() error {
	if s.cfg.StateDir == "" {
		return nil
	}
	if err := os.MkdirAll(s.cfg.StateDir, 0o700); err != nil {
		return fmt.Errorf("State directory %s cannot be made (%w); choose another one", s.cfg.StateDir, err)
	}
	return errors.Join(s.loadFile(torrentsFile, s.readTorrents), s.loadFile(peersFile, s.readPeers), s.findMetainfo())
}

// loadFile hands the content of a file to read, which takes in all of it or nothing.
func (s *Server) loadFile(name string, read func(data []byte) error) error {
	path := s.path(name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("State file %s cannot be read (%w); check its owner and mode", path, err)
	}
	if cause := read(data); cause != nil {
		if err := os.Rename(path, path+damaged); err != nil {
			return fmt.Errorf("State file %s is damaged (%w) and cannot be set aside: %w", path, cause, err)
		}
		s.log.Error("state file is damaged and was set aside; the tracker goes on without it, seeders and peers must announce again",
			"file", path, "cause", cause, "set_aside", path+damaged)
	}
	return nil
}

func (s *Server) readTorrents(data []byte) error {
	var saved savedTorrents
	if err := decodeState(data, &saved, &saved.Version); err != nil {
		return err
	}
	torrents := map[[20]byte]*torrent{}
	for _, t := range saved.Torrents {
		t.Torrent.Infohash = t.Infohash
		if err := t.Validate(); err != nil {
			return fmt.Errorf("torrent %x: %w", t.Infohash, err)
		}
		torrents[t.Infohash] = &torrent{
			info: t.Torrent, registered: t.Registered, withdrawn: t.Withdrawn, reason: t.Reason,
			expect: s.cfg.Expect, swarm: newSwarm(newTrees(s.cfg.Expect)),
		}
	}
	s.torrents = torrents
	return nil
}

func decodeState(data []byte, v any, version *int) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if *version != stateVersion {
		return fmt.Errorf("version is %d, not %d", *version, stateVersion)
	}
	return nil
}

// readPeers gives every peer a whole time of silence from now on: it could not announce to a tracker that did not run.
func (s *Server) readPeers(data []byte) error {
	var saved savedPeers
	if err := decodeState(data, &saved, &saved.Version); err != nil {
		return err
	}
	swarms := map[[20]byte]swarm{}
	for _, one := range saved.Swarms {
		w, err := one.restore(s.now())
		if err != nil {
			return fmt.Errorf("swarm %x: %w", one.Infohash, err)
		}
		swarms[one.Infohash] = w
	}
	for infohash, t := range s.torrents {
		if w, ok := swarms[infohash]; ok {
			t.swarm = w
		}
		if !t.withdrawn.IsZero() { // after these peers were saved
			t.swarm.disband()
		}
	}
	return nil
}

func (saved savedSwarm) restore(now time.Time) (swarm, error) {
	w := newSwarm(trees{stripes: saved.Stripes, byRank: map[int]*Peer{}})
	if saved.Stripes < 0 || saved.Stripes > maxStripes {
		return w, fmt.Errorf("%d stripes are out of range", saved.Stripes)
	}
	if saved.Completed < 0 || !within(maxTotal, saved.Uploaded, saved.Downloaded) {
		return w, errors.New("totals are out of range")
	}
	w.completed, w.uploaded, w.downloaded = saved.Completed, saved.Uploaded, saved.Downloaded
	for id, one := range saved.Sessions {
		if !within(maxBytes, one.Uploaded, one.Downloaded) {
			return w, fmt.Errorf("numbers of session %x are out of range", id)
		}
		w.sessions[id] = one
	}
	for _, one := range saved.Peers {
		_, twice := w.index[one.Addr]
		if twice || !one.Addr.IsValid() || one.Addr.Port() == 0 || !within(maxBytes, one.Left, one.Uploaded, one.Downloaded) {
			return w, fmt.Errorf("peer %s is given twice or out of range", one.Addr)
		}
		p := &Peer{
			ID: one.ID, Addr: one.Addr, Left: one.Left, Uploaded: one.Uploaded, Downloaded: one.Downloaded,
			Seen: one.Seen, Origin: one.Origin,
		}
		if err := w.trees.restore(p, one.Rank-1); err != nil {
			return w, err
		}
		w.add(p)
		p.grant(now, interval(len(saved.Peers), p.Seeder()))
	}
	return w, nil
}

// within reports whether every number is 0 to most.
func within(most int64, numbers ...int64) bool {
	for _, n := range numbers {
		if n < 0 || n > most {
			return false
		}
	}
	return true
}
