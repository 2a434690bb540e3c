package module

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/artifact"
)

// A whole fleet asks at the same moment, and the tracker may have started in this one.
const (
	fetchTries = 3
	fetchPause = time.Second

	checkInBound = 3 * time.Second
)

// fetch gets the .torrent from the tracker, which has it from the seeder. The infohash says whether it is the right one.
func (o *peerOptions) fetch(ctx context.Context) (*artifact.Torrent, error) {
	infohash, err := parseInfohash(o.infohash)
	if err != nil {
		return nil, err
	}
	if o.tracker == "" {
		return nil, errors.New("Option tracker is required with infohash: the .torrent comes from there")
	}
	client, err := announce.New(o.tracker, o.token, o.local())
	if err != nil {
		return nil, err
	}
	bound := time.Duration(o.timeout) * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("the .torrent did not come within %v", bound))
	defer cancel()
	raw, err := patient(ctx, func() ([]byte, error) { return client.Metainfo(ctx, infohash, artifact.MaxTorrentSize) })
	if errors.Is(err, announce.ErrNoRegistration) {
		return nil, fmt.Errorf("%w; give torrent or torrent_content instead of infohash", err)
	}
	if err != nil {
		return nil, err
	}
	t, err := artifact.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("From tracker %s: %w", client.URL(), err)
	}
	if t.Infohash != infohash {
		return nil, fmt.Errorf("Tracker %s gave the torrent %x when %x was asked for; start the seeder again, or give torrent_content",
			client.URL(), t.Infohash, infohash)
	}
	return t, nil
}

// checkIn tells the tracker that this host has the artifact and needs no daemon. It is expected, and who has the artifact goes on seeding
// until all that are expected have it. That it cannot be told is no failure: then they seed as long as seed_time says.
func (d *delivery) checkIn(ctx context.Context) {
	where := reach{ip: d.cfg.IP}
	client, err := announce.New(d.cfg.Tracker, string(d.cfg.Token), where.local())
	if err != nil {
		return
	}
	host, _ := os.Hostname()
	sum := sha256.Sum256([]byte(host + "\n" + d.cfg.IP + "\n" + d.inst.Dir())) // the same again is counted once
	id := [20]byte([]byte("-MU0100-" + string(sum[:12])))
	ctx, cancel := context.WithTimeout(ctx, checkInBound)
	defer cancel()
	_, _ = client.Announce(ctx, announce.Request{
		Infohash: d.torrent.Infohash, PeerID: id, IP: d.cfg.IP, Port: 1, Event: announce.Stopped, NumWant: -1,
	})
}

// parseInfohash reads the option infohash, in either case of its letters.
func parseInfohash(text string) (infohash [20]byte, err error) {
	read, err := hex.DecodeString(text)
	if err != nil || len(read) != len(infohash) {
		return infohash, fmt.Errorf("Option infohash is %.60q, which is not 40 hex digits; give what murder_seed returns as infohash", text)
	}
	return [20]byte(read), nil
}

// patient asks again when a tracker cannot be reached.
func patient(ctx context.Context, ask func() ([]byte, error)) (raw []byte, err error) {
	for try := range fetchTries {
		if try > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(fetchPause):
			}
		}
		var unreachable *announce.Unreachable
		if raw, err = ask(); err == nil || !errors.As(err, &unreachable) {
			break
		}
	}
	return raw, err
}
