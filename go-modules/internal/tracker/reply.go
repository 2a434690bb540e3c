package tracker

import (
	"time"

	"corvus.murder/internal/announce"
	"github.com/anacrolix/torrent/bencode"
)

// announceReply is an announce response on the wire. Peers is a string (BEP 23) or a list of dictionaries.
type announceReply struct {
	Interval    int64  `bencode:"interval"`
	MinInterval int64  `bencode:"min interval"`
	Complete    int    `bencode:"complete"`
	Downloaded  int    `bencode:"downloaded"`
	Finished    int    `bencode:"finished,omitempty"` // ours: 1 when every expected peer has completed
	Incomplete  int    `bencode:"incomplete"`
	Peers       any    `bencode:"peers"`
	Peers6      []byte `bencode:"peers6,omitempty"`
	Rank        int    `bencode:"rank,omitempty"` // ours: place in the trees plus one, 0 for none
	Size        int    `bencode:"size,omitempty"`
	Stripes     int    `bencode:"stripes,omitempty"`
}

type peerReply struct {
	IP   string `bencode:"ip"`
	ID   string `bencode:"peer id,omitempty"`
	Port int    `bencode:"port"`
}

type failureReply struct {
	Reason string `bencode:"failure reason"`
}

type scrapeReply struct {
	Files map[string]announce.Counts `bencode:"files"`
}

// encode makes the bencoded form of a decision.
func (d decision) encode() ([]byte, error) {
	r := announceReply{
		Interval:    int64(d.interval / time.Second),
		MinInterval: int64(d.minimum / time.Second),
		Complete:    d.seeders,
		Downloaded:  d.completed,
		Incomplete:  d.leechers,
		Size:        d.size,
		Stripes:     d.stripes,
	}
	if d.stripes > 0 {
		r.Rank = d.rank + 1
	}
	if d.finished {
		r.Finished = 1
	}
	if d.compact {
		r.Peers, r.Peers6 = compactPeers(d.peers)
	} else {
		r.Peers = dictionaryPeers(d.peers, d.withPeerIDs)
	}
	return bencode.Marshal(r)
}

func compactPeers(peers []*Peer) (v4, v6 []byte) {
	v4 = []byte{} // an empty list of peers is an empty string, not an empty list
	for _, p := range peers {
		if p.Addr.Addr().Is4() {
			v4 = announce.AppendCompact(v4, p.Addr)
		} else {
			v6 = announce.AppendCompact(v6, p.Addr)
		}
	}
	return v4, v6
}

func dictionaryPeers(peers []*Peer, withIDs bool) []peerReply {
	list := make([]peerReply, len(peers))
	for i, p := range peers {
		list[i] = peerReply{IP: p.Addr.Addr().String(), Port: int(p.Addr.Port())}
		if withIDs {
			list[i].ID = string(p.ID[:])
		}
	}
	return list
}

func encodeScrape(counts map[[20]byte]announce.Counts) ([]byte, error) {
	files := make(map[string]announce.Counts, len(counts))
	for infohash, c := range counts {
		files[string(infohash[:])] = c
	}
	return bencode.Marshal(scrapeReply{Files: files})
}
