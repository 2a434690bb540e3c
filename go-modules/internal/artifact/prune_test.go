package artifact

import (
	"fmt"
	"strings"
	"testing"
)

// TestNamesOfReleases: they are UTF-8 whatever the artifact is called, so that the record, which is JSON, has them as they are.
func TestNamesOfReleases(t *testing.T) {
	for _, name := range []string{"caf\xe9.tar", strings.Repeat("\u5b57", 80), "\xff\xfe", strings.Repeat("n", 219) + "\u00e9"} {
		top := t.TempDir()
		o := PlaceOptions{Dest: top + "/current", Keep: 1}
		for i := range 4 {
			src := tree{name: fmt.Sprint(i)}.write(t, t.TempDir())
			torrent, source := build(t, src+"/"+name)
			bring(t, torrent, source, o)
			if changed, _ := bring(t, torrent, source, o); changed || read(t, o.Dest) != fmt.Sprint(i) {
				t.Errorf("%q: changed again, or not there", name)
			}
		}
		if names := releasesIn(t, top); len(names) != 2 {
			t.Errorf("there are %q", names)
		}
		if out, err := RollBack(o.Dest, "", false); err != nil || read(t, o.Dest) != "2" {
			t.Errorf("rolled back %v, %v", out, err)
		}
	}
}
