package module

import (
	"context"
	"fmt"
	"time"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/swarm"
)

const unpacking = "unpacking" // the state of a peer's daemon that has the whole archive and not yet all that is in it

// unpack begins to unpack an archive while the swarm brings it. The swarm is to use the store that it returns. Without the option
// unpack it does nothing.
func (d *peer) unpack(ctx context.Context, have []bool) swarm.Store {
	if !d.cfg.Place.Unpack {
		return d.store
	}
	arrival := artifact.NewArrival(d.store, have)
	unpacked := make(chan error, 1)
	d.unpacked = unpacked
	d.workers.Go(func() { unpacked <- d.plan.Unpack(ctx, arrival.Waiting(ctx)) })
	return arrival
}

// arrive waits until the swarm is complete and the archive, if it is one to unpack, unpacked. Done is false when the swarm has ended
// before.
func (d *peer) arrive(ended chan error) (done bool, err error) {
	timer := time.NewTimer(d.left())
	defer timer.Stop()
	complete, unpacked := d.swarm.Done(), d.unpacked
	for complete != nil || unpacked != nil {
		select {
		case <-complete:
			complete = nil
			if unpacked != nil {
				d.state.Store(unpacking)
			}
		case err := <-unpacked:
			if err != nil {
				return false, err
			}
			unpacked = nil
		case err := <-ended:
			ended <- nil
			return false, err
		case <-timer.C:
			return false, d.late(complete == nil)
		}
	}
	return true, nil
}

func (d *peer) late(complete bool) error {
	if complete {
		return fmt.Errorf("Unpacking of %s did not finish within timeout %s, though all of it came; raise timeout", d.torrent.Name, d.timeout())
	}
	st := d.swarm.Stats()
	return fmt.Errorf("Download of %s did not finish within timeout %s: %d of %d bytes came, %d peers are connected; raise timeout, or look at the tracker's status page for who is slow",
		d.torrent.Name, d.timeout(), st.BytesHave, d.torrent.Size, len(st.Peers))
}

// addUnpacked adds what is known of an archive's content: how many files, and their bytes.
func addUnpacked(values map[string]any, files int, size int64) {
	values["unpacked"], values["files"], values["unpacked_size"] = true, files, size
}
