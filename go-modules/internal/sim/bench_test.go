package sim

import (
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
