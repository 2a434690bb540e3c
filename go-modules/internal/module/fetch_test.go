package module

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// byInfohash is a peer that knows infohash and tracker and nothing else of the torrent.
func (r *rig) byInfohash(n int, infohash any) options {
	o := r.peer(n).with("infohash", infohash).with("tracker", fmt.Sprintf("127.0.0.1:%d", r.port))
	delete(o, "torrent")
	return o
}

func TestTorrentComesFromTheTracker(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 20)
	r.must(true, "murder_tracker", r.tracker())
	seeded := r.must(true, "murder_seed", r.seed().with("return_content", false))
	if _, there := seeded["torrent_content"]; there {
		t.Error("the torrent was returned with return_content false")
	}
	infohash := seeded["infohash"].(string)
	r.must(true, "murder_peer", r.byInfohash(1, infohash))
	r.arrived(1, data)
	r.must(false, "murder_peer", r.byInfohash(1, strings.ToUpper(infohash)))
	r.must(true, "murder_peer", r.byInfohash(2, infohash).with("state", "started"))
	r.must(true, "murder_peer", r.byInfohash(2, infohash))
	r.arrived(2, data)
	r.must(true, "murder_peer", r.byInfohash(3, infohash).with("_ansible_check_mode", true))

	r.refused("murder_peer", r.byInfohash(4, infohash).with("token", "another"), "Token is missing or wrong")
	r.refused("murder_peer", r.byInfohash(4, strings.Repeat("12", 20)), "is not registered with this tracker; start its seeder first")
	r.refused("murder_peer", r.byInfohash(4, infohash[1:]), "Option infohash", "is not 40 hex digits")
	r.refused("murder_peer", r.byInfohash(4, infohash+"00"), "Option infohash", "is not 40 hex digits")
	r.refused("murder_peer", r.byInfohash(4, infohash).with("tracker", nil), "Option tracker is required with infohash")
	r.refused("murder_peer", r.byInfohash(4, infohash).with("torrent", "/x.torrent"), "torrent, torrent_content, infohash exclude each other")
	if _, err := os.Stat(r.peer(4)["dest"].(string)); err == nil {
		t.Error("a refused call made the destination")
	}

	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	r.must(true, "murder_tracker", r.tracker().with("state", "stopped"))
	r.refused("murder_peer", r.byInfohash(4, infohash), "is not reachable")
}

// TestTorrentOfAnotherInfohash has a tracker lie.
func TestTorrentOfAnotherInfohash(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	infohash := r.must(false, "murder_seed", r.seed())["infohash"].(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/torrents/%s/torrent.gz?token=s3cret", r.port, infohash))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = response.Body.Close() }()
		w.Header().Set("Server", response.Header.Get("Server"))
		_, _ = io.Copy(w, response.Body)
	}))
	defer server.Close()
	other := strings.Repeat("34", 20)
	r.refused("murder_peer", r.byInfohash(1, other).with("tracker", server.URL), infohash, other)
	foreign := httptest.NewServer(http.NotFoundHandler())
	defer foreign.Close()
	r.refused("murder_peer", r.byInfohash(1, infohash).with("tracker", foreign.URL), "does not register torrents", "give torrent or torrent_content")
}

// TestHostsInPlaceAreCounted: who goes on seeding for all that are expected need not wait for those that have the artifact already.
func TestHostsInPlaceAreCounted(t *testing.T) {
	r := newRig(t)
	r.source(1 << 20)
	r.must(true, "murder_tracker", r.tracker().with("expect", 2))
	infohash := r.must(true, "murder_seed", r.seed())["infohash"].(string)
	r.must(true, "murder_peer", r.byInfohash(1, infohash).with("seed_time", 0))
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	r.must(true, "murder_tracker", r.tracker().with("state", "stopped"))

	r.must(true, "murder_tracker", r.tracker().with("expect", 2))
	r.must(true, "murder_seed", r.seed())
	for range 2 { // which is one host all the same
		r.must(false, "murder_peer", r.byInfohash(1, infohash))
	}
	info := r.must(false, "murder_info", options{"state_dir": r.state("tracker")})
	torrent := info["trackers"].([]any)[0].(map[string]any)["torrents"].([]any)[0].(map[string]any)
	if torrent["completed"] != 1.0 || torrent["seeders"] != 1.0 || torrent["leechers"] != 0.0 {
		t.Errorf("with one host in place and the seeder the tracker tells %v", torrent)
	}
	peer := r.byInfohash(2, infohash).with("seed_time", 3600)
	r.must(true, "murder_peer", peer)
	inst, err := peerInstance(r.state("peer2"), peer["dest"].(string))
	if err != nil {
		t.Fatal(err)
	}
	r.eventually("the other one ends", func() bool { _, running, err := inst.Running(); return err == nil && !running })
}
