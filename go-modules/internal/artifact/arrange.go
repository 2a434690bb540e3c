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
	s.scanned = slices.Clone(s.entries)
	when := func(e *entry) int64 {
		if e.bytes() == 0 {
			return math.MaxInt64
		}
		return e.mtime
	}
	slices.SortFunc(s.entries[1:], func(a, b entry) int { // the first is the source itself
		return cmp.Or(cmp.Compare(when(&a), when(&b)), comparePaths(a.path, b.path))
	})
	offset := int64(0)
	for i := range s.entries {
		s.entries[i].offset = offset
		offset += s.entries[i].bytes()
	}
}
