package module

import (
	"crypto/sha1"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/testarchive"
)

// info asks murder_info about the state directory of one of the rig's hosts.
func (r *rig) info(who string) options {
	r.t.Helper()
	return r.must(false, "murder_info", options{"state_dir": r.state(who)})
}

// one demands that a list of a result has exactly one element, and returns it.
func one(t *testing.T, res options, list string) options {
	t.Helper()
	elements, _ := res[list].([]any)
	if len(elements) != 1 {
		t.Fatalf("%s has %d elements, want 1: %v", list, len(elements), res)
	}
	return options(elements[0].(map[string]any))
}

// has demands values of a result.
func has(t *testing.T, res options, want options) {
	t.Helper()
	for key, value := range want {
		if res[key] != value {
			t.Errorf("%s is %v, want %v", key, res[key], value)
		}
	}
}

func TestInfoOfAHostWithoutAnything(t *testing.T) {
	r := newRig(t)
	res := r.info("nobody")
	for _, list := range []string{"trackers", "seeders", "peers", "deploys"} {
		if elements, ok := res[list].([]any); !ok || len(elements) > 0 {
			t.Errorf("%s is %v, want an empty list", list, res[list])
		}
	}
	if _, err := os.Stat(r.state("nobody")); err == nil {
		t.Error("asking has made the state directory")
	}
	file := filepath.Join(r.dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r.refused("murder_info", options{"state_dir": file}, file, "not a directory", "state_dir")
	r.refused("murder_info", options{"dset": "/srv"}, "Unknown option dset", "did you mean dest")
}

func TestInfoTellsWhatRuns(t *testing.T) {
	r := newRig(t)
	data := r.slow(4 << 20)
	size := float64(len(data))
	r.must(true, "murder_peer", r.peer(1).with("state", "started").with("download_limit", "8M"))
	r.halfDone(1)

	found := one(t, r.info("tracker"), "trackers")
	has(t, found, options{"port": float64(r.port), "listen": "127.0.0.1", "idle_timeout": 3600.0, "expect": 0.0})
	if url, _ := found["announce_url"].(string); !strings.HasSuffix(url, "/announce") || found["pid"].(float64) < 1 {
		t.Errorf("the tracker is %v", found)
	}
	torrent := one(t, found, "torrents")
	has(t, torrent, options{"name": "artifact", "size": size, "seeders": 1.0, "withdrawn": ""})

	seeder := one(t, r.info("seed"), "seeders")
	has(t, seeder, options{
		"state": "seeding", "name": "artifact", "size": size, "infohash": torrent["infohash"], "torrent": r.src + ".torrent",
		"upload_limit": float64(len(data) / 5), "ip": "127.0.0.2", "tracker_error": "", "idle_timeout": 3600.0, "connections": 1.0,
	})

	res := r.info("peer1")
	peer := one(t, res, "peers")
	has(t, peer, options{
		"state": "downloading", "name": "artifact", "size": size, "infohash": torrent["infohash"], "dest": r.peer(1)["dest"],
		"download_limit": float64(8 << 20), "upload_limit": 0.0, "seed_time": 60.0, "stall_timeout": 30.0, "timeout": 3600.0,
		"port_range": "10000-10500", "tracker": seeder["tracker"],
	})
	if p := peer["progress"].(float64); p <= 0 || p >= 100 || peer["port"].(float64) < 10000 {
		t.Errorf("half done the peer is %v", peer)
	}
	if text, err := json.Marshal(res); err != nil || strings.Contains(string(text), "s3cret") || strings.Contains(string(text), "sha256:") {
		t.Errorf("the result holds the token: %s", text)
	}

	r.must(true, "murder_peer", r.peer(1).with("download_limit", "8M"))
	has(t, one(t, r.info("peer1"), "peers"), options{"state": "seeding", "progress": 100.0, "bytes_from_seed": size})
	r.must(true, "murder_peer", r.peer(1).with("state", "stopped"))
	if peers := r.info("peer1")["peers"].([]any); len(peers) > 0 {
		t.Errorf("stopped, but told of: %v", peers)
	}
}

// whole lists everything below the rig's directory as snapshot does, also what the daemons have; only of their logs, of a
// download that is being written, and of what a tracker saves at any time, just that it is there.
func (r *rig) whole() string {
	r.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(r.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.Name() == "log" || entry.Name() == "content" {
			fmt.Fprintln(&all, path)
			return err
		}
		if entry.Name() == "torrents" {
			fmt.Fprintln(&all, path)
			return filepath.SkipDir
		}
		stat, err := entry.Info()
		if err == nil {
			content, _ := os.ReadFile(path)
			fmt.Fprintln(&all, path, stat.Mode(), stat.ModTime(), sha1.Sum(content))
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all.String()
}

// TestInfoChangesNothing: neither where something runs nor where something was deployed, and is there or has gone since.
func TestInfoChangesNothing(t *testing.T) {
	r := newRig(t)
	r.source(1000)
	r.up()
	for n := range 2 {
		r.must(true, "murder_peer", r.quiet(n).with("state_dir", r.state("peer3")))
	}
	r.must(true, "murder_seed", r.seed().with("state", "stopped"))
	if err := os.Remove(r.peer(0)["dest"].(string)); err != nil {
		t.Fatal(err)
	}
	r.eventually("the peers have ended", func() bool {
		left, _ := filepath.Glob(filepath.Join(r.state("peer3"), "peer-*"))
		return len(left) == 0
	})
	r.must(true, "murder_seed", r.seed().with("upload_limit", len(r.source(4<<20))/20))
	r.must(true, "murder_peer", r.peer(3).with("state", "started"))
	r.halfDone(3)
	before := r.whole()
	for who, want := range map[string][4]int{"tracker": {1, 0, 0, 0}, "seed": {0, 1, 0, 0}, "peer3": {0, 0, 1, 2}} {
		ask := options{"state_dir": r.state(who), "_ansible_diff": true}
		for _, o := range []options{ask, ask.with("_ansible_check_mode", true), ask.with("dest", r.dir+"/")} {
			res := r.must(false, "murder_info", o)
			for i, list := range []string{"trackers", "seeders", "peers", "deploys"} {
				if found := res[list].([]any); len(found) != want[i] {
					t.Errorf("%v tells of %d %s, want %d: %v", o, len(found), list, want[i], found)
				}
			}
		}
	}
	if after := r.whole(); after != before {
		t.Errorf("asking has changed something; before:\n%s\nafter:\n%s", before, after)
	}
	has(t, one(t, r.info("peer3"), "peers"), options{"state": "downloading"}) // all the time
}

func TestInfoTellsWhatWasDeployed(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 16)
	r.up()
	before := time.Now().Add(-time.Second)
	hash := r.must(true, "murder_peer", r.peer(1))["infohash"]
	deploy := one(t, r.info("peer1"), "deploys")
	has(t, deploy, options{
		"infohash": hash, "name": "artifact", "dest": r.peer(1)["dest"], "size": float64(len(data)), "exists": true,
	})
	for _, key := range []string{"deployed", "verified"} {
		when, err := time.Parse(time.RFC3339, deploy[key].(string))
		if err != nil || when.Before(before) || when.After(time.Now()) {
			t.Errorf("%s is %v (%v)", key, deploy[key], err)
		}
	}
	if err := os.Remove(r.peer(1)["dest"].(string)); err != nil {
		t.Fatal(err)
	}
	has(t, one(t, r.info("peer1"), "deploys"), options{"exists": false})
	r.must(true, "murder_peer", r.peer(1).with("state", "absent"))
	if deploys := r.info("peer1")["deploys"].([]any); len(deploys) > 0 {
		t.Errorf("forgotten, but told of: %v", deploys)
	}
}

func TestInfoOfOneDestination(t *testing.T) {
	r := newRig(t)
	r.source(1 << 16)
	r.up()
	dest := filepath.Join(r.dir, "dest1")
	r.must(true, "murder_peer", r.peer(1))
	link := filepath.Join(r.dir, "link")
	if err := os.Symlink(dest, link); err != nil {
		t.Fatal(err)
	}
	for filter, want := range map[string]int{dest: 1, dest + "/": 1, r.dir + "/": 1, r.dir: 0, dest + "2": 0, link: 1} {
		res := r.must(false, "murder_info", options{"state_dir": r.state("peer1"), "dest": filter})
		for _, list := range []string{"peers", "deploys"} {
			if found := res[list].([]any); len(found) != want {
				t.Errorf("dest %q: %d %s, want %d", filter, len(found), list, want)
			}
		}
	}
}

// TestInfoOfReleases: of a destination with keep it tells what the link leads to, after a rollback the release before.
func TestInfoOfReleases(t *testing.T) {
	r := newRig(t)
	r.must(true, "murder_tracker", r.tracker())
	current := filepath.Join(r.dir, "current")
	keep := r.quiet(1).with("dest", current).with("keep", 2)
	deploy := func() options {
		t.Helper()
		res := r.must(false, "murder_info", options{"state_dir": r.state("peer1"), "dest": current})
		return one(t, res, "deploys")
	}
	var hashes, places []any
	for _, content := range []string{"one", "two!"} {
		hashes = append(hashes, r.reseed(content))
		release := r.must(true, "murder_peer", keep)["release"].(string)
		places = append(places, filepath.Join(r.dir, "releases", release))
		has(t, deploy(), options{
			"infohash": hashes[len(hashes)-1], "dest": places[len(places)-1], "size": float64(len(content)), "exists": true,
		})
	}
	r.must(true, "murder_peer", keep.with("state", "rolledback"))
	has(t, deploy(), options{"infohash": hashes[0], "dest": places[0], "size": 3.0, "exists": true})
	if all := r.info("peer1")["deploys"].([]any); len(all) != 2 {
		t.Errorf("without dest it tells of %v", all)
	}
}

// TestInfoOfWhenItWasVerified: verify: full says anew when that was, never when it was put in place; quick says nothing.
func TestInfoOfWhenItWasVerified(t *testing.T) {
	for name, more := range map[string]options{
		"file": {}, "unpacked": {"unpack": true}, "release": {"keep": 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.archive(testarchive.Formats(t, release...)[".tar.gz"])
			r.aged(r.src)
			r.up()
			o := r.quiet(1)
			maps.Copy(o, more)
			done := r.must(true, "murder_peer", o)
			// Both times are of this very second: make them long ago.
			records := artifact.OpenRecords(r.state("peer1"))
			all, err := records.All()
			if err != nil || len(all) != 1 {
				t.Fatalf("the records are %v, %v", all, err)
			}
			all[0].When, all[0].Verified = time.Unix(1_600_000_000, 0), time.Unix(1_600_000_000, 0)
			if err := records.Save(all[0]); err != nil {
				t.Fatal(err)
			}
			const then = "2020-09-13T12:26:40Z"
			for _, verify := range []string{quick, full} {
				r.must(false, "murder_peer", o.with("verify", verify))
				found := one(t, r.info("peer1"), "deploys")
				has(t, found, options{"deployed": then, "infohash": done["infohash"], "size": done["size"], "exists": true})
				if moved := found["verified"] != then; moved != (verify == full) {
					t.Errorf("after verify: %s it was verified at %v", verify, found["verified"])
				}
			}
		})
	}
}

func TestInfoOfDaemonsThatDoNotAnswer(t *testing.T) {
	r := newRig(t)
	r.must(true, "murder_tracker", r.tracker())
	sock := filepath.Join(r.state("tracker"), fmt.Sprintf("tracker-%d", r.port), "sock")
	if err := os.Rename(sock, sock+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sock", sock); err != nil { // nobody can connect to this, and it is no daemon that has just ended
		t.Fatal(err)
	}
	defer func() { _ = os.Rename(sock+".away", sock) }()
	res := r.info("tracker")
	warnings, _ := res["warnings"].([]any)
	if len(warnings) != 1 || !strings.Contains(warnings[0].(string), "does not answer") || len(res["trackers"].([]any)) > 0 {
		t.Errorf("of a tracker whose socket is broken: %v", res)
	}
}
