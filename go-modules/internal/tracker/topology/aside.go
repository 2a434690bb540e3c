package topology

import "slices"

// An Aside is a peer that stays out of the trees, because it is too slow for them.
type Aside struct {
	Rank int
	// Rate is how much came to it when it left them, in any unit that all use.
	Rate int
}

// before tells the order of those aside, the fastest first.
func (a Aside) before(b Aside) bool {
	if a.Rate != b.Rate {
		return a.Rate > b.Rate
	}
	return a.Rank < b.Rank
}

// Outside returns for each stripe who feeds a peer that stays out of the trees: the next one in the order of the others that do, all
// stripes; the first of them is fed by those in the trees who have something to spare. In this chain everybody sends as much as comes, and
// waits for nobody slower. Who knows only some of the others may get somebody who feeds another one already, but never a circle.
// The rank is Seeder if nobody else is there. present is that of Parents, of peers in the trees.
func (t Shape) Outside(self Aside, present func(rank int) bool, others []Aside) []int {
	next, found := Aside{}, false
	for _, o := range others {
		if o.Rank != self.Rank && o.before(self) && (!found || next.before(o)) {
			next, found = o, true
		}
	}
	if !found {
		return t.spare(self.Rank, present)
	}
	return slices.Repeat([]int{next.Rank}, t.Stripes)
}

// spare are those who may feed the stripes to somebody outside of the trees. N peers and the seeder have k child slots more than the trees
// need, and those are in the group that is reached by going down first children. If all of it are gone, those above have some left for it.
func (t Shape) spare(self int, present func(rank int) bool) []int {
	for g := t.last(0); ; g = (g - 1) / t.Stripes {
		var there, free []int
		_, _, size := t.group(g * t.Stripes)
		for r := g * t.Stripes; r < g*t.Stripes+size; r++ {
			if r != self && present(r) {
				there = append(there, r)
				free = append(free, slices.Repeat([]int{r}, t.room(r))...)
			}
		}
		if len(there) == 0 && g > 0 {
			continue
		}
		if len(there) == 0 {
			there = []int{Seeder}
		}
		for len(free) < t.Stripes {
			free = append(free, there...)
		}
		return free[:t.Stripes]
	}
}

// room is how many child slots a rank has left in trees without holes.
func (t Shape) room(rank int) int {
	room := t.Stripes
	for s := range t.Stripes {
		room -= len(t.children(s, rank, nil))
	}
	return max(0, room)
}
