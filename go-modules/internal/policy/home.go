package policy

const (
	// homeAfter is for how many ticks somebody else than the first choice feeds a stripe, until that is tried again. Each time it turns out that
	// it still does not, it is twice as long, mostHomeAfter at the most.
	homeAfter     = 8
	mostHomeAfter = 256
)

// farewell is what was known of a stripe when its first choice was left.
type farewell struct {
	missing int // pieces of the stripe
	front   int // the highest that the first choice had, or -1
}

// leaves notes that a stripe is about to be taken from its feeder, if that is the first choice.
func (p *Picker) leaves(s int) {
	st := &p.stripes[s]
	if len(st.parents) == 0 || st.feeder != st.parents[0] {
		return
	}
	st.pause = max(homeAfter, min(2*st.pause, mostHomeAfter))
	st.left = farewell{missing: st.missing, front: -1}
	if home := p.peer(st.feeder); home != nil {
		st.left.front = home.fronts[s]
	}
}

// homesick tells that a stripe is to come from its first choice again, from which it was taken some time ago. All uplinks are full:
// whoever feeds us instead has the less for its own children, what they lack is missing below them until the end, and they look for others in
// their turn. So that is to last as short as possible, and most of what makes a host slow passes. It has passed if the first choice has got
// about as much of the stripe since then as we have. Nothing of that may be new to us: who stood still for a while is late for good, and so
// are those whom it feeds, for nobody else has anything to spare for them.
func (p *Picker) homesick(s int) bool {
	st := &p.stripes[s]
	if len(st.parents) == 0 || st.feeder == st.parents[0] || st.fed < st.pause {
		return false
	}
	home := p.peer(st.parents[0])
	if home == nil || p.straggles(home) {
		return false
	}
	got := (home.fronts[s] - st.left.front) / len(p.stripes)
	return home.id == p.origin || 2*got >= max(1, st.left.missing-st.missing)
}
