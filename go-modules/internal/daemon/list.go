package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// List names the instances of a kind that have a directory in the state directory, in the order of
// their names, and changes nothing. Whether a daemon runs in them is for Running to tell. A state
// directory that is missing has none.
func List(stateDir, kind string) ([]*Instance, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state directory %s cannot be read: %w; run this as the user that it belongs to (become_user) or give another state_dir",
			stateDir, errors.Unwrap(err))
	}
	var found []*Instance
	for _, entry := range entries {
		key, ours := strings.CutPrefix(entry.Name(), kind+"-")
		if ours && entry.IsDir() && plain.MatchString(key) {
			found = append(found, Open(stateDir, kind, key))
		}
	}
	return found, nil
}
