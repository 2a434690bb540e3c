// Package dial opens TCP connections through links that are full and lose packets.
package dial

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

const (
	// timeout bounds all attempts together.
	timeout = 5 * time.Second
	// attempts is how many connection requests may be unanswered at once, and patience after how long each further one is sent.
	attempts = 3
	patience = 250 * time.Millisecond
)

// TCP connects to addr, "host:port", from a local address, if that is valid and of the same family. It takes 5 s at most. The error is that of net.Dialer.
//
// The system sends a connection request that is lost again after one second (RFC 6298, 2.1). That is long for a fleet that is
// served in ten: where 50 or 200 hosts start at once and the origin's uplink is full from the first moment on, some lost theirs to the
// tracker, and they and whoever was below them in the trees ended a second late. So another attempt begins while the first is not answered, as RFC 8305
// has it for several addresses. The first answer counts, whether yes or no, and the other attempts are given up.
func TCP(ctx context.Context, local netip.Addr, addr string) (net.Conn, error) {
	return first(ctx, func(ctx context.Context) (net.Conn, error) { return from(ctx, local, addr) })
}

func from(ctx context.Context, local netip.Addr, addr string) (net.Conn, error) {
	var d net.Dialer
	if local.IsValid() && !local.IsUnspecified() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
		nc, err := d.DialContext(ctx, "tcp", addr)
		var unsuitable *net.AddrError // addr has no address of that family
		if !errors.As(err, &unsuitable) {
			return nc, err
		}
		d.LocalAddr = nil
	}
	return d.DialContext(ctx, "tcp", addr)
}

type result struct {
	nc  net.Conn
	err error
}

// first returns the result of that attempt which ends first.
func first(ctx context.Context, open func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make(chan result, attempts)
	begun := 0
	begin := func() {
		begun++
		go func() {
			nc, err := open(ctx)
			results <- result{nc, err}
		}()
	}
	again := time.NewTicker(patience)
	defer again.Stop()
	for begin(); ; {
		select {
		case <-again.C:
			if begun < attempts {
				begin()
			}
		case r := <-results:
			cancel()
			for range begun - 1 {
				if late := <-results; late.err == nil {
					_ = late.nc.Close() // nothing was said on it
				}
			}
			return r.nc, r.err
		}
	}
}
