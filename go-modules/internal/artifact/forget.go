package artifact

import (
	"errors"
	"io/fs"
	"path/filepath"
)

// Forget removes the stagings that interrupted deploys have left beside dest, whatever their torrent, and returns how many
// there were; with dryRun it only counts. It never touches dest. One in use means ErrBusy.
func Forget(dest string, dryRun bool) (found int, err error) {
	_, path, err := asked(dest)
	if err != nil {
		return 0, err
	}
	p := &Plan{Dest: path, dir: filepath.Dir(path), base: filepath.Base(path)}
	parent, err := openRoot(p.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, because(err, "Destination directory %s cannot be used", show(p.dir))
	}
	defer parent.Close()
	names, err := p.stagings(parent)
	if err != nil || len(names) == 0 || dryRun {
		return len(names), err
	}
	p.staging = &staging{parent: parent}
	return len(names), p.sweep()
}
