// Package policy decides which blocks a peer asks for, and of whom.
//
// It is pure: no clock, no network, no files, no goroutines; the caller tells it what happened and
// asks what to do next. The engine, the tests and a simulator run the same code. It imports no
// other package of this project.
//
// The considerations of Pick, in this order:
//
//  1. A piece that this peer began is finished by this peer, so that pieces become whole, and can
//     be passed on, as early as possible.
//  2. A new piece is begun: the rarest one that the peer has, random among equals, so that peers
//     which start together ask for different pieces and can then trade them.
//  3. No new piece may be begun (memory is bounded by the number of open pieces), or none is left:
//     the peer helps with blocks of open pieces that nobody was asked for.
//  4. Everything has been asked for (the end game of BEP 3): an idle peer is asked for blocks that
//     another peer still owes, each block of two peers at the most.
//
// A piece that failed its hash while several peers had sent blocks of it is fetched from one peer
// only, so that the next failure names the culprit.
package policy

import (
	"math/rand/v2"
)

// PeerID names a connected peer. The caller chooses it; it must not be reused while the Picker
// still knows a peer of that name.
type PeerID int

// NoPeer is no peer's name.
const NoPeer PeerID = -1

// Block names one block of a piece by the index of both.
type Block struct {
	Piece int
	Index int
}

// Config describes a torrent to a Picker.
type Config struct {
	// Pieces is the number of pieces.
	Pieces int
	// Blocks tells the number of blocks of a piece.
	Blocks func(piece int) int
	// Have tells which pieces are there already; nil means none.
	Have []bool
	// MaxOpen bounds how many pieces are open (begun and not yet verified) at once; at least 1.
	MaxOpen int
	// Rand breaks ties.
	Rand *rand.Rand
}

// Picker holds what is known of pieces, of peers, and of requests under way.
type Picker struct {
	cfg     Config
	have    []bool
	missing int       // pieces not verified
	avail   []int     // how many peers have each piece
	open    []*opened // pieces begun, oldest first
	byPiece map[int]*opened
	single  map[int]bool // pieces to be fetched from one peer only
	peers   map[PeerID]*peer
}

// opened is a piece that was begun.
type opened struct {
	piece       int
	owner       PeerID // who was first asked for it
	blocks      []blockState
	unrequested int // blocks neither received nor requested
	unreceived  int
	senders     map[PeerID]struct{}
}

type blockState struct {
	received bool
	by       [2]PeerID // who owes it
}

type peer struct {
	has  []bool
	owes map[Block]struct{}
}

// New returns a Picker for the torrent that cfg describes.
func New(cfg Config) *Picker {
	p := &Picker{
		cfg:     cfg,
		have:    make([]bool, cfg.Pieces),
		avail:   make([]int, cfg.Pieces),
		byPiece: make(map[int]*opened),
		single:  make(map[int]bool),
		peers:   make(map[PeerID]*peer),
	}
	copy(p.have, cfg.Have)
	for _, h := range p.have {
		if !h {
			p.missing++
		}
	}
	return p
}

// Missing is the number of pieces that are not verified yet.
func (p *Picker) Missing() int { return p.missing }

// Have tells whether a piece is verified.
func (p *Picker) Have(piece int) bool { return p.have[piece] }

// Bitfield returns a copy of which pieces are verified.
func (p *Picker) Bitfield() []bool { return append([]bool(nil), p.have...) }

// AddPeer makes a peer known, which has nothing yet.
func (p *Picker) AddPeer(id PeerID) {
	p.peers[id] = &peer{has: make([]bool, p.cfg.Pieces), owes: make(map[Block]struct{})}
}

// RemovePeer forgets a peer and frees what it owes for others to be asked.
func (p *Picker) RemovePeer(id PeerID) {
	pr := p.peers[id]
	if pr == nil {
		return
	}
	p.Release(id)
	for i, has := range pr.has {
		if has {
			p.avail[i]--
		}
	}
	delete(p.peers, id)
}

// PeerHas records that a peer has a piece.
func (p *Picker) PeerHas(id PeerID, piece int) {
	pr := p.peers[id]
	if pr == nil || pr.has[piece] {
		return
	}
	pr.has[piece] = true
	p.avail[piece]++
}

// PeerHasPiece tells whether a peer is known to have a piece.
func (p *Picker) PeerHasPiece(id PeerID, piece int) bool {
	pr := p.peers[id]
	return pr != nil && pr.has[piece]
}

// PeerComplete tells whether a peer has every piece.
func (p *Picker) PeerComplete(id PeerID) bool {
	pr := p.peers[id]
	if pr == nil {
		return false
	}
	for _, has := range pr.has {
		if !has {
			return false
		}
	}
	return true
}

// Interesting tells whether a peer has a piece that is missing here.
func (p *Picker) Interesting(id PeerID) bool {
	pr := p.peers[id]
	if pr == nil || p.missing == 0 {
		return false
	}
	for i, has := range pr.has {
		if has && !p.have[i] {
			return true
		}
	}
	return false
}

// Unavailable counts the missing pieces that no connected peer has.
func (p *Picker) Unavailable() int {
	n := 0
	for i, have := range p.have {
		if !have && p.avail[i] == 0 {
			n++
		}
	}
	return n
}

// Owes is the number of blocks that a peer was asked for and has not sent.
func (p *Picker) Owes(id PeerID) int {
	if pr := p.peers[id]; pr != nil {
		return len(pr.owes)
	}
	return 0
}
