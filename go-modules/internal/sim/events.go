package sim

import "corvus.murder/internal/policy"

type kind uint8

const (
	evStart kind = iota
	evLeave
	evGone     // its absence is noticed
	evStall    // node has no time
	evResume   // node has time again
	evAnnounce // the tracker's answer is there
	evConnect  // node has connected to other
	evRequest  // size blocks of conn.coming have arrived
	evCancel
	evVerified // a piece of node
	evHave     // everybody hears of a piece of node
	evAside    // node stays out of the trees, or not any more
	evMissing  // node asks the tracker for a feeder
	evOverdue  // what was asked out of turn on conn has waited for long enough
	evTick
)

// event is anything but the end of a block's way, which moves whenever rates change.
type event struct {
	at     int64
	serial uint64 // events of one moment happen in the order of their making
	kind   kind
	piece  int
	node   *node
	other  *node
	conn   *conn
	blk    policy.Block
}

// at schedules an event.
func (w *world) at(t int64, e event) {
	e.at, e.serial = t, w.serial
	w.serial++
	w.events.push(e)
}

// eventHeap is a heap of four children a node, which is shallow.
type eventHeap []event

func (e *event) before(other *event) bool {
	return e.at < other.at || (e.at == other.at && e.serial < other.serial)
}

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	s := *h
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !e.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = e
}

func (h *eventHeap) pop() event {
	s := *h
	top, e := s[0], s[len(s)-1]
	s[len(s)-1] = event{}
	s = s[:len(s)-1]
	*h = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		least := -1
		for c := 4*i + 1; c <= 4*i+4 && c < len(s); c++ {
			if least < 0 || s[c].before(&s[least]) {
				least = c
			}
		}
		if least < 0 || !s[least].before(&e) {
			break
		}
		s[i] = s[least]
		i = least
	}
	s[i] = e
	return top
}

// finishHeap orders the connections that send by when the block under way will have been sent.
type finishHeap []*conn

func (h finishHeap) first() *conn {
	if len(h) == 0 {
		return nil
	}
	return h[0]
}

func (c *conn) before(other *conn) bool {
	return c.finish < other.finish || (c.finish == other.finish && c.serial < other.serial)
}

func (h *finishHeap) add(c *conn) {
	c.place = len(*h)
	*h = append(*h, c)
	h.fix(c)
}

func (h *finishHeap) remove(c *conn) {
	s := *h
	last := s[len(s)-1]
	s[len(s)-1] = nil
	*h = s[:len(s)-1]
	if last != c {
		last.place = c.place
		s[c.place] = last
		h.fix(last)
	}
	c.place = -1
}

// fix moves a connection to where it belongs after its finish has changed.
func (h finishHeap) fix(c *conn) {
	i := c.place
	for i > 0 {
		up := (i - 1) / 4
		if !c.before(h[up]) {
			break
		}
		h[i] = h[up]
		h[i].place = i
		i = up
	}
	for {
		least := -1
		for k := 4*i + 1; k <= 4*i+4 && k < len(h); k++ {
			if least < 0 || h[k].before(h[least]) {
				least = k
			}
		}
		if least < 0 || !h[least].before(c) {
			break
		}
		h[i] = h[least]
		h[i].place = i
		i = least
	}
	h[i] = c
	c.place = i
}
