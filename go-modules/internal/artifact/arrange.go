package artifact

import (
	"cmp"
	"math"
	"slices"
)

// arrange orders the stream by the time that files were last modified, and by path where that is the same. A piece that holds
// a changed file is fetched whole, so the hundred small files that are new in a release should share pieces with each
// other and not with a hundred times as many old ones. Entries without bytes come last, by path.
func (s *snapshot) arrange() {
	when := func(i int32) int64 {
		if e := &s.entries[i]; e.bytes() > 0 {
			return e.mtime
		}
		return math.MaxInt64
	}
	s.order = make([]int32, len(s.entries))
	for i := range s.order {
		s.order[i] = int32(i) // by path
	}
	slices.SortFunc(s.order[1:], func(a, b int32) int { // the first is the source itself
		return cmp.Or(cmp.Compare(when(a), when(b)), cmp.Compare(a, b))
	})
	for i := range s.order {
		e := s.entry(i)
		e.offset = s.size
		s.size += e.bytes()
	}
}
