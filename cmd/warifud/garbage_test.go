package main

import (
	"context"
	"runtime/debug"
	"testing"
	"time"
)

func TestRoomForGarbage(t *testing.T) {
	for _, c := range []struct {
		live    uint64
		percent int
	}{
		{0, 1600},
		{1 << 20, 1600},
		{8 << 20, 800},
		{9 << 20, 700},
		{64 << 20, 100},
		{1 << 30, 100}, // with many keys as Go would
	} {
		if got := roomPercent(c.live); got != c.percent {
			t.Errorf("%d bytes alive: %d percent, want %d", c.live, got, c.percent)
		}
	}
}

// The room is made at once, and what GOGC says stands.
func TestMakeRoom(t *testing.T) {
	was := debug.SetGCPercent(100)
	defer debug.SetGCPercent(was)
	run := func() int {
		debug.SetGCPercent(123)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		makeRoom(ctx)
		return debug.SetGCPercent(123)
	}
	t.Setenv("GOGC", "50")
	if got := run(); got != 123 {
		t.Errorf("with GOGC in the environment it is set to %d", got)
	}
	t.Setenv("GOGC", "")
	if got := run(); got < leastPercent || got > mostPercent || got == 123 {
		t.Errorf("it is set to %d", got)
	}
}
