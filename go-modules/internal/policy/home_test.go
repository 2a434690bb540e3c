package policy

import "testing"

// stand is a Picker of two stripes of which one comes from a peer that stands still for a while, whose backup is there all the time.
type stand struct {
	*Picker
	next  int // of what the others have, each stripe
	owing int // the same of the one that stood still
}

const backup = PeerID(3)

func newStand() *stand {
	p := newStriped(8000, 100)
	addPeer(p, backup)
	p.SetParents(1, 2, second, backup)
	return &stand{Picker: p}
}

// tick lets stripe 0 flow, and the peers get three pieces of stripe 1; second only if it is awake, and only then it sends any.
func (s *stand) tick(awake bool) {
	for range 3 {
		s.PeerHas(first, 2*s.next)
		s.PeerHas(backup, 2*s.next+1)
		s.next++
		if awake {
			s.PeerHas(second, 2*s.owing+1)
			s.owing++
		}
	}
	fetch(s.Picker, first)
	if id := s.Feeder(1); id != second || awake {
		fetch(s.Picker, id)
	} else {
		s.Pick(id, 10) // it owes something all the time
	}
	s.Tick()
}

// leave lets second stand still until it is left, and returns after how many ticks.
func (s *stand) leave(t *testing.T) int {
	t.Helper()
	s.PeerHas(second, 2*s.owing+1) // it has something that we wait for
	s.owing++
	for ticks := range 2 * hopeless {
		if s.Feeder(1) != second {
			return ticks
		}
		s.tick(false)
	}
	t.Fatal("a parent that stands still was not left")
	return 0
}

// TestComesHome: who stood still for a while feeds us again as soon as it gets pieces, though it has nothing yet that is new to us.
func TestComesHome(t *testing.T) {
	s := newStand()
	for range 4 * memory {
		s.tick(true)
	}
	if ticks := s.leave(t); ticks < memory || s.Feeder(1) != backup {
		t.Fatalf("after %d ticks the stripe comes from peer %d, want the backup, and not after a moment", ticks, s.Feeder(1))
	}
	for range 2 * homeAfter {
		if s.tick(false); s.Feeder(1) == second {
			t.Fatal("we went back to a parent that still stands still")
		}
	}
	for range 2 * homeAfter {
		for i := range 3 {
			s.PeerHas(second, 2*(s.next+i))
		}
		if s.tick(false); s.Feeder(1) == second {
			t.Fatal("we went back to a parent that gets nothing of the stripe")
		}
	}
	ticks := 0
	for ; s.Feeder(1) != second; ticks++ {
		if ticks > 12*homeAfter {
			t.Fatal("we never went back to a parent that gets pieces again")
		}
		s.tick(true)
	}
	if s.owing >= s.next {
		t.Errorf("after %d ticks it had caught up, which proves nothing", ticks)
	}
}

// TestComesHomeLessOften: a parent that gets pieces and does not send them is left for twice as long each time.
func TestComesHomeLessOften(t *testing.T) {
	s := newStand()
	for range 4 * memory {
		s.tick(true)
	}
	away := func() int {
		s.leave(t)
		ticks := 0
		for ; s.Feeder(1) != second && ticks <= 2*mostHomeAfter; ticks++ {
			s.tick(true)
		}
		return ticks
	}
	last := 0
	for range 7 {
		ticks := away()
		if ticks < min(2*last, mostHomeAfter) || ticks > mostHomeAfter+2 {
			t.Errorf("it was left for %d ticks after %d", ticks, last)
		}
		last = ticks
	}
	if last < mostHomeAfter {
		t.Errorf("it was left for %d ticks in the end, want %d", last, mostHomeAfter)
	}
}

// TestNewParentsForgetTheOld: who is named anew is tried at once, and as soon again as if it had never been left.
func TestNewParentsForgetTheOld(t *testing.T) {
	s := newStand()
	for range 4 * memory {
		s.tick(true)
	}
	for range 3 {
		s.leave(t)
		for s.Feeder(1) != second {
			s.tick(true)
		}
	}
	s.leave(t)
	s.SetParents(1, 2, backup)
	s.SetParents(1, 2, second, backup)
	if got := s.Feeder(1); got != second {
		t.Fatalf("the stripe comes from peer %d, want the one that was named", got)
	}
	s.leave(t)
	ticks := 0
	for ; s.Feeder(1) != second && ticks < mostHomeAfter; ticks++ {
		s.tick(true)
	}
	if ticks > 2*homeAfter {
		t.Errorf("it was left for %d ticks", ticks)
	}
}
