package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// One in a hundred small files is new, spread over the tree: they lie in few pieces, and only these are missing.
func TestNewFilesShareTheirPieces(t *testing.T) {
	top := t.TempDir()
	now, old := tree{}, tree{}
	for i := range 1000 {
		path := fmt.Sprintf("%d/%03d", i%7, i)
		old[path] = random(i, 2000)
		now[path] = old[path]
		if i%100 == 50 {
			now[path] = random(1000+i, 2000)
		}
	}
	src := now.write(t, filepath.Join(top, "src"))
	for path, data := range now {
		if data != old[path] {
			must(t, os.Chtimes(filepath.Join(src, path), time.Time{}, sometime.Add(time.Hour)))
		}
	}
	p, have := reuseAt(t, src, filepath.Join(top, "dest"), unshared, old.write(t, filepath.Join(top, "old")))
	if missing := len(have) - count(have); missing > 3 {
		t.Errorf("ten files of 2000 bytes are new, and %d of %d pieces of 16 KiB are missing", missing, len(have))
	}
	must(t, p.Discard())
}
