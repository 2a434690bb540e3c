package tracker

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

func drawPeer(t *rapid.T) *Peer {
	return &Peer{
		ID:   [20]byte{rapid.Byte().Draw(t, "id")},
		Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "addr")}), 1),
		Left: rapid.Int64Range(0, 2).Draw(t, "left"),
	}
}

func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		peers := rapid.SliceOfN(rapid.Custom(drawPeer), 0, 60).Draw(t, "peers")
		self := drawPeer(t)
		want := rapid.IntRange(-1, 70).Draw(t, "want")
		before := append([]*Peer(nil), peers...)
		chosen := Choose(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), self, peers, want)

		eligible := map[*Peer]bool{}
		for i, p := range peers {
			if p != before[i] {
				t.Fatalf("peers were moved")
			}
			if p.ID != self.ID && p.Addr != self.Addr && (p.Left > 0 || self.Left > 0) {
				eligible[p] = true
			}
		}
		if len(chosen) != min(max(want, 0), len(eligible)) {
			t.Fatalf("chose %d of %d, wanted %d", len(chosen), len(eligible), want)
		}
		for _, p := range chosen {
			if !eligible[p] {
				t.Fatalf("chose %+v for %+v, or chose it twice", p, self)
			}
			delete(eligible, p)
		}
	})
}

// Every peer must come up about equally often; the bounds are six standard deviations wide.
func TestChooseIsFair(t *testing.T) {
	var peers []*Peer
	for i := range 100 {
		peers = append(peers, &Peer{ID: [20]byte{1, byte(i)}, Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 1), Left: 1})
	}
	self := &Peer{Left: 1}
	rng := rand.New(rand.NewPCG(1, 2))
	const rounds, want = 10000, 20
	often, first := map[*Peer]int{}, map[*Peer]int{}
	for range rounds {
		chosen := Choose(rng, self, peers, want)
		first[chosen[0]]++
		for _, p := range chosen {
			often[p]++
		}
	}
	for i, p := range peers {
		if n := often[p]; n < 1760 || n > 2240 {
			t.Errorf("peer %d was chosen %d times, expected about 2000", i, n)
		}
		if n := first[p]; n < 40 || n > 160 {
			t.Errorf("peer %d was first %d times, expected about 100", i, n)
		}
	}
}
