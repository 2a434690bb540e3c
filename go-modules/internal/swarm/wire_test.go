package swarm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"github.com/anacrolix/torrent/metainfo"
	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/artifact"
	"corvus.murder/internal/swarm"
	"corvus.murder/internal/testswarm"
)

// stranger connects to a peer by hand. It knows the fast extension, and those of the bits.
func stranger(t *testing.T, p *testswarm.Peer, infohash [20]byte, bits ...pp.ExtensionBit) (net.Conn, error) {
	t.Helper()
	return called(t, [20]byte{'x'}, p, infohash, bits...)
}

// called is a stranger with that peer id; one alone needs none of its own.
func called(t *testing.T, id [20]byte, p *testswarm.Peer, infohash [20]byte, bits ...pp.ExtensionBit) (net.Conn, error) {
	t.Helper()
	nc, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(testswarm.Patience))
	ih := metainfo.Hash(infohash)
	_, err = pp.Handshake(context.Background(), nc, &ih, id, pp.NewPeerExtensionBytes(append(bits, pp.ExtensionBitFast)...))
	return nc, err
}

// welcome connects as a stranger does, and returns when requests are welcome.
func welcome(t *testing.T, p *testswarm.Peer, infohash [20]byte) (net.Conn, *pp.Decoder) {
	t.Helper()
	nc, err := stranger(t, p, infohash)
	if err != nil {
		t.Fatal(err)
	}
	dec := decoder(nc)
	read(t, dec, pp.Unchoke)
	return nc, dec
}

func send(t *testing.T, nc net.Conn, msgs ...pp.Message) {
	t.Helper()
	for _, m := range msgs {
		if _, err := nc.Write(m.MustMarshalBinary()); err != nil {
			t.Fatal(err)
		}
	}
}

// hungUp tells whether the other side closes the connection.
func hungUp(t *testing.T, nc net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, nc)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the peer keeps a connection that breaks the protocol")
	}
}

func request(index, begin, length int) pp.Message {
	return pp.Message{Type: pp.Request, Index: pp.Integer(index), Begin: pp.Integer(begin), Length: pp.Integer(length)}
}

func TestBrokenProtocolEndsTheConnection(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	n := torrent.NumPieces()
	tests := map[string][]pp.Message{
		"request past the last piece":   {request(n, 0, 16384)},
		"request past the piece":        {request(0, pieceLength-1, 16384)},
		"request of nothing":            {request(0, 0, 0)},
		"request of too much":           {request(0, 0, 1<<31)},
		"have past the last piece":      {{Type: pp.Have, Index: pp.Integer(n)}},
		"bitfield too long":             {{Type: pp.Bitfield, Bitfield: make([]bool, n+64)}},
		"bitfield with spare bits":      {{Type: pp.Bitfield, Bitfield: testswarm.All((n + 7) / 8 * 8)}},
		"a block nobody can want":       {{Type: pp.Piece, Index: pp.Integer(n), Piece: make([]byte, 100)}},
		"a block of an impossible size": {{Type: pp.Piece, Index: 0, Piece: make([]byte, 100)}},
	}
	for name, msgs := range tests {
		t.Run(name, func(t *testing.T) {
			tr := &testswarm.Tracker{}
			s := seed(t, torrent, tr, data)
			nc, err := stranger(t, s, torrent.Infohash)
			if err != nil {
				t.Fatal(err)
			}
			send(t, nc, msgs...)
			hungUp(t, nc)
			p := leech(t, torrent, tr)
			p.Complete(t) // and the swarm goes on
		})
	}
}

func TestGarbageEndsTheConnection(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	s := seed(t, torrent, &testswarm.Tracker{}, data)
	tests := map[string][]byte{
		"not BitTorrent": bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 8),
		"long message":   binary.BigEndian.AppendUint32(nil, 1<<31),
		"unknown type":   {0, 0, 0, 1, 99},
		"cut request":    {0, 0, 0, 5, 6, 0, 0, 0, 0},
	}
	for name, garbage := range tests {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", s.Addr)
			if name != "not BitTorrent" {
				_ = nc.Close()
				nc, err = stranger(t, s, torrent.Infohash)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = nc.Close() }()
			_ = nc.SetDeadline(time.Now().Add(testswarm.Patience))
			if _, err := nc.Write(garbage); err != nil {
				t.Fatal(err)
			}
			hungUp(t, nc)
		})
	}
}

func TestOtherTorrentIsRefused(t *testing.T) {
	torrent, data := testswarm.Torrent(t, pieceLength, pieceLength)
	s := seed(t, torrent, &testswarm.Tracker{}, data)
	nc, err := stranger(t, s, [20]byte{1, 2, 3})
	if err == nil {
		hungUp(t, nc)
	}
}

