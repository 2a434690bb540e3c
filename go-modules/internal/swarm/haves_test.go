package swarm

import "testing"

func TestHavesAreSentWhenTheyAreWorthAPacket(t *testing.T) {
	for name, row := range map[string]struct {
		fed   []bool
		haves int
		ticks int // until they are sent
	}{
		"to whom we feed, at once": {[]bool{false, true}, 1, 1},
		"to others, by time":       {nil, 1, untoldTicks},
		"whom we fed before":       {[]bool{false, false}, worthPacket - 1, untoldTicks},
		"enough for a packet":      {nil, worthPacket, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := &conn{fed: row.fed, haves: make([]int, row.haves)}
			ticks := 1
			for !c.worthTelling() {
				ticks++
			}
			if ticks != row.ticks {
				t.Errorf("%d have messages after %d ticks, not %d", row.haves, ticks, row.ticks)
			}
		})
	}
}
