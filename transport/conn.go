package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"warifu.dev/internal/wire"
)

// Conn makes calls on one connection. It is safe for concurrent use.
type Conn struct {
	qc     *quic.Conn
	limits Limits
	out    *frameWriter
	places chan struct{} // one token for each call in flight
	ctx    context.Context
	cancel context.CancelFunc
	quiet  sync.WaitGroup
	after  func() // releases what was made for this connection; may be nil
	// silence is how long nothing may come after a request; 0 for any time.
	silence time.Duration

	mu      sync.Mutex
	nextID  uint64                         // guarded by mu
	pending map[uint64]func([]byte, error) // guarded by mu; who is told of each answer; nil once the connection has ended
	err     error                          // guarded by mu; set when the connection has ended
	heard   uint64                         // guarded by mu; packets that had come before the last request
	unheard time.Time                      // guarded by mu; when the first request after them was sent
	listen  *time.Timer                    // guarded by mu; runs listened; nil while no request is unheard
}

// newConn opens the stream of calls on qc, which it then owns.
func newConn(ctx context.Context, qc *quic.Conn, limits Limits, silence time.Duration) (*Conn, error) {
	stream, err := qc.OpenStreamSync(ctx)
	if err != nil {
		_ = qc.CloseWithError(CloseDone, "no stream")
		return nil, ended(err)
	}
	c := &Conn{
		qc:     qc,
		limits: limits,
		out:    newFrameWriter(stream),
		// Half: the server frees a place only when its answer is on its way, so
		// one who fills them all would be refused now and then.
		places:  make(chan struct{}, max(1, limits.InFlight/2)),
		pending: make(map[uint64]func([]byte, error)),
		silence: silence,
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.quiet.Go(func() {
		if err := c.out.run(c.ctx); err != nil {
			c.end(ended(err), CloseDone)
		}
	})
	c.quiet.Go(func() { c.read(stream) })
	return c, nil
}

// Call sends a request and returns its answer. The deadline of ctx goes along;
// when ctx ends first, the server may still act on the request. Errors: a
// *[Refusal] as the server gave it, [ErrTooLarge], [ErrClosed], or the context's.
func (c *Conn) Call(ctx context.Context, method uint16, body []byte) ([]byte, error) {
	if !c.fits(body) {
		return nil, fmt.Errorf("call method %d: %w: %d bytes, at most %d are sent", method, ErrTooLarge, len(body), c.limits.MaxRequest-frameOverhead)
	}
	timeout, err := timeoutMS(ctx)
	if err != nil {
		return nil, fmt.Errorf("call method %d: %w", method, err)
	}
	select {
	case c.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("call method %d: %w", method, ctx.Err())
	case <-c.ctx.Done():
		return nil, c.Err()
	}
	type told struct {
		body []byte
		err  error
	}
	got := make(chan told, 1)
	id, err := c.register(func(body []byte, err error) { got <- told{body, err} })
	if err != nil {
		return nil, err
	}
	defer c.forget(id)
	select {
	case c.out.in <- outgoing{frame: (&request{ID: id, Method: method, TimeoutMS: timeout, Body: body}).frame()}:
	case <-ctx.Done():
		return nil, fmt.Errorf("call method %d: %w", method, ctx.Err())
	case <-c.ctx.Done():
		return nil, c.Err()
	}
	select {
	case a := <-got: // or that the connection has ended
		return a.body, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("call method %d: %w", method, ctx.Err())
	}
}

// Begun is a call for whose answer nobody waits. The zero value is none.
type Begun struct {
	conn *Conn
	id   uint64
}

// Withdraw says that nobody wants the answer any more; it may be there at this moment. The
// server may still act on the request.
func (b Begun) Withdraw() {
	if b.conn != nil {
		b.conn.forget(b.id)
	}
}

// Begin makes a call as [Conn.Call] does, and waits for nothing. What Call would return is
// told to then, once, by the goroutine that reads the connection or ends it: then does not
// wait either. left goes along as the time that the caller has, who withdraws the call when
// it is over. It is false, and nothing was sent, where Call would have waited for a place,
// or failed.
//
// A caller that asks several servers saves with it a goroutine for each, that is begun and
// woken twice.
func (c *Conn) Begin(method uint16, body []byte, left time.Duration, then func(body []byte, err error)) (_ Begun, ok bool) {
	if left <= 0 || !c.fits(body) || !take(c.places) {
		return Begun{}, false
	}
	id, err := c.register(then)
	if err != nil {
		return Begun{}, false
	}
	select {
	case c.out.in <- outgoing{frame: (&request{ID: id, Method: method, TimeoutMS: milliseconds(left), Body: body}).frame()}:
		return Begun{c, id}, true
	default:
		if c.forget(id) {
			return Begun{}, false
		}
		return Begun{c, id}, true // the connection has ended just now, and then was told so
	}
}

func (c *Conn) fits(body []byte) bool { return len(body)+frameOverhead <= c.limits.MaxRequest }

// open returns what an answer holds.
func (a *answer) open() ([]byte, error) {
	if a.Code != "" {
		return nil, &Refusal{Code: a.Code, Sentence: a.Sentence, Retryable: a.Retryable, Detail: a.Detail}
	}
	return a.Body, nil
}

// timeoutMS is how long ctx still has, in milliseconds and rounded up; 0 says
// that it has no deadline.
func timeoutMS(ctx context.Context) (uint32, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	return milliseconds(left), nil
}

// milliseconds rounds a time that is left up.
func milliseconds(left time.Duration) uint32 {
	return uint32(min((left+time.Millisecond-1)/time.Millisecond, math.MaxUint32))
}

// register takes who is to be told of the answer to a new id. Its place, which the caller
// has, is given back when the answer comes, or is forgotten, or now if the connection has
// ended.
func (c *Conn) register(then func([]byte, error)) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		<-c.places
		return 0, c.err
	}
	c.nextID++
	c.pending[c.nextID] = then
	if n := c.received(); n != c.heard || c.listen == nil {
		c.heard, c.unheard = n, time.Now()
	}
	if c.silence > 0 && c.listen == nil {
		c.listen = time.AfterFunc(c.silence, c.listened)
	}
	return c.nextID, nil
}

