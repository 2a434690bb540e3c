package swarm

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"
	"time"

	"github.com/anacrolix/torrent/bencode"
	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/policy"
)

// errUnread is why a connection ends on which too many messages wait.
var errUnread = errors.New("it does not read what it is sent")

// extended is our extension handshake (BEP 10). Clients that do not know the key murder ignore it.
type extended struct {
	M      map[string]int `bencode:"m"`
	V      string         `bencode:"v,omitempty"`
	Reqq   int            `bencode:"reqq,omitempty"`
	Port   int            `bencode:"p,omitempty"`
	Murder *murderKey     `bencode:"murder,omitempty"`
}

// murderKey is what our own peers tell each other in the extension handshake.
type murderKey struct {
	Rank    int `bencode:"rank"`    // its place in the trees plus one, 0 for none
	Request int `bencode:"request"` // the longest request that it serves, in bytes
	Seeder  int `bencode:"seeder"`  // 1: the origin of the artifact
	Away    int `bencode:"away"`    // it stays out of the trees, for it is too slow for them, and so many KiB a second came to it then; 0: it is in them
}

// greet sends what a connection begins with: extensions, what we have, and that we serve. Nobody is
// ever choked: in a fleet under one command there is nothing to trade for.
func (s *Swarm) greet(c *conn) {
	s.hello(c)
	n := s.cfg.Torrent.NumPieces()
	switch missing := s.picker.Missing(); {
	case c.fast && missing == 0:
		c.out.send(pp.Message{Type: pp.HaveAll})
	case c.fast && missing == n:
		c.out.send(pp.Message{Type: pp.HaveNone})
	case missing < n:
		c.out.send(pp.Message{Type: pp.Bitfield, Bitfield: s.picker.Bitfield()})
	}
	c.out.send(pp.Message{Type: pp.Unchoke})
}

// hello sends our extension handshake.
func (s *Swarm) hello(c *conn) {
	if !c.ltep {
		return
	}
	hello := extended{
		M: map[string]int{feedName: feedID}, V: "corvus.murder", Reqq: ownReqq, Port: s.port(),
		Murder: &murderKey{Request: s.upload.request(), Rank: s.place.rank + 1, Away: s.place.away},
	}
	if s.cfg.Seeder {
		hello.Murder.Seeder = 1
	}
	c.out.send(pp.Message{
		Type: pp.Extended, ExtendedID: pp.HandshakeExtendedID,
		ExtendedPayload: bencode.MustMarshal(hello),
	})
}

// handle acts on one message of a peer.
func (s *Swarm) handle(ev event) {
	c := ev.c
	if ev.msg.PiecePtr != nil {
		defer blocks.Put(ev.msg.PiecePtr)
	}
	if s.conns[c.id] != c {
		return // it was dropped while the message was on its way
	}
	if ev.err != nil {
		s.drop(c, ev.err.Error())
		return
	}
	if ev.msg.Keepalive {
		return
	}
	err := s.obey(c, &ev.msg)
	if err == nil && c.out.unread {
		err = errUnread
	}
	if err != nil {
		s.drop(c, err.Error())
	}
}

// obey returns an error for a message that breaks the protocol.
func (s *Swarm) obey(c *conn, msg *pp.Message) error {
	switch msg.Type {
	case pp.Choke:
		c.choked = true
		s.picker.SetChoked(c.id, true)
		if !c.fast { // BEP 6: with the fast extension each request is rejected by itself
			s.picker.Release(c.id)
		}
	case pp.Unchoke:
		c.choked = false
		s.picker.SetChoked(c.id, false)
		s.ask(c)
	case pp.Have:
		return s.peerHas(c, int(msg.Index))
	case pp.Bitfield, pp.HaveAll, pp.HaveNone:
		return s.peerTells(c, msg)
	case pp.Request:
		return s.serve(c, msg.RequestSpec())
	case pp.Cancel:
		s.cancel(c, msg.RequestSpec())
	case pp.Piece:
		return s.receive(c, msg)
	case pp.Reject:
		s.rejected(c, msg.RequestSpec())
	case pp.Extended:
		s.extended(c, msg)
	}
	return nil
}

// extended reads a peer's extension handshake.
func (s *Swarm) extended(c *conn, msg *pp.Message) {
	switch msg.ExtendedID {
	case pp.HandshakeExtendedID:
	case feedID:
		s.feed(c, msg.ExtendedPayload)
		return
	default:
		return
	}
	var hello extended
	if err := bencode.Unmarshal(msg.ExtendedPayload, &hello); err != nil {
		s.cfg.Log.Debug("peer's extension handshake cannot be read", "addr", c.addr, "err", err)
		return
	}
	c.client = strings.ToValidUTF8(hello.V[:min(len(hello.V), 60)], "")
	if hello.Reqq > 0 {
		c.reqq = hello.Reqq
	}
	if hello.Port > 0 && hello.Port < 1<<16 && !c.listens.IsValid() {
		c.listens = netip.AddrPortFrom(c.addr.Addr(), uint16(hello.Port))
	}
	if hello.Murder != nil {
		c.ours = true
		c.maxRequest = max(BlockSize, min(s.download.request(), hello.Murder.Request/BlockSize*BlockSize))
		c.seeder = hello.Murder.Seeder == 1
		if id := hello.M[feedName]; id > 0 && id < 1<<8 {
			c.feedID = pp.ExtensionNumber(id)
		}
		c.away = max(0, hello.Murder.Away)
		s.meetRank(c, hello.Murder.Rank-1)
	}
}

