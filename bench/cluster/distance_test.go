package cluster_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"warifu.dev/bench/cluster"
)

// A packet is held back both ways, the order stays, and a relay that ends lets go of what
// it holds.
func TestARelayIsFarAway(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		buf := make([]byte, 100)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(buf[:n], from)
		}
	})
	defer all.Wait()
	defer server.Close()
	const far = 40 * time.Millisecond
	relay, err := cluster.Behind(server.LocalAddr().String(), far)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := net.Dial("udp", relay.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer caller.Close()
	began := time.Now()
	for i := range byte(10) {
		if _, err := caller.Write([]byte{i}); err != nil {
			t.Fatal(err)
		}
	}
	_ = caller.SetReadDeadline(time.Now().Add(time.Minute))
	buf := make([]byte, 100)
	for i := range byte(10) {
		n, err := caller.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], []byte{i}) {
			t.Fatalf("packet %d came back as %v, %v", i, buf[:n], err)
		}
	}
	if took := time.Since(began); took < far {
		t.Errorf("they were back after %v", took)
	}
	if _, err := caller.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := relay.Close(); err != nil {
		t.Error(err)
	}
}
