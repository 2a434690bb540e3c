package daemon

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestProcessorsFollowTheWork(t *testing.T) {
	quiet := make([]float64, quietLooks)
	for name, row := range map[string]struct {
		shares []float64
		want   int
	}{
		"begins with one":                      {nil, 1},
		"little work":                          {[]float64{0.1, 0.2, 0.5}, 1},
		"more than one has time for":           {[]float64{0.1, 0.7}, 8},
		"a pause is no end":                    {append([]float64{0.7}, quiet[1:]...), 8},
		"the end of the work":                  {append([]float64{0.7}, quiet...), 1},
		"some work keeps them":                 {append(append([]float64{0.7}, quiet[1:]...), 0.4, 0.1), 8},
		"work again":                           {append(append([]float64{0.7}, quiet...), 1.9), 8},
		"what one can do does not bring more":  {append(append([]float64{0.7}, quiet...), 0.5), 1},
		"all of them busy, then half of one":   {append([]float64{8}, slices.Repeat([]float64{0.5}, 100)...), 8},
		"all of them busy, then next to none":  {append([]float64{8}, slices.Repeat([]float64{0.1}, 100)...), 1},
		"the kernel's work counts, so above 8": {[]float64{9}, 8},
	} {
		t.Run(name, func(t *testing.T) {
			p := processors{all: 8, now: 1}
			for _, share := range row.shares {
				p.decide(share)
			}
			if p.now != row.want {
				t.Errorf("%d processors after %v, want %d", p.now, row.shares, row.want)
			}
		})
	}
}

// TestProcessorsAreOneOrAll demands that work brings all processors at once, and that nothing else does.
func TestProcessorsAreOneOrAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.IntRange(2, 256).Draw(t, "all")
		p := processors{all: all, now: 1}
		for range rapid.IntRange(1, 50).Draw(t, "looks") {
			before, share := p.now, rapid.Float64Range(0, float64(2*all)).Draw(t, "share")
			switch now := p.decide(share); {
			case now != 1 && now != all:
				t.Fatalf("%d of %d processors", now, all)
			case share >= busyShare && now != all, share < busyShare && now > before, share >= quietShare && now < before:
				t.Fatalf("from %d to %d of %d processors with a share of %v", before, now, all, share)
			}
		}
	})
}

func TestCPUTimeGrowsWithWork(t *testing.T) {
	before, deadline := cpuTime(), time.Now().Add(30*time.Second)
	for cpuTime() < before+10*time.Millisecond {
		if time.Now().After(deadline) {
			t.Fatal("30 s of work are less than 10 ms of CPU time")
		}
	}
}
