package daemon

import (
	"fmt"
	"os/exec"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestProcessorsFollowTheWork(t *testing.T) {
	quiet := slices.Repeat([]float64{0.1}, quietLooks)[:quietLooks:quietLooks] // append copies it
	for name, row := range map[string]struct {
		shares []float64
		want   int
	}{
		"begins with all":                  {nil, 8},
		"a pause is no end":                {quiet[1:], 8},
		"little work":                      {quiet, 1},
		"some work keeps them":             {append(quiet[1:], 0.2, 0.1), 8},
		"some work does not bring them":    {append(quiet, 0.2, 0.29), 1},
		"much work does":                   {append(quiet, 0.1, 0.3), 8},
		"work, and its end":                {append(quiet, append([]float64{1.9}, quiet...)...), 1},
		"less work, which needs them less": {append([]float64{8}, slices.Repeat([]float64{0.2}, 100)...), 8},
		"the kernel's work counts as well": {append(quiet, 9), 8},
	} {
		t.Run(name, func(t *testing.T) {
			p := processors{all: 8, now: 8}
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
		p := processors{all: all, now: all}
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

// TestDaemonsAreUnhurried: a process that is started so has the slack, and whoever started it has what it had.
func TestDaemonsAreUnhurried(t *testing.T) {
	slack := func(wrap func(func() error) error) (text string) {
		err := wrap(func() error {
			out, err := exec.Command("cat", "/proc/self/timerslack_ns").Output()
			text = string(out)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	plain := func(start func() error) error { return start() }
	before := slack(plain)
	if got, want := slack(unhurried), fmt.Sprintln(timerSlack.Nanoseconds()); got != want {
		t.Errorf("a daemon's timers have %s ns, want %s", got, want)
	}
	for range 20 { // of any thread
		if got := slack(plain); got != before {
			t.Errorf("another process has %s ns, and had %s", got, before)
		}
	}
}
