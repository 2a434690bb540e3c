package tracker

import (
	"log/slog"
	"testing"
	"time"

	"corvus.murder/internal/announce"
)

// TestIdleTrackerWaitsForDeploysThatHash: whoever has joined and registered nothing yet is waited for, also when another deploy is over.
func TestIdleTrackerWaitsForDeploysThatHash(t *testing.T) {
	now := time.Unix(1e9, 0)
	s := newServer(Config{IdleTimeout: time.Minute}, slog.New(slog.DiscardHandler), func() time.Time { return now })
	small, large := [20]byte{1}, [20]byte{2}
	idle := func(after time.Duration) bool {
		before := now
		defer func() { now = before }()
		now = now.Add(after)
		return s.expire()
	}
	register := func(infohash [20]byte) {
		t.Helper()
		if err := s.register(announce.Torrent{Infohash: infohash, Name: "a", Size: 1, PieceLength: 1, Pieces: 1}); err != nil {
			t.Fatal(err)
		}
	}
	s.Join("large", 3)
	s.Join("small", 1)
	register(small)
	if idle(firstSeeder - time.Second) {
		t.Error("it ends while a deploy hashes")
	}
	if user := s.Leave("small", small, false); user != "large" {
		t.Errorf("it is used by %q", user)
	}
	if idle(firstSeeder-time.Second) || !idle(firstSeeder) {
		t.Error("it does not wait an hour for the seeder of the other deploy")
	}
	register(large)
	if idle(time.Minute-time.Second) || !idle(time.Minute) {
		t.Error("it does not end as usual when all have registered")
	}
	if user := s.Leave("large", large, true); user != "" {
		t.Errorf("it is used by %q", user)
	}
	if user := s.Leave("", small, true); user != "large" {
		t.Errorf("looking has changed something: it is used by %q", user)
	}
}

// TestExpectIsOfEachDeploy: who comes for one torrent says nothing of another one.
func TestExpectIsOfEachDeploy(t *testing.T) {
	s := newServer(Config{Expect: 3}, slog.New(slog.DiscardHandler), time.Now)
	for i, one := range []struct{ comes, want int }{{7, 7}, {0, 7}, {2, 2}} {
		s.Join("", one.comes)
		infohash := [20]byte{byte(i)}
		if err := s.register(announce.Torrent{Infohash: infohash, Name: "a", Size: 1, PieceLength: 1, Pieces: 1}); err != nil {
			t.Fatal(err)
		}
		if got := s.torrents[infohash].expect; got != one.want {
			t.Errorf("torrent %d expects %d, want %d", i, got, one.want)
		}
	}
	if first := s.torrents[[20]byte{}].expect; first != 7 {
		t.Errorf("the first torrent expects %d now", first)
	}
}
