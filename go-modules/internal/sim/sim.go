// Package sim is a discrete-event simulator of a whole fleet. It runs the very code by which the
// engine and the tracker decide, packages policy and topology, over modelled links, so that a change of
// the rules can be judged for 10,000 hosts in minutes. It imports these two packages of this
// project, has no I/O, and with the same Config gives the same Report.
//
// # The model
//
//   - A host has an uplink and a downlink of so many bytes a second; between them is nothing but latency,
//     the same between any two hosts. Nothing is lost.
//   - A connection sends the blocks it was asked for in order, as the engine does; those that were asked for out of turn
//     when nobody waits whom the host feeds, and after half a second in any case, a request at a time. All connections
//     that have something to send share their host's uplink equally, and those that bring something
//     share the downlink; what one cannot use because of its other end, the rest share (one round
//     of this, two when a connection has sent all, not the full max-min fairness; the result never exceeds a link). That is what TCP
//     does on the average of many round trips: there is no slow start and no unfairness, and so the origin does nothing
//     to keep the roots of the stripes in step (swarm/balance.go).
//   - A block counts as received, a message as arrived, one latency after it was sent. Messages take no
//     bandwidth.
//   - A piece is verified Verify after its last block. Whoever asked for it ahead gets it then; those whom the host feeds
//     are told with the next tick, or at once if they wait for others, and others when there are some pieces to tell.
//   - The tracker answers one round trip after an announce, and connections to whom it names are up
//     two round trips later. Everyone announces again every Announce.
//   - A host that stays out of the trees has told its peers, and the tracker, one latency later.
//   - A host that leaves is noticed by its peers and by the tracker after Detect.
//   - CPU, disks and the tracker cost no time.
package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"corvus.murder/internal/tracker/topology"
)

// Host is one host of the fleet.
type Host struct {
	// Up and Down are bytes a second; 0 means Config.Rate.
	Up, Down float64
	// Start is when it begins.
	Start time.Duration
	// Leave is when it is gone for good; 0 means never.
	Leave time.Duration
	// Stall is when it begins to be too busy with something else to send or receive anything, and Stalled for how long it is; 0 means never.
	Stall, Stalled time.Duration
	// Aside is how long after Start it steps aside for good, as if it knew that it is too slow for the trees, unless it has found out before; 0 means
	// only when it finds out.
	Aside time.Duration
}

// Config describes a run.
type Config struct {
	// Pieces and PieceSize (bytes) make up the artifact; BlockSize is the unit of requests, at most
	// PieceSize.
	Pieces, PieceSize, BlockSize int
	// Rate is B, the usual rate of a link in bytes a second.
	Rate float64
	// Seeder is the origin, there from the start; Hosts are the peers.
	Seeder Host
	Hosts  []Host
	// Latency is one way.
	Latency time.Duration
	// Verify is the time it takes to verify a piece.
	Verify time.Duration
	// Announce is the time between the announces of a peer; 0 means 5 s.
	Announce time.Duration
	// Detect is how long it takes to notice that a host is gone.
	Detect time.Duration
	// Stripes overrides that of topology.Plan unless it is 0.
	Stripes int
	// Mesh replaces the topology by so many random neighbours and rarest first, unless it is 0.
	Mesh int
	// Open bounds the bytes of open pieces of a host; 0 means 24 MiB.
	Open int
	// MinDepth and MaxDepth bound the blocks asked of a peer ahead, which else are a second's worth;
	// 0 means 32 and 512.
	MinDepth, MaxDepth int
	// Limit ends the run; 0 means after 100 times F/B.
	Limit time.Duration
	// Seed makes runs differ.
	Seed uint64
}

// Report is what became of a run. Times are multiples of F/B: the artifact's size by Config.Rate.
type Report struct {
	// Last is when the last host was done, counted from the last start; P50 and P99 are of the
	// times that hosts took, each from its own start.
	Last, P50, P99 float64
	// Took is that time for each host, or 0 if it left or was never done.
	Took []float64
	// Unfinished hosts neither were done nor left.
	Unfinished int
	// Copies is what the seeder sent, in artifacts.
	Copies float64
	// Twice is the share of all received bytes that was there already.
	Twice float64
	// Stripes is the number of stripes used; Events tells how much work the run was.
	Stripes, Events int
}

