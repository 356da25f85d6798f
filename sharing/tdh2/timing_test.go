//go:build timing

package tdh2

import (
	"math"
	mrand "math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"warifu.dev/internal/tag"
	"warifu.dev/sharing/group"
)

const (
	timingSamples = 1_000_000 // of both classes together
	timingLeak    = 300_000   // for the leak that is planted
	timingChunk   = 2_000     // shares that are made beforehand, so that making them is not timed
	timingBound   = 10        // of |t|; dudect's is 4.5, on a machine that does nothing else
)

// R18: a dudect-style test (Reparaz, Balasch, Verbauwhede, "Dude, is my code constant
// time?", 2017) of the partial. Shares of two classes, the number one and random ones,
// are multiplied in a random order; Welch's t tells whether their times differ. What must
// be found is a multiplication in variable time, and one that is longer by a single
// addition of points for one class: what a digit costs that is skipped when it is zero.
func TestPartialTakesNoTimeOfTheShare(t *testing.T) {
	f := newFixture(t, "timing", 3, 5)
	one := f.verified.Partial(group.SmallScalar(1))
	for name, leaks := range map[string]func(*group.Scalar){
		"a multiplication in variable time": func(s *group.Scalar) { f.envelope.u.MulSmall(int64(s.Bytes()[31])) },
		"a digit that is skipped": func(s *group.Scalar) {
			p := f.verified.Partial(s)
			if s.Bytes()[0] != 0 {
				p.Add(one)
			}
		},
	} {
		if leak := timed(t, timingLeak, leaks); leak < timingBound {
			t.Errorf("the test does not notice %s: |t| = %.1f", name, leak)
		} else {
			t.Logf("%s: |t| = %.1f of %d samples", name, leak, timingLeak)
		}
	}
	leak := timed(t, timingSamples, func(s *group.Scalar) { f.verified.Partial(s) })
	if leak > timingBound {
		t.Errorf("the time of a partial depends on the share: |t| = %.1f", leak)
	}
	t.Logf("the partial: |t| = %.1f of %d samples", leak, timingSamples)
}

// timed is the |t| of some samples. Garbage is collected between chunks alone, and both
// classes are made in the same way, one after the other in memory.
func timed(t *testing.T, samples int, partial func(*group.Scalar)) float64 {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	rand := seeded("timing")
	order := mrand.New(mrand.NewChaCha8(tag.Hash(tag.SelfTest, []byte("timing, the order"))))
	fixed := group.SmallScalar(1).Bytes()
	var times [2][]float64
	for taken := 0; taken < samples; taken += timingChunk {
		classes, shares := make([]int, timingChunk), make([]*group.Scalar, timingChunk)
		for i := range shares {
			random, err := group.RandomScalar(rand)
			if err != nil {
				t.Fatal(err)
			}
			encoded := random.Bytes()
			if classes[i] = order.IntN(2); classes[i] == 0 {
				encoded = fixed
			}
			if shares[i], err = group.DecodeScalar(encoded); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		for i, s := range shares {
			start := time.Now()
			partial(s)
			times[classes[i]] = append(times[classes[i]], float64(time.Since(start)))
		}
	}
	return math.Abs(welch(times[0], times[1]))
}

// welch is Welch's t of two samples without the slowest tenth of both together, where
// the scheduler sits: the same limit for both, or what makes one class slow would hide.
func welch(a, b []float64) float64 {
	sorted := slices.Sorted(slices.Values(slices.Concat(a, b)))
	limit := sorted[len(sorted)*9/10]
	crop := func(x []float64) (mean, squaredError float64) {
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
