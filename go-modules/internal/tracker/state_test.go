package tracker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corvus.murder/internal/announce"
)

// again is another tracker on the state of r, as after kill -9: nobody told r to end.
func (r *rig) again(t *testing.T) *rig {
	t.Helper()
	return newRigAt(t, r.cfg, r.clock.Now())
}

func TestRegistrationSurvivesKill(t *testing.T) {
	r := registered(t, Config{StateDir: filepath.Join(t.TempDir(), "new", "state")})
	gone := announce.Torrent{Infohash: [20]byte{7}, Name: "gone", PieceLength: 1}
	if err := r.register(gone); err != nil {
		t.Fatal(err)
	}
	if err := r.withdraw(gone.Infohash, "it was wrong"); err != nil {
		t.Fatal(err)
	}
	next := r.again(t)
	next.mustDecide(t, peer(1, 0, announce.Started))
	a := peer(1, 0, announce.Started)
	a.infohash = gone.Infohash
	if _, err := next.decide(a); err == nil || !strings.Contains(err.Error(), "was withdrawn: it was wrong") {
		t.Errorf("withdrawn torrent after a restart: %v", err)
	}
	for _, file := range []string{"", torrentsFile} {
		info, err := os.Stat(filepath.Join(r.cfg.StateDir, file))
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s is for others too: %v, %v", file, info.Mode(), err)
		}
	}
}

func TestPeersSurviveKill(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	seeder := peer(1, 0, announce.Started)
	seeder.peer.Uploaded = 77
	r.mustDecide(t, seeder)
	r.mustDecide(t, peer(2, 0, announce.Completed))
	if err := r.saveIfDue(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.path(peersFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("peers were saved at once: %v", err)
	}
	r.clock.advance(saveInterval)
	if err := r.saveIfDue(); err != nil {
		t.Fatal(err)
	}
	before := r.swarm(t)
	r.clock.advance(time.Hour) // the tracker was away so long

	next := r.again(t)
	if after := next.swarm(t); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("after the restart %+v, before %+v", after, before)
	}
	next.expire()
	if d := next.mustDecide(t, peer(3, 9, announce.Started)); len(d.peers) != 2 || d.completed != 1 {
		t.Errorf("peers did not survive: %+v", d)
	}
	next.mustDecide(t, seeder)
	seeder.event = announce.None
	seeder.peer.Uploaded = 80
	next.mustDecide(t, seeder)
	next.mustDecide(t, peer(2, 0, announce.Completed))
	if s := next.swarm(t); s.Completed != 1 {
		t.Errorf("a peer completed twice: %+v", s)
	}
}

func TestWithdrawnTorrentHasNoPeersAfterKill(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	r.mustDecide(t, peer(1, 0, announce.Completed))
	if err := r.savePeers(); err != nil {
		t.Fatal(err)
	}
	if err := r.withdraw(sample.Infohash, "over"); err != nil {
		t.Fatal(err)
	}
	if s := r.again(t).swarm(t); len(s.Peers) != 0 || s.Completed != 1 {
		t.Errorf("after the restart %+v", s)
	}
}

