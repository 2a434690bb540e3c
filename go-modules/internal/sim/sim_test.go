package sim

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// mbit is one Mbit/s of link in bytes a second of payload: TCP over Ethernet leaves 0.956 of it.
const mbit = 1e6 / 8 * 0.956

// fleet is one of the fleets of equal hosts that are also measured on real links: 430 pieces, 16 KiB blocks.
func fleet(hosts int, mbits float64, piece int) Config {
	return Config{
		Pieces: 430, PieceSize: piece, BlockSize: 16 << 10, Rate: mbits * mbit,
		Hosts: make([]Host, hosts), Latency: 100 * time.Microsecond, Verify: time.Millisecond, Seed: 1,
	}
}

func eleven() Config { return fleet(11, 100, 256<<10) } // 112 MB

// most is what a report may say at most.
type most struct{ last, copies, twice float64 }

func (m most) check(t *testing.T, r Report) {
	t.Helper()
	t.Logf("last %.3f, p50 %.3f, p99 %.3f, seeder sends %.3f copies, %.2f %% twice", r.Last, r.P50, r.P99, r.Copies, 100*r.Twice)
	if r.Unfinished > 0 || r.Last > m.last || r.Copies > m.copies || r.Twice > m.twice {
		t.Errorf("got the above and %d unfinished, want at most %+v", r.Unfinished, m)
	}
}

// Tests that compute for long are parallel: of all packages this one is the last to be ready, and by then a core has nothing to do.

func TestEqualHosts(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg Config
		most
	}{
		"1 host":    {fleet(1, 100, 256<<10), most{1.02, 1, 0}},
		"2 hosts":   {fleet(2, 100, 256<<10), most{1.03, 1.01, 0.005}},
		"11 hosts":  {eleven(), most{1.03, 1.01, 0.005}},
		"50 hosts":  {fleet(50, 20, 128<<10), most{1.04, 1.01, 0.005}},
		"200 hosts": {fleet(200, 5, 64<<10), most{1.05, 1.01, 0.005}},
	} {
		t.Run(name, func(t *testing.T) { test.check(t, Run(test.cfg)) })
	}
}

// TestHostsOfTheRig: the fleets and artifacts that are raced on real links, pieces as the program makes them. docs/architecture.md compares these
// figures with what the rig says, which docs/benchmarks/results.md has.
func TestHostsOfTheRig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hosts, pieces int
		mbits, told   float64
	}{{11, 1709, 100, 1.005}, {50, 855, 20, 1.013}, {200, 428, 5, 1.033}} {
		cfg := fleet(test.hosts, test.mbits, 64<<10)
		cfg.Pieces = test.pieces
		r := Run(cfg)
		most{test.told + 0.002, 1.01, 0.005}.check(t, r)
		if r.Last < test.told-0.002 {
			t.Errorf("%d hosts: last %.3f, and the documentation says %.3f", test.hosts, r.Last, test.told)
		}
	}
}

// TestAnyNumberOfHosts: no number of hosts is a bad one for the trees.
func TestAnyNumberOfHosts(t *testing.T) {
	t.Parallel()
	for hosts := 3; hosts <= 40; hosts++ {
		r := Run(fleet(hosts, 100, 64<<10))
		if r.Unfinished > 0 || r.Last > 1.05 || r.Copies > 1.01 {
			t.Errorf("%d hosts: last %.3f, %.3f copies, %d unfinished", hosts, r.Last, r.Copies, r.Unfinished)
		}
	}
}

// TestFastLinks: 10 GB in pieces of 2 MiB on links that bring one in 1.8 ms, two at a time in twice that, and with 1 ms to verify each. With
// pieces of twice that size a peer has too few open to keep such links busy: the last ends at 1.08, of 200 hosts at 1.66.
func TestFastLinks(t *testing.T) {
	t.Parallel()
	r := Run(Config{
		Pieces: 4800, PieceSize: 2 << 20, Rate: 10_000 * mbit, Hosts: make([]Host, 30),
		Latency: 100 * time.Microsecond, Verify: time.Millisecond, MinDepth: 4, MaxDepth: 4,
	})
	most{1.02, 1.01, 0.005}.check(t, r)
}

// TestTwoThousandHosts: with so few pieces the depth of the trees shows. Each level costs the time of two pieces, 0.05.
func TestTwoThousandHosts(t *testing.T) {
	t.Parallel()
	most{1.55, 1.01, 0.005}.check(t, Run(Config{
		Pieces: 40, PieceSize: 2 << 20, Rate: 1000 * mbit, Hosts: make([]Host, 2000),
		Latency: 100 * time.Microsecond, Verify: time.Millisecond, MinDepth: 4, MaxDepth: 4,
	}))
}

