package module

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestStartedWhileTheFormerEnds: a call that finds the daemon at its end starts another one.
func TestStartedWhileTheFormerEnds(t *testing.T) {
	for _, module := range []string{"murder_tracker", "murder_seed"} {
		t.Run(module, func(t *testing.T) {
			r := newRig(t)
			r.source(1000)
			r.up()
			o, who := r.tracker(), "tracker"
			if module == "murder_seed" {
				o, who = r.seed(), "seed"
			}
			former := r.must(false, module, o)["pid"].(float64)
			socks, err := filepath.Glob(filepath.Join(r.state(who), "*", "sock"))
			if err != nil || len(socks) != 1 {
				t.Fatalf("sockets %v, %v", socks, err)
			}
			// Somebody who has connected and asks nothing keeps it for two seconds.
			conn, err := net.Dial("unix", socks[0])
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := syscall.Kill(int(former), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			r.eventually("it serves no more", func() bool {
				_, err := os.Stat(socks[0])
				return os.IsNotExist(err)
			})
			if pid := r.must(true, module, o)["pid"].(float64); pid == former {
				t.Errorf("pid is %v still", pid)
			}
		})
	}
}
