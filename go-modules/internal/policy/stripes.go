package policy

// A topology cuts the torrent into stripes, piece i belonging to stripe i mod k, and names for each
// stripe the peer that feeds us. Parents are a preference, not a law: what a parent does not deliver
// in time comes from whoever has it, so that a slow or dead parent costs its children almost nothing.

const (
	// window is how many pieces of a stripe its parent may be behind the foremost that any peer
	// announced. A piece farther behind is late. Down a tree each edge costs about one piece, so
	// in order to be late a piece must be behind by more than the depth of usual trees.
	// patience is how many quiet ticks make a peer ask the origin although nobody told it to.
	patience = 4
)

var window = 12
var TailRule = true
var Late, Own int
func SetWindow(n int) { window = n }

// stripe is one of the flows that a topology cuts the torrent into.
type stripe struct {
	parent PeerID
	front  int // the highest piece of it that any peer but the origin has, or -1
}

// SetStripes sets the number of stripes; 0 means no topology. It forgets the parents.
func (p *Picker) SetStripes(k int) {
	p.stripes, p.comb = make([]stripe, k), 0
	for s := range p.stripes {
		p.stripes[s].parent = NoPeer
	}
	for i := 0; k > 0 && i < 64; i += k {
		p.comb |= 1 << i
	}
	p.survey()
}

// SetParent says which connected peer feeds us a stripe; NoPeer means nobody is known, and then
// anyone but the origin may. The parent of a root is the origin.
func (p *Picker) SetParent(stripe int, id PeerID) {
	if stripe >= 0 && stripe < len(p.stripes) {
		p.stripes[stripe].parent = id
	}
}

// SetOrigin says which connected peer is the origin of the artifact. With a topology, it is asked
// only for stripes that it is the parent of, there only for pieces that nobody else has, and else
// only when nothing has come from anyone for a while, for one piece at a time.
func (p *Picker) SetOrigin(id PeerID) {
	p.origin = id
	p.survey()
}

// SetRate says how many blocks a second a peer delivers. It is to be called about once a second for a
// peer that owed blocks all the time; the end game compares rates.
func (p *Picker) SetRate(id PeerID, blocksPerSecond float64) {
	if pr := p.peers[id]; pr != nil {
		pr.rate = blocksPerSecond
	}
}

// Tick is to be called about four times a second; it is how the Picker notices that nothing comes.
// The origin then becomes the parent of the stripes that have none, until SetParent names another.
func (p *Picker) Tick() {
	p.quiet++
	if p.missing == 0 || !p.starving() || p.origin == NoPeer {
		return
	}
	for s := range p.stripes {
		if p.stripes[s].parent == NoPeer {
			p.stripes[s].parent = p.origin
		}
	}
}

// survey finds how far the stripes have come among the peers.
func (p *Picker) survey() {
	k := len(p.stripes)
	if k == 0 {
		return
	}
	for s := range p.stripes {
		p.stripes[s].front = -1
	}
	for _, pr := range p.order {
		if pr.id != p.origin {
			pr.has.each(func(i int) { p.stripes[i%k].front = max(p.stripes[i%k].front, i) })
		}
	}
}

// due returns the end of the pieces of a stripe that a peer may be asked for: all of them if
// it is the parent, or if the parent cannot be waited for; else those that are late.
func (p *Picker) due(s int, id PeerID) int {
	parent, front := p.stripes[s].parent, p.stripes[s].front
	switch {
	case parent == id:
		return p.cfg.Pieces
	case id == p.origin:
		return 0
	case parent == NoPeer || parent == p.origin || p.peers[parent] == nil:
		return p.cfg.Pieces
	case TailRule && front+len(p.stripes) >= p.cfg.Pieces:
		return p.cfg.Pieces // the flow has ended: whoever has a piece has nothing better to do
	}
	return front - window*len(p.stripes)
}

// starving tells that nothing came for so long that the origin must be asked, whoever is our parent.
func (p *Picker) starving() bool { return p.quiet >= patience }

// mayServe tells whether a peer may be asked for blocks of an open piece of another one.
func (p *Picker) mayServe(o *opened, id PeerID) bool {
	k := len(p.stripes)
	if k == 0 || o.piece < p.due(o.piece%k, id) {
		return true
	}
	if id == p.origin {
		return p.starving()
	}
	// With all pieces open that may be, whoever has nothing new to begin may help.
	return o.owner == NoPeer || len(p.open) >= p.cfg.MaxOpen
}
