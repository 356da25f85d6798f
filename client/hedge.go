package client

import (
	"sync"
	"time"
)

// A further holder is asked while those before it may still answer: that is a hedge. It
// helps where one node is slow. Where all are, since they have more to do than they can,
// it gives them still more to do, and nothing ends that but the load's own end. So hedges
// are a twentieth of the answers, beyond a reserve (Dean and Barroso, The Tail at Scale,
// 2013), and who was late is asked after the others until it has answered again. Each
// holder is asked once for a request: its own count of what it releases is no other for
// who hedges.
const (
	hedgeReserve = 100 // as many as are under way when a node falls silent
	hedgeAnswers = 20  // that earn one more
)

// hedges counts how many a client may still ask.
type hedges struct {
	mu    sync.Mutex
	spent int // of the reserve, in answers that earn it back; guarded by mu
}

// answered earns a part of a hedge.
func (h *hedges) answered() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spent = max(0, h.spent-1)
}

// spend says whether there may be another hedge, which it takes.
func (h *hedges) spend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.spent+hedgeAnswers > hedgeReserve*hedgeAnswers {
		return false
	}
	h.spent += hedgeAnswers
	return true
}

// markLate makes this client ask the node after others, since a question that was put at a
// moment is late. Of several that were under way together, one counts.
func (l *link) markLate(asked time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late || asked.Before(l.lateAt) {
		return
	}
	now := time.Now()
	l.late, l.lateAt = true, now
	l.trouble(now)
}
