package tracker

// Deploys are the names of those that use a daemon.
type Deploys map[string]struct{}

// Add adds one, unless it has no name.
func (d Deploys) Add(name string) {
	if name != "" {
		d[name] = struct{}{}
	}
}

// Other is the first besides one; "" if there is none.
func (d Deploys) Other(name string) (other string) {
	for one := range d {
		if one != name && (other == "" || one < other) {
			other = one
		}
	}
	return other
}

// Join notes that a deploy uses the tracker until it leaves, also while its seeder only hashes the source. So many peers will come for
// what is registered next; 0 says nothing of that.
func (s *Server) Join(deploy string, expect int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deploys.Add(deploy)
	if expect > 0 {
		s.expect = expect
	}
	s.active = s.now()
}

// Leave notes, unless it is only to look, that a deploy and its torrent are over. It names one who uses the tracker besides: another
// deploy, or another torrent that has peers and is not over. There is none if that is "".
func (s *Server) Leave(deploy string, infohash [20]byte, look bool) (user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, known := s.torrents[infohash]; known && !look {
		t.over = true
	}
	if !look {
		delete(s.deploys, deploy)
	}
	if user = s.deploys.Other(deploy); user != "" {
		return user
	}
	for other, t := range s.torrents {
		if other != infohash && !t.over && t.withdrawn.IsZero() && len(t.swarm.peers) > 0 {
			return t.info.Name
		}
	}
	return ""
}

// awaits tells whether there are more deploys than torrents that are not over: one has not registered its own yet. The caller holds mu.
func (s *Server) awaits() bool {
	going := 0
	for _, t := range s.torrents {
		if t.withdrawn.IsZero() && !t.over {
			going++
		}
	}
	return len(s.deploys) > going
}
