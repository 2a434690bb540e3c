package announce

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Bytes of one peer in compact form: address and port in network byte order (BEP 23 and BEP 7).
const (
	compact4 = 4 + 2
	compact6 = 16 + 2
)

// AppendCompact appends a peer in compact form: 6 bytes for IPv4 (BEP 23), 18 for IPv6 (BEP 7).
// The caller keeps the two families apart, for they go under different keys.
func AppendCompact(dst []byte, peer netip.AddrPort) []byte {
	dst = append(dst, peer.Addr().Unmap().AsSlice()...)
	return binary.BigEndian.AppendUint16(dst, peer.Port())
}

func parseCompact(data []byte, width int) ([]netip.AddrPort, error) {
	if len(data)%width != 0 {
		return nil, fmt.Errorf("%d bytes are no multiple of %d", len(data), width)
	}
	peers := make([]netip.AddrPort, 0, len(data)/width)
	for ; len(data) > 0; data = data[width:] {
		addr, _ := netip.AddrFromSlice(data[:width-2])
		peers = appendPeer(peers, addr, binary.BigEndian.Uint16(data[width-2:width]))
	}
	return peers, nil
}
