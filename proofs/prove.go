package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// atOnce is how many tests run side by side: a small machine has two cores.
const atOnce = 2

// prove tries every promise and plants every fault. Only what ends the whole
// attempt is an error; all else stands in the report.
func prove(ctx context.Context, root string, promises []promise) ([]result, error) {
	dir, err := os.MkdirTemp("", "warifu-proofs-")
	if err != nil {
		return nil, fmt.Errorf("make room for what is planted: %w", err)
	}
	defer os.RemoveAll(dir)
	results := make([]result, len(promises))
	var mu sync.Mutex // guards results
	var jobs []func()
	for i, p := range promises {
		r := &results[i]
		r.Promise, r.Sentence, r.What, r.Built = p.name, p.sentence, p.tried, len(p.faults) > 0
		if !r.Built {
			continue
		}
		r.Planted = len(p.faults)
		for _, t := range p.trials {
			jobs = append(jobs, func() {
				began := time.Now()
				o, err := goTest(ctx, root, t, "")
				mu.Lock()
				defer mu.Unlock()
				r.tried(t, o, err, time.Since(began))
			})
		}
		for k, f := range p.faults {
			jobs = append(jobs, func() {
				began := time.Now()
				said, err := f.try(ctx, root, fmt.Sprintf("%s/%s-%d", dir, p.name, k))
				mu.Lock()
				defer mu.Unlock()
				r.plantedOne(f, said, err, time.Since(began))
			})
		}
	}
	next := make(chan func())
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for job := range next {
				job()
			}
		})
	}
	for _, job := range jobs {
		next <- job
	}
	close(next)
	workers.Wait()
	return results, ctx.Err()
}

// try plants the fault in dir, runs its test, and says nil when it was caught.
func (f fault) try(ctx context.Context, root, dir string) (said string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("plant %q: %w", f.name, err)
	}
	overlay, err := f.plant(root, dir)
	if err != nil {
		return "", err
	}
	o, err := goTest(ctx, root, trial{f.room, []string{f.test}}, overlay)
	if err != nil {
		return "", err
	}
	return o.said, o.caught(f)
}
