package module

import (
	"os"
	"testing"
)

func TestSpoiledWhileItIsSeeded(t *testing.T) {
	r := newRig(t)
	data := r.source(1 << 16)
	r.up()
	r.must(true, "murder_peer", r.peer(1))
	for range 2 {
		if err := os.WriteFile(r.peer(1)["dest"].(string), []byte("spoiled"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.must(true, "murder_peer", r.peer(1).with("_ansible_check_mode", true))
		r.must(true, "murder_peer", r.peer(1))
		r.arrived(1, data)
	}
}
