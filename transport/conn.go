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
	nextID  uint64                  // guarded by mu
	pending map[uint64]chan *answer // guarded by mu; nil once the connection has ended
	err     error                   // guarded by mu; set when the connection has ended
	heard   uint64                  // guarded by mu; packets that had come before the last request
	unheard time.Time               // guarded by mu; when the first request after them was sent
	listen  *time.Timer             // guarded by mu; runs listened; nil while no request is unheard
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
		pending: make(map[uint64]chan *answer),
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
	if len(body)+frameOverhead > c.limits.MaxRequest {
		return nil, fmt.Errorf("call method %d: %w: %d bytes, at most %d are sent", method, ErrTooLarge, len(body), c.limits.MaxRequest-frameOverhead)
	}
	timeout, err := timeoutMS(ctx)
	if err != nil {
		return nil, fmt.Errorf("call method %d: %w", method, err)
	}
	select {
	case c.places <- struct{}{}:
		defer func() { <-c.places }()
	case <-ctx.Done():
		return nil, fmt.Errorf("call method %d: %w", method, ctx.Err())
	case <-c.ctx.Done():
		return nil, c.Err()
	}
	id, got, err := c.register()
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
	case a := <-got:
		return a.open()
	case <-ctx.Done():
		return nil, fmt.Errorf("call method %d: %w", method, ctx.Err())
	case <-c.ctx.Done():
		select {
		case a := <-got: // it came before the end
			return a.open()
		default:
			return nil, c.Err()
		}
	}
}

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
	ms := (left + time.Millisecond - 1) / time.Millisecond
	return uint32(min(ms, math.MaxUint32)), nil
}

// register makes a place for the answer to a new id.
func (c *Conn) register() (uint64, chan *answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending == nil {
		return 0, nil, c.err
	}
	c.nextID++
	got := make(chan *answer, 1)
	c.pending[c.nextID] = got
	if n := c.received(); n != c.heard || c.listen == nil {
		c.heard, c.unheard = n, time.Now()
	}
	if c.silence > 0 && c.listen == nil {
		c.listen = time.AfterFunc(c.silence, c.listened)
	}
	return c.nextID, got, nil
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

func (c *Conn) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
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
		c.mu.Lock()
		got := c.pending[a.ID]
		delete(c.pending, a.ID)
		c.mu.Unlock()
		if got != nil { // else its caller has gone
			got <- &a
		}
	}
}

// end ends the connection, for all who wait, with err. Only the first is heard.
func (c *Conn) end(err error, code quic.ApplicationErrorCode) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
		c.pending = nil
		if c.listen != nil {
			c.listen.Stop()
		}
	}
	c.mu.Unlock()
	c.cancel()
	_ = c.qc.CloseWithError(code, "")
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
