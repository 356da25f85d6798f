package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// OpenSocket opens the socket of one connection, and returns beside it the
// address, host:port, that the connection is made to. The client closes it.
type OpenSocket func(ctx context.Context, addr string) (socket net.PacketConn, remote string, err error)

// openUDP opens UDP sockets that are connected to one address, from a port of the
// source if that is one.
func openUDP(source netip.Addr) OpenSocket {
	var d net.Dialer
	if source.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	return func(ctx context.Context, addr string) (net.PacketConn, string, error) {
		c, err := d.DialContext(ctx, "udp", addr)
		if err != nil {
			return nil, "", fmt.Errorf("open a socket to %s: %w", addr, err)
		}
		return connected{c.(*net.UDPConn)}, c.RemoteAddr().String(), nil
	}
}

// connected is a UDP socket with one remote end. Only such a socket hears that
// nobody listens there (ICMP port unreachable): a node whose process is gone is
// then known at once and not after a timeout, and so is its death in mid-call.
type connected struct{ c *net.UDPConn }

func (s connected) ReadFrom(b []byte) (int, net.Addr, error)  { return s.c.ReadFrom(b) }
func (s connected) WriteTo(b []byte, _ net.Addr) (int, error) { return s.c.Write(b) }
func (s connected) Close() error                              { return s.c.Close() }
func (s connected) LocalAddr() net.Addr                       { return s.c.LocalAddr() }
func (s connected) SetDeadline(t time.Time) error             { return s.c.SetDeadline(t) }
func (s connected) SetReadDeadline(t time.Time) error         { return s.c.SetReadDeadline(t) }
func (s connected) SetWriteDeadline(t time.Time) error        { return s.c.SetWriteDeadline(t) }
func (s connected) SetReadBuffer(n int) error                 { return s.c.SetReadBuffer(n) }
func (s connected) SetWriteBuffer(n int) error                { return s.c.SetWriteBuffer(n) }
