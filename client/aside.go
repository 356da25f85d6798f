package client

import (
	"context"
	"errors"
	"time"

	"warifu.dev/api"
	"warifu.dev/transport"
)

// A node that was late or not there is asked after the others, and so are those that are
// far. What becomes of it is then seen by no request. So the client looks at it beside
// them: it asks whether the node is there, which releases nothing, and how long the
// answer takes is its distance. That is done only while requests come. It also keeps new
// connections: a node ends one on which nothing is asked.
const (
	// lookEvery is how often a node is looked at that no request asks. At first it is every
	// second, every other, and so on: one look says little, on a machine that has much to do.
	lookEvery = 30 * time.Second
	// One that was late is looked at at once: often it was a moment's matter. When it is
	// late again the client waits for a second, and each time twice as long, up to
	maxLookPause = 64 * time.Second
	// lookWithin bounds a look: a connection that has died, and the dial of another.
	lookWithin = silence + dialTimeout + time.Second
)

// trouble puts off the next look; mu is held.
func (l *link) trouble(now time.Time) {
	pause := time.Duration(0)
	if l.troubles > 0 {
		pause = doubled(l.troubles-1, maxLookPause)
	}
	l.troubles++
	l.lookAt = now.Add(pause)
}

// doubled is a second, doubled some times.
func doubled(times int, most time.Duration) time.Duration {
	return min(time.Second<<min(times, 10), most)
}

// aside looks at a node, beside the request that goes on without it.
func (l *link) aside() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looking {
		return
	}
	l.looking = l.client.goes(func() {
		ctx, cancel := context.WithTimeout(l.client.ctx, lookWithin)
		defer cancel()
		l.look(ctx)
	})
}

// look asks the node whether it is there. What it answers is no matter: one that knows
// less than this client refuses. It is for one goroutine at a time, which has set looking.
func (l *link) look(ctx context.Context) {
	took, err := l.ping(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looking = false
	switch now := time.Now(); {
	case l.lookAt.After(now): // a request has heard of it meanwhile, or it is noted that nobody is there
	case err != nil:
		l.trouble(now)
	default:
		l.seen(took)
		l.lookAt = now.Add(doubled(l.looks, lookEvery))
		l.looks++
	}
}

// seen takes the distance from a look; mu is held. What makes a single one longer says
// nothing of those to come, unless the node was late: so it is believed at once when it is
// shorter, or the node was.
func (l *link) seen(took time.Duration) {
	if l.late || l.rtt == 0 || took < l.rtt {
		l.rtt, l.dev = took, took/2
	} else {
		l.average(took, 8)
	}
	l.failure, l.late = nil, false
}

// ping is how long the node takes to say that it is there, on a connection that is made
// for that if need be.
func (l *link) ping(ctx context.Context) (time.Duration, error) {
	for {
		conn, fresh, err := l.connect(ctx)
		if err != nil {
			return 0, err
		}
		began := time.Now()
		_, err = conn.Call(ctx, api.MethodHere, nil)
		var refused *transport.Refusal
		switch {
		case err == nil || errors.As(err, &refused):
			return time.Since(began), nil
		case errors.Is(err, transport.ErrClosed) && !fresh:
			continue
		case errors.Is(err, transport.ErrClosed):
			err = l.fail(err)
		}
		return 0, err
	}
}