// received counts the packets of the other end that came whole.
func (c *Conn) received() uint64 { return c.qc.ConnectionStats().PacketsReceived }

// listened ends the connection if nothing has come for silence since a request was
// sent. What is sent is acknowledged within a round trip, however long the answer
// takes and whoever still waits for it.
func (c *Conn) listened() {
	c.mu.Lock()
	c.listen = nil
	silent := c.pending != nil && c.received() == c.heard
	if left := c.silence - time.Since(c.unheard); silent && left > 0 {
		c.listen, silent = time.AfterFunc(left, c.listened), false
	}
	c.mu.Unlock()
	if silent {
		c.end(fmt.Errorf("%w: nothing came within %v of a request", ErrClosed, c.silence), CloseDone)
	}
}

// settle returns who is to be told of an answer, if nobody was told yet.
func (c *Conn) settle(id uint64) (then func([]byte, error), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if then, ok = c.pending[id]; ok {
		delete(c.pending, id)
		<-c.places
	}
	return then, ok
}

// forget says whether nobody has been told of an answer; from now on nobody is.
func (c *Conn) forget(id uint64) bool {
	_, ok := c.settle(id)
	return ok
}

// read takes the answers to those who wait for them, until the stream ends.
func (c *Conn) read(stream *quic.Stream) {
	in := bufio.NewReader(stream)
	for {
		content, err := readFrame(in, c.limits.MaxAnswer)
		if err != nil {
			code := CloseDone
			switch {
			case errors.Is(err, ErrTooLarge):
				code = CloseTooLarge
			case errors.Is(err, wire.ErrMalformed):
				code = CloseMalformed
			}
			c.end(ended(err), code)
			return
		}
		var a answer
		if err := wire.Decode(content, &a); err != nil {
			c.end(ended(err), CloseMalformed)
			return
		}
		if then, ok := c.settle(a.ID); ok { // else its caller has gone
			then(a.open())
		}
	}
}

// end ends the connection, for all who wait, with err. Only the first is heard.
func (c *Conn) end(err error, code quic.ApplicationErrorCode) {
	c.mu.Lock()
	untold := c.pending // nil for all but the first
	if c.err == nil {
		c.err = err
		c.pending = nil
		if c.listen != nil {
			c.listen.Stop()
		}
	}
	err = c.err
	c.mu.Unlock()
	c.cancel()
	_ = c.qc.CloseWithError(code, "")
	for _, then := range untold {
		then(nil, err)
	}
}

// Err says why the connection has ended, or returns nil: a *[Refusal] if the
// other end closed it by name, else an error that wraps [ErrClosed].
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.ctx.Done() }

// Close ends the connection and returns when all is quiet. Calls in flight
// fail with [ErrClosed].
func (c *Conn) Close() error {
	c.end(fmt.Errorf("%w by this end", ErrClosed), CloseDone)
	c.quiet.Wait()
	if c.after != nil {
		c.after()
	}
	return nil
}
