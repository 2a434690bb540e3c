package artifact

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// Forget removes the stagings that interrupted deploys have left beside dest, whatever their torrent, and returns how many
// there were; with dryRun it only counts. It never touches dest. One in use means ErrBusy.
func Forget(dest string, dryRun bool) (found int, err error) {
	path, err := filepath.Abs(dest)
	if err != nil {
		return 0, fault(err, "Destination %s is relative to a directory that is gone", show(dest))
	}
	p := &Plan{Dest: path, dir: filepath.Dir(path), base: filepath.Base(path)}
	parent, err := openRoot(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, because(err, "Destination directory %s cannot be used", show(p.dir))
	}
	defer parent.Close()
	names, err := parent.names("")
	if err != nil {
		return 0, because(err, "Destination directory %s cannot be read", show(p.dir))
	}
	for _, name := range names {
		if strings.HasPrefix(name, stagingPrefix(p.base)) {
			found++
		}
	}
	if found == 0 || dryRun {
		return found, nil
	}
	p.staging = &staging{parent: parent}
	return found, p.sweep()
}
