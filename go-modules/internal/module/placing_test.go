package module

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corvus.murder/internal/artifact"
)

// TestValidationIsBounded: by what is left of the timeout or, where that is little, by a time of its own.
func TestValidationIsBounded(t *testing.T) {
	const timeout = 600
	least := leastForValidation
	t.Cleanup(func() { leastForValidation = least })
	for name, bound := range map[string]func(d *peer, left time.Duration){
		"what is left": func(d *peer, left time.Duration) {
			d.began, leastForValidation = time.Now().Add(left-timeout*time.Second), 0
		},
		"time of its own": func(d *peer, left time.Duration) {
			d.began, leastForValidation = time.Now().Add(-timeout*time.Second), left
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			data := r.source(1000)
			dest, begun := filepath.Join(r.dir, "dest"), filepath.Join(r.dir, "begun")
			torrent, _, err := artifact.Build(t.Context(), r.src, artifact.BuildOptions{})
			if err != nil {
				t.Fatal(err)
			}
			place := artifact.PlaceOptions{Dest: dest, Validate: fmt.Sprintf("sh -c 'echo >%s; sleep %d' %%s", begun, timeout)}
			d := &peer{torrent: torrent, cfg: peerConfig{Timeout: timeout, Place: place}}
			if d.plan, err = artifact.NewPlan(torrent, place); err != nil {
				t.Fatal(err)
			}
			if d.store, _, err = d.plan.OpenStaging(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = d.store.Close() }()
			if _, err = d.store.WriteAt(data, 0); err != nil {
				t.Fatal(err)
			}
			// So much time that the command has begun, however slow the host is.
			for left := 10 * time.Millisecond; left < patience; left *= 2 {
				bound(d, left)
				err = d.validated(t.Context())
				if _, missing := os.Stat(begun); missing == nil {
					break
				}
			}
			want := "Validation of " + dest + " was interrupted: it took longer than timeout allows"
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
			if _, err := os.Lstat(dest); err == nil {
				t.Error("it is in place")
			}
			if err := d.plan.Discard(); err != nil {
				t.Error(err)
			}
		})
	}
}
