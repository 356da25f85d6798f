package client_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/transport"
)

type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) forks() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if strings.Contains(line, "fork: ") {
			out = append(out, line)
		}
	}
	return out
}

// Partials whose headers contradict each other open the envelope all the same, and
// the two nodes are named, once.
func TestTwoHistoriesInOneAnswerAreNamed(t *testing.T) {
	header := func(index, link, milestone, milestoneLink int) api.AnswerHeader {
		return api.AnswerHeader{Index: uint64(index), Link: api.Digest{byte(link)}, MilestoneIndex: uint64(milestone), MilestoneLink: api.Digest{byte(milestoneLink)}}
	}
	for _, tt := range []struct {
		sentence string
		one, all api.AnswerHeader // n1's, and everybody else's
		index    int              // 0: no fork
	}{
		{"one history", header(1005, 5, 1000, 1), header(1005, 5, 1000, 1), 0},
		{"one is behind", header(900, 9, 0, 0), header(1005, 5, 1000, 1), 0},
		{"two links at one index", header(1005, 6, 1000, 1), header(1005, 5, 1000, 1), 1005},
		{"two links at one milestone", header(1010, 6, 1000, 2), header(1005, 5, 1000, 1), 1000},
		{"one's end is the others' milestone", header(1000, 2, 1000, 2), header(1005, 5, 1000, 1), 1000},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			c := newFakeCluster(t)
			for id, n := range c.nodes {
				h := tt.all
				if id == "n1" {
					h = tt.one
				}
				n.with(func() {
					n.twist = func(_ *api.UnwrapRequest, a *api.UnwrapAnswer) error {
						a.Header = h
						return nil
					}
				})
			}
			for _, down := range []string{"n4", "n5"} { // so that n1 is among the three
				c.nodes[down].kill()
			}
			cert, err := transport.SelfSigned(dealt.NewKey(t), "app", time.Now())
			if err != nil {
				t.Fatal(err)
			}
			var log lines
			cl, err := client.New(client.Config{Genesis: c.Genesis, Certificate: cert, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cl.Close)
			envelope := c.wrapped(t, cl)
			for range 3 {
				opens(t, cl, envelope)
			}
			forks := log.forks()
			if tt.index == 0 {
				if len(forks) > 0 {
					t.Errorf("it says %q", forks)
				}
				return
			}
			if len(forks) != 2 {
				t.Fatalf("it says %q", forks)
			}
			for _, other := range []string{"n2", "n3"} {
				want := fmt.Sprintf("node=n1 other=%s index=%d", other, tt.index)
				if !strings.Contains(forks[0]+forks[1], want) {
					t.Errorf("%q is not in %q", want, forks)
				}
			}
		})
	}
}
