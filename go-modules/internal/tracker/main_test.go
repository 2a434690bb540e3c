package tracker

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"corvus.murder/internal/announce"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sample = announce.Torrent{Infohash: [20]byte{0xab, 0xcd}, Name: "artifact", Size: 1000, PieceLength: 16, Pieces: 63}

// clock is a time that only the test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a tracker with its clock and what it logged.
type rig struct {
	*Server
	clock *clock
	logs  *logs
}

type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	return newRigAt(t, cfg, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
}

func newRigAt(t *testing.T, cfg Config, now time.Time) *rig {
	t.Helper()
	r := &rig{clock: &clock{now: now}, logs: &logs{}}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	r.Server = newServer(cfg, slog.New(slog.NewTextHandler(r.logs, nil)), r.clock.Now)
	if err := r.load(); err != nil {
		t.Fatal(err)
	}
	return r
}

// registered is a rig that serves sample.
func registered(t *testing.T, cfg Config) *rig {
	t.Helper()
	r := newRig(t, cfg)
	if err := r.register(sample); err != nil {
		t.Fatal(err)
	}
	return r
}

// ask sends a request from 10.9.9.9 and returns the whole answer.
func (r *rig) ask(method, target, body string, header ...string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	request.RemoteAddr = "10.9.9.9:1234"
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	r.Handler().ServeHTTP(w, request)
	return w
}

// announceQuery is a well-formed announce of a leecher, with changes: "key=value" sets, "key" deletes.
func announceQuery(changes ...string) string {
	v := url.Values{
		"info_hash": {string(sample.Infohash[:])}, "peer_id": {strings.Repeat("p", 20)},
		"port": {"10000"}, "uploaded": {"0"}, "downloaded": {"0"}, "left": {"1000"},
	}
	for _, change := range changes {
		key, value, set := strings.Cut(change, "=")
		if set {
			v.Set(key, value)
		} else {
			v.Del(key)
		}
	}
	return v.Encode()
}

// peer is the n-th announcement of many different peers of sample.
func peer(n int, left int64, event announce.Event) announcement {
	a := announcement{infohash: sample.Infohash, event: event, want: defaultWant, compact: true}
	a.peer.Left = left
	copy(a.peer.ID[:], strconv.Itoa(n))
	a.peer.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 10000)
	return a
}

// mustDecide is an announce that must be accepted.
func (r *rig) mustDecide(t *testing.T, a announcement) decision {
	t.Helper()
	d, err := r.decide(a)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// swarm is the status of sample.
func (r *rig) swarm(t *testing.T) TorrentStatus {
	t.Helper()
	for _, one := range r.Status().Torrents {
		if one.Name == sample.Name {
			return one
		}
	}
	t.Fatal("sample is not in the status")
	return TorrentStatus{}
}