// TestStaggeredStarts: five forks of Ansible start 11 hosts within 5 s.
func TestStaggeredStarts(t *testing.T) {
	cfg := eleven()
	for i := range cfg.Hosts {
		cfg.Hosts[i].Start = time.Duration(i/5) * 2500 * time.Millisecond
	}
	most{1.10, 1.05, 0.005}.check(t, Run(cfg))
}

// TestTrickle: hosts come one after the other while those before them are at work.
func TestTrickle(t *testing.T) {
	cfg := eleven()
	for i := range cfg.Hosts {
		cfg.Hosts[i].Start = time.Duration(i) * 450 * time.Millisecond
	}
	most{1.10, 1.05, 0.005}.check(t, Run(cfg))
}

// TestSlowPeer: one host has a part of the others' links. A chain would make all wait that many times F/B.
func TestSlowPeer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hosts, every int
		size         int // in pieces: 1709 are 112 MB
		mbits        float64
		most         float64
	}{
		{11, 1, 1709, 5, 1.13}, {11, 1, 1709, 10, 1.11}, {11, 1, 1709, 30, 1.22}, {11, 1, 1709, 50, 1.17}, {11, 1, 1709, 70, 1.15},
		{11, 3, 6836, 50, 1.05}, {11, 3, 6836, 85, 1.10}, {30, 7, 1709, 10, 1.14},
	} {
		for slow := 0; slow < test.hosts; slow += test.every {
			cfg := fleet(test.hosts, 100, 64<<10)
			cfg.Pieces = test.size
			cfg.Hosts[slow] = Host{Up: test.mbits * mbit, Down: test.mbits * mbit}
			r := Run(cfg)
			its := r.Took[slow]
			r.Took[slow] = 0
			others, alone := slices.Max(r.Took), 1.2*100/test.mbits
			t.Logf("host %d of %d has %v Mbit/s: the last of the others %.3f, itself %.2f, seeder sends %.3f copies", slow, test.hosts, test.mbits, others, its, r.Copies)
			if r.Unfinished > 0 || others > test.most || its > alone || r.Copies > 1.05 || r.Twice > 0.005 {
				t.Errorf("host %d of %d has %v Mbit/s: the last of the others %.3f, itself %.2f, want at most %v and %.2f: %+v",
					slow, test.hosts, test.mbits, others, its, test.most, alone, r)
			}
		}
	}
}

// TestSlowPeerOfMany: what the slow host fed comes from others soon, and then nobody on the many levels below has to wait a tick to hear of it: when all of
// them did, it was 1.28 and 1.27.
func TestSlowPeerOfMany(t *testing.T) {
	t.Parallel()
	for slow, most := range map[int]float64{3: 1.115, 7: 1.065, 20: 1.055} {
		cfg := fleet(100, 100, 64<<10)
		cfg.Pieces = 1709
		cfg.Hosts[slow] = Host{Up: 10 * mbit, Down: 10 * mbit}
		last, unfinished := others(cfg)
		t.Logf("host %d of 100 has 10 Mbit/s: the last of the others %.3f", slow, last)
		if unfinished > 0 || last > most {
			t.Errorf("host %d of 100 has 10 Mbit/s: the last of the others %.3f, want at most %v; %d are not done", slow, last, most, unfinished)
		}
	}
}

// TestSeveralSlowPeers: a tenth of the hosts have a tenth of the links, anywhere. Some have only slow ones above them, in all stripes, and nothing
// tells these stripes from each other.
func TestSeveralSlowPeers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hosts, seeds int
		most         float64
	}{{30, 8, 1.6}, {60, 2, 1.5}} {
		runs, sum, worst := 0, 0.0, 0.0
		for seed := range test.seeds {
			cfg := fleet(test.hosts, 100, 64<<10)
			cfg.Pieces, cfg.Seed = 1709, uint64(seed)
			order := rand.New(rand.NewPCG(uint64(seed), 1)).Perm(test.hosts)
			slow := order[:test.hosts/10]
			if slices.Contains(slow, 0) && slices.Contains(slow, 1) {
				continue // both roots: all that leaves the origin is slow, and nobody can know that it could be more
			}
			for _, host := range slow {
				cfg.Hosts[host] = Host{Up: 10 * mbit, Down: 10 * mbit}
			}
			r := Run(cfg)
			for _, host := range slow {
				r.Took[host] = 0
			}
			others := slices.Max(r.Took)
			runs, sum, worst = runs+1, sum+others, max(worst, others)
			if r.Unfinished > 0 || others > test.most || r.Copies > 1.05 || r.Twice > 0.005 {
				t.Errorf("hosts %v of %d are slow: the last of the others %.3f, want at most %v: %+v", slow, test.hosts, others, test.most, r)
			}
		}
		t.Logf("of %d hosts, a tenth is slow: the last of the others %.3f on the average, %.3f at worst", test.hosts, sum/float64(runs), worst)
	}
}

