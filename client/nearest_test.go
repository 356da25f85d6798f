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
		node("near, and failed long ago", "jp-west", func(l *link) {
			at(9 * time.Millisecond)(l)
			l.failure, l.failed = errors.New("gone"), time.Now().Add(-shunFor)
		}),
	}
	var got []string
	order, known, unknown := byDistance(links)
	if known != 4 || len(unknown) != 3 {
		t.Errorf("the distance of %d is known, of %d it is not", known, len(unknown))
	}
	for _, l := range order {
		got = append(got, l.node.ID)
	}
	want := []string{
		"nearest", "near", "near, and failed long ago", "far",
		"unknown, in the region", "unknown, elsewhere",
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
}
