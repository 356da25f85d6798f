package transport

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestWorkersDoEverythingAndEnd(t *testing.T) {
	w := newWorkers()
	const pieces = 3 * workersIdle
	var done sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]int{}
	held := make(chan struct{})
	for i := range pieces { // none waits for another
		done.Add(1)
		w.do(func() {
			defer done.Done()
			<-held
			mu.Lock()
			defer mu.Unlock()
			seen[i]++
		})
	}
	close(held)
	done.Wait()
	for i := range pieces {
		if seen[i] != 1 {
			t.Fatalf("piece %d was done %d times", i, seen[i])
		}
	}
	if n := len(w.places); n > workersIdle {
		t.Errorf("%d wait for work, at most %d", n, workersIdle)
	}
	w.close() // returns when all have ended
}

// One piece after the other needs no goroutine of its own.
func TestAWorkerThatWaitsIsTaken(t *testing.T) {
	w := newWorkers()
	defer w.close()
	before := runtime.NumGoroutine()
	for range 1000 {
		done := make(chan struct{})
		w.do(func() { close(done) })
		<-done
		for range 1000 { // until it waits again
			if len(w.places) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	if n := runtime.NumGoroutine() - before; n > 10 {
		t.Errorf("%d goroutines for one piece after the other", n)
	}
}
