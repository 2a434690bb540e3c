package sim

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkTenThousandHosts is 10 GB on 10,000 hosts with 10 Gbit/s, in pieces of 2 MiB, as the program makes them. Pieces are not
// cut into blocks here: a piece is asked for and sent as a whole, which changes nothing that is measured.
func BenchmarkTenThousandHosts(b *testing.B) {
	for i := range b.N {
		r := Run(Config{
			Pieces: 4800, PieceSize: 2 << 20, Rate: 10_000 * mbit, Hosts: make([]Host, 10_000),
			Latency: 100 * time.Microsecond, Verify: time.Millisecond,
			MinDepth: 4, MaxDepth: 4, Seed: uint64(i),
		})
		if r.Unfinished > 0 || r.Last > 1.10 || r.Copies > 1.10 || r.Twice > 0.005 {
			b.Errorf("%d hosts are not done; last %.3f, %.3f copies, %.2f %% twice", r.Unfinished, r.Last, r.Copies, 100*r.Twice)
		}
		b.ReportMetric(r.Last, "last-F/B")
		b.ReportMetric(r.P50, "p50-F/B")
		b.ReportMetric(r.P99, "p99-F/B")
		b.ReportMetric(r.Copies, "seeder-copies")
		b.ReportMetric(r.Twice, "twice-share")
		b.ReportMetric(float64(r.Events), "events")
	}
}

// BenchmarkStripes is what topology.stripes is chosen by. Which hosts have half an uplink decides more than the number of stripes does: if that is a
// divisor of n, every n-th host feeds one stripe, the same for all.
func BenchmarkStripes(b *testing.B) {
	rig := func(hosts, pieces int, mbits float64) Config {
		cfg := fleet(hosts, mbits, 64<<10)
		cfg.Pieces = pieces
		return cfg
	}
	slow := func(hosts, host int, mbits float64) Config {
		cfg := rig(hosts, 1709, 100)
		cfg.Hosts[host] = Host{Up: mbits * mbit, Down: mbits * mbit}
		return cfg
	}
	half := func(is func(host int) bool) Config {
		cfg := fleet(60, 20, 128<<10)
		for i := range cfg.Hosts {
			if is(i) {
				cfg.Hosts[i].Up = 10 * mbit
			}
		}
		return cfg
	}
	places := []int{0, 3, 7, 20, 60}
	for _, test := range []struct {
		name string
		runs int
		cfg  func(run int) Config
	}{
		{"11", 1, func(int) Config { return rig(11, 1709, 100) }},
		{"50", 1, func(int) Config { return rig(50, 855, 20) }},
		{"200", 1, func(int) Config { return rig(200, 428, 5) }},
		{"3to40", 38, func(run int) Config { return fleet(3+run, 100, 64<<10) }},
		{"staggered", 1, func(int) Config {
			cfg := eleven()
			for i := range cfg.Hosts {
				cfg.Hosts[i].Start = time.Duration(i/5) * 2500 * time.Millisecond
			}
			return cfg
		}},
		{"tenthOf11", 11, func(run int) Config { return slow(11, run, 10) }},
		{"halfOf11", 11, func(run int) Config { return slow(11, run, 50) }},
		{"tenthOf100", len(places), func(run int) Config { return slow(100, places[run], 10) }},
		{"halfOf100", len(places), func(run int) Config { return slow(100, places[run], 50) }},
		{"third", 8, func(int) Config { return half(func(host int) bool { return host%3 == 0 }) }},
		{"fourth", 8, func(int) Config { return half(func(host int) bool { return host%4 == 0 }) }},
		{"fifth", 8, func(int) Config { return half(func(host int) bool { return host%5 == 0 }) }},
		{"anywhere", 16, func(run int) Config {
			order := rand.New(rand.NewPCG(uint64(run), 5)).Perm(60)
			return half(func(host int) bool { return order[host] < 20 })
		}},
	} {
		for stripes := 1; stripes <= 4; stripes++ {
			b.Run(fmt.Sprintf("%s/%d", test.name, stripes), func(b *testing.B) {
				for range b.N {
					mean, worst := 0.0, 0.0
					for run := range test.runs {
						cfg := test.cfg(run)
						cfg.Stripes, cfg.Seed = stripes, uint64(run)
						last, unfinished := others(cfg)
						if unfinished > 0 {
							b.Errorf("%d hosts are not done", unfinished)
						}
						if test.name == "staggered" { // counted from the last start
							last = Run(cfg).Last
						}
						mean, worst = mean+last/float64(test.runs), max(worst, last)
					}
					b.ReportMetric(mean, "mean-F/B")
					b.ReportMetric(worst, "worst-F/B")
				}
			})
		}
	}
}

// BenchmarkFoundOut is what it costs the others of 100 that one has a tenth of the link, by its place and by when it steps aside: at 0 when it finds out by
// itself, which roots do after 1 s and the others after 0.5 or 0.75, else as if it knew. Hosts from 50 on have no group below them.
func BenchmarkFoundOut(b *testing.B) {
	for _, slow := range []int{0, 1, 2, 3, 7, 14, 20, 40, 60, 99} {
		for _, after := range []time.Duration{0, 250, 500} {
			b.Run(fmt.Sprintf("%d/%dms", slow, after), func(b *testing.B) {
				for range b.N {
					cfg := fleet(100, 100, 64<<10)
					cfg.Pieces = 1709
					cfg.Hosts[slow] = Host{Up: 10 * mbit, Down: 10 * mbit, Aside: after * time.Millisecond}
					last, unfinished := others(cfg)
					if unfinished > 0 {
						b.Errorf("%d hosts are not done", unfinished)
					}
					b.ReportMetric(last, "others-F/B")
				}
			})
		}
	}
}
