package tracker

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"corvus.murder/internal/announce"
)

// The tracker keeps the .torrent of what is registered, as the seeder has sent it, so that nobody else has to carry it to every
// peer. It does not look into it: peers know the infohash, and verify.
const (
	maxMetainfo   = 128 << 20 // bytes of one, the most that peers look at
	maxKept       = 1 << 30   // bytes of all
	metainfoTail  = "." + announce.MetainfoFile
	metainfoChunk = 64 << 10
	metainfoPause = 60 * time.Second // in which a chunk must move; that of one of many peers on a slow link
)

func (s *Server) metainfoPath(infohash [20]byte) string {
	return s.path(hex.EncodeToString(infohash[:]) + metainfoTail)
}

// bodyLimit is the most bytes of a request's body.
func bodyLimit(r *http.Request) int64 {
	if strings.HasSuffix(r.URL.Path, "/"+announce.MetainfoFile) {
		return maxMetainfo
	}
	return maxBody
}

// serveDeposit takes the .torrent of a registered torrent.
func (s *Server) serveDeposit(w http.ResponseWriter, r *http.Request) {
	infohash, err := s.identify(r)
	switch {
	case err != nil:
	case s.cfg.StateDir == "":
		err = refuseWith(http.StatusNotImplemented, "Tracker has no state directory to keep a .torrent in")
	case r.ContentLength < 0:
		err = refuseWith(http.StatusLengthRequired, "Length of the .torrent is missing")
	case r.ContentLength > maxMetainfo:
		err = refuseWith(http.StatusRequestEntityTooLarge, "The .torrent has %d bytes; it may have %d", r.ContentLength, maxMetainfo)
	default:
		err = s.deposit(infohash, r.ContentLength, func(f *os.File) error {
			return inChunks(http.NewResponseController(w), f, r.Body, r.ContentLength)
		})
	}
	s.confirm(w, r, err)
}

// deposit keeps size bytes that fill writes, in place of what was kept for the torrent.
func (s *Server) deposit(infohash [20]byte, size int64, fill func(*os.File) error) error {
	if err := s.reserve(infohash, size); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.cfg.StateDir, "*"+metainfoTail+unfinished)
	if err != nil {
		return fmt.Errorf("keep torrent: %w", err)
	}
	err = fill(f)
	if err = errors.Join(err, f.Close()); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err = s.standing(infohash); err == nil {
			err = os.Rename(f.Name(), s.metainfoPath(infohash))
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// reserve makes room for a .torrent in what the tracker keeps.
func (s *Server) reserve(infohash [20]byte, size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.standing(infohash); err != nil {
		return err
	}
	kept := size
	for other, t := range s.torrents {
		if other != infohash {
			kept += t.kept
		}
	}
	if kept > maxKept {
		return refuseWith(http.StatusInsufficientStorage, "Tracker keeps torrents of %d bytes at most; withdraw one first", maxKept)
	}
	s.torrents[infohash].kept = size
	return nil
}

// standing says why a torrent is not registered, nil when it is. The caller holds mu.
func (s *Server) standing(infohash [20]byte) error {
	t, known := s.torrents[infohash]
	if !known {
		return refuseWith(http.StatusNotFound, "Torrent %x is not registered with this tracker; start its seeder first", infohash)
	}
	if !t.withdrawn.IsZero() {
		return refuseWith(http.StatusGone, "Torrent %x was withdrawn: %s", infohash, t.reason)
	}
	return nil
}

// serveMetainfo gives the .torrent of a registered torrent to a peer.
func (s *Server) serveMetainfo(w http.ResponseWriter, r *http.Request) {
	infohash, err := s.identify(r)
	var f *os.File
	var size int64
	if err == nil {
		f, size, err = s.openMetainfo(infohash)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Length", fmt.Sprint(size))
	if err := inChunks(http.NewResponseController(w), w, f, size); err != nil {
		s.log.Debug("a peer did not get the whole torrent", "infohash", infohash, "source", r.RemoteAddr, "err", err)
	}
}

func (s *Server) openMetainfo(infohash [20]byte) (f *os.File, size int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.standing(infohash); err != nil {
		return nil, 0, err
	}
	err = os.ErrNotExist
	if s.cfg.StateDir != "" {
		f, err = os.Open(s.metainfoPath(infohash))
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, refuseWith(http.StatusNotFound, "Tracker was not given the .torrent of torrent %x; give it to the peers otherwise", infohash)
	} else if err != nil {
		return nil, 0, fmt.Errorf("open torrent: %w", err)
	}
	stat, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("open torrent: %w", err), f.Close())
	}
	s.active = s.now()
	return f, stat.Size(), nil
}

// inChunks copies size bytes of a request or an answer, for as long as each chunk moves in time.
func inChunks(connection *http.ResponseController, to io.Writer, from io.Reader, size int64) error {
	for size > 0 {
		n := min(size, metainfoChunk)
		deadline := time.Now().Add(metainfoPause)
		if err := errors.Join(connection.SetReadDeadline(deadline), connection.SetWriteDeadline(deadline)); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, n); err != nil {
			return err
		}
		size -= n
	}
	return nil
}

// findMetainfo finds what an earlier tracker has kept, and removes what is of no use any more.
func (s *Server) findMetainfo() error {
	entries, _ := os.ReadDir(s.cfg.StateDir) // what cannot be listed is not there
	for _, entry := range entries {
		if !strings.Contains(entry.Name(), metainfoTail) {
			continue
		}
		var infohash identity
		name, whole := strings.CutSuffix(entry.Name(), metainfoTail)
		stat, err := os.Stat(s.path(entry.Name()))
		if whole && err == nil && infohash.UnmarshalText([]byte(name)) == nil && s.standing(infohash) == nil {
			s.torrents[infohash].kept = stat.Size()
			continue
		}
		if err := os.Remove(s.path(entry.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("State directory %s cannot be cleaned up (%w); check its owner and mode", s.cfg.StateDir, err)
		}
	}
	return nil
}

// dropMetainfo forgets a .torrent. That it stays on the disk is worth no failure. The caller holds mu.
func (s *Server) dropMetainfo(infohash [20]byte) {
	if t := s.torrents[infohash]; t.kept > 0 {
		t.kept = 0
		_ = os.Remove(s.metainfoPath(infohash))
	}
}
