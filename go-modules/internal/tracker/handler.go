package tracker

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"corvus.murder/internal/announce"
)

const maxBody = 64 << 10

const explanation = `This is the announce URL of a BitTorrent tracker (corvus.murder).
BitTorrent clients ask it for peers with the parameters info_hash, peer_id, port and left (BEP 3).
What it knows is shown at / and, for programs, at /status.json.
`

// Handler answers everything the tracker serves over HTTP.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /announce", s.serveAnnounce)
	mux.HandleFunc("GET /scrape", s.serveScrape)
	mux.HandleFunc("PUT /"+announce.TorrentsPath+"/{infohash}", s.serveRegister)
	mux.HandleFunc("DELETE /"+announce.TorrentsPath+"/{infohash}", s.serveWithdraw)
	mux.HandleFunc("PUT /"+announce.TorrentsPath+"/{infohash}/"+announce.MetainfoFile, s.serveDeposit)
	mux.HandleFunc("GET /"+announce.TorrentsPath+"/{infohash}/"+announce.MetainfoFile, s.serveMetainfo)
	mux.HandleFunc("GET /{$}", s.servePage)
	mux.HandleFunc("GET /status.json", s.serveStatus)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", announce.ServerHeader)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r))
		if source := source(r); !s.allowed(source) {
			s.fail(w, r, refuseWith(http.StatusForbidden, "Address %s may not use this tracker; add its network to the tracker's option allow", source))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// source is the far end of the connection, without the zone that means nothing to other hosts.
func source(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (s *Server) allowed(source netip.Addr) bool {
	for _, prefix := range s.cfg.Allow {
		if prefix.Contains(source) {
			return true
		}
	}
	return len(s.cfg.Allow) == 0
}

// authorize compares hashes, so that neither content nor length of the token shows in the time it takes.
func (s *Server) authorize(r *http.Request) error {
	if s.cfg.Token == "" {
		return nil
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		given = r.URL.Query().Get("token")
	}
	got, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.cfg.Token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return refuseWith(http.StatusUnauthorized, "Token is missing or wrong; give the token of the tracker")
	}
	return nil
}

func (s *Server) serveAnnounce(w http.ResponseWriter, r *http.Request) {
	if r.URL.RawQuery == "" {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = fmt.Fprint(w, explanation)
		return
	}
	body, err := s.answer(r)
	s.send(w, r, body, err)
}

// answer is one announce from end to end.
func (s *Server) answer(r *http.Request) ([]byte, error) {
	if err := s.authorize(r); err != nil {
		return nil, err
	}
	a, err := parseAnnounce(r.URL.RawQuery, source(r))
	if err != nil {
		return nil, err
	}
	d, err := s.decide(a)
	if err != nil {
		return nil, err
	}
	s.log.Debug("announce", "infohash", fmt.Sprintf("%x", a.infohash), "peer", a.peer.Addr.String(), "event", string(a.event),
		"left", a.peer.Left, "peers", len(d.peers))
	return d.encode()
}

func (s *Server) serveScrape(w http.ResponseWriter, r *http.Request) {
	infohashes, err := parseScrape(r.URL.RawQuery)
	if err == nil {
		err = s.authorize(r)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	body, err := encodeScrape(s.counts(infohashes))
	s.send(w, r, body, err)
}

func (s *Server) serveRegister(w http.ResponseWriter, r *http.Request) {
	var info announce.Torrent
	infohash, err := s.readManaged(r, &info)
	if err == nil {
		info.Infohash = infohash
		err = s.register(info)
	}
	s.confirm(w, r, err)
}

func (s *Server) serveWithdraw(w http.ResponseWriter, r *http.Request) {
	var withdrawal announce.Withdrawal
	infohash, err := s.readManaged(r, &withdrawal)
	if err == nil {
		err = s.withdraw(infohash, withdrawal.Reason)
	}
	s.confirm(w, r, err)
}

// identify authorizes a request that names a torrent in its path, and returns which.
func (s *Server) identify(r *http.Request) (infohash identity, err error) {
	if err = s.authorize(r); err != nil {
		return infohash, err
	}
	if err = infohash.UnmarshalText([]byte(r.PathValue("infohash"))); err != nil {
		err = refuseWith(http.StatusBadRequest, "Infohash %v", err)
	}
	return infohash, err
}

// readManaged reads what registration and withdrawal have in common.
func (s *Server) readManaged(r *http.Request, v any) (infohash identity, err error) {
	if infohash, err = s.identify(r); err != nil {
		return infohash, err
	}
	err = json.NewDecoder(r.Body).Decode(v)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return infohash, refuseWith(http.StatusRequestEntityTooLarge, "Body has more than %d bytes", large.Limit)
	case err != nil:
		return infohash, refuseWith(http.StatusBadRequest, "Body is not the JSON that was expected: %v", err)
	}
	return infohash, nil
}

func (s *Server) confirm(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) send(w http.ResponseWriter, r *http.Request, body []byte, err error) {
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(body) // a client that went away will announce again
}
