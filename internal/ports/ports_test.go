package ports

import (
	"net"
	"testing"
)

// What is chosen is never a port that an outgoing socket may be given meanwhile, and
// two choices held at once differ.
func TestListen(t *testing.T) {
	held := map[int]bool{}
	for range 100 {
		socket, err := Listen("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		port := socket.LocalAddr().(*net.UDPAddr).Port
		if port < First || port > Last || held[port] {
			t.Fatalf("port %d is chosen", port)
		}
		held[port] = true
	}
}

// Nodes that are made one after the other get ports that differ, though none of them
// holds its two yet, and however fast they are made.
func TestListenAgain(t *testing.T) {
	chosen := map[string]bool{}
	for range 30 {
		var pair []net.PacketConn
		for range 2 {
			socket, err := Listen("127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			pair = append(pair, socket)
			if at := socket.LocalAddr().String(); chosen[at] {
				t.Errorf("%s is chosen twice", at)
			} else {
				chosen[at] = true
			}
		}
		for _, socket := range pair {
			socket.Close()
		}
	}
}

// A new process begins at the clock wherever that stands: else those that each make one
// node all begin at the same port.
func TestBeginAt(t *testing.T) {
	for _, tt := range []struct{ clock, last, want int }{
		{0, none, 0},
		{count/2 + 1, none, count/2 + 1},
		{count - 1, none, count - 1},
		{100, 101, 102},           // ahead of the clock
		{100, 99, 100},            // the clock has come up to it
		{100, 50, 100},            // and past it
		{count - 1, count - 1, 0}, // ahead, round the end
		{0, count - 2, 0},         // past it, round the end
		{count - 2, 3, 4},         // far round the end
		{3, count - 200, 3},       // past it long ago
	} {
		if got := beginAt(tt.clock, tt.last); got != tt.want {
			t.Errorf("clock %d, last %d: %d, want %d", tt.clock, tt.last, got, tt.want)
		}
	}
}

// A host that is not this machine is refused at once.
func TestListenElsewhere(t *testing.T) {
	if socket, err := Listen("192.0.2.1"); err == nil {
		t.Fatalf("%v is listened on", socket.LocalAddr())
	}
}
