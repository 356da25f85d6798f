package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// A node keeps little alive, a few MB, and makes as much garbage in a few hundred
// requests. Go collects it when the heap has doubled, so a busy node would do so many
// times a second. It has some room instead, whatever it keeps alive.
const (
	// heapRoom is how much garbage may lie around, in bytes, of a node with few keys.
	heapRoom = 64 << 20
	// leastPercent is Go's own measure, which a node with many keys comes to.
	leastPercent, mostPercent = 100, 1600
	// heapLook is how often the room is measured out anew.
	heapLook = 30 * time.Second
)

// makeRoom gives the heap its room until ctx ends, unless $GOGC says what to do.
func makeRoom(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	look := time.NewTicker(heapLook)
	defer look.Stop()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for set := 0; ; {
		metrics.Read(live)
		if percent := roomPercent(live[0].Value.Uint64()); percent != set {
			debug.SetGCPercent(percent)
			set = percent
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// roomPercent is what heapRoom is of what is alive, in hundredths: in steps of 100, so that
// it changes seldom.
func roomPercent(live uint64) int {
	return int(min(max(heapRoom*100/max(live, 1)/100*100, leastPercent), mostPercent))
}
