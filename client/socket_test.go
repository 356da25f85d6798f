package client

import (
	"net/netip"
	"testing"
)

// A socket is opened from the address that was asked for, or not at all.
func TestOpenUDP(t *testing.T) {
	for _, tt := range []struct {
		source netip.Addr
		opens  bool
	}{
		{netip.Addr{}, true},
		{netip.MustParseAddr("127.0.0.1"), true},
		{netip.MustParseAddr("::1"), false},
		{netip.MustParseAddr("192.0.2.7"), false}, // nobody's: RFC 5737
	} {
		socket, remote, err := openUDP(tt.source)(t.Context(), "127.0.0.1:9")
		if (err == nil) != tt.opens {
			t.Fatalf("from %s: %v", tt.source, err)
		}
		if err != nil {
			continue
		}
		if local := netip.MustParseAddrPort(socket.LocalAddr().String()); remote != "127.0.0.1:9" || local.Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("from %s: it is %s, to %s", tt.source, local, remote)
		}
		if err := socket.Close(); err != nil {
			t.Error(err)
		}
	}
}
