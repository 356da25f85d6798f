package ledger_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"warifu.dev/sharing"
)

var everything = flag.Bool("everything", false, "run every misbehaviour with every threshold, and let the next key have the same shape")

// leastMisbehaviours is how many ways to be bad are tried at the least.
const leastMisbehaviours = 40

// labelled names the misbehaviour in what a test says.
type labelled struct {
	testing.TB
	label string
}

func (l labelled) Error(args ...any) { l.Helper(); l.TB.Errorf("%s: %s", l.label, fmt.Sprint(args...)) }

func (l labelled) Errorf(format string, args ...any) {
	l.Helper()
	l.TB.Errorf("%s: %s", l.label, fmt.Sprintf(format, args...))
}

func (l labelled) Fatal(args ...any) { l.Helper(); l.TB.Fatalf("%s: %s", l.label, fmt.Sprint(args...)) }

func (l labelled) Fatalf(format string, args ...any) {
	l.Helper()
	l.TB.Fatalf("%s: %s", l.label, fmt.Sprintf(format, args...))
}

// survive runs one misbehaviour to the end of its session and of the next.
func (r *rehearsal) survive(tb testing.TB, m misbehaviour, me sharing.Index) (end string) {
	tb.Helper()
	defer func() {
		if p := recover(); p != nil {
			tb.Errorf("%s: %d-of-%d, holder %d: it panicked: %v", m.name, r.t, r.h, me, p)
		}
	}()
	b := r.from(labelled{tb, fmt.Sprintf("%s: %d-of-%d, holder %d", m.name, r.t, r.h, me)}, m.from, me)
	m.do(b)
	return b.settle()
}

// Each way to be bad, in one birth with 3 of 5: no panic; the honest agree on
// QUAL, key and shares, or all abandon; the id of the session is refused ever
// after, and the next session succeeds and opens an envelope (R1, R2, R3, R4, R5,
// R7, R8, R11, R15, R17, R19).
func TestABirthSurvivesEachMisbehaviour(t *testing.T) {
	w, orders, nexts := stage(t, 5)
	r := rehearse(w, orders[3], nexts[3])
	for k, m := range misbehaviours() {
		t.Run(m.name, func(t *testing.T) {
			if end := r.survive(t, m, sharing.Index(k%5+1)); end == "" {
				t.Error("it did not end")
			}
		})
	}
}

// thresholds are those with which misbehaviour k is run for h holders: a majority,
// and another that goes round all the rest with k, so that every t of every h is
// met by many; all of them under the flag. The race detector, which makes the same
// arithmetic ten times slower and has no second goroutine to watch here, gets the
// majorities of up to five.
func thresholds(k, h int, fits func(t, h int) bool) (list []int) {
	majority := h/2 + 1
	for t := 2; t <= h; t++ {
		if fits != nil && !fits(t, h) || raceDetector && (h > 5 || t != majority) {
			continue
		}
		if *everything || t == majority || t == 2+(k+h)%(h-1) {
			list = append(list, t)
		}
	}
	return list
}

// The same with 3 to 9 holders. What is printed is the list of what was tried,
// how it ended, and how often.
func TestBirthsSurviveBadDealers(t *testing.T) {
	table := misbehaviours()
	if len(table) < leastMisbehaviours {
		t.Errorf("%d misbehaviours, at least %d are to be tried", len(table), leastMisbehaviours)
	}
	var mu sync.Mutex // guards ends
	ends := make([]map[string]int, len(table))
	t.Run("with", func(t *testing.T) {
		for h := 9; h >= 3; h-- { // the longest first
			t.Run(fmt.Sprintf("%d holders", h), func(t *testing.T) {
				t.Parallel()
				w, orders, nexts := stage(t, h)
				rehearsals := map[int]*rehearsal{}
				for k, m := range table {
					for _, threshold := range thresholds(k, h, m.fits) {
						if rehearsals[threshold] == nil {
							rehearsals[threshold] = rehearse(w, orders[threshold], nexts[threshold])
						}
						end := rehearsals[threshold].survive(t, m, sharing.Index((k+threshold)%h+1))
						mu.Lock()
						if ends[k] == nil {
							ends[k] = map[string]int{}
						}
						ends[k][end]++
						mu.Unlock()
					}
				}
			})
		}
	})
	runs, seen := 0, map[string]bool{}
	var report strings.Builder
	for k, m := range table {
		if seen[m.name] {
			t.Errorf("two misbehaviours are called %q", m.name)
		}
		seen[m.name] = true
		var how []string
		for _, end := range slices.Sorted(maps.Keys(ends[k])) {
			how = append(how, fmt.Sprintf("%s %d", end, ends[k][end]))
			runs += ends[k][end]
		}
		if how == nil {
			t.Errorf("%s was never run", m.name)
		}
		fmt.Fprintf(&report, "  %-64s %s\n", m.name, strings.Join(how, ", "))
	}
	t.Logf("%d misbehaviours in %d births, each followed by one that succeeds:\n%s", len(table), runs, &report)
}
