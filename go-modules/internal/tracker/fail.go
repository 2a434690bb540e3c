package tracker

import (
	"encoding/json"
	"errors"
	"net/http"

	"corvus.murder/internal/announce"
	"github.com/anacrolix/torrent/bencode"
)

// fail answers with an error: BitTorrent's way, status 200 and a failure reason, where BitTorrent
// clients ask, and HTTP's way elsewhere. Only errors made for the client leave the tracker.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, reason := http.StatusInternalServerError, "Tracker has an internal error; its log says more"
	var refused refusal
	var failure announce.Failure
	switch {
	case errors.As(err, &refused):
		status, reason = refused.status, refused.Reason
	case errors.As(err, &failure):
		status, reason = http.StatusBadRequest, failure.Reason
	default:
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	s.log.Debug("request refused", "method", r.Method, "path", r.URL.Path, "source", r.RemoteAddr, "reason", reason)
	if r.URL.Path == "/announce" || r.URL.Path == "/scrape" {
		w.Header().Set("Content-Type", "text/plain")
		body, _ := bencode.Marshal(failureReply{Reason: reason}) // a struct of one string can be encoded
		_, _ = w.Write(body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(announce.RegistrationError{Error: reason})
}