// peerTells takes the message by which a peer says what it has at the start (BEP 3, 6). Some clients
// send a second one, as aria2 does; it can only add to the first.
func (s *Swarm) peerTells(c *conn, msg *pp.Message) error {
	n := s.cfg.Torrent.NumPieces()
	switch msg.Type {
	case pp.HaveAll:
		for i := range n {
			s.picker.PeerHas(c.id, i)
		}
	case pp.Bitfield:
		if len(msg.Bitfield) != (n+7)/8*8 {
			return fmt.Errorf("a bitfield of %d bits for %d pieces", len(msg.Bitfield), n)
		}
		for i, has := range msg.Bitfield {
			if has && i >= n {
				return fmt.Errorf("a bitfield that claims piece %d of %d", i, n)
			}
			if has {
				s.picker.PeerHas(c.id, i)
			}
		}
	}
	s.picker.Met(c.id)
	// Not one of ours, and complete from the start: an origin as far as anyone can tell.
	if !c.ours && s.picker.PeerComplete(c.id) {
		c.seeder = true
	}
	s.wantOrLeave(c)
	return nil
}

// peerHas takes a have message.
func (s *Swarm) peerHas(c *conn, piece int) error {
	if piece >= s.cfg.Torrent.NumPieces() {
		return fmt.Errorf("it claims piece %d of %d", piece, s.cfg.Torrent.NumPieces())
	}
	s.picker.PeerHas(c.id, piece)
	s.wantOrLeave(c)
	return nil
}

// wantOrLeave tells a peer whether it has something for us; two complete peers part.
func (s *Swarm) wantOrLeave(c *conn) {
	if s.picker.Missing() == 0 {
		s.setInterested(c, false)
		if s.picker.PeerComplete(c.id) {
			s.drop(c, "both are complete")
		}
		return
	}
	if !c.interested && s.picker.Interesting(c.id) {
		s.setInterested(c, true)
	}
	s.ask(c)
}

func (s *Swarm) setInterested(c *conn, want bool) {
	if c.interested == want {
		return
	}
	c.interested = want
	if want {
		c.out.send(pp.Message{Type: pp.Interested})
	} else {
		c.out.send(pp.Message{Type: pp.NotInterested})
	}
}

// ask fills a peer's pipeline of requests, once it is half empty.
func (s *Swarm) ask(c *conn) {
	if c.choked || s.picker.Missing() == 0 {
		return
	}
	depth := min(c.depth, c.reqq)
	owes := s.picker.Owes(c.id)
	picked := s.askAhead(c)
	if owes <= depth/2 {
		picked = append(s.picker.Pick(c.id, depth-owes), picked...)
	}
	if len(picked) == 0 {
		return
	}
	for len(picked) > 0 {
		n := 1 // blocks that make one request
		for n < len(picked) && n < c.maxRequest/BlockSize && picked[n] == (policy.Block{Piece: picked[0].Piece, Index: picked[0].Index + n}) {
			n++
		}
		c.out.send(s.request(picked[0], n, pp.Request))
		picked = picked[n:]
	}
	if owes == 0 {
		c.lastBlock = time.Now() // from now on it owes us something
	}
}

// request makes a message (request or cancel) about n blocks of a piece from blk on.
func (s *Swarm) request(blk policy.Block, n int, kind pp.MessageType) pp.Message {
	begin := int64(blk.Index) * BlockSize
	return pp.Message{
		Type:   kind,
		Index:  pp.Integer(blk.Piece),
		Begin:  pp.Integer(begin),
		Length: pp.Integer(min(int64(n)*BlockSize, s.cfg.Torrent.PieceSize(blk.Piece)-begin)),
	}
}

// blocks yields the blocks that a peer's message is about: none if it is about something that is not
// made of whole blocks of the torrent.
func (s *Swarm) blocks(r pp.RequestSpec) iter.Seq[policy.Block] {
	return func(yield func(policy.Block) bool) {
		piece, begin, end := int(r.Index), int64(r.Begin), int64(r.Begin)+int64(r.Length)
		if piece >= s.cfg.Torrent.NumPieces() || begin%BlockSize != 0 || r.Length == 0 {
			return
		}
		if size := s.cfg.Torrent.PieceSize(piece); end > size || (end < size && end%BlockSize != 0) {
			return
		}
		for ; begin < end; begin += BlockSize {
			if !yield(policy.Block{Piece: piece, Index: int(begin / BlockSize)}) {
				return
			}
		}
	}
}
