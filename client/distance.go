package client

import "time"

// smallCall is the size up to which a request's time counts as the node's
// distance: a large batch says more about itself. Two envelopes fit.
const smallCall = 1024

const (
	// A question that has not been answered after the usual time of its node and four
	// times what that deviates by, as RFC 6298 has it, is late. A node that always takes as
	// long pauses now and then, to collect garbage or to sync a file,
	minSpread = 25 * time.Millisecond
	// and one that is near is forgiven more: to ask another costs more than to wait.
	minPatience = 60 * time.Millisecond
	// perItem is what each further envelope of a batch may take: a node checks one in a
	// third of that.
	perItem = time.Millisecond
	// unknownPatience is for a node that nothing is known of, to which one connects first.
	unknownPatience = 300 * time.Millisecond
	maxPatience     = time.Second
)

// patience is how long the node may take for so many items until another is asked too.
func (l *link) patience(items int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bearable(items)
}

// bearable is patience, where mu is held.
func (l *link) bearable(items int) time.Duration {
	if l.rtt == 0 {
		return unknownPatience
	}
	usual := l.rtt + max(4*l.dev, minSpread) + time.Duration(items-1)*perItem
	return min(max(usual, minPatience), maxPatience)
}

// measured feeds the moving averages, with the weights of RFC 6298, section 2. An answer
// that was late counts for more, so that a node which has become slow is known as that after
// a few; and the node is looked at, since it may have been a moment's matter.
func (l *link) measured(took time.Duration, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.failure, l.looks, l.lookAt = nil, 0, now.Add(lookEvery)
	if size > smallCall {
		return
	}
	l.late = false
	if l.rtt == 0 {
		l.rtt, l.dev = took, took/2
		return
	}
	if took <= l.bearable(1) {
		l.troubles = 0
		l.average(took, 8)
	} else {
		l.trouble(now)
		l.average(took, 2)
	}
}

// average takes one more into the moving averages; mu is held.
func (l *link) average(took, weight time.Duration) {
	off := took - l.rtt
	l.dev += (max(off, -off) - l.dev) / 4
	l.rtt += off / weight
}

// standing is what the choice of nodes looks at.
type standing struct {
	rtt      time.Duration // 0: never measured
	shunned  bool          // was not there when it was last tried, or its connection has ended
	late     bool          // was late, and has answered nothing since
	distrust bool
	region   bool // the client's own
	look     bool // it is time to look at it
}

func (l *link) standing() standing { return l.standingAt(time.Now()) }

func (l *link) standingAt(now time.Time) standing {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := l.open != nil && l.open.conn.Err() != nil
	return standing{
		rtt:      l.rtt,
		shunned:  ended || l.failure != nil,
		late:     l.late,
		distrust: l.distrust,
		region:   l.client.conf.Region != "" && l.node.Region == l.client.conf.Region,
		look:     !l.looking && (ended && l.failure == nil || !now.Before(l.lookAt)),
	}
}
