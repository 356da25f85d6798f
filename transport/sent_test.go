package transport

import (
	"testing"
	"time"
)

// What both ends of a connection in this process send is counted, while it lives and when
// it has ended.
func TestBytesThatAreSentAreCounted(t *testing.T) {
	c := dial(t, startServer(t, nil))
	before := Sent()
	const size = 20_000
	if _, err := c.Call(t.Context(), methodEcho, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	there := Sent() - before
	if there < 2*size || there > 3*size {
		t.Errorf("%d bytes there and back are %d on the wire", size, there)
	}
	open := func() int {
		traffic.mu.Lock()
		defer traffic.mu.Unlock()
		return len(traffic.open)
	}
	had := open()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); open() > had-2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a connection that has ended is still counted as open")
		}
	}
	if after := Sent() - before; after < there {
		t.Errorf("%d bytes have become %d", there, after)
	}
}
