package alarm_test

import (
	"testing"
	"time"

	"warifu.dev/bench/alarm"
)

// Never early, and not at all for what has passed.
func TestUntil(t *testing.T) {
	for _, d := range []time.Duration{-time.Hour, 0, 100 * time.Microsecond, 5 * time.Millisecond} {
		began := time.Now()
		due := began.Add(d)
		alarm.Until(due)
		if now := time.Now(); now.Before(due) {
			t.Errorf("%v: %v too early", d, due.Sub(now))
		}
		if took := time.Since(began); d <= 0 && took > time.Minute {
			t.Errorf("%v has passed, and was waited for: %v", d, took)
		}
	}
}
