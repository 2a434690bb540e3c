package tracker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"corvus.murder/internal/announce"
)

func TestIntervalGrowsWithSwarm(t *testing.T) {
	for _, tt := range []struct {
		peers                       int
		download, complete, minimum time.Duration
	}{
		{0, 5 * time.Second, 5 * time.Second, 2500 * time.Millisecond},
		{11, 5 * time.Second, 5 * time.Second, 2500 * time.Millisecond},
		{200, 40 * time.Second, 5 * time.Second, 2500 * time.Millisecond},
		{500, time.Minute, 10 * time.Second, 5 * time.Second},
		{3000, time.Minute, time.Minute, 30 * time.Second},
		{20000, time.Minute, time.Minute, 30 * time.Second},
	} {
		download, complete, minimum := interval(tt.peers, false), interval(tt.peers, true), minInterval(tt.peers)
		if download != tt.download || complete != tt.complete || minimum != tt.minimum {
			t.Errorf("%d peers: interval %v, %v when complete, at least %v; want %v, %v, %v", tt.peers,
				download, complete, minimum, tt.download, tt.complete, tt.minimum)
		}
	}
}

func TestDecideRefuses(t *testing.T) {
	r := registered(t, Config{})
	r.limits.peers = 2
	r.mustDecide(t, peer(1, 0, announce.Started))
	r.mustDecide(t, peer(2, 9, announce.Started))

	if _, err := r.decide(peer(3, 9, announce.Started)); err == nil ||
		!strings.Contains(err.Error(), "has 2 peers, which is the most this tracker takes") {
		t.Errorf("one peer too many: %v", err)
	}
	r.mustDecide(t, peer(2, 5, announce.None))    // one that is known may go on
	r.mustDecide(t, peer(3, 9, announce.Stopped)) // and saying goodbye costs nothing

	stranger := peer(1, 0, announce.None)
	stranger.infohash = [20]byte{1}
	if _, err := r.decide(stranger); err == nil ||
		err.Error() != fmt.Sprintf("Torrent %x is not registered with this tracker; start its seeder first", stranger.infohash) {
		t.Errorf("not registered: %v", err)
	}

	if err := r.withdraw(sample.Infohash, "the deploy is over"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.decide(peer(1, 0, announce.None)); err == nil ||
		err.Error() != fmt.Sprintf("Torrent %x was withdrawn: the deploy is over", sample.Infohash) {
		t.Errorf("withdrawn: %v", err)
	}
}

func TestLifeOfASwarm(t *testing.T) {
	r := registered(t, Config{})
	check := func(what string, d decision, seeders, leechers, completed, peers int) {
		t.Helper()
		if d.seeders != seeders || d.leechers != leechers || d.completed != completed || len(d.peers) != peers {
			t.Errorf("%s: %d seeders, %d leechers, %d completed, %d peers; want %d, %d, %d, %d", what,
				d.seeders, d.leechers, d.completed, len(d.peers), seeders, leechers, completed, peers)
		}
	}
	check("seeder", r.mustDecide(t, peer(1, 0, announce.Started)), 1, 0, 0, 0)
	check("first leecher", r.mustDecide(t, peer(2, 1000, announce.Started)), 1, 1, 0, 1)
	check("second leecher", r.mustDecide(t, peer(3, 1000, announce.Started)), 1, 2, 0, 2)
	check("seeder again", r.mustDecide(t, peer(1, 0, announce.None)), 1, 2, 0, 2)
	check("leecher on its way", r.mustDecide(t, peer(2, 500, announce.None)), 1, 2, 0, 2)
	check("leecher completes", r.mustDecide(t, peer(2, 0, announce.Completed)), 2, 1, 1, 1)
	check("and says so twice", r.mustDecide(t, peer(2, 0, announce.Completed)), 2, 1, 1, 1)
	check("completed with bytes left is none", r.mustDecide(t, peer(3, 5, announce.Completed)), 2, 1, 1, 2)
	check("seeder stops", r.mustDecide(t, peer(1, 0, announce.Stopped)), 1, 1, 1, 0)
	check("and stops twice", r.mustDecide(t, peer(1, 0, announce.Stopped)), 1, 1, 1, 0)
	anew := peer(4, 1000, announce.Started)
	anew.peer.Addr = peer(3, 0, announce.None).peer.Addr
	check("another program on the same port", r.mustDecide(t, anew), 1, 1, 1, 1)
}

func TestTotals(t *testing.T) {
	r := registered(t, Config{})
	say := func(n int, uploaded, downloaded int64, event announce.Event) {
		t.Helper()
		a := peer(n, 9, event)
		a.peer.Uploaded, a.peer.Downloaded = uploaded, downloaded
		r.mustDecide(t, a)
	}
	check := func(what string, uploaded, downloaded int64) {
		t.Helper()
		if s := r.swarm(t); s.Uploaded != uploaded || s.Downloaded != downloaded {
			t.Errorf("%s: %d and %d bytes, want %d and %d", what, s.Uploaded, s.Downloaded, uploaded, downloaded)
		}
	}
	say(1, 0, 0, announce.Started)
	say(1, 100, 10, announce.None)
	say(2, 50, 5, announce.None)
	check("two peers", 150, 15)
	say(1, 120, 10, announce.Stopped)
	check("one stopped", 170, 15)
	say(1, 0, 0, announce.Started)
	say(1, 30, 0, announce.None)
	check("and started anew", 200, 15)
	r.clock.advance(time.Hour)
	r.expire()
	say(2, 60, 5, announce.None)
	check("one fell silent and came back", 210, 15)
	say(2, 10, 0, announce.None)
	check("numbers that shrink are not trusted", 210, 15)
	for n := range 10 {
		say(100+n, maxBytes, maxBytes, announce.None)
	}
	check("sums do not wrap around", maxTotal, maxTotal)
}

func TestExpiry(t *testing.T) {
	r := registered(t, Config{})
	r.mustDecide(t, peer(1, 0, announce.Started))
	r.clock.advance(5 * time.Second)
	r.mustDecide(t, peer(2, 9, announce.Started))
	r.clock.advance(7500 * time.Millisecond) // 12.5 s are 2.5 intervals
	r.expire()
	if s := r.swarm(t); s.Seeders != 1 || s.Leechers != 1 {
		t.Errorf("a peer expired too early: %+v", s)
	}
	r.clock.advance(time.Millisecond)
	r.expire()
	if s := r.swarm(t); s.Seeders != 0 || s.Leechers != 1 {
		t.Errorf("the silent peer must go, the other stay: %+v", s)
	}
	if d := r.mustDecide(t, peer(2, 9, announce.None)); len(d.peers) != 0 {
		t.Errorf("a peer that expired is handed out: %v", d.peers)
	}
	if !strings.Contains(r.logs.String(), "peers fell silent") {
		t.Errorf("log %q does not tell of it", r.logs)
	}
}

func TestIdle(t *testing.T) {
	r := registered(t, Config{IdleTimeout: time.Minute})
	r.clock.advance(59 * time.Second)
	r.mustDecide(t, peer(1, 0, announce.Started))
	r.clock.advance(59 * time.Second)
	if r.expire() {
		t.Error("idle, though a peer announced 59 s ago")
	}
	if _, err := r.decide(announcement{}); err == nil {
		t.Fatal("an announce of nothing was accepted")
	}
	r.clock.advance(time.Second)
	if !r.expire() {
		t.Error("not idle after a minute; a refused announce must not count")
	}
	if err := r.register(sample); err != nil || r.expire() {
		t.Errorf("idle right after a registration (%v)", err)
	}
	fresh := newRig(t, Config{IdleTimeout: time.Minute})
	fresh.clock.advance(59 * time.Minute)
	if fresh.expire() {
		t.Error("idle before the first seeder can have hashed its source")
	}
	fresh.clock.advance(time.Minute)
	if !fresh.expire() {
		t.Error("not idle after an hour without a seeder")
	}
	never := newRig(t, Config{})
	never.clock.advance(1000 * time.Hour)
	if never.expire() {
		t.Error("idle without an idle timeout")
	}
}

func TestFinishedWhenEveryExpectedPeerHasCompleted(t *testing.T) {
	r := registered(t, Config{Expect: 2})
	steps := []struct {
		a    announcement
		want bool
	}{
		{seederSays(announce.Started), false},
		{peer(1, 100, announce.Started), false},
		{peer(1, 0, announce.Completed), false},
		{peer(2, 100, announce.Started), false},
		{peer(3, 100, announce.Started), false}, // one more than expected
		{peer(2, 0, announce.Completed), false},
		{peer(3, 0, announce.Completed), true},
		{seederSays(announce.None), true},
	}
	for i, step := range steps {
		if got := r.mustDecide(t, step.a).finished; got != step.want {
			t.Errorf("step %d: finished is %v, want %v", i, got, step.want)
		}
	}
	unknown := registered(t, Config{})
	unknown.mustDecide(t, peer(1, 100, announce.Started))
	if unknown.mustDecide(t, peer(1, 0, announce.Completed)).finished {
		t.Error("finished although nobody said how many peers will come")
	}
}

// TestFinishedCountsWhoCameWithEverything: a peer that was complete when it started never says that it has completed (BEP 3).
func TestFinishedCountsWhoCameWithEverything(t *testing.T) {
	r := registered(t, Config{Expect: 3})
	for i, step := range []struct {
		a    announcement
		want bool
	}{
		{seederSays(announce.Started), false},
		{own(1, 0, announce.Started), false},
		{own(1, 0, announce.Started), false}, // whose answer got lost
		{own(1, 0, announce.None), false},
		{own(1, 0, announce.Completed), false}, // it was not complete yet when it said so for the first time, in vain
		{own(2, 100, announce.Started), false},
		{own(2, 0, announce.Started), false},
		{own(2, 0, announce.Completed), false},
		{peer(3, 0, announce.Started), false}, // a foreign client, which nobody expects
		{own(4, 0, announce.None), false},     // it came before the tracker was restarted
		{own(5, 0, announce.Started), true},
		{seederSays(announce.None), true},
	} {
		if got := r.mustDecide(t, step.a).finished; got != step.want {
			t.Errorf("step %d: finished is %v, want %v", i, got, step.want)
		}
	}
}

// TestFinishedAnew: that everybody completed before the torrent was withdrawn says nothing about those that come after it is
// registered again.
func TestFinishedAnew(t *testing.T) {
	r := registered(t, Config{Expect: 2})
	for _, swarm := range []int{0, 1} {
		r.mustDecide(t, seederSays(announce.Started))
		for n := 1; n <= 2; n++ {
			r.mustDecide(t, own(n, 100, announce.Started))
			if got := r.mustDecide(t, own(n, 0, announce.Completed)).finished; got != (n == 2) {
				t.Errorf("swarm %d: finished is %v when %d of 2 have completed", swarm, got, n)
			}
		}
		if err := r.withdraw(sample.Infohash, ""); err != nil {
			t.Fatal(err)
		}
		if err := r.register(sample); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFarewellOfWhoWasReplaced: a program that has taken the address of one that is gone stays, with its rank, when the
// farewell of that one comes late; what that one sent counts.
func TestFarewellOfWhoWasReplaced(t *testing.T) {
	r := registered(t, Config{Expect: 3})
	r.mustDecide(t, own(1, 1000, announce.Started))
	anew := own(2, 1000, announce.Started)
	anew.peer.Addr = own(1, 0, announce.None).peer.Addr
	before := r.mustDecide(t, anew)
	farewell := own(1, 500, announce.Stopped)
	farewell.peer.Uploaded = 77
	r.mustDecide(t, farewell)
	if s := r.swarm(t); len(s.Peers) != 1 || s.Uploaded != 77 {
		t.Errorf("after the farewell of another one: %+v", s)
	}
	r.mustDecide(t, own(3, 1000, announce.Started))
	anew.event = announce.None
	if after := r.mustDecide(t, anew); after.rank != before.rank {
		t.Errorf("rank %d became %d", before.rank, after.rank)
	}
	anew.event = announce.Stopped
	if r.mustDecide(t, anew); len(r.swarm(t).Peers) != 1 {
		t.Error("its own farewell counts for nothing")
	}
}
