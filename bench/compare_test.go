package bench

import (
	"bytes"
	"errors"
	"math"
	mrand "math/rand/v2"
	"strings"
	"testing"
	"time"
)

// pairsOf are pairs whose noise is of 5 %, and whose machine is slow at times.
func pairsOf(seed uint64, n int, factor float64) (out []Pair) {
	r := mrand.New(mrand.NewPCG(seed, 1))
	for range n {
		slow := 1 + r.Float64() // of the moment, for both
		took := func(of float64) time.Duration {
			return time.Duration(of * slow * (1 + 0.05*r.NormFloat64()) * float64(500*us))
		}
		out = append(out, Pair{took(1), took(factor)})
	}
	return out
}

func TestWhatIsSlowerIsFound(t *testing.T) {
	for _, row := range []struct {
		factor float64
		want   string
		least  int // of 200 comparisons that come to it
	}{
		{1, Same, 190}, {1.15, Slower, 190}, {0.85, Faster, 190}, {1.001, Same, 190},
	} {
		got := map[string]int{}
		for seed := range uint64(200) {
			j, err := Judge("x", pairsOf(seed, 9, row.factor))
			if err != nil {
				t.Fatal(err)
			}
			got[j.Verdict]++
		}
		if got[row.want] < row.least {
			t.Errorf("a factor of %v comes to %v", row.factor, got)
		}
	}
}

// The test is exact: of seven pairs that all rise, one order in 128 does as much.
func TestTheChanceIsCounted(t *testing.T) {
	var rise, still []Pair
	for i := range 7 {
		rise = append(rise, Pair{100 * us, time.Duration(110+i) * us})
		still = append(still, Pair{100 * us, 100 * us})
	}
	j, err := Judge("x", rise)
	if err != nil || j.P != 1.0/128 || j.Verdict != Slower || math.Abs(j.Ratio-1.13) > 1e-9 {
		t.Errorf("%+v, %v", j, err)
	}
	if j, err = Judge("x", still); err != nil || j.P != 1 || j.Verdict != Same || j.Ratio != 1 {
		t.Errorf("%+v, %v", j, err)
	}
	for i := range rise {
		rise[i].New = rise[i].Old + us // 1 %, each time: it is sure, and nobody acts on it
	}
	if j, err = Judge("x", rise); err != nil || j.P != 1.0/128 || j.Verdict != Same {
		t.Errorf("%+v, %v", j, err)
	}
	for name, bad := range map[string][]Pair{"too few": rise[:6], "too many": make([]Pair, 21), "no time": append([]Pair{{0, us}}, rise...)} {
		if _, err := Judge("x", bad); err == nil {
			t.Errorf("%s: judged", name)
		}
	}
}

func TestAComparisonEndsWithAnErrorWhenSomethingIsSlower(t *testing.T) {
	slow, err := Judge("CPU, first sight", pairsOf(1, 9, 1.5))
	if err != nil {
		t.Fatal(err)
	}
	same, err := Judge("CPU, repeated", pairsOf(1, 9, 1))
	if err != nil {
		t.Fatal(err)
	}
	c := Comparison{Old: "a", New: "b", Judged: []*Judgement{same, slow}}
	if err := c.Err(); !errors.Is(err, ErrNotAsItShould) || !strings.Contains(err.Error(), "first sight is slower") || strings.Contains(err.Error(), "repeated") {
		t.Errorf("%v", err)
	}
	var text bytes.Buffer
	if err := c.Write(&text); err != nil || !strings.Contains(text.String(), Slower) || !strings.Contains(text.String(), Same) {
		t.Errorf("%v\n%s", err, &text)
	}
	c.Judged = c.Judged[:1]
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}
