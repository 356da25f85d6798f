package cluster_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/bench"
	"warifu.dev/bench/cluster"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

var (
	refreshedKeys = flag.Int("refreshed-keys", 100, "how many keys BenchmarkRefresh has born, and refreshed")
	refreshLoad   = flag.Float64("refresh-load", 100, "at how many unwraps a second")
	refreshIdle   = flag.Duration("refresh-idle", 20*time.Second, "how long it measures what they take when nothing else goes on, before and after")
)

// BenchmarkRefresh is what a refresh of many keys, of five real nodes, does to unwraps: what
// they take while it goes on is held against what they took just before, and take just
// after, at the same rate, in the same run.
func BenchmarkRefresh(b *testing.B) {
	c, key, cl := start(b, cluster.Config{})
	asks, err := c.Custodian()
	if err != nil {
		b.Fatal(err)
	}
	defer asks.Close()
	began := time.Now()
	bear(b, c, asks, *refreshedKeys-1)
	m := bench.ThisMachine()
	fmt.Printf("%s, %d cores, load before %s: %s\n", m.CPU, m.Cores, m.Load, m.Command)
	fmt.Printf("%d keys are born and signed after %v\n", *refreshedKeys, time.Since(began).Round(time.Second))

	pace := cluster.NewPace(cl)
	if err := pace.Wrap(key); err != nil {
		b.Fatal(err)
	}
	peak := pace.Peak(b.Context(), 5*time.Second)
	fmt.Printf("the peak is %.0f unwraps a second, the load %.0f\n", peak, *refreshLoad)
	loaded, stop := context.WithCancel(b.Context())
	var load sync.WaitGroup
	load.Go(func() { pace.Run(loaded, *refreshLoad) })
	defer load.Wait()
	defer stop()
	used := func() time.Duration {
		var pids []int
		for _, id := range c.IDs() {
			pids = append(pids, c.PID(id))
		}
		sum, err := bench.CPUOf(pids...)
		if err != nil {
			b.Fatal(err)
		}
		return sum
	}
	spell := func(name string, do func()) *cluster.Spell {
		pace.Turn()
		began, before := time.Now(), used()
		do()
		s, took := pace.Turn(), time.Since(began)
		fmt.Printf("%-28s %8v  %6d unwraps, %d failed, %d retries, p50 %.1f ms, p99 %.1f ms, CPU of the nodes %.0f ms a second\n", name, took.Round(100*time.Millisecond),
			s.Unwraps, s.Failed, s.Retries, float64(s.Percentile(50))/1e6, float64(s.Percentile(99))/1e6, float64((used()-before).Milliseconds())/took.Seconds())
		if s.Failed > 0 {
			b.Error(strings.Join(s.Failures, "\n"))
		}
		return s
	}
	idle := spell("idle before", func() { time.Sleep(*refreshIdle) })
	during := spell("new shares for all keys", func() {
		_, err := c.Submit(b.Context(), authority.KindRefresh, wire.Encode(authority.Renewal{PhaseSeconds: 60}), api.Digest{})
		if err != nil {
			b.Fatal(err)
		}
		for over := false; !over && b.Context().Err() == nil; { // to list all keys takes a while, and is none of the refresh
			time.Sleep(time.Second)
			all, err := asks.Renewals(b.Context())
			over = err == nil && len(all) > 0 && !slices.ContainsFunc(all, func(r api.RenewalSummary) bool { return r.Left > 0 })
		}
	})
	everyKey(b, asks, func(k api.KeySummary) bool { return k.Epoch == 2 && k.Signed >= k.T })
	erasing := spell("while the old ones are erased", func() { time.Sleep(erased) })
	everyKey(b, asks, func(k api.KeySummary) bool { return len(k.Gone) == 1 && k.Gone[0].Erased >= k.Gone[0].Need })
	after := spell("idle after", func() { time.Sleep(*refreshIdle) })
	worst := max(during.Percentile(99), erasing.Percentile(99))
	ratio := float64(worst) / float64(min(idle.Percentile(99), after.Percentile(99)))
	fmt.Printf("refresh: %d keys, p99 of unwraps %.2f times idle\n", *refreshedKeys, ratio)
	b.ReportMetric(ratio, "p99/idle")
	for b.Loop() { // the run is the measurement
	}
}

// erased is how long after the last shares were made the old ones of the last run are
// erased, and the logs compacted: the minute in which both epochs live, and the turns in
// which nodes erase and compact.
const erased = 105 * time.Second

// carriers is how many clients hand in orders side by side.
const carriers = 4

// bear has more keys born, each by an order and a ceremony of its own, as any key, and
// waits until all their records are signed.
func bear(b *testing.B, c *cluster.Cluster, asks *client.Client, more int) {
	b.Helper()
	next := make(chan int)
	var orders sync.WaitGroup
	for range carriers {
		orders.Go(func() {
			for i := range next {
				name := fmt.Sprintf("key-%d", i)
				for {
					err := c.OrderKey(b.Context(), name, 60)
					if err == nil || errors.Is(err, client.ErrRefusedEntry) && strings.Contains(err.Error(), "taken") {
						break
					}
					if b.Context().Err() != nil {
						return
					}
					time.Sleep(100 * time.Millisecond)
				}
			}
		})
	}
	for i := range more {
		next <- i
	}
	close(next)
	orders.Wait()
	everyKey(b, asks, func(k api.KeySummary) bool { return k.Signed == 5 })
}

// listed is how often all keys are listed.
const listed = 3 * time.Second

// everyKey waits until that is so of every key.
func everyKey(b *testing.B, asks *client.Client, so func(api.KeySummary) bool) {
	b.Helper()
	for b.Context().Err() == nil {
		keys, err := asks.Keys(b.Context())
		if err == nil && len(keys) >= *refreshedKeys && !slices.ContainsFunc(keys, func(k api.KeySummary) bool { return !so(k) }) {
			return
		}
		time.Sleep(listed)
	}
	b.Fatal(b.Context().Err())
}
