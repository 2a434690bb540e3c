package swarm_test

import (
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/anacrolix/torrent/bencode"
	"github.com/anacrolix/torrent/metainfo"
	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/testswarm"
)

// child connects by hand as one of our own peers does, and says which stripes it wants.
func child(t *testing.T, p *testswarm.Peer, infohash [20]byte, stripes ...int) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(testswarm.Patience))
	ih := metainfo.Hash(infohash)
	bits := pp.NewPeerExtensionBytes(pp.ExtensionBitFast, pp.ExtensionBitLtep)
	if _, err = pp.Handshake(context.Background(), nc, &ih, [20]byte{'x'}, bits); err != nil {
		t.Fatal(err)
	}
	hello := map[string]any{
		"m":      map[string]int{"murder_feed": 7},
		"murder": map[string]int{"rank": 0, "request": 128 << 10, "seeder": 0},
	}
	send(t, nc, pp.Message{Type: pp.Extended, ExtendedPayload: bencode.MustMarshal(hello)}, feed(stripes...))
	return nc
}

func feed(stripes ...int) pp.Message {
	return pp.Message{Type: pp.Extended, ExtendedID: 1, ExtendedPayload: bencode.MustMarshal(stripes)}
}

// TestRequestWaitsForItsPiece: whoever is fed may ask ahead.
func TestRequestWaitsForItsPiece(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	tr := &testswarm.Tracker{Stripes: 2}
	p := leech(t, torrent, tr)
	nc := child(t, p, torrent.Infohash, 0, 1)
	send(t, nc, request(3, 0, pieceLength), request(4, 0, pieceLength))
	seed(t, torrent, tr, data)
	dec := decoder(nc)
	for range 2 {
		m := read(t, dec, pp.Piece, pp.Reject)
		if m.Type != pp.Piece || !bytes.Equal(m.Piece, data[int(m.Index)*pieceLength:][:pieceLength]) {
			t.Fatalf("%v of piece %d came, want its data", m.Type, m.Index)
		}
	}
}

// TestAskedAheadAndNotFedAnyMore: what was asked for ahead is rejected once the stripe is no longer wanted, and what
// is cancelled, too.
func TestAskedAheadAndNotFedAnyMore(t *testing.T) {
	torrent, _ := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	p := leech(t, torrent, &testswarm.Tracker{Stripes: 2})
	nc := child(t, p, torrent.Infohash, 0)
	dec := decoder(nc)
	send(t, nc, request(2, 0, pieceLength), request(4, 0, pieceLength))
	cancel := request(4, 0, pieceLength)
	cancel.Type = pp.Cancel
	send(t, nc, cancel)
	if m := read(t, dec, pp.Reject); m.Index != 4 {
		t.Errorf("piece %d was rejected, want 4, which was cancelled", m.Index)
	}
	send(t, nc, feed())
	if m := read(t, dec, pp.Reject); m.Index != 2 {
		t.Errorf("piece %d was rejected, want 2, which is not wanted any more", m.Index)
	}
}

// TestFeedMessageOfNonsense is survived: stripes that do not exist mean nothing, and so does garbage.
func TestFeedMessageOfNonsense(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	s := seed(t, torrent, &testswarm.Tracker{Stripes: 2}, data)
	nc := child(t, s, torrent.Infohash, -1, 1<<40, 63)
	send(t, nc, pp.Message{Type: pp.Extended, ExtendedID: 1, ExtendedPayload: []byte("no list")}, request(7, 0, pieceLength))
	if m := read(t, decoder(nc), pp.Piece); m.Index != 7 {
		t.Errorf("piece %d came, want 7", m.Index)
	}
}
