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
//  2. A new piece is begun. Without a topology it is the rarest one that the peer has, random among
//     equals, so that peers which start together ask for different pieces and can then trade
//     them. With one (see SetStripes) it is a piece of a stripe that this peer feeds: from the origin
//     the first that nobody else has to give (see SetChoked), from others the newest, which our own children lack too. Only
//     of stripes that nobody feeds or that come late, and at the end, one piece at a time is asked of anyone.
//  3. No new piece may be begun (memory is bounded by the number of open pieces), or none is left:
//     the peer helps with blocks of open pieces that nobody was asked for.
//  4. Everything has been asked for (the end game of BEP 3): an idle peer is asked for blocks that
//     another peer still owes, those first which that one would send last, and only those that come
//     much sooner this way; each block of two peers at the most.
//
// Ahead asks feeders for pieces that they do not have yet. Which peer feeds a stripe is looked at again in each Tick.
//
// A piece that failed its hash while several peers had sent blocks of it is fetched from one peer
// only, so that the next failure names the culprit.
package policy

import (
	"math/rand/v2"
	"slices"
)

// PeerID names a connected peer. The caller chooses it, small numbers from 0 on; it must not be reused
// while the Picker still knows a peer of that name.
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
	// MaxOpen bounds how many pieces are open (begun and not yet verified) at once; at least 1. With
	// a topology, two for each stripe or more keep all parents busy.
	MaxOpen int
	// Rand breaks ties.
	Rand *rand.Rand
}

// Picker holds what is known of pieces, of peers, and of requests under way.
type Picker struct {
	cfg     Config
	have    bitset
	missing int       // pieces not verified
	fresh   bitset    // pieces missing and not begun
	low     int       // the first word of fresh that may hold any
	reach   int       // fresh pieces that some peer has
	avail   []uint16  // peers that have a piece
	usable  []uint16  // of these, those that serve us and are no origin
	quick   []uint16  // of these, those that are not known to be slow
	open    []*opened // pieces begun, oldest first
	byPiece map[int]*opened
	spare   []*opened        // for reuse
	unasked int              // blocks of open pieces neither received nor requested
	single  map[int]bool     // pieces to be fetched from one peer only
	former  map[int][]PeerID // who was asked for pieces that are not begun any more
	peers   []*peer          // by PeerID; nil: unknown
	order   []*peer          // in the order of joining

	stripes []stripe // none: no topology
	revoked []Request
	pace    float64 // pieces that come in a tick, averaged
	got     int     // pieces verified since the last tick
	comb    uint64  // every len(stripes)-th bit
	origin  PeerID
	quiet   int     // ticks since a block came
	gap     int     // ticks since one in which a block came
	usual   float64 // ticks from one in which blocks come to the next, averaged
	flowing bool    // a block ever came
	calm    int     // ticks since nothing came for a while
	best    float64 // rate of any peer, in blocks a second
	top     float64 // the best trend of any peer but the origin

	trend    float64 // pieces that come in a tick, averaged over a longer time
	away     bool    // we are too slow for the trees
	atLeast  int     // ticks for which we stay out of them still
	lastAway int     // the same, the last time from the beginning
	short    float64 // what shows that we are too slow
	before   float64 // trend when we left the trees
}

// opened is a piece that was begun.
type opened struct {
	piece       int
	owner       PeerID // who was first asked for it
	stray       bool   // of a stripe that the owner does not feed
	early       bool   // the owner was not known to have it when it was asked
	age         int    // ticks since it was begun
	blocks      []blockState
	unrequested int // blocks neither received nor requested
	unreceived  int
	senders     []PeerID
	asked       []PeerID // who was ever asked for any of it
}

type blockState struct {
	received bool
	by       [2]PeerID // who owes it
}

// unknown is the rate of a peer that was never measured.
const unknown = -1

type peer struct {
	id     PeerID
	has    bitset
	count  int     // pieces that it has
	wanted int     // of these, those that are missing here
	top    int     // the highest piece that it has
	fronts []int   // the highest piece of each stripe that it has, or -1
	pace   float64 // pieces that it gets in a tick, averaged
	seen   int     // of count, at the last tick
	trend  float64 // pace over a longer time
	age    int     // ticks since we met
	owes   []Block // in the order of asking
	begun  int     // open pieces that it owns
	rate   float64 // blocks a second
	silent bool    // it owed blocks for long, and has sent none since

	choked  bool // it does not serve us
	doubted bool // it was slow or refused what it has, and has not shown yet that it does not any more
	origin  bool // it had everything before anybody else
	usable  bool // its pieces are counted so
	quick   bool // and so
}

