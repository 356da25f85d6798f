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

// A host that is not this machine is refused at once.
func TestListenElsewhere(t *testing.T) {
	if socket, err := Listen("192.0.2.1"); err == nil {
		t.Fatalf("%v is listened on", socket.LocalAddr())
	}
}
