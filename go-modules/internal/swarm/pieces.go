package swarm

import (
	"context"
	"crypto/sha1"
	"fmt"
	"slices"
	"time"

	pp "github.com/anacrolix/torrent/peer_protocol"

	"corvus.murder/internal/announce"
	"corvus.murder/internal/policy"
)

const (
	snubbedAfter = 10 * time.Second // without a block that it owes
	worthPacket  = 32               // have messages
	untoldTicks  = 8                // after which any are sent
	quietTicks   = 2                // the same, to peers that we feed
)

type verifyJob struct {
	piece int
	data  []byte
}

type verifyResult struct {
	verifyJob
	ok  bool
	err error // the store cannot be written
}

// receive takes data: a block, or several if we asked for so much at once.
func (s *Swarm) receive(c *conn, msg *pp.Message) error {
	c.down += int64(len(msg.Piece))
	c.lastBlock = time.Now()
	n := 0
	for blk := range s.blocks(msg.RequestSpec()) {
		data := msg.Piece[n*BlockSize:]
		s.receiveBlock(c, blk, data[:min(BlockSize, len(data))])
		n++
	}
	if n == 0 {
		return fmt.Errorf("it sends %v, which nobody asks for", msg.RequestSpec())
	}
	s.ask(c)
	return nil
}

func (s *Swarm) receiveBlock(c *conn, blk policy.Block, data []byte) {
	n := int64(len(data))
	c.answered(blk)
	r := s.picker.Received(c.id, blk)
	if !r.Wanted {
		s.totals.BytesTwice += n
		return
	}
	s.lastNew = c.lastBlock
	if c.seeder {
		s.totals.BytesFromSeed += n
	} else {
		s.totals.BytesFromPeers += n
	}
	copy(s.buffer(blk.Piece)[blk.Index*BlockSize:], data)
	if other := s.conns[r.Cancel]; other != nil {
		s.takeBack(other, blk)
	}
	if r.Whole {
		s.toVerify <- verifyJob{blk.Piece, s.buffers[blk.Piece]} // never blocks: it holds all open pieces
		delete(s.buffers, blk.Piece)
	}
}

// buffer returns where a piece is gathered.
func (s *Swarm) buffer(piece int) []byte {
	b := s.buffers[piece]
	if b == nil {
		if n := len(s.free); n > 0 {
			b, s.free = s.free[n-1], s.free[:n-1]
		} else {
			b = make([]byte, s.cfg.Torrent.PieceLength)
		}
		b = b[:s.cfg.Torrent.PieceSize(piece)]
		s.buffers[piece] = b
	}
	return b
}

// verifier hashes whole pieces from memory and writes the good ones.
func (s *Swarm) verifier(ctx context.Context) {
	for {
		var r verifyResult
		select {
		case r.verifyJob = <-s.toVerify:
		case <-ctx.Done():
			return
		}
		r.ok = sha1.Sum(r.data) == s.cfg.Torrent.PieceHash(r.piece)
		if r.ok {
			_, r.err = s.cfg.Store.WriteAt(r.data, int64(r.piece)*s.cfg.Torrent.PieceLength)
		}
		select {
		case s.verified <- r:
		case <-ctx.Done():
			return
		}
	}
}

// pieceVerified passes the news of a piece on, or finds out who sent a damaged one.
func (s *Swarm) pieceVerified(r verifyResult) error {
	if r.err != nil {
		return r.err
	}
	s.free = append(s.free, r.data[:cap(r.data)])
	senders := s.picker.Senders(r.piece)
	s.picker.Verified(r.piece, r.ok)
	if !r.ok {
		s.damaged(r, senders)
		return nil
	}
	s.writes++
	s.written[r.piece] = s.writes
	complete := s.picker.Missing() == 0
	for _, c := range s.conns {
		c.haves = append(c.haves, r.piece)
		s.release(c, r.piece)
	}
	for _, c := range s.conns {
		s.tell(c, r.piece)
		if complete {
			s.wantOrLeave(c)
		} else {
			s.ask(c)
		}
	}
	if complete {
		s.totals.Downloaded = time.Now()
		s.publish() // whoever waits for Done sees the final numbers
		s.done.Set()
		s.announceNow(announce.Completed)
	}
	return nil
}