// TestMixedLinks: a third or a tenth of the hosts have half of the others' links, anywhere but at both roots. Each ends about when its own link
// is done, which is 2, and most of the others much earlier.
func TestMixedLinks(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hosts, slow, seeds int
		half               float64 // of the others, at the most when half of them are done
	}{{11, 3, 6, 1.4}, {60, 6, 3, 1.25}} {
		runs, sum := 0, 0.0
		for seed := range test.seeds {
			cfg := fleet(test.hosts, 100, 64<<10)
			cfg.Pieces, cfg.Seed = 1709, uint64(seed)
			order := rand.New(rand.NewPCG(uint64(seed), 3)).Perm(test.hosts)
			if slow := order[:test.slow]; slices.Contains(slow, 0) && slices.Contains(slow, 1) {
				continue
			}
			for _, host := range order[:test.slow] {
				cfg.Hosts[host] = Host{Up: 50 * mbit, Down: 50 * mbit}
			}
			r := Run(cfg)
			var others []float64
			for _, host := range order[test.slow:] {
				others = append(others, r.Took[host])
			}
			slices.Sort(others)
			runs, sum = runs+1, sum+others[len(others)/2]
			t.Logf("%v of %d hosts have half a link: half of the others after %.3f, the last %.3f", order[:test.slow], test.hosts, others[len(others)/2], r.Last)
			if r.Unfinished > 0 || r.Last > 2.6 || r.Copies > 1.05 || r.Twice > 0.005 {
				t.Errorf("%v of %d hosts have half a link: %+v", order[:test.slow], test.hosts, r)
			}
		}
		if mean := sum / float64(runs); mean > test.half {
			t.Errorf("%d of %d hosts have half a link: half of the others after %.3f on the average, want at most %v", test.slow, test.hosts, mean, test.half)
		}
	}
}

// TestThinLinks: links on which a piece of 64 KiB takes half a second, two of them at a time twice as long.
func TestThinLinks(t *testing.T) {
	most{1.10, 1.05, 0.005}.check(t, Run(fleet(40, 1, 64<<10)))
}

// TestUnequalLinks: every third of 60 hosts has half an uplink, the first of all among them, so that all uplinks together
// allow 1.18 at best. Trees of fixed shape are not made for that; a mesh takes as long. A seed changes much, so several are tried.
func TestUnequalLinks(t *testing.T) {
	t.Parallel()
	const seeds = 8
	last, copies := 0.0, 0.0
	for seed := range seeds {
		cfg := fleet(60, 20, 128<<10)
		cfg.Seed = uint64(seed)
		for i := range cfg.Hosts {
			if i%3 == 0 {
				cfg.Hosts[i].Up = 10 * mbit
			}
		}
		r := Run(cfg)
		most{3.5, 1.6, 0.005}.check(t, r)
		last, copies = last+r.Last/seeds, copies+r.Copies/seeds
	}
	if last > 3 || copies > 1.4 {
		t.Errorf("the last is done after %.3f on the average and the seeder sends %.3f copies, want at most 3 and 1.4", last, copies)
	}
}

// TestChurn: every seventh of 50 hosts leaves for good during the download.
func TestChurn(t *testing.T) {
	cfg := fleet(50, 20, 128<<10)
	for i := range cfg.Hosts {
		if i%7 == 3 {
			cfg.Hosts[i].Leave = time.Duration(1+i*17/50) * time.Second
		}
	}
	most{1.15, 1.05, 0.005}.check(t, Run(cfg))
}

// TestSilentDeath: the root of a stripe dies, and nobody notices for 3 s.
func TestSilentDeath(t *testing.T) {
	cfg := eleven()
	cfg.Hosts[0].Leave, cfg.Detect = 2*time.Second, 3*time.Second
	most{1.20, 1.05, 0.005}.check(t, Run(cfg))
}

// TestMesh is what the trees are for: the same hosts with random neighbours and rarest first.
func TestMesh(t *testing.T) {
	t.Parallel()
	cfg := fleet(50, 20, 128<<10)
	trees := Run(cfg)
	cfg.Mesh = 50
	mesh := Run(cfg)
	t.Logf("mesh: last %.3f, seeder sends %.3f copies; trees: %.3f, %.3f", mesh.Last, mesh.Copies, trees.Last, trees.Copies)
	if mesh.Unfinished > 0 || mesh.Last < 1.2*trees.Last {
		t.Errorf("a mesh ends at %.3f, trees at %.3f", mesh.Last, trees.Last)
	}
}

