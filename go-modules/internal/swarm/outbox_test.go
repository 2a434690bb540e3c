package swarm

import (
	"net"
	"slices"
	"testing"

	pp "github.com/anacrolix/torrent/peer_protocol"
	"pgregory.net/rapid"

	"corvus.murder/internal/announce"
)

// TestOutboxSendsEveryMessageOnce sends any number of messages between turns, and demands that each comes once and in order,
// although the room of the last turn is used again.
func TestOutboxSendsEveryMessageOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOutbox(&uplink{})
		var last turn
		next, want := 0, 0
		for range rapid.IntRange(1, 20).Draw(t, "turns") {
			now := o.next(true, false, last.msgs)
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
		if rest := len(o.next(true, false, last.msgs).msgs); want+rest != next {
			t.Fatalf("%d of %d messages came", want+rest, next)
		}
	})
}

// TestOutboxServesInTheOrderAsked queues any blocks between turns, and demands them in the order in which they were asked
// for, those that go before extras first unless one is overdue, and extras among themselves. Their pieces are in any order, so that no sorted
// queue passes.
func TestOutboxServesInTheOrderAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOutbox(&uplink{})
		var serves, extras []asked // that wait
		asks := 0
		ask := func(extra bool) {
			a := asked{RequestSpec: pp.RequestSpec{
				Index: pp.Integer(rapid.IntRange(0, 9).Draw(t, "piece")), Begin: pp.Integer(asks), Length: BlockSize,
			}}
			asks++
			if !o.serve(a, extra) {
				t.Fatalf("block %d is refused, though only %d wait", asks, len(serves)+len(extras))
			}
			if extra {
				extras = append(extras, a)
			} else {
				serves = append(serves, a)
			}
		}
		turn := func(free, overdue bool) {
			got := o.next(free, overdue, nil)
			from := &serves
			if len(extras) > 0 && (overdue || (len(serves) == 0 && free)) {
				from = &extras
			}
			if got.serve != (len(*from) > 0) {
				t.Fatalf("a block comes: %v; %d wait, and %d extras", got.serve, len(serves), len(extras))
			}
			if got.serve && got.block != (*from)[0] {
				t.Fatalf("block %v comes, want the first of %v", got.block, *from)
			}
			*from = slices.Delete(*from, 0, min(1, len(*from)))
			if got.extras != (len(extras) > 0) {
				t.Fatalf("extras wait: %v; there are %d", got.extras, len(extras))
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "turns") {
			for range rapid.IntRange(0, 12).Draw(t, "blocks") {
				ask(rapid.Bool().Draw(t, "extra"))
			}
			for range rapid.IntRange(0, 12).Draw(t, "served") {
				turn(rapid.Bool().Draw(t, "the uplink is free"), rapid.IntRange(0, 4).Draw(t, "overdue") == 0)
			}
		}
		for len(serves)+len(extras) > 0 {
			turn(true, false)
		}
	})
}

func TestOutboxKeepsLittleRoom(t *testing.T) {
	o := newOutbox(&uplink{})
	for range 10 * keptMessages {
		o.send(pp.Message{Type: pp.Have})
	}
	many := o.next(true, false, nil)
	o.next(true, false, many.msgs)
	if room := cap(o.msgs); room > keptMessages {
		t.Errorf("room for %d messages is kept, more than %d", room, keptMessages)
	}
}

// TestWhoDoesNotReadIsDropped: all that a peer makes us answer is kept for it, up to a bound.
func TestWhoDoesNotReadIsDropped(t *testing.T) {
	request := pp.Message{Type: pp.Request, Index: 3, Length: BlockSize}
	for name, row := range map[string]struct {
		slow bool // without the fast extension
		says []pp.Message
		read bool
		ends bool
	}{
		"what we do not have":              {false, []pp.Message{request}, false, true},
		"and it reads that":                {false, []pp.Message{request}, true, false},
		"chokes and unchokes all the time": {true, []pp.Message{{Type: pp.HaveAll}, {Type: pp.Choke}, {Type: pp.Unchoke}}, false, true},
		"nothing that needs an answer":     {false, []pp.Message{{Type: pp.Interested}, {Type: pp.NotInterested}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := ranked(t, 0, 2)
			c := knock(t, s, larger, false)
			c.fast, c.depth, c.reqq, c.maxRequest, c.rank = !row.slow, startDepth, defaultReqq, BlockSize, announce.NoRank
			s.conns[c.id] = c
			s.picker.AddPeer(c.id)
			most := 0
			for range mostAnswers + 1 {
				for _, m := range row.says {
					s.handle(event{c: c, msg: m})
				}
				if most = max(most, len(c.out.msgs)); row.read {
					c.out.next(false, false, nil)
				}
			}
			if ended := s.conns[c.id] == nil; ended != row.ends {
				t.Errorf("the connection has ended: %v, want %v", ended, row.ends)
			}
			if most > mostAnswers+maxDepth {
				t.Errorf("%d messages were kept", most)
			}
		})
	}
}

// TestHavesOfAllPiecesAreKept: however many pieces come while a peer reads slowly, it is told of all.
func TestHavesOfAllPiecesAreKept(t *testing.T) {
	s := ranked(t, 0, 2, 1)
	c := s.conns[0]
	c.nc, _ = net.Pipe()
	for range 4 * mostAnswers {
		c.out.send(pp.Message{Type: pp.Have})
	}
	if s.handle(event{c: c, msg: pp.Message{Type: pp.Interested}}); s.conns[0] == nil {
		t.Error("it was dropped")
	}
}
