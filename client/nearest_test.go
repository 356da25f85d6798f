package client

import (
	"errors"
	"slices"
	"testing"
	"time"

	"warifu.dev/authority"
)

func TestTheOrderInWhichNodesAreAsked(t *testing.T) {
	c := &Client{conf: Config{Region: "jp-east"}}
	node := func(id, region string, f func(*link)) *link {
		l := &link{client: c, node: authority.Node{ID: id, Region: region}}
		f(l)
		return l
	}
	at := func(d time.Duration) func(*link) { return func(l *link) { l.measured(d, 0) } }
	links := []*link{
		node("unknown, elsewhere", "sg", func(*link) {}),
		node("unknown, in the region", "jp-east", func(*link) {}),
		node("far", "sg", at(70*time.Millisecond)),
		node("near", "jp-west", at(8*time.Millisecond)),
		node("nearest", "jp-east", at(time.Millisecond)),
		node("near, and gave a false partial", "jp-east", func(l *link) { at(time.Millisecond)(l); l.markFalse() }),
		node("near, and failed just now", "jp-east", func(l *link) { at(time.Millisecond)(l); l.fail(errors.New("gone")) }),
		node("near, and failed before it answered", "jp-west", func(l *link) {
			at(9 * time.Millisecond)(l)
			l.fail(errors.New("gone"))
			at(9 * time.Millisecond)(l)
		}),
		node("near, and late", "jp-east", func(l *link) { at(time.Millisecond)(l); l.markLate(time.Now()) }),
	}
	var got []string
	now := byDistance(links)
	if now.known != 5 || len(now.unknown) != 3 {
		t.Errorf("the distance of %d is known, of %d it is not", now.known, len(now.unknown))
	}
	for _, l := range now.order {
		got = append(got, l.node.ID)
	}
	want := []string{
		"nearest", "near", "near, and failed before it answered", "far",
		"unknown, in the region", "unknown, elsewhere", "near, and late",
		"near, and failed just now", "near, and gave a false partial",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDistanceIsAMovingAverageOfSmallCalls(t *testing.T) {
	l := &link{client: &Client{}}
	l.measured(80*time.Millisecond, 400)
	l.measured(time.Minute, smallCall+1) // a large batch
	if l.rtt != 80*time.Millisecond {
		t.Errorf("after a large batch: %v", l.rtt)
	}
	l.measured(160*time.Millisecond, 400)
	if l.rtt != 90*time.Millisecond {
		t.Errorf("after one slow call: %v", l.rtt)
	}
	for range 100 {
		l.measured(160*time.Millisecond, 400)
	}
	if l.rtt < 155*time.Millisecond {
		t.Errorf("after a hundred: %v", l.rtt)
	}
	l.measured(800*time.Millisecond, 400) // late
	if l.rtt < 470*time.Millisecond {
		t.Errorf("after one that was late: %v", l.rtt)
	}
}

func TestPatience(t *testing.T) {
	l := &link{client: &Client{}}
	if p := l.patience(1); p != unknownPatience {
		t.Errorf("with a node that nothing is known of: %v", p)
	}
	for range 100 {
		l.measured(time.Millisecond, 400)
	}
	if p := l.patience(1); p != minPatience {
		t.Errorf("with one that is near: %v", p)
	}
	if p := l.patience(101); p < 125*time.Millisecond || p > 130*time.Millisecond {
		t.Errorf("with one that is near, for a batch: %v", p)
	}
	for range 200 {
		l.measured(150*time.Millisecond, 400)
	}
	if p := l.patience(1); p < 174*time.Millisecond || p > 180*time.Millisecond {
		t.Errorf("with one that is far: %v", p)
	}
	for range 100 {
		l.measured(100*time.Millisecond, 400)
		l.measured(200*time.Millisecond, 400)
	}
	if p := l.patience(1); p < 300*time.Millisecond || p > 400*time.Millisecond {
		t.Errorf("with one that varies: %v", p)
	}
	l.measured(time.Minute, 400)
	if p := l.patience(1); p != maxPatience {
		t.Errorf("with one that took a minute: %v", p)
	}
}

// A node that is in trouble is looked at at once, and then ever less often; its answer to a
// request makes it as good as new.
func TestWhenANodeIsLookedAt(t *testing.T) {
	l := &link{client: &Client{}}
	if !l.standing().look {
		t.Error("nobody looks at a node that nothing is known of")
	}
	l.measured(time.Millisecond, 400)
	if s := l.standing(); s.look || s.late || s.shunned {
		t.Errorf("after an answer: %+v", s)
	}
	now := time.Now()
	if !l.standingAt(now.Add(lookEvery + time.Second)).look {
		t.Error("a node that is not heard of is not looked at")
	}
	var pauses []time.Duration
	for range 9 {
		began := time.Now()
		l.late = false // it was looked at
		l.markLate(time.Now())
		l.markLate(began) // was under way when that was found
		if !l.late {
			t.Error("not late")
		}
		pauses = append(pauses, l.lookAt.Sub(began).Truncate(time.Second))
	}
	s := time.Second
	if want := []time.Duration{0, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 64 * s}; !slices.Equal(pauses, want) {
		t.Errorf("it is looked at after %v", pauses)
	}
	l.measured(time.Millisecond, 400)
	if s := l.standing(); s.late || l.troubles != 0 {
		t.Errorf("after an answer: %+v, troubles %d", s, l.troubles)
	}
	l.fail(errors.New("gone"))
	if s := l.standing(); !s.shunned || !s.look {
		t.Errorf("after a failure: %+v", s)
	}
}