// TestAsRobustAsAMesh: whatever goes wrong, trees are done well before a mesh is.
func TestAsRobustAsAMesh(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for name, wrong := range map[string]func(hosts []Host){
		"roots die":          func(hosts []Host) { hosts[0].Leave, hosts[1].Leave = 6*second, 3*second },
		"every seventh dies": func(hosts []Host) { each(hosts, 7, func(n int, h *Host) { h.Leave = time.Duration(1+2*n) * second }) },
		"three are slow":     func(hosts []Host) { each(hosts, 10, func(_ int, h *Host) { h.Up, h.Down = 2*mbit, 2*mbit }) },
		"some stand still": func(hosts []Host) {
			each(hosts, 6, func(n int, h *Host) { h.Stall, h.Stalled = time.Duration(3+2*n)*second, 2*second })
		},
		"one after the other": func(hosts []Host) { each(hosts, 1, func(n int, h *Host) { h.Start = time.Duration(n) * second / 10 }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := fleet(30, 20, 128<<10)
			cfg.Detect = 7 * second // as long as the kernel takes
			wrong(cfg.Hosts)
			trees, unfinished := others(cfg)
			cfg.Mesh = 50
			mesh, _ := others(cfg)
			t.Logf("mesh %.3f, trees %.3f", mesh, trees)
			if unfinished > 0 || trees > 0.8*mesh {
				t.Errorf("a mesh ends at %.3f, trees at %.3f, and %d hosts are not done", mesh, trees, unfinished)
			}
		})
	}
}

// each does something to one of so many hosts, from the middle of the first of them on.
func each(hosts []Host, of int, do func(n int, h *Host)) {
	for i := of / 2; i < len(hosts); i += of {
		do(i/of, &hosts[i])
	}
}

// others is when the last host is done whose links are as fast as the others', and how many are not done at all.
func others(cfg Config) (last float64, unfinished int) {
	r := Run(cfg)
	for i, took := range r.Took {
		if cfg.Hosts[i].Down == 0 {
			last = max(last, took)
		}
	}
	return last, r.Unfinished
}

func TestSameSeedSameReport(t *testing.T) {
	t.Parallel()
	cfg := fleet(30, 20, 64<<10)
	for i := range cfg.Hosts {
		cfg.Hosts[i] = Host{Up: float64(1+i%5) * 5 * mbit, Start: time.Duration(i*37) * time.Millisecond}
	}
	first := Run(cfg)
	if again := Run(cfg); !reflect.DeepEqual(first, again) {
		t.Errorf("two runs differ: %+v and %+v", first, again)
	}
	cfg.Seed++
	if other := Run(cfg); reflect.DeepEqual(first, other) {
		t.Error("another seed changes nothing")
	}
}

// TestEverybodyIsServed: whatever hosts there are, whenever they come and whoever leaves, those that stay get
// everything.
func TestEverybodyIsServed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		cfg := fleet(rapid.IntRange(1, 40).Draw(t, "hosts"), 100, 32<<10)
		cfg.Pieces = rapid.IntRange(1, 40).Draw(t, "pieces")
		cfg.Seed = rapid.Uint64().Draw(t, "seed")
		cfg.Detect = time.Duration(rapid.IntRange(0, 3000).Draw(t, "detect")) * time.Millisecond
		cfg.Limit = 10 * time.Minute
		for i := range cfg.Hosts {
			h := &cfg.Hosts[i]
			h.Up = rapid.Float64Range(1, 200).Draw(t, "up") * mbit
			h.Down = rapid.Float64Range(1, 200).Draw(t, "down") * mbit
			h.Start = time.Duration(rapid.IntRange(0, 500).Draw(t, "start")) * time.Millisecond
			if rapid.IntRange(0, 4).Draw(t, "leaves") == 0 {
				h.Leave = h.Start + time.Duration(rapid.IntRange(1, 500).Draw(t, "leave"))*time.Millisecond
			}
		}
		if r := Run(cfg); r.Unfinished > 0 {
			t.Fatalf("%d hosts are not done", r.Unfinished)
		}
	})
}

// TestDivide: shares never exceed the link, and all of it is given away where it can be used.
func TestDivide(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := rapid.SliceOfN(rapid.Float64Range(0, 100), 1, 70).Draw(t, "limits")
		capacity := rapid.Float64Range(1, 1000).Draw(t, "capacity")
		least := 0.0
		for _, limit := range limits {
			least += limit
		}
		divide(capacity, limits)
		sum := 0.0
		for _, share := range limits {
			sum += share
		}
		if sum > capacity*1.000001 || sum < min(least, capacity)*0.999999 {
			t.Fatalf("shares add up to %g of %g; %g were asked for", sum, capacity, least)
		}
	})
}
