package bench

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// loaded is an overload as it should be: 1,000 a second at the peak, 950 of 3,000 then.
func loaded() *Overload {
	taken := Taken{Load: Load{N: 30_000, Rate: 3000}, Failed: map[string]int{"overloaded": 20_500}, Refused: Latency{P99: 40 * time.Millisecond}}
	return &Overload{
		Peak: Measured{Items: 1000}, Load: Measured{Items: 950, Taken: taken}, Late: Latency{P99: time.Millisecond},
		Memory: []Memory{{"a", 80 << 20, 90 << 20}},
	}
}

func TestWhatAnOverloadComesTo(t *testing.T) {
	for name, row := range map[string]struct {
		change           func(*Overload)
		goodput, refused string
		says             string
	}{
		"as it should be":             {func(*Overload) {}, Met, Met, ""},
		"too little is opened":        {func(o *Overload) { o.Load.Items = 890 }, Miss, Met, ""},
		"nothing is":                  {func(o *Overload) { o.Load.Items = 0 }, Miss, Met, ""},
		"an election":                 {func(o *Overload) { o.Elections = 1 }, Miss, Met, "1 elections"},
		"nobody tells the term":       {func(o *Overload) { o.Elections = -1 }, Miss, Met, "no node shows"},
		"memory grows":                {func(o *Overload) { o.Memory[0].Last = 110 << 20 }, Miss, Met, "a grows from 80 to 110 MiB"},
		"refusals are late":           {func(o *Overload) { o.Load.Taken.Refused.P99 = 60 * time.Millisecond }, Met, Miss, ""},
		"so are the callers":          {func(o *Overload) { o.Load.Taken.Refused.P99, o.Late.P99 = time.Second, 20*time.Millisecond }, Met, NotMeasured, "wake up 20000.0 µs late"},
		"late, and fast all the same": {func(o *Overload) { o.Late.P99 = 20 * time.Millisecond }, Met, Met, ""},
		"one hears nothing":           {func(o *Overload) { o.Load.Taken.Failed["timeout"] = 1 }, Met, Miss, "otherwise than by overloaded"},
		"one is wrong":                {func(o *Overload) { o.Load.Taken.Wrong = 1 }, Met, Miss, "otherwise than by overloaded"},
	} {
		o := loaded()
		row.change(o)
		rows := o.rows()
		if rows[0].Verdict != row.goodput || rows[1].Verdict != row.refused || !strings.Contains(rows[0].Why+rows[1].Why, row.says) {
			t.Errorf("%s: %+v", name, rows)
		}
		run := Run{Goals: rows}
		if bad := row.goodput == Miss || row.refused == Miss; errors.Is(run.Err(), ErrNotAsItShould) != bad {
			t.Errorf("%s: the run ends with %v", name, run.Err())
		}
	}
}

func TestNumbersAreReadAsNodesShowThem(t *testing.T) {
	const shown = `# HELP warifu_raft_term Raft's term.
# TYPE warifu_raft_term gauge
warifu_raft_term 7
warifu_gate_decisions_total{code="",outcome="released"} 12
go_memstats_alloc_bytes_total 1.234e+07
`
	got, err := readNumbers(strings.NewReader(shown))
	if err != nil || len(got) != 2 || got[termShown] != 7 || got[allocatedShown] != 12_340_000 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := readNumbers(strings.NewReader("warifu_raft_term seven\n")); err == nil {
		t.Error("a number that is none is taken")
	}
}

// A process is kept to a core with all its threads, and let go again.
func TestAProcessIsKeptToItsCores(t *testing.T) {
	all, err := CoresOf(os.Getpid())
	if runtime.GOOS != "linux" {
		if err == nil {
			t.Error("elsewhere nothing is known of cores")
		}
		return
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("%v, %v", all, err)
	}
	sleeps := exec.Command("sleep", "60")
	if err := sleeps.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeps.Process.Kill()
		_ = sleeps.Wait() // it was killed
	}()
	for _, cores := range [][]int{all[len(all)-1:], all} {
		if err := KeepTo(sleeps.Process.Pid, cores); err != nil {
			t.Fatal(err)
		}
		if got, err := CoresOf(sleeps.Process.Pid); err != nil || !slices.Equal(got, cores) {
			t.Errorf("kept to %v: %v, %v", cores, got, err)
		}
	}
	if KeepTo(sleeps.Process.Pid, nil) == nil {
		t.Error("a process is kept to no core")
	}
	if KeepTo(1<<30, all) == nil {
		t.Error("a process that there is not is kept to cores")
	}
}