// tell sends the have messages that wait at once when there are no trees or nothing is left to come, else with the next
// tick or block, many in one packet, for whoever we feed has asked ahead. One by one they cost a twentieth of a
// slow link's packets, and as many wake-ups. Who waits for other pieces than come, because we have got another feeder who is
// ahead of the last, is told at once, too: a tick on each level of a tree makes seconds, which everybody below lacks until the end.
func (s *Swarm) tell(c *conn, piece int) {
	waits := s.feeds(c, piece) && !c.out.waiting() && !s.picker.PeerHasPiece(c.id, piece)
	if s.place.stripes == 0 || !c.ours || s.picker.Missing() == 0 || waits {
		s.flushHaves(c)
	}
}

// worthTelling is asked once a tick: whether the have messages that wait for a peer are worth a packet. One that we feed judges us
// by them, but they go along with every block that it has asked ahead for (see release); the others, most of its neighbours, only look there for what is late. With 200 peers on links of 5 Mbit/s,
// where each tick brings two pieces, a packet for each of them every time was a quarter of all CPU time, and one every second
// still two thirds of all that woke a peer up. Every two seconds is enough: simulated, nobody misses it who has to look elsewhere.
func (c *conn) worthTelling() bool {
	c.untold++
	quiet := c.untold >= quietTicks && slices.Contains(c.fed, true)
	return quiet || len(c.haves) >= worthPacket || c.untold >= untoldTicks
}

// flushHaves sends the have messages that wait. A peer in the trees is told of every piece: by what its
// parent has it judges whether that is the cause of a delay or suffers from it itself. Others need not
// hear of pieces that they have.
func (s *Swarm) flushHaves(c *conn) {
	for _, piece := range c.haves {
		if c.rank != announce.NoRank || !s.picker.PeerHasPiece(c.id, piece) {
			c.out.send(pp.Message{Type: pp.Have, Index: pp.Integer(piece)})
		}
	}
	c.haves, c.untold = c.haves[:0], 0
}

// damaged acts on a piece whose hash is wrong. One sender is the culprit; of several, nobody can
// tell which, so the picker fetches the piece from one peer only next time.
func (s *Swarm) damaged(r verifyResult, senders []policy.PeerID) {
	s.totals.BytesDamaged += int64(len(r.data))
	s.cfg.Log.Warn("piece does not match its hash", "piece", r.piece, "senders", len(senders))
	if len(senders) == 1 {
		if c := s.conns[senders[0]]; c != nil {
			s.ban(c, r.piece)
		}
	}
	for _, c := range s.conns {
		s.ask(c)
	}
}

// depth is how many blocks to ask for ahead of a peer that delivers so many bytes a second: those of about a second keep
// its link busy whatever the delay, and as long as a round trip takes less than half a second, the next second brings more.
func depth(rate float64) int {
	return max(startDepth, min(maxDepth, int(rate)/BlockSize))
}

// tickConn measures a connection and deals with a peer that owes blocks and sends none.
func (s *Swarm) tickConn(c *conn, now time.Time) {
	if c.worthTelling() {
		s.flushHaves(c)
	}
	got := float64(c.down-c.downSeen) / tickEvery.Seconds()
	c.downSeen = c.down
	if c.rate == 0 {
		c.rate = got
	} else {
		c.rate += (got - c.rate) / 4
	}
	sent := c.out.sent.Load()
	c.upNow, c.upSeen = sent-c.upSeen, sent
	c.upRate += (max(float64(c.upNow)/tickEvery.Seconds(), s.balance.pent(&c.out.share)) - c.upRate) / 4
	if c.upNow > 0 && !c.calm {
		c.calm = calm(c.nc)
	}
	owes := s.picker.Owes(c.id) > 0
	if owes && !c.owed {
		c.lastBlock = now
	}
	if owes && c.owed {
		s.picker.SetRate(c.id, c.rate/BlockSize)
	}
	c.owed = owes
	c.depth = depth(c.rate)
	if s.picker.Owes(c.id) > 0 && now.Sub(c.lastBlock) > snubbedAfter {
		s.cfg.Log.Debug("peer owes blocks and sends none", "addr", c.addr)
		s.picker.FellSilent(c.id)
		s.retract()
		c.lastBlock = now
		for _, other := range s.conns {
			if other != c {
				s.ask(other)
			}
		}
	}
	if s.picker.Silent(c.id) {
		c.depth = 1
	}
	s.ask(c)
}
