package client_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/client"
)

// Many requests are under way on the same connections, again and again one of two nodes
// ends and comes back, and every request gets what it asks for. A question that is put and
// answered to nobody, or a place on a connection that is never given back, would leave a
// request waiting until its time is over, which is long here.
func TestNoRequestIsLeftWaiting(t *testing.T) {
	c := symmetric(t, 3, 5)
	cl := c.named(t, nil)
	key := c.symmetricKey(t, cl)
	envelope, err := cl.Encrypt(t.Context(), key, testContext, testDEK, "test")
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	var opened atomic.Int64
	stop := make(chan struct{})
	for range 48 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				for _, r := range cl.UnwrapBatch(t.Context(), []client.Item{{Envelope: envelope, Context: testContext}}, "test") {
					if r.Err != nil {
						t.Errorf("after %v: %v", time.Since(began), r.Err)
						return
					}
				}
				opened.Add(1)
			}
		})
	}
	for _, id := range []string{"n1", "n2", "n1"} {
		for before := opened.Load(); opened.Load() < before+200 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		c.nodes[id].kill()
		for before := opened.Load(); opened.Load() < before+200 && !t.Failed(); {
			time.Sleep(time.Millisecond)
		}
		c.nodes[id].restart(t)
	}
	close(stop)
	callers.Wait()
}