func TestSavingWritesOnlyWhatChanged(t *testing.T) {
	r := registered(t, Config{StateDir: t.TempDir()})
	r.clock.advance(time.Hour)
	if err := r.saveIfDue(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.path(peersFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("peers were saved without a change: %v", err)
	}
}

func TestDamagedStateIsSetAside(t *testing.T) {
	const head, tail = `{"version":1,"swarms":[{"infohash":"abcd000000000000000000000000000000000000",`, `}]}`
	for _, tt := range []struct{ name, file, content, cause string }{
		{"cut", torrentsFile, `{"version":1,"torr`, "unexpected end of JSON input"},
		{"empty", torrentsFile, "", "unexpected end of JSON input"},
		{"other version", torrentsFile, `{"version":2}`, "version is 2, not 1"},
		{"bad infohash", torrentsFile, `{"version":1,"torrents":[{"infohash":"xy"}]}`, "is not 40 hex digits"},
		{"bad torrent", torrentsFile, `{"version":1,"torrents":[{"infohash":"` + strings.Repeat("0", 40) + `"}]}`, "name has 0 bytes"},
		{"binary", peersFile, "\x00\x01", "invalid character"},
		{"negative total", peersFile, head + `"uploaded":-1` + tail, "totals are out of range"},
		{"peer without address", peersFile, head + `"peers":[{"id":"` + strings.Repeat("0", 40) + `"}]` + tail, "is given twice or out of range"},
		{"peer twice", peersFile, head + `"peers":[{"addr":"10.0.0.1:1"},{"addr":"10.0.0.1:1"}]` + tail, "peer 10.0.0.1:1 is given twice or out of range"},
		{"bad session", peersFile, head + `"sessions":{"` + strings.Repeat("0", 40) + `":{"uploaded":-5}}` + tail, "are out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := registered(t, Config{StateDir: t.TempDir()})
			r.mustDecide(t, peer(1, 0, announce.Started))
			if err := r.savePeers(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(r.path(tt.file), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			next := r.again(t)
			aside, err := os.ReadFile(r.path(tt.file) + damaged)
			if err != nil || string(aside) != tt.content {
				t.Errorf("set aside %q, %v", aside, err)
			}
			for _, want := range []string{"state file is damaged and was set aside", r.path(tt.file), tt.cause} {
				if !strings.Contains(next.logs.String(), want) {
					t.Errorf("log lacks %q: %s", want, next.logs)
				}
			}
			if err := next.register(sample); err != nil {
				t.Fatal(err)
			}
			next.mustDecide(t, peer(2, 9, announce.Started))
		})
	}
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"version":1,"torrents":[{"infohash":"abcd000000000000000000000000000000000000","name":"a","size":5,"piece_length":5,"pieces":1}]}`),
		[]byte(`{"version":1,"swarms":[{"infohash":"abcd000000000000000000000000000000000000","peers":[{"addr":"10.0.0.1:1"}]}]}`))
	f.Fuzz(func(t *testing.T, torrents, peers []byte) {
		s := newServer(Config{}, nil, time.Now)
		if s.readTorrents(torrents) != nil {
			return
		}
		_ = s.readPeers(peers)
		for _, one := range s.Status().Torrents {
			if one.Seeders < 0 || one.Leechers < 0 || one.Seeders+one.Leechers != len(one.Peers) || one.Uploaded < 0 {
				t.Errorf("loaded %+v", one)
			}
		}
	})
}

func TestUnusableStateDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{StateDir: file}, nil)
	if err == nil || !strings.Contains(err.Error(), "State directory "+file+" cannot be made") {
		t.Errorf("directory is a file: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, torrentsFile), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = New(Config{StateDir: dir}, nil)
	if err == nil || !strings.Contains(err.Error(), "State file "+filepath.Join(dir, torrentsFile)+" cannot be read") {
		t.Errorf("state file is a directory: %v", err)
	}
}

// A registration that is not on disk must not be confirmed, nor announced.
func TestRegistrationFailsWithoutDisk(t *testing.T) {
	r := newRig(t, Config{StateDir: filepath.Join(t.TempDir(), "state")})
	if err := os.Remove(r.cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	w := r.ask("PUT", samplePath, `{"name":"artifact","size":1000,"piece_length":16,"pieces":63}`)
	if w.Code != 500 || !strings.Contains(w.Body.String(), "Tracker has an internal error; its log says more") || strings.Contains(w.Body.String(), r.cfg.StateDir) {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
	if !strings.Contains(r.logs.String(), "save registrations") || !strings.Contains(r.logs.String(), r.cfg.StateDir) {
		t.Errorf("log %q does not say why", r.logs)
	}
	if _, err := r.decide(peer(1, 0, announce.Started)); err == nil {
		t.Error("the torrent may be announced")
	}
	r.dirty = true
	r.clock.advance(saveInterval)
	if err := r.saveIfDue(); err == nil || !r.dirty {
		t.Errorf("peers that are not on disk count as saved: %v", err)
	}
}