// read returns the next message of one of the given types.
func read(t *testing.T, dec *pp.Decoder, types ...pp.MessageType) pp.Message {
	t.Helper()
	for {
		var m pp.Message
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		for _, want := range types {
			if !m.Keepalive && m.Type == want {
				return m
			}
		}
	}
}

func TestStrangerIsServedInOrder(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	s := seed(t, torrent, &testswarm.Tracker{}, data)
	nc, err := stranger(t, s, torrent.Infohash)
	if err != nil {
		t.Fatal(err)
	}
	dec := decoder(nc)
	read(t, dec, pp.HaveAll)
	read(t, dec, pp.Unchoke)
	for _, length := range []int{1, 16384, pieceLength} {
		send(t, nc, request(7, 0, length), request(2, 0, length))
		for _, index := range []int{7, 2} {
			m := read(t, dec, pp.Piece)
			want := data[index*pieceLength:][:length]
			if int(m.Index) != index || !bytes.Equal(m.Piece, want) {
				t.Fatalf("got piece %d with %d bytes, want %d bytes of piece %d", m.Index, len(m.Piece), length, index)
			}
		}
	}
}

// TestManyRequestsAreServedInOrder has them all come at once: none is sent before most of the others wait, as they may with two.
func TestManyRequestsAreServedInOrder(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	s := seed(t, torrent, &testswarm.Tracker{}, data)
	nc, dec := welcome(t, s, torrent.Infohash)
	order := rand.New(rand.NewPCG(1, 2)).Perm(20)
	var all []byte
	for _, block := range order {
		all = append(all, request(block/2, block%2*swarm.BlockSize, swarm.BlockSize).MustMarshalBinary()...)
	}
	if _, err := nc.Write(all); err != nil {
		t.Fatal(err)
	}
	for i, block := range order {
		m := read(t, dec, pp.Piece)
		if got := (int(m.Index)*pieceLength + int(m.Begin)) / swarm.BlockSize; got != block {
			t.Fatalf("answer %d is block %d, want %d; asked for were %v", i, got, block, order)
		}
		if want := data[block*swarm.BlockSize:][:swarm.BlockSize]; !bytes.Equal(m.Piece, want) {
			t.Errorf("block %d has %d other bytes than the seeder", block, len(m.Piece))
		}
	}
}

func TestSecondBitfieldAddsToTheFirst(t *testing.T) {
	torrent, data := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	s := seed(t, torrent, &testswarm.Tracker{}, data)
	nc, err := stranger(t, s, torrent.Infohash)
	if err != nil {
		t.Fatal(err)
	}
	some := make([]bool, 16)
	some[3] = true
	send(t, nc, pp.Message{Type: pp.HaveNone}, pp.Message{Type: pp.Bitfield, Bitfield: some}, request(7, 0, 16384))
	if m := read(t, decoder(nc), pp.Piece); m.Index != 7 {
		t.Errorf("piece %d came, want 7", m.Index)
	}
}

func TestMissingPieceIsRejected(t *testing.T) {
	torrent, _ := testswarm.Torrent(t, 10*pieceLength, pieceLength)
	p := leech(t, torrent, &testswarm.Tracker{})
	nc, err := stranger(t, p, torrent.Infohash)
	if err != nil {
		t.Fatal(err)
	}
	send(t, nc, request(3, 0, 16384))
	if m := read(t, decoder(nc), pp.Reject); m.Index != 3 {
		t.Errorf("piece %d was rejected, want 3", m.Index)
	}
}

func decoder(nc net.Conn) *pp.Decoder {
	return &pp.Decoder{R: bufio.NewReader(nc), MaxLength: 1 << 20}
}

// FuzzPeer lets a stranger send anything after the handshake: the peer must neither panic nor stop
// to serve others.
func FuzzPeer(f *testing.F) {
	for _, m := range []pp.Message{
		request(0, 0, 16384), {Type: pp.HaveAll}, {Type: pp.Have, Index: 1}, {Type: pp.Choke}, {Type: pp.Unchoke},
		{Type: pp.Bitfield, Bitfield: testswarm.All(8)}, {Type: pp.Reject, Length: 16384},
		{Type: pp.Cancel, Length: 16384}, {Type: pp.Piece, Piece: make([]byte, 16384)},
		{Type: pp.Extended, ExtendedPayload: []byte("d1:md6:ut_pexi1ee4:reqqi9e1:v3:abce")},
	} {
		f.Add(m.MustMarshalBinary())
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		torrent, data := fuzzTorrent(t)
		tr := &testswarm.Tracker{}
		victim := leech(t, torrent, tr)
		nc, err := stranger(t, victim, torrent.Infohash)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := nc.Write(sent); err != nil {
			t.Fatal(err)
		}
		seed(t, torrent, tr, data)
		_ = nc.Close()
		victim.Complete(t)
	})
}

func fuzzTorrent(t *testing.T) (*artifact.Torrent, []byte) {
	return testswarm.Torrent(t, 8*pieceLength, pieceLength)
}
