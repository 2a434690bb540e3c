package swarm

import (
	"context"
	"testing"
	"time"

	"corvus.murder/internal/announce"
)

// TestCompletedIsAnnounced: whoever completes before the tracker has answered says so afterwards, once.
func TestCompletedIsAnnounced(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, s *Swarm){
		"while it is asked for the first time": func(*testing.T, *Swarm) {},
		"after that failed": func(t *testing.T, s *Swarm) {
			<-s.toTrack
			s.tracker.answered = true // so that this is no reason to end
			if err := s.handleAnnounce(t.Context(), announceResult{event: announce.Started, err: context.DeadlineExceeded}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := ranked(t, 0, 2)
			s.announceNow(announce.Started)
			before(t, s)
			s.announceNow(announce.Completed)
			for _, want := range []announce.Event{announce.Started, announce.Completed} {
				s.announceIfDue(time.Now())
				select {
				case r := <-s.toTrack:
					if r.Event != want {
						t.Fatalf("it announces %q, want %q", r.Event, want)
					}
				default:
					t.Fatalf("it does not announce %q", want)
				}
				answer := announceResult{event: want, resp: announce.Response{Interval: time.Hour}}
				if err := s.handleAnnounce(t.Context(), answer); err != nil {
					t.Fatal(err)
				}
			}
			if s.tracker.pending != announce.None || s.tracker.owed != announce.None || !s.tracker.next.After(time.Now()) {
				t.Errorf("the tracker is to hear more: %+v", s.tracker)
			}
		})
	}
}

// TestTheSeederSaysWhatItIs: the tracker cannot tell it from a peer that came with everything.
func TestTheSeederSaysWhatItIs(t *testing.T) {
	s := ranked(t, 0, 2)
	for _, seeder := range []bool{false, true} {
		s.cfg.Seeder = seeder
		if got := s.announcement(announce.Started).Origin; got != seeder {
			t.Errorf("a seeder: %v; it says: %v", seeder, got)
		}
	}
}
