package client

import (
	"sync"
	"time"
)

// A further holder is asked while those before it may still answer: that is a hedge. It
// helps where one node is slow. Where all are, since they have more to do than they can,
// it gives them still more to do, and nothing ends that but the load's own end. So hedges
// are a tenth of the answers, beyond a reserve (Dean and Barroso, The Tail at Scale, 2013,
// where a twentieth is enough), and who was slow is asked after the others for a moment.
const (
	hedgeReserve = 100 // as many as are under way when a node falls silent
	hedgeAnswers = 10  // that earn one more
	lateFor      = silence
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

// markLate makes this client ask the node after others for a moment.
func (l *link) markLate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late = time.Now()
}
