package bench

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const us = time.Microsecond

func TestAGoalIsMetMissedOrBelowItsFloor(t *testing.T) {
	base := []Term{{"echo", 1, 50 * us}, {"multiplication", 3, 40 * us}} // 170 µs
	for _, row := range []struct {
		name     string
		measured time.Duration
		plus     time.Duration
		minimum  []Term
		want     string
	}{
		{"at the limit", 221 * us, 0, nil, Met},
		{"over it", 222 * us, 0, nil, Miss},
		{"over it by less than what is added", 222 * us, us, nil, Met},
		{"what is needed has room below the limit", 300 * us, 0, append(base[:2:2], Term{"decision", 3, 17 * us}), Miss},
		{"what is needed has none", 300 * us, 0, append(base[:2:2], Term{"decision", 3, 18 * us}), BelowFloor},
		{"met all the same", 200 * us, 0, append(base[:2:2], Term{"decision", 3, 18 * us}), Met},
	} {
		r := Row{Measured: row.measured, Base: base, Factor: 1.3, Plus: row.plus, Minimum: row.minimum}
		r.judge()
		if r.Verdict != row.want {
			t.Errorf("%s: %s, want %s", row.name, r.Verdict, row.want)
		}
		if says := "at most 221.0 µs is asked for, and echo 50.0 µs + 3 x multiplication 40.0 µs + 3 x decision 18.0 µs = 224.0 µs"; r.Verdict == BelowFloor && r.Why != says {
			t.Errorf("%s: the arithmetic is %q", row.name, r.Why)
		}
	}
}

func TestTheRoundOfTheMiddleRatioCounts(t *testing.T) {
	of := func(list ...float64) (rows []Row) {
		for _, r := range list {
			rows = append(rows, Row{Ratio: r})
		}
		return rows
	}
	for _, row := range []struct {
		rows []Row
		want float64
	}{{of(3), 3}, {of(9, 1, 5), 5}, {of(4, 1), 4}} {
		if got := median(row.rows); got.Ratio != row.want || len(got.Ratios) != len(row.rows) {
			t.Errorf("%v of %v", got.Ratio, got.Ratios)
		}
	}
	if got := median(of(9, 1, 5)).Ratios; got[0] != 9 || got[2] != 5 {
		t.Errorf("the rounds come as %v", got)
	}
}

// The time of three nodes' work on two cores is one and a half times that of one's.
func TestTurns(t *testing.T) {
	for cores, want := range map[int]float64{1: 3, 2: 1.5, 3: 1, 16: 1} {
		if got := (&Floor{Cores: cores}).turns(3); got != want {
			t.Errorf("%d cores: %v", cores, got)
		}
	}
}

func TestWhatMakesARunNoGood(t *testing.T) {
	for name, row := range map[string]struct {
		run  Run
		says string
	}{
		"nothing":          {Run{Goals: []Row{{Verdict: Met}, {Verdict: NotMeasured}, {Verdict: BelowFloor}}, Shapes: []Measured{{}}}, ""},
		"a goal missed":    {Run{Goals: []Row{{Shape: "first sight", Verdict: Miss, Measured: 3 * us, Limit: 2 * us}}}, "first sight: 3.0 µs, at most 2.0 µs"},
		"a wrong answer":   {Run{Shapes: []Measured{{Taken: Taken{Load: Load{N: 10_000}, Wrong: 1}}}}, "1 of 10000 answers are wrong"},
		"a failed unwrap":  {Run{Shapes: []Measured{{Taken: Taken{Load: Load{N: 9}, Failed: map[string]int{"denied": 1}, First: "no"}}}}, "1 of 9 failed map[denied:1], the first: no"},
		"a node that lies": {Run{Warnings: 2, Warned: []string{"a node gave a false partial"}}, "warn 2 times: a node gave a false partial"},
	} {
		err := row.run.Err()
		if (err == nil) != (row.says == "") || err != nil && (!strings.Contains(err.Error(), row.says) || !errors.Is(err, ErrNotAsItShould)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheRatioStandsInTheLastColumn(t *testing.T) {
	run := Run{Goals: []Row{
		{Shape: "one", Verdict: Met, Measured: 3 * us, Limit: 4 * us, Ratio: 1.25, Ratios: []float64{1.25}, Base: []Term{{"echo", 1, us}}},
		{Shape: "two", Verdict: NotMeasured, Why: "nobody knows how"},
	}}
	var b bytes.Buffer
	if err := run.Write(&b); err != nil {
		t.Fatal(err)
	}
	ends := map[string]string{"GOAL": "RATIO", "one ": "1.25", "two ": "-", "  not measured:": "nobody knows how"}
	for line := range strings.Lines(b.String()) {
		for begin, end := range ends {
			if strings.HasPrefix(line, begin) && strings.HasSuffix(line, end+"\n") {
				delete(ends, begin)
			}
		}
	}
	if len(ends) > 0 {
		t.Errorf("no lines %v in\n%s", ends, &b)
	}
}

func TestWarningsAreHeard(t *testing.T) {
	n := NewNoticed()
	log := slog.New(n).With("node", "a").WithGroup("g")
	log.Info("this is none")
	log.Warn("a node gave a false partial", "key", "k")
	for range 2 * maxNoticed {
		log.Error("worse")
	}
	count, first := n.Warnings()
	if count != 1+2*maxNoticed || len(first) != maxNoticed || first[0] != "a node gave a false partial node=a key=k" {
		t.Errorf("%d: %q", count, first)
	}
}
