//go:build timing

package tdh2

import (
	"math"
	"slices"
	"testing"
	"time"

	"warifu.dev/sharing/group"
)

// R18: a dudect-style test (Reparaz, Balasch, Verbauwhede, 2017) of the partial.
// Shares of two classes, the number one and random ones, are measured in turn;
// Welch's t tells whether their times differ. The bound is far above dudect's 4.5,
// since other tests share the machine: what it is to find is a multiplication
// that depends on the length or the digits of the share, which is off by hundreds.
func TestPartialTakesNoTimeOfTheShare(t *testing.T) {
	f := newFixture(t, "timing", 3, 5)
	const rounds = 3000
	var shares [2][]*group.Scalar
	rand := seeded("timing")
	for range rounds {
		random, err := group.RandomScalar(rand)
		if err != nil {
			t.Fatal(err)
		}
		shares[0] = append(shares[0], group.SmallScalar(1))
		shares[1] = append(shares[1], random)
	}
	measure := func(partial func(*group.Scalar)) float64 {
		var times [2][]float64
		for i := range rounds {
			for class := range 2 {
				start := time.Now()
				partial(shares[class^i&1][i])
				times[class^i&1] = append(times[class^i&1], float64(time.Since(start)))
			}
		}
		return math.Abs(welch(times[0], times[1]))
	}
	const bound = 25
	if leak := measure(func(s *group.Scalar) { f.envelope.u.MulSmall(int64(s.Bytes()[31])) }); leak < bound {
		t.Errorf("the test does not notice a multiplication in variable time: t = %.1f", leak)
	}
	if leak := measure(func(s *group.Scalar) { f.verified.Partial(s) }); leak > bound {
		t.Errorf("the time of a partial depends on the share: t = %.1f", leak)
	}
}

// welch is Welch's t of two samples, each without its slowest tenth, where the
// scheduler sits.
func welch(a, b []float64) float64 {
	crop := func(x []float64) (mean, squaredError float64) {
		sorted := slices.Sorted(slices.Values(x))
		limit := sorted[len(sorted)*9/10]
		n, sum, sumOfSquares := 0.0, 0.0, 0.0
		for _, v := range x {
			if v <= limit {
				n, sum, sumOfSquares = n+1, sum+v, sumOfSquares+v*v
			}
		}
		mean = sum / n
		return mean, (sumOfSquares/n - mean*mean) / (n - 1)
	}
	meanA, errorA := crop(a)
	meanB, errorB := crop(b)
	return (meanA - meanB) / math.Sqrt(errorA+errorB)
}
