package ansible

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknown is the fault of an option that does not exist. It names the nearest
// option when that is plausibly what was meant, else all of them.
func (s *Spec) unknown(key string) string {
	best, least := "", len(key)+1
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		if d := distance(key, name); d < least {
			best, least = name, d
		}
	}
	if best != "" && least <= max(2, len(key)/2) {
		return fmt.Sprintf("Unknown option %s; did you mean %s?", abbreviate(key, 80), best)
	}
	var names []string
	for _, o := range s.options {
		names = append(names, o.name)
	}
	return fmt.Sprintf("Unknown option %s; %s knows %s", abbreviate(key, 80), s.module, strings.Join(names, ", "))
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b. Case and the kind of hyphen do not count.
func distance(a, b string) int {
	plain := strings.NewReplacer("-", "_", " ", "_")
	x, y := []rune(plain.Replace(strings.ToLower(a))), []rune(plain.Replace(b))
	var before []int
	last := make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row := make([]int, len(y)+1)
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(y)]
}

// abbreviate shortens text to about limit bytes and says how long it was.
func abbreviate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:limit], ""), len(text))
}
