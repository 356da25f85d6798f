package transport

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// told is what a call that nobody waits for came to.
type told struct {
	body []byte
	err  error
}

func begin(t *testing.T, c *Conn, method uint16, body []byte) (Begun, <-chan told) {
	t.Helper()
	got := make(chan told, 2) // one too many would be seen
	b, ok := c.Begin(method, body, time.Minute, func(body []byte, err error) { got <- told{body, err} })
	if !ok {
		t.Fatal("there is no room")
	}
	return b, got
}

func (c *Conn) taken() int { return len(c.places) }

func TestBeginTellsWhatCallReturns(t *testing.T) {
	c := dial(t, startServer(t, nil))
	_, echo := begin(t, c, methodEcho, []byte("hello"))
	_, refused := begin(t, c, methodRefuse, nil)
	if a := <-echo; a.err != nil || !bytes.Equal(a.body, []byte("hello")) {
		t.Errorf("%q, %v", a.body, a.err)
	}
	_, want := c.Call(t.Context(), methodRefuse, nil)
	var r *Refusal
	if a := <-refused; !errors.As(a.err, &r) || a.err.Error() != want.Error() {
		t.Errorf("%v, and Call gets %v", a.err, want)
	}
	if n := c.taken(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// Where Call would wait, Begin says no and has sent nothing; and a place that was given up
// is free.
func TestBeginWaitsForNothing(t *testing.T) {
	to := startServer(t, nil)
	to.Limits.InFlight = 2 * 2
	c := dial(t, to)
	never := func([]byte, error) { t.Error("told of what was not sent, or was withdrawn") }
	var calls []Begun
	for range 2 {
		b, ok := c.Begin(methodWait, nil, time.Minute, never)
		if !ok {
			t.Fatal("there is no room")
		}
		calls = append(calls, b)
	}
	if _, ok := c.Begin(methodEcho, nil, time.Minute, never); ok {
		t.Error("a call more than there are places")
	}
	for _, b := range calls {
		b.Withdraw()
		b.Withdraw()
	}
	Begun{}.Withdraw()
	if n := c.taken(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	if _, ok := c.Begin(methodEcho, nil, 0, never); ok {
		t.Error("a call without time")
	}
	if _, ok := c.Begin(methodEcho, make([]byte, c.limits.MaxRequest), time.Minute, never); ok {
		t.Error("a call that is too large")
	}
	if n := c.taken(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	_, echo := begin(t, c, methodEcho, nil)
	if a := <-echo; a.err != nil {
		t.Error(a.err)
	}
}

// The end of a connection is told to whoever has begun a call on it, once, and nothing
// begins on it any more.
func TestTheEndIsToldToWhatWasBegun(t *testing.T) {
	c := dial(t, startServer(t, nil))
	_, one := begin(t, c, methodWait, nil)
	_, other := begin(t, c, methodWait, nil)
	_ = c.Close()
	for _, got := range []<-chan told{one, other} {
		if a := <-got; !errors.Is(a.err, ErrClosed) {
			t.Errorf("%v, want %v", a.err, ErrClosed)
		}
		if len(got) != 0 {
			t.Error("told twice")
		}
	}
	if _, ok := c.Begin(methodEcho, nil, time.Minute, func([]byte, error) { t.Error("told") }); ok {
		t.Error("a call on a connection that has ended")
	}
}

// Of each call that was begun its caller is told once, or it has withdrawn it: whatever
// else happens on the connection, and also when that ends meanwhile. A call that nobody is
// told of would leave its caller waiting, and its place taken.
func TestOfEachCallSomebodyIsTold(t *testing.T) {
	for _, ends := range []bool{false, true} {
		to := startServer(t, nil)
		to.Limits.InFlight = 2 * 8 // fewer than there are callers, so that some find no room
		c := dial(t, to)
		var callers sync.WaitGroup
		var heard, withdrawn, none atomic.Int64
		for i := range 16 {
			callers.Go(func() {
				for n := range 200 {
					body := []byte{byte(i), byte(n)}
					var times atomic.Int64
					done := make(chan told, 2)
					b, ok := c.Begin(methodEcho, body, time.Minute, func(got []byte, err error) {
						times.Add(1)
						done <- told{got, err}
					})
					if !ok {
						none.Add(1)
						if c.Err() != nil {
							return
						}
						continue
					}
					if n%5 == i%5 {
						if b.Withdraw(); times.Load() == 0 {
							withdrawn.Add(1)
							continue // or it is being told at this moment, once
						}
					}
					select {
					case a := <-done:
						if a.err == nil && !bytes.Equal(a.body, body) || a.err != nil && !errors.Is(a.err, ErrClosed) {
							t.Errorf("told %x, %v of call %x", a.body, a.err, body)
						}
						heard.Add(1)
					case <-time.After(time.Minute):
						t.Error("nobody is told")
						return
					}
					if n := times.Load(); n != 1 {
						t.Errorf("told %d times", n)
					}
				}
			})
		}
		if ends {
			for heard.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			_ = c.Close()
		}
		callers.Wait()
		if n := c.taken(); !ends && n != 0 {
			t.Errorf("%d places are taken when all is done", n)
		}
		t.Logf("%d told, %d withdrawn, %d found no room", heard.Load(), withdrawn.Load(), none.Load())
	}
}
