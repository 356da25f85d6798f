package api_test

import (
	"errors"
	"testing"
	"time"

	. "warifu.dev/api"
)

func TestIntervals(t *testing.T) {
	for _, d := range BranchLengths() {
		if back, err := time.ParseDuration(BranchLength(d)); err != nil || back != d {
			t.Errorf("%v is written %s", d, BranchLength(d))
		}
		if seconds := int64(d / time.Second); CheckInterval(17*seconds, uint32(seconds)) != nil || (24*time.Hour)%d != 0 {
			t.Errorf("%v", d)
		}
	}
	for name, v := range map[string]struct {
		from    int64
		seconds uint32
	}{
		"a length there is not": {0, 7200}, "none": {0, 0}, "a second": {5, 1}, "two days": {0, 2 * 86400},
		"between two": {3601, 3600}, "before all": {-3600, 3600},
	} {
		if err := CheckInterval(v.from, v.seconds); !errors.Is(err, ErrInterval) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
