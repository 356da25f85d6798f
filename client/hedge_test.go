package client

import "testing"

// A tenth of the answers, beyond the reserve, is what may be hedged: where all nodes are
// slow, asking more of them makes them slower.
func TestHedgesAreATenthOfTheAnswers(t *testing.T) {
	var h hedges
	for i := range hedgeReserve {
		if !h.spend() {
			t.Fatalf("of the reserve, %d were spent", i)
		}
	}
	if h.spend() {
		t.Error("one more than the reserve")
	}
	taken := 0
	for range 1000 {
		h.answered()
		if h.spend() {
			taken++
		}
	}
	if taken != 1000/hedgeAnswers {
		t.Errorf("%d hedges for 1,000 answers", taken)
	}
	for range 100 * hedgeReserve * hedgeAnswers {
		h.answered()
	}
	for taken = 0; h.spend(); taken++ {
	}
	if taken != hedgeReserve {
		t.Errorf("%d hedges are in the reserve", taken)
	}
}
