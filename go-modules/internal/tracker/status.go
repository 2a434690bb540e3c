package tracker

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Status is everything the tracker knows, as /status.json shows it.
type Status struct {
	Time      time.Time       `json:"time"`      // when this was true
	Started   time.Time       `json:"started"`   // of this process
	Announces int64           `json:"announces"` // accepted since then
	Expect    int             `json:"expect"`    // peers that will come, 0 when unknown
	Uploaded  int64           `json:"uploaded"`  // bytes that peers of all torrents say they sent
	Torrents  []TorrentStatus `json:"torrents"`  // the newest registration first
}

// TorrentStatus is one registered or withdrawn torrent.
type TorrentStatus struct {
	Infohash    string       `json:"infohash"` // hex; empty for whoever lacks the tracker's token
	Name        string       `json:"name"`
	Size        int64        `json:"size"`         // bytes
	PieceLength int64        `json:"piece_length"` // bytes
	Pieces      int64        `json:"pieces"`
	Registered  time.Time    `json:"registered"`
	Withdrawn   string       `json:"withdrawn,omitempty"` // reason, empty while the torrent may be announced
	Interval    float64      `json:"interval"`            // seconds between two announces of a peer
	Seeders     int          `json:"seeders"`
	Leechers    int          `json:"leechers"`
	Completed   int          `json:"completed"`  // peers that have completed, or came with everything, since it was registered last
	Uploaded    int64        `json:"uploaded"`   // bytes sent by all peers, also those that are gone
	Downloaded  int64        `json:"downloaded"` // bytes received by all peers, also those that are gone
	Peers       []PeerStatus `json:"peers"`      // by address
}

// PeerStatus is one peer of a swarm.
type PeerStatus struct {
	ID          string    `json:"id"`           // hex
	Address     string    `json:"address"`      // host:port
	Left        int64     `json:"left"`         // bytes
	LeftPercent float64   `json:"left_percent"` // of the torrent's size
	Uploaded    int64     `json:"uploaded"`     // bytes since it started
	Downloaded  int64     `json:"downloaded"`   // bytes since it started
	LastSeen    time.Time `json:"last_seen"`
}

// Status copies what the tracker knows.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Time: s.now(), Started: s.started, Announces: s.announces, Expect: s.expect, Torrents: []TorrentStatus{}}
	for _, t := range s.torrents {
		status.Torrents = append(status.Torrents, t.status())
		status.Uploaded = min(status.Uploaded+t.swarm.uploaded, maxTotal)
	}
	slices.SortFunc(status.Torrents, func(a, b TorrentStatus) int {
		return cmp.Or(b.Registered.Compare(a.Registered), cmp.Compare(a.Infohash, b.Infohash))
	})
	return status
}

func (t *torrent) status() TorrentStatus {
	w := &t.swarm
	status := TorrentStatus{
		Infohash:    hex.EncodeToString(t.info.Infohash[:]),
		Name:        t.info.Name,
		Size:        t.info.Size,
		PieceLength: t.info.PieceLength,
		Pieces:      t.info.Pieces,
		Registered:  t.registered,
		Withdrawn:   t.reason,
		Interval:    interval(len(w.peers), false).Seconds(),
		Seeders:     w.seeders,
		Leechers:    len(w.peers) - w.seeders,
		Completed:   w.completed,
		Uploaded:    w.uploaded,
		Downloaded:  w.downloaded,
		Peers:       make([]PeerStatus, len(w.peers)),
	}
	byAddress := slices.SortedFunc(slices.Values(w.peers), func(a, b *Peer) int { return a.Addr.Compare(b.Addr) })
	for i, p := range byAddress {
		status.Peers[i] = PeerStatus{
			ID:          hex.EncodeToString(p.ID[:]),
			Address:     p.Addr.String(),
			Left:        p.Left,
			LeftPercent: percent(p.Left, t.info.Size),
			Uploaded:    p.Uploaded,
			Downloaded:  p.Downloaded,
			LastSeen:    p.Seen,
		}
	}
	return status
}

func percent(left, size int64) float64 {
	if left == 0 || size == 0 {
		return 0
	}
	return 100 * float64(left) / float64(size)
}

// statusFor is the status without infohashes for whoever lacks the token: peers serve everyone who knows one.
func (s *Server) statusFor(r *http.Request) Status {
	status := s.Status()
	if s.authorize(r) != nil {
		for i := range status.Torrents {
			status.Torrents[i].Infohash = ""
		}
	}
	return status
}

func (s *Server) serveStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s.statusFor(r)) // who went away will ask again
}
