package client

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// nearest returns the links in the order in which to ask them, once the distance
// of at least enough of them is known. Nodes never measured are connected to, in
// parallel; those that have not answered by then come later, those that were late after
// them, then those that were not there, and those that gave false partials last. The
// context is asked for if there is somebody to connect to. What has become of nodes that
// have not been heard of for long is looked at beside.
func (c *Client) nearest(within func() context.Context, links []*link, enough int) []*link {
	now := byDistance(links)
	if now.known < enough {
		ctx := within()
		if c.probe(ctx, now.unknown, enough-now.known) < enough-now.known && c.askAddresses(ctx) {
			c.probe(ctx, now.unknown, enough-now.known)
		}
		now = byDistance(links)
	}
	for _, l := range now.look {
		l.aside()
	}
	return now.order
}

// probe connects to all of the links, and returns when enough of them answer or
// none is left; it returns how many do. The others go on connecting: they may be
// wanted later.
func (c *Client) probe(ctx context.Context, links []*link, enough int) int {
	answering := 0
	found := make(chan bool, len(links))
	for _, l := range links {
		if !c.goes(func() {
			dial, cancel := context.WithTimeout(c.ctx, dialTimeout+time.Second) // bounded anyhow by the dial
			defer cancel()
			_, _, err := l.connect(dial)
			found <- err == nil
		}) {
			return answering
		}
	}
	for range links {
		select {
		case ok := <-found:
			if ok {
				answering++
			}
			if answering >= enough {
				return answering
			}
		case <-ctx.Done():
			return answering
		}
	}
	return answering
}

// view is what is known of some links at a moment.
type view struct {
	order   []*link // in which they are asked
	known   int     // of how many the distance is known
	unknown []*link // of whom it is not, or who were not there
	look    []*link // to be looked at
}

// byDistance sorts by what is known now; the roster's order decides ties.
func byDistance(links []*link) (v view) {
	type placed struct {
		l *link
		s standing
	}
	places := make([]placed, len(links))
	now := time.Now()
	for i, l := range links {
		s := l.standingAt(now)
		places[i] = placed{l, s}
		switch {
		case s.distrust:
		case s.rtt > 0 && !s.shunned:
			v.known++
		default:
			v.unknown = append(v.unknown, l)
		}
		if s.look {
			v.look = append(v.look, l)
		}
	}
	last := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(places, func(a, b placed) int {
		return cmp.Or(
			last(a.s.distrust)-last(b.s.distrust),
			last(a.s.shunned)-last(b.s.shunned),
			last(a.s.late)-last(b.s.late),
			last(a.s.rtt == 0)-last(b.s.rtt == 0),
			cmp.Compare(a.s.rtt, b.s.rtt),
			last(!a.s.region)-last(!b.s.region),
		)
	})
	v.order = make([]*link, len(places))
	for i, p := range places {
		v.order[i] = p.l
	}
	return v
}