// Run simulates.
func Run(cfg Config) Report {
	w := newWorld(cfg)
	w.run()
	return w.report()
}

// withDefaults fills in what was left open.
func (cfg Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&cfg.BlockSize, cfg.PieceSize)
	def(&cfg.Open, 24<<20)
	def(&cfg.MinDepth, 32)
	def(&cfg.MaxDepth, 512)
	if cfg.Announce == 0 {
		cfg.Announce = 5 * time.Second
	}
	if cfg.Limit == 0 {
		cfg.Limit = time.Duration(100 * cfg.ideal() * float64(time.Second))
	}
	return cfg
}

// ideal is F/B in seconds.
func (cfg Config) ideal() float64 {
	return float64(cfg.Pieces) * float64(cfg.PieceSize) / cfg.Rate
}

// world is the state of a run. Times are nanoseconds since its beginning.
type world struct {
	cfg      Config
	now      int64
	rng      *rand.Rand
	events   eventHeap
	serial   uint64
	finishes finishHeap

	shape   topology.Shape
	ranks   topology.Ranks
	byRank  []*node
	joined  []*node // all that are there, for a mesh
	seeder  *node
	nodes   []*node
	waiting int // hosts that may still be done
	conns   int

	received, twice, sent int64 // bytes; sent by the seeder
	count                 int
}

func newWorld(cfg Config) *world {
	cfg = cfg.withDefaults()
	w := &world{
		cfg:   cfg,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 7)),
		shape: topology.Plan(len(cfg.Hosts)),
	}
	if cfg.Stripes > 0 {
		w.shape.Stripes = cfg.Stripes
	}
	w.seeder = w.newNode(cfg.Seeder)
	w.seeder.rank, w.seeder.complete, w.seeder.here = topology.Seeder, true, true
	for _, h := range cfg.Hosts {
		n := w.newNode(h)
		w.nodes = append(w.nodes, n)
		w.at(int64(h.Start), event{kind: evStart, node: n})
		if h.Stalled > 0 {
			w.at(int64(h.Stall), event{kind: evStall, node: n})
			w.at(int64(h.Stall+h.Stalled), event{kind: evResume, node: n})
		}
		if h.Leave > 0 {
			w.at(int64(h.Leave), event{kind: evLeave, node: n})
		} else {
			w.waiting++
		}
	}
	return w
}

// run handles events until everybody is done.
func (w *world) run() {
	for w.waiting > 0 && w.now < int64(w.cfg.Limit) {
		w.count++
		if c := w.finishes.first(); c != nil && (len(w.events) == 0 || c.finish <= w.events[0].at) {
			w.now = c.finish
			w.sentBlock(c)
			continue
		}
		if len(w.events) == 0 {
			return
		}
		e := w.events.pop()
		w.now = e.at
		w.handle(e)
	}
}

func (w *world) report() Report {
	ideal := w.cfg.ideal() * float64(time.Second)
	r := Report{
		Unfinished: w.waiting, Stripes: w.shape.Stripes, Events: w.count,
		Copies: float64(w.sent) / (float64(w.cfg.Pieces) * float64(w.cfg.PieceSize)),
		Twice:  float64(w.twice) / float64(max(1, w.received)),
		Took:   make([]float64, len(w.nodes)),
	}
	var took []float64
	var lastStart, lastDone int64
	for i, n := range w.nodes {
		lastStart = max(lastStart, int64(n.host.Start))
		if n.done == 0 {
			continue
		}
		r.Took[i] = float64(n.done-int64(n.host.Start)) / ideal
		took = append(took, r.Took[i])
		lastDone = max(lastDone, n.done)
	}
	if len(took) > 0 {
		slices.Sort(took)
		r.P50, r.P99 = took[(len(took)-1)/2], took[(len(took)-1)*99/100]
		r.Last = float64(lastDone-lastStart) / ideal
	}
	return r
}
