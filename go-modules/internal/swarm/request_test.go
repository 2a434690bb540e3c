package swarm_test

import (
	"bytes"
	"testing"

	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/swarm"
	"corvus.murder/internal/testswarm"
)

// asksAhead is how many bytes a peer asks for at least before any come: 32 blocks, one of which may be the short one at the end.
const asksAhead = 31 * swarm.BlockSize

// serveAll answers every request of a peer that has nothing until all bytes have been asked for, and returns the length of
// the longest. It begins when as much is asked for as can be expected. Nothing may be asked for twice, nor across the end of a piece.
func serveAll(t *testing.T, dec *pp.Decoder, answer func(...pp.Message), data []byte, pieceLength int) int {
	t.Helper()
	asked := make([]bool, len(data))
	longest := 0
	var answers []pp.Message
	for left := len(data); left > 0; {
		m := read(t, dec, pp.Request)
		first, length := int(m.Index)*pieceLength+int(m.Begin), int(m.Length)
		if end := min((int(m.Index)+1)*pieceLength, len(data)); length == 0 || first+length > end {
			t.Fatalf("it asks for %v, and the piece ends at %d", m.RequestSpec(), end-int(m.Index)*pieceLength)
		}
		for i := first; i < first+length; i++ {
			if asked[i] {
				t.Fatalf("it asks for %v, and has asked for that before", m.RequestSpec())
			}
			asked[i] = true
		}
		longest, left = max(longest, length), left-length
		answers = append(answers, pp.Message{Type: pp.Piece, Index: m.Index, Begin: m.Begin, Piece: data[first : first+length]})
		if len(data)-left >= asksAhead {
			answer(answers...)
			answers = nil
		}
	}
	return longest
}

// TestLongRequestsAreNegotiated: whoever offers to serve long requests, which only our own peers do, is sent such, as long as
// it offers, as we can take and as a piece is; everybody else is asked for what every client serves.
func TestLongRequestsAreNegotiated(t *testing.T) {
	const block = swarm.BlockSize
	tests := map[string]struct {
		hello       string // bencoded; empty: none is sent
		pieceLength int
		limit       int64 // of the download
		longest     int
	}{
		"no handshake":         {"", 256 << 10, 0, block},
		"a foreign client":     {"d1:md6:ut_pexi1ee4:reqqi500e1:v3:abce", 256 << 10, 0, block},
		"murder without offer": {"d6:murderd4:ranki0eee", 256 << 10, 0, block},
		"what we offer":        {offer(128 << 10), 256 << 10, 0, 8 * block},
		"less":                 {offer(3 * block), 256 << 10, 0, 3 * block},
		"one block":            {offer(block), 256 << 10, 0, block},
		"no whole blocks":      {offer(5*block + 7), 256 << 10, 0, 5 * block},
		"a block and a bit":    {offer(20_000), 256 << 10, 0, block},
		"less than a block":    {offer(1), 256 << 10, 0, block},
		"nothing":              {offer(0), 256 << 10, 0, block},
		"a negative number":    {offer(-1 << 40), 256 << 10, 0, block},
		"a very large number":  {offer(1 << 40), 256 << 10, 0, 8 * block},
		"more than a piece":    {offer(128 << 10), 64 << 10, 0, 4 * block},
		"more than the limit":  {offer(128 << 10), 256 << 10, 2 << 20, 3 * block},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			torrent, data := testswarm.Torrent(t, 768<<10+20_001, tt.pieceLength)
			p := testswarm.Start(t, swarm.Config{Torrent: torrent, Announcer: &testswarm.Tracker{}, DownloadLimit: tt.limit},
				testswarm.NewMemory(len(data), nil))
			nc, err := stranger(t, p, torrent.Infohash, pp.ExtensionBitLtep)
			if err != nil {
				t.Fatal(err)
			}
			if tt.hello != "" {
				send(t, nc, pp.Message{Type: pp.Extended, ExtendedPayload: []byte(tt.hello)})
			}
			send(t, nc, pp.Message{Type: pp.HaveAll}, pp.Message{Type: pp.Unchoke})
			longest := serveAll(t, decoder(nc), func(msgs ...pp.Message) { send(t, nc, msgs...) }, data, tt.pieceLength)
			if longest != tt.longest {
				t.Errorf("the longest request is of %d bytes, want %d", longest, tt.longest)
			}
			p.Complete(t)
			if !bytes.Equal(p.Store.Bytes(), data) {
				t.Error("other bytes were kept than were sent")
			}
		})
	}
}

// offer is the extension handshake of a peer of ours that serves requests of so many bytes.
func offer(bytes int) string {
	return string(bencode.MustMarshal(map[string]any{"murder": map[string]int{"request": bytes}}))
}

// TestUnaskedBlocksSpoilNothing: a stranger sends made-up blocks of all that another one was asked for, each before the true
// one. None is kept.
func TestUnaskedBlocksSpoilNothing(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 40*pieceLength, pieceLength)
	p := leech(t, torrent, &testswarm.Tracker{})
	honest, err := stranger(t, p, torrent.Infohash)
	if err != nil {
		t.Fatal(err)
	}
	liar, err := called(t, [20]byte{'l'}, p, torrent.Infohash)
	if err != nil {
		t.Fatal(err)
	}
	hears := decoder(liar)
	send(t, honest, pp.Message{Type: pp.HaveAll}, pp.Message{Type: pp.Unchoke})
	serveAll(t, decoder(honest), func(msgs ...pp.Message) {
		for _, m := range msgs {
			m.Piece = make([]byte, len(m.Piece))
			send(t, liar, m)
		}
		send(t, liar, request(0, 0, swarm.BlockSize))
		read(t, hears, pp.Reject, pp.Piece) // so that all its blocks have been looked at
		send(t, honest, msgs...)
	}, data, pieceLength)
	p.Complete(t)
	if n := p.Stats().BytesDamaged; n > 0 || !bytes.Equal(p.Store.Bytes(), data) {
		t.Errorf("%d bytes came damaged, want none, and the bytes of the torrent", n)
	}
}

// TestMoreIsAskedOfTheFast: who has sent much in a moment is asked for twice as much ahead as anybody in the beginning, also while nothing comes.
func TestMoreIsAskedOfTheFast(t *testing.T) {
	const much, want = 8 << 20, 2 * (asksAhead + swarm.BlockSize)
	torrent, data := testswarm.Torrent(t, 3*much, pieceLength)
	p := leech(t, torrent, &testswarm.Tracker{})
	nc, err := stranger(t, p, torrent.Infohash)
	if err != nil {
		t.Fatal(err)
	}
	send(t, nc, pp.Message{Type: pp.HaveAll}, pp.Message{Type: pp.Unchoke})
	sent, grown := 0, false
	var waits []pp.Message
	serveAll(t, decoder(nc), func(msgs ...pp.Message) {
		waits = append(waits, msgs...)
		if ahead := len(waits) * swarm.BlockSize; sent < much || ahead >= want || grown { // else for ever, if no more is asked for
			send(t, nc, waits...)
			sent, grown, waits = sent+ahead, grown || ahead >= want, nil
		}
	}, data, pieceLength)
	if p.Complete(t); !grown {
		t.Errorf("it never asked for %d bytes ahead", want)
	}
}
