package module

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"corvus.murder/internal/ansible"
)

// reach are the options of a daemon that other peers connect to.
type reach struct {
	ip        string
	portRange string
}

func (o *reach) declare(s *ansible.Spec) {
	s.String(&o.ip, "ip", "", "address that other peers use for this host; by default the one that the tracker sees")
	s.String(&o.portRange, "port_range", "10000-10500", "tcp ports to choose a free one from, FIRST-LAST")
}

// check refuses values that cannot work, before anything is changed.
func (o *reach) check() error {
	if o.ip != "" {
		if _, err := netip.ParseAddr(o.ip); err != nil {
			return fmt.Errorf("Option ip is %q, which is not an IP address; write one such as 192.0.2.7", o.ip)
		}
	}
	_, _, err := o.ports()
	return err
}

// ports reads the range.
func (o *reach) ports() (first, last int, err error) {
	from, to, isRange := strings.Cut(strings.ReplaceAll(o.portRange, ":", "-"), "-")
	if !isRange {
		to = from
	}
	first, err1 := strconv.Atoi(strings.TrimSpace(from))
	last, err2 := strconv.Atoi(strings.TrimSpace(to))
	if err1 != nil || err2 != nil || first < 1 || last > 65535 || first > last {
		return 0, 0, fmt.Errorf("Option port_range is %q; write it as FIRST-LAST with ports from 1 to 65535, for example 10000-10500", o.portRange)
	}
	return first, last, nil
}

// local is the address to connect from and to listen on: ip where this host has it, else the zero
// Addr (an address that only others see, as behind NAT).
func (o *reach) local() netip.Addr {
	addr, err := netip.ParseAddr(o.ip)
	if err != nil {
		return netip.Addr{}
	}
	// This sends no packet and, in check mode too, opens no port.
	from, to := netip.AddrPortFrom(addr, 0), netip.AddrPortFrom(addr, 9)
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	_ = c.Close()
	return addr
}

// listen takes the first free port of the range.
func (o *reach) listen(ctx context.Context) (net.Listener, error) {
	first, last, err := o.ports()
	if err != nil {
		return nil, err
	}
	host := ""
	if local := o.local(); local.IsValid() {
		host = local.String()
	}
	var lc net.ListenConfig
	for port := first; port <= last; port++ {
		ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err == nil {
			return ln, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("Port %d cannot be opened: %w; choose another port_range", port, err)
		}
	}
	return nil, fmt.Errorf("No port of port_range %d-%d is free on this host; widen the range or stop what uses it", first, last)
}

// port of a listener.
func port(ln net.Listener) int { return ln.Addr().(*net.TCPAddr).Port }

// hostAddress is the address that other hosts most likely reach this one by: the source address of
// the default route (asking for it sends no packet), else the first address that is not loopback.
func hostAddress() string {
	if c, err := net.Dial("udp", "192.0.2.1:9"); err == nil {
		defer func() { _ = c.Close() }()
		return c.LocalAddr().(*net.UDPAddr).IP.String()
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	found := "127.0.0.1"
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		if n.IP.To4() != nil {
			return n.IP.String()
		}
		if found == "127.0.0.1" {
			found = n.IP.String()
		}
	}
	return found
}