// New returns a Picker for the torrent that cfg describes.
func New(cfg Config) *Picker {
	p := &Picker{
		cfg:     cfg,
		have:    newBitset(cfg.Pieces),
		fresh:   newBitset(cfg.Pieces),
		avail:   make([]uint16, cfg.Pieces),
		usable:  make([]uint16, cfg.Pieces),
		quick:   make([]uint16, cfg.Pieces),
		byPiece: make(map[int]*opened),
		single:  make(map[int]bool),
		former:  make(map[int][]PeerID),
		origin:  NoPeer,
		usual:   firstUsual,
		calm:    longMemory,
	}
	for i := range cfg.Pieces {
		if i < len(cfg.Have) && cfg.Have[i] {
			p.have.add(i)
		} else {
			p.fresh.add(i)
		}
	}
	p.missing = p.fresh.count()
	return p
}

// Missing is the number of pieces that are not verified yet.
func (p *Picker) Missing() int { return p.missing }

// Have tells whether a piece is verified.
func (p *Picker) Have(piece int) bool { return p.have.has(piece) }

// Bitfield returns a copy of which pieces are verified.
func (p *Picker) Bitfield() []bool {
	field := make([]bool, p.cfg.Pieces)
	p.have.each(func(i int) { field[i] = true })
	return field
}

// peer finds a peer, or nil.
func (p *Picker) peer(id PeerID) *peer {
	if id < 0 || int(id) >= len(p.peers) {
		return nil
	}
	return p.peers[id]
}

// AddPeer makes a peer known, which has nothing yet and chokes us.
func (p *Picker) AddPeer(id PeerID) {
	pr := &peer{id: id, has: newBitset(p.cfg.Pieces), top: -1, rate: unknown, choked: true, origin: id == p.origin}
	for int(id) >= len(p.peers) {
		p.peers = append(p.peers, nil)
	}
	pr.survey(len(p.stripes))
	p.peers[id] = pr
	p.order = append(p.order, pr)
}

// RemovePeer forgets a peer and frees what it owes for others to be asked.
func (p *Picker) RemovePeer(id PeerID) {
	pr := p.peer(id)
	if pr == nil {
		return
	}
	p.Release(id)
	p.SetChoked(id, true)
	pr.has.each(func(i int) {
		p.avail[i]--
		if p.avail[i] == 0 && p.fresh.has(i) {
			p.reach--
		}
	})
	p.peers[id] = nil
	p.order = slices.DeleteFunc(p.order, func(other *peer) bool { return other == pr })
	p.orphaned(id)
}

// PeerHas records that a peer has a piece.
func (p *Picker) PeerHas(id PeerID, piece int) {
	pr := p.peer(id)
	if pr == nil || pr.has.has(piece) {
		return
	}
	pr.has.add(piece)
	pr.count++
	pr.top = max(pr.top, piece)
	if !p.have.has(piece) {
		pr.wanted++
	}
	p.avail[piece]++
	if pr.usable {
		p.usable[piece]++
	}
	if pr.quick {
		p.quick[piece]++
	}
	if p.avail[piece] == 1 && p.fresh.has(piece) {
		p.reach++
	}
	if k := len(p.stripes); k > 0 {
		pr.fronts[piece%k] = max(pr.fronts[piece%k], piece)
		if st := &p.stripes[piece%k]; !pr.origin {
			st.front = max(st.front, piece)
		}
	}
	if o := p.byPiece[piece]; o != nil && o.owner == id {
		o.early = false
	}
}

// Met says that a peer had what it has when we met it: that does not tell how fast it gets pieces.
func (p *Picker) Met(id PeerID) {
	if pr := p.peer(id); pr != nil {
		pr.seen = pr.count
	}
}

// PeerHasPiece tells whether a peer is known to have a piece.
func (p *Picker) PeerHasPiece(id PeerID, piece int) bool {
	pr := p.peer(id)
	return pr != nil && pr.has.has(piece)
}

// PeerComplete tells whether a peer has every piece.
func (p *Picker) PeerComplete(id PeerID) bool {
	pr := p.peer(id)
	return pr != nil && pr.count == p.cfg.Pieces
}

// Interesting tells whether a peer has a piece that is missing here.
func (p *Picker) Interesting(id PeerID) bool {
	pr := p.peer(id)
	return pr != nil && pr.wanted > 0
}

// Unavailable counts the missing pieces that no connected peer has.
func (p *Picker) Unavailable() int {
	n := 0
	for i, avail := range p.avail {
		if avail == 0 && !p.have.has(i) {
			n++
		}
	}
	return n
}

// Owes is the number of blocks that a peer was asked for, has, and has not sent.
func (p *Picker) Owes(id PeerID) int {
	if pr := p.peer(id); pr != nil {
		return p.due(pr)
	}
	return 0
}

// due counts the blocks that a peer owes, without those that were asked for early.
func (p *Picker) due(pr *peer) int {
	n := len(pr.owes)
	for i := 0; i < len(p.open) && n > 0; i++ {
		if o := p.open[i]; o.early && o.owner == pr.id {
			n -= min(n, o.unreceived-o.unrequested)
		}
	}
	return n
}
