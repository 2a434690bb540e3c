package module

import (
	"context"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/daemon"
	"corvus.murder/internal/tracker"
)

// What murder_info returns of each kind of daemon. The names are those of the options, so that the
// configuration of a seeder or a peer can be decoded right into them; no secret is among them.

type trackerInfo struct {
	PID         int            `json:"pid"`
	Listen      string         `json:"listen"`
	Port        int            `json:"port"`
	AnnounceURL any            `json:"announce_url"`
	StatusURL   any            `json:"status_url"`
	Allow       []netip.Prefix `json:"allow"`
	IdleTimeout int            `json:"idle_timeout"`
	Expect      int            `json:"expect"`
	LogFile     string         `json:"log_file"`
	Torrents    []torrentInfo  `json:"torrents"`
}

// torrentInfo is a torrent that a tracker knows.
type torrentInfo struct {
	Infohash  string `json:"infohash"`
	Name      string `json:"name"`
	Size      int64  `json:"size"` // bytes
	Seeders   int    `json:"seeders"`
	Leechers  int    `json:"leechers"`
	Completed int    `json:"completed"`
	Withdrawn string `json:"withdrawn"` // why, if it was
}

// swarmInfo is what seeders and peers have in common.
type swarmInfo struct {
	PID           int    `json:"pid"`
	State         string `json:"state"`
	Infohash      string `json:"infohash"`
	Name          string `json:"name"`
	Size          int64  `json:"size"` // bytes
	Tracker       string `json:"tracker"`
	TrackerError  string `json:"tracker_error"`
	IP            string `json:"ip"`
	Port          int    `json:"port"`
	PortRange     string `json:"port_range"`
	UploadLimit   int64  `json:"upload_limit"` // bytes a second
	BytesUploaded int64  `json:"bytes_uploaded"`
	Connections   int    `json:"connections"`
	LogFile       string `json:"log_file"`
}

type seederInfo struct {
	swarmInfo
	Torrent     string `json:"torrent"`
	IdleTimeout int    `json:"idle_timeout"` // seconds
}

type peerInfo struct {
	swarmInfo
	Dest           string  `json:"dest"`
	Progress       float64 `json:"progress"` // per cent
	BytesFromSeed  int64   `json:"bytes_from_seed"`
	BytesFromPeers int64   `json:"bytes_from_peers"`
	BytesReused    int64   `json:"bytes_reused"`
	DownloadLimit  int64   `json:"download_limit"` // bytes a second
	SeedTime       int     `json:"seed_time"`      // seconds
	Timeout        int     `json:"timeout"`        // seconds
	StallTimeout   int     `json:"stall_timeout"`  // seconds
}

// deployInfo is an artifact that was put in place. Times are in UTC, as ISO 8601 has them.
type deployInfo struct {
	Infohash string `json:"infohash"`
	Name     string `json:"name"`
	Dest     string `json:"dest"`
	Size     int64  `json:"size"` // bytes
	Deployed string `json:"deployed"`
	Verified string `json:"verified"`
	Exists   bool   `json:"exists"`
}

// describeDeploys orders the deploys by destination.
func describeDeploys(records []artifact.Record) []*deployInfo {
	var deploys []*deployInfo
	for _, r := range records {
		_, err := os.Lstat(r.Dest)
		deploys = append(deploys, &deployInfo{
			Infohash: r.Infohash, Name: r.Name, Dest: r.Dest, Size: r.Size, Exists: err == nil,
			Deployed: r.When.UTC().Format(time.RFC3339), Verified: r.Verified.UTC().Format(time.RFC3339),
		})
	}
	slices.SortFunc(deploys, func(a, b *deployInfo) int { return strings.Compare(a.Dest, b.Dest) })
	return deploys
}

func describeTracker(ctx context.Context, inst *daemon.Instance, pid int) (trackerInfo, error) {
	var cfg trackerConfig
	if err := inst.Config(ctx, &cfg); err != nil {
		return trackerInfo{}, err
	}
	var status tracker.Status
	if err := inst.Status(ctx, &status); err != nil {
		return trackerInfo{}, err
	}
	values := cfg.values(pid)
	info := trackerInfo{
		PID: pid, Listen: cfg.Listen, Port: cfg.Port, AnnounceURL: values["announce_url"], StatusURL: values["status_url"],
		Allow: append([]netip.Prefix{}, cfg.Allow...), IdleTimeout: cfg.IdleTimeout, Expect: cfg.Expect, LogFile: cfg.LogFile,
		Torrents: []torrentInfo{},
	}
	for _, t := range status.Torrents {
		info.Torrents = append(info.Torrents, torrentInfo{
			Infohash: t.Infohash, Name: t.Name, Size: t.Size, Seeders: t.Seeders, Leechers: t.Leechers,
			Completed: t.Completed, Withdrawn: t.Withdrawn,
		})
	}
	return info, nil
}

func describeSeeder(ctx context.Context, inst *daemon.Instance, pid int) (seederInfo, error) {
	var info seederInfo
	status, err := swarmStatus(ctx, inst, &info)
	info.add(pid, status)
	return info, err
}

func describePeer(ctx context.Context, inst *daemon.Instance, pid int) (peerInfo, error) {
	var info peerInfo
	status, err := swarmStatus(ctx, inst, &info)
	info.add(pid, status)
	info.Dest, info.Progress = status.Dest, progress(status)
	info.BytesFromSeed, info.BytesFromPeers = status.Stats.BytesFromSeed, status.Stats.BytesFromPeers
	info.BytesReused = status.Stats.BytesReused
	return info, err
}

// swarmStatus decodes the configuration of a seeder or peer into info and returns its status, of which a
// seeder has only some fields.
func swarmStatus(ctx context.Context, inst *daemon.Instance, info any) (status peerStatus, err error) {
	if err := inst.Config(ctx, info); err != nil {
		return status, err
	}
	if err := inst.Status(ctx, &status); err != nil {
		return status, err
	}
	if status.State == "" {
		return status, daemon.ErrNotRunning // it has only just been started
	}
	return status, nil
}

// add puts in what only the running daemon knows.
func (i *swarmInfo) add(pid int, status peerStatus) {
	i.PID, i.State, i.Name, i.Size, i.Port = pid, status.State, status.Name, status.Size, status.Port
	i.TrackerError, i.BytesUploaded = status.Stats.TrackerError, status.Stats.BytesUp
	i.Connections = len(status.Stats.Peers)
}

// progress is how much of the artifact is verified, in per cent with one decimal.
func progress(status peerStatus) float64 {
	if status.Size == 0 || status.State == placing || status.State == seeding {
		return 100
	}
	return math.Floor(1000*float64(status.Stats.BytesHave)/float64(status.Size)) / 10
}
