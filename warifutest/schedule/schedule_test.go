package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var five = []string{"a", "b", "c", "d", "e"}

func TestASeedTellsOneStory(t *testing.T) {
	story := func(seed uint64) (list []string) {
		g := NewGenerator(seed, five)
		for range 100 {
			f, gap := g.Next()
			list = append(list, fmt.Sprint(f, gap))
		}
		return list
	}
	if !slices.Equal(story(1), story(1)) || slices.Equal(story(1), story(2)) {
		t.Error("the faults do not come from the seed")
	}
}

func TestWhatIsDrawn(t *testing.T) {
	g := NewGenerator(3, five)
	kinds, sizes, clients := map[Kind]int{}, map[int]int{}, 0
	for range 2000 {
		f, gap := g.Next()
		kinds[f.Kind]++
		sizes[len(f.Nodes)]++
		if slices.Contains(f.To, Clients) {
			clients++
		}
		if len(f.Nodes) == 0 || f.For < shortest || f.For > longest || gap < 0 || gap > longestGap {
			t.Fatal(f, gap)
		}
		for _, n := range f.Nodes {
			if slices.Contains(f.To, n) {
				t.Fatalf("%s is on both sides: %v", n, f)
			}
		}
		switch f.Kind {
		case CutOneWay, CutBoth, Delay, Loss:
			if len(f.To) == 0 {
				t.Fatal(f)
			}
		}
	}
	if len(kinds) != len(Kinds()) || len(sizes) != len(five) || clients == 0 {
		t.Error(kinds, sizes, clients)
	}
}

// hall inflicts nothing, and remembers.
type hall struct {
	mu      sync.Mutex
	now     int // in force; guarded by mu
	most    int // guarded by mu
	refuses Kind
	deaf    Kind // never fires
}

func (h *hall) Inflict(f Fault) (Inflicted, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Kind == h.refuses {
		return Inflicted{}, fmt.Errorf("%w: %s", ErrKind, f.Kind)
	}
	h.now++
	h.most = max(h.most, h.now)
	return Inflicted{
		Fired: func() uint64 {
			if f.Kind == h.deaf {
				return 0
			}
			return 1
		},
		Heal: func() error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.now--
			return nil
		},
	}, nil
}

func TestPlayGoesOnUntilEnoughHaveFired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hall{deaf: Crash}
		outcomes, err := Play(t.Context(), NewGenerator(1, five), h, 20)
		if err != nil {
			t.Fatal(err)
		}
		tally := NewTally(outcomes)
		if tally.AllFired() < 20 || tally.Fired[Crash] != 0 || tally.Planned[Crash] == 0 || len(outcomes) <= 20 {
			t.Error(tally)
		}
		if h.now != 0 || h.most < 2 {
			t.Errorf("%d are not healed, at most %d overlapped", h.now, h.most)
		}
		sum := NewTally(nil)
		sum.Add(tally)
		if sum.String() != tally.String() {
			t.Error(sum)
		}
	})
}

func TestPlayRefusesWhatATargetCannotDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := Play(t.Context(), NewGenerator(1, five), &hall{refuses: SlowDisk}, 20); !errors.Is(err, ErrKind) {
			t.Error(err)
		}
		if _, err := Play(t.Context(), NewGenerator(1, five, Crash), &hall{deaf: Crash}, 20); !errors.Is(err, ErrTooFew) {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		if _, err := Play(ctx, NewGenerator(1, five), &hall{}, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it ended after %v", took)
		}
	})
}
