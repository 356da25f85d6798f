package node

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
	"warifu.dev/node/ops"
)

// worker does work of a known length in turns, and keeps what became of it.
type worker struct {
	turns *turns
	work  time.Duration

	all     sync.WaitGroup
	mu      sync.Mutex
	done    int             // guarded by mu
	refused []time.Duration // guarded by mu; what each had to wait for
	most    int             // guarded by mu; items at work at a time
	now     int             // guarded by mu
}

// ask puts in one request of some items.
func (w *worker) ask(t *testing.T, ctx context.Context, items int) {
	w.all.Go(func() {
		began := time.Now()
		done, err := w.turns.take(ctx, items)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Code != api.CodeOverloaded || !e.Retryable {
				t.Errorf("refused with %v", err)
			}
			w.refused = append(w.refused, time.Since(began))
			return
		}
		w.now += items
		w.most = max(w.most, w.now)
		w.mu.Unlock()
		time.Sleep(w.work)
		w.mu.Lock()
		w.done++
		w.now -= items
		w.mu.Unlock()
		done()
		w.mu.Lock()
	})
}

// Three times what can be done, for ten seconds: as much is done as could be, and who is
// refused hears it at once, but for the first second, which may be a burst.
func TestOverloadIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{turns: newTurns(1), work: 64 * time.Millisecond} // 1,000 a second
		const rate, seconds = 3000, 10
		for range rate * seconds {
			w.ask(t, t.Context(), 1)
			time.Sleep(time.Second / rate)
		}
		w.all.Wait()
		if w.most != turnsPerCore || w.done < 95*10*seconds {
			t.Errorf("%d done, %d at work at a time", w.done, w.most)
		}
		late := 0
		for _, took := range w.refused {
			if took > hurriedWait {
				late++
			}
		}
		// Those who came in the first second may have waited for as long.
		if len(w.refused)+w.done != rate*seconds || late > rate+rate/10 {
			t.Errorf("%d refused, %d of them after more than %v", len(w.refused), late, hurriedWait)
		}
		if w.turns.busy != 0 || w.turns.waiting.Len() != 0 {
			t.Errorf("%d are left at work, %d wait", w.turns.busy, w.turns.waiting.Len())
		}
		w.refused = nil
		w.ask(t, t.Context(), 1)
		w.all.Wait()
		if len(w.refused) != 0 {
			t.Error("it is over, and refuses")
		}
	})
}

// What a burst leaves is done within a second, and nobody is refused.
func TestABurstIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{turns: newTurns(2), work: 50 * time.Millisecond}
		for range 10 {
			for range 12 * turnsPerCore {
				w.ask(t, t.Context(), 1)
			}
			time.Sleep(2 * time.Second)
		}
		w.all.Wait()
		if len(w.refused) > 0 || w.done != 10*12*turnsPerCore || w.most != 2*turnsPerCore {
			t.Errorf("%d refused, %d done, %d at a time", len(w.refused), w.done, w.most)
		}
	})
}

// Who has no time left does not begin, and a batch has as many places as it has items.
func TestTurnsHonourDeadlinesAndBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{turns: newTurns(1), work: 100 * time.Millisecond}
		w.ask(t, t.Context(), 1000) // as many as there are places
		synctest.Wait()
		soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		w.ask(t, soon, 1)
		synctest.Wait()
		w.ask(t, t.Context(), 40)
		w.ask(t, t.Context(), 40) // waits for the one before, which leaves too little
		w.ask(t, t.Context(), 20) // would fit, and has come later
		time.Sleep(50 * time.Millisecond)
		w.mu.Lock()
		if len(w.refused) != 1 || w.refused[0] != 30*time.Millisecond {
			t.Errorf("with 30 ms left: refused after %v", w.refused)
		}
		w.mu.Unlock()
		w.all.Wait()
		if w.done != 4 || w.turns.busy != 0 {
			t.Errorf("%d done, %d are left at work", w.done, w.turns.busy)
		}
	})
}

// A batch that gives up, and was too large, lets those behind it in.
func TestWhoGivesUpHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &worker{turns: newTurns(1), work: 500 * time.Millisecond}
		w.ask(t, t.Context(), turnsPerCore/2)
		synctest.Wait()
		soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		w.ask(t, soon, turnsPerCore)
		synctest.Wait()
		w.ask(t, t.Context(), 1)
		time.Sleep(20 * time.Millisecond)
		w.mu.Lock()
		if w.now != turnsPerCore/2+1 || len(w.refused) != 1 {
			t.Errorf("%d items are at work, %d requests refused", w.now, len(w.refused))
		}
		w.mu.Unlock()
		w.all.Wait()
	})
}

// Whoever asks a node to release something takes a turn, whatever it is, and is counted
// when there is none.
func TestReleasesTakeTurns(t *testing.T) {
	n := &Node{turns: newTurns(1), meters: ops.NewMeters(), now: time.Now}
	done, err := n.turns.take(t.Context(), turnsPerCore)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for method, request := range map[uint16]any{
		api.MethodUnwrap:  api.UnwrapRequest{Items: []api.UnwrapItem{{Envelope: []byte("e")}}},
		api.MethodEncrypt: api.EncryptRequest{Sets: []uint16{3}, Items: []api.EncryptItem{{Version: 1}}},
		api.MethodBranch:  api.BranchRequest{Sets: []uint16{3}, Items: []api.BranchItem{{Version: 1, Seconds: 60}}},
	} {
		_, err = clientServer{n}.answer(ctx, &session{}, classApplication, method, wire.Encode(request))
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeOverloaded || !e.Retryable {
			t.Errorf("method %d: a node that has no place says %v", method, err)
		}
	}
}
