package transport

import "sync"

// workersIdle is how many goroutines wait for the next request, at most: as many as two
// cores keep at work. Each has some 16 KB of stack.
const workersIdle = 128

// workers are goroutines that answer one request after the other. One that is begun for
// a single request spends more on its stack, which grows while it decides and multiplies
// points, than on all that travels.
type workers struct {
	next   chan func()   // taken by a goroutine that waits
	places chan struct{} // one token for each that waits
	quiet  sync.WaitGroup
}

func newWorkers() *workers {
	return &workers{next: make(chan func()), places: make(chan struct{}, workersIdle)}
}

// do has a goroutine do it, which waits for work or is begun. It does not wait itself.
func (w *workers) do(work func()) {
	select {
	case w.next <- work:
	default:
		w.quiet.Go(func() { w.run(work) })
	}
}

func (w *workers) run(work func()) {
	for more := true; more; {
		work()
		if !take(w.places) {
			return
		}
		work, more = <-w.next
		<-w.places
	}
}

// close returns when all goroutines have ended. Nobody calls do any more.
func (w *workers) close() {
	close(w.next)
	w.quiet.Wait()
}
