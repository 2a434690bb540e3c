package swarm

import (
	"net/netip"
	"time"
)

// Stats is a snapshot of a swarm. Sizes are in bytes, rates in bytes a second.
type Stats struct {
	Pieces         int           `json:"pieces"`
	PiecesHave     int           `json:"pieces_have"`
	BytesHave      int64         `json:"bytes_have"`
	BytesFromSeed  int64         `json:"bytes_from_seed"`
	BytesFromPeers int64         `json:"bytes_from_peers"`
	BytesReused    int64         `json:"bytes_reused"`
	BytesTwice     int64         `json:"bytes_received_twice"`
	BytesDamaged   int64         `json:"bytes_damaged"`
	BytesUp        int64         `json:"bytes_uploaded"`
	Seeds          int           `json:"seeds"`    // as the tracker counts them
	Leechers       int           `json:"leechers"` // as the tracker counts them
	Downloaded     time.Time     `json:"-"`        // when the last piece was verified
	LastPeer       time.Time     `json:"-"`        // when a peer was connected last
	TrackerError   string        `json:"tracker_error,omitempty"`
	Peers          []PeerStats   `json:"peers"`
	Elapsed        time.Duration `json:"-"`
}

// PeerStats is one connection.
type PeerStats struct {
	Addr       netip.AddrPort `json:"addr"`
	Client     string         `json:"client"`
	Seeder     bool           `json:"seeder"`
	Complete   bool           `json:"complete"`
	Down       int64          `json:"bytes_down"`
	Up         int64          `json:"bytes_up"`
	DownRate   int64          `json:"down_rate"`
	Requests   int            `json:"requests"`
	Choked     bool           `json:"choked"`
	Interested bool           `json:"interested"`
}

// publish makes a new snapshot.
func (s *Swarm) publish() {
	st := s.totals
	st.Pieces = s.cfg.Torrent.NumPieces()
	st.PiecesHave = st.Pieces - s.picker.Missing()
	st.BytesHave = s.bytesHave()
	st.Seeds, st.Leechers = s.tracker.complete, s.tracker.incomplete
	if s.tracker.err != nil {
		st.TrackerError = s.tracker.err.Error()
	}
	if !s.began.IsZero() {
		st.Elapsed = time.Since(s.began)
	}
	st.Peers = make([]PeerStats, 0, len(s.conns))
	for _, c := range s.conns {
		up := c.out.sent.Load()
		st.BytesUp += up
		st.Peers = append(st.Peers, PeerStats{
			Addr: c.addr, Client: c.client, Seeder: c.seeder, Complete: s.picker.PeerComplete(c.id),
			Down: c.down, Up: up, DownRate: int64(c.rate), Requests: s.picker.Owes(c.id),
			Choked: c.choked, Interested: c.interested,
		})
	}
	s.stats.Store(&st)
}

// bytesHave is the size of the verified pieces; all but the last piece are of one size.
func (s *Swarm) bytesHave() int64 {
	t := s.cfg.Torrent
	n := t.NumPieces()
	if n == 0 {
		return 0
	}
	have := int64(n-s.picker.Missing()) * t.PieceLength
	if s.picker.Have(n - 1) {
		have -= t.PieceLength - t.PieceSize(n-1)
	}
	return have
}
