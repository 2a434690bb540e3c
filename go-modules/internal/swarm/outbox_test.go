package swarm

import (
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"
	"pgregory.net/rapid"
)

// TestOutboxSendsEveryMessageOnce sends any number of messages between turns, and demands that each comes once and in order,
// although the room of the last turn is used again.
func TestOutboxSendsEveryMessageOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOutbox(&uplink{})
		var last turn
		next, want := 0, 0
		for range rapid.IntRange(1, 20).Draw(t, "turns") {
			now := o.next(true, last.msgs)
			for range rapid.IntRange(0, 2*keptMessages).Draw(t, "messages") { // while the writer writes what it has taken
				o.send(pp.Message{Type: pp.Have, Index: pp.Integer(next)})
				next++
			}
			for _, m := range now.msgs {
				if int(m.Index) != want {
					t.Fatalf("message %d came, not %d", m.Index, want)
				}
				want++
			}
			last = now
		}
		if rest := len(o.next(true, last.msgs).msgs); want+rest != next {
			t.Fatalf("%d of %d messages came", want+rest, next)
		}
	})
}

func TestOutboxKeepsLittleRoom(t *testing.T) {
	o := newOutbox(&uplink{})
	for range 10 * keptMessages {
		o.send(pp.Message{Type: pp.Have})
	}
	many := o.next(true, nil)
	o.next(true, many.msgs)
	if room := cap(o.msgs); room > keptMessages {
		t.Errorf("room for %d messages is kept, more than %d", room, keptMessages)
	}
}
