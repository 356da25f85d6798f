package node

import (
	queue "container/list"
	"context"
	"runtime"
	"sync"
	"time"

	"warifu.dev/api"
)

// A node that is asked for more than it can do says so at once. What is at work is
// bounded, by items; what comes besides waits, and while it does costs no CPU. A queue
// that empties now and then is a burst, and is waited for. One that has stood for a while
// is overload: it would only make every answer late, so nobody waits in it for longer
// than a moment (Nichols and Jacobson, Controlling Queue Delay, 2012; Maurer, Fail at
// Scale, 2015).
const (
	// turnsPerCore is as many items as keep a core busy while others wait for the sync
	// that they share.
	turnsPerCore = 64
	// queueStands is for how long a queue may be one that a burst has left.
	queueStands = time.Second
	// hurriedWait is how long one waits in a queue that has stood for longer. Some wait
	// there at any time, so that no place stays free.
	hurriedWait = 10 * time.Millisecond
)

// turns lets in as many items as may be at work at a time. It is safe for concurrent use.
type turns struct {
	most int

	mu      sync.Mutex
	busy    int         // items at work; guarded by mu
	waiting *queue.List // of *turn, the first to come at the front; guarded by mu. At most as many as the transport lets in
	empty   time.Time   // when nobody was waiting, last; guarded by mu
}

// turn is one request that waits.
type turn struct {
	items int
	begin chan struct{} // closed when it may
}

func newTurns(cores int) *turns {
	return &turns{most: turnsPerCore * cores, waiting: queue.New(), empty: time.Now()}
}

// turnsHere are those of this machine.
func turnsHere() *turns { return newTurns(runtime.GOMAXPROCS(0)) }

// take waits for a place for some items, and returns what gives it back. The error is
// that of one who may come again, or go elsewhere.
func (t *turns) take(ctx context.Context, items int) (done func(), err error) {
	items = min(items, t.most)
	done = func() { t.give(items) }
	t.mu.Lock()
	if t.waiting.Len() == 0 {
		t.empty = time.Now()
		if t.busy+items <= t.most {
			t.busy += items
			t.mu.Unlock()
			return done, nil
		}
	}
	patience := queueStands
	if time.Since(t.empty) > queueStands {
		patience = hurriedWait
	}
	mine := &turn{items, make(chan struct{})}
	place := t.waiting.PushBack(mine)
	t.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-mine.begin:
		return done, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-mine.begin: // just now
		return done, nil
	default:
	}
	t.waiting.Remove(place)
	t.next() // what it was too large for may be enough for the one behind
	return nil, api.Retry(api.CodeOverloaded, "this node has more to do than it can, and no place was free for %v", patience)
}

// give gives the place of some items back.
func (t *turns) give(items int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy -= items
	t.next()
}

// next lets in who fits, in their order; mu is held.
func (t *turns) next() {
	for first := t.waiting.Front(); first != nil; first = t.waiting.Front() {
		w := first.Value.(*turn)
		if t.busy+w.items > t.most {
			return
		}
		t.busy += w.items
		t.waiting.Remove(first)
		close(w.begin)
	}
	t.empty = time.Now()
}
