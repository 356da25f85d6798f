package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"warifu.dev/internal/wire"
)

// Handler answers one frame. It is called from several goroutines at once, and
// must return soon after ctx ends.
//
// A *[Refusal] crosses the wire as it is; the end of ctx as [CodeTimeout]; any
// other error as [CodeInternal] with a fixed sentence, after it was logged here.
// A panic is a bug of ours, and ends the process.
type Handler interface {
	Serve(ctx context.Context, c *Caller, method uint16, body []byte) (answer []byte, err error)
}

// service answers the frames of all connections of one socket.
type service struct {
	handler Handler
	limits  Limits
	log     *slog.Logger
	total   chan struct{} // one token for each request at work
	workers *workers
	// still says whether the caller's connection may go on; asked for each frame.
	still func(*Caller) error
}

func newService(h Handler, l Limits, log *slog.Logger, still func(*Caller) error) *service {
	return &service{handler: h, limits: l, log: log, total: make(chan struct{}, l.InFlightTotal), workers: newWorkers(), still: still}
}

// close ends what serve has begun. No connection is served any more.
func (s *service) close() { s.workers.close() }

// serve answers the frames of one admitted connection until it ends or ctx does,
// and returns when all is quiet.
func (s *service) serve(ctx context.Context, qc *quic.Conn, caller *Caller) {
	defer context.AfterFunc(ctx, func() { _ = qc.CloseWithError(CloseShutdown, "the node stops") })()
	first, cancel := context.WithTimeout(ctx, firstStreamWait)
	stream, err := qc.AcceptStream(first)
	cancel()
	if err != nil {
		_ = qc.CloseWithError(CloseDone, "no stream was opened")
		return
	}
	ctx, cancel = context.WithCancel(ctx)
	c := &conversation{service: s, caller: caller, out: newFrameWriter(stream), mine: make(chan struct{}, s.limits.InFlight)}
	c.atWork.Go(func() {
		// A failed write leaves the reader with requests that cannot be answered:
		// end the connection, and thereby the reader.
		if err := c.out.run(ctx); err != nil {
			_ = qc.CloseWithError(CloseDone, "the answers are not read")
		}
	})
	code, reason := c.read(ctx, stream)
	_ = qc.CloseWithError(code, closeReason(reason))
	cancel()
	c.atWork.Wait()
	c.out.abandon()
}

// conversation is one connection's frames.
type conversation struct {
	*service
	caller *Caller
	out    *frameWriter
	mine   chan struct{} // one token for each of its requests at work
	atWork sync.WaitGroup
}

// read starts the work for each frame, and returns the words to close the
// connection with.
func (c *conversation) read(ctx context.Context, stream io.Reader) (quic.ApplicationErrorCode, string) {
	in := bufio.NewReader(stream)
	for {
		content, err := readFrame(in, c.limits.MaxRequest)
		switch {
		case errors.Is(err, ErrTooLarge):
			return CloseTooLarge, err.Error()
		case errors.Is(err, wire.ErrMalformed):
			return CloseMalformed, err.Error()
		case err != nil:
			return CloseDone, "the stream has ended"
		}
		var req request
		if err := wire.Decode(content, &req); err != nil {
			return CloseMalformed, "a frame is not the canonical encoding of a request"
		}
		c.caller.spoke(time.Now())
		if err := c.still(c.caller); err != nil {
			return AdmissionRefused, admissionReason(err)
		}
		if !take(c.mine) {
			c.refuse(ctx, &req, "too many requests of this connection are in flight")
			continue
		}
		total := c.total
		if c.caller.Few {
			total = nil
		}
		if total != nil && !take(total) {
			<-c.mine
			c.refuse(ctx, &req, "too many requests are in flight at this node")
			continue
		}
		c.caller.busy.Add(1)
		c.atWork.Add(1)
		c.workers.do(func() {
			defer c.atWork.Done()
			// The places are given back when the answer has left, not when it is
			// made: so they bound the memory of answers, too.
			c.out.send(ctx, outgoing{c.answer(ctx, c.caller, &req), func() {
				if total != nil {
					<-total
				}
				<-c.mine
				c.caller.busy.Add(-1)
			}})
		})
	}
}

// refuse answers that there is no place for the request, now. It waits for the
// writer, and so slows down who does not listen.
func (c *conversation) refuse(ctx context.Context, req *request, sentence string) {
	a := &answer{ID: req.ID, Code: CodeOverloaded, Sentence: sentence, Retryable: true}
	c.out.send(ctx, outgoing{frame: a.frame()})
}

// take takes a token if there is one.
func take(tokens chan struct{}) bool {
	select {
	case tokens <- struct{}{}:
		return true
	default:
		return false
	}
}

// answer asks the handler, and returns the frame to send.
func (s *service) answer(ctx context.Context, caller *Caller, req *request) []byte {
	limit := s.limits.Timeout
	if asked := time.Duration(req.TimeoutMS) * time.Millisecond; asked > 0 {
		limit = min(limit, asked)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body, err := s.handler.Serve(ctx, caller, req.Method, req.Body)
	if err != nil {
		r := refusalOf(err)
		if r.Code == CodeInternal {
			s.log.Error("a request failed", "method", req.Method, "remote", caller.Remote, "error", err)
		}
		return s.fit(req, &answer{ID: req.ID, Code: r.Code, Sentence: r.Sentence, Retryable: r.Retryable, Detail: r.Detail})
	}
	return s.fit(req, &answer{ID: req.ID, Body: body})
}

// fit encodes a, or says that it is too large to be read at the other end.
func (s *service) fit(req *request, a *answer) []byte {
	b := a.frame()
	if len(b)-lengthSize <= s.limits.MaxAnswer {
		return b
	}
	s.log.Error("an answer is too large to send", "method", req.Method, "bytes", len(b), "limit", s.limits.MaxAnswer)
	r := refusalOf(ErrTooLarge)
	return (&answer{ID: req.ID, Code: r.Code, Sentence: r.Sentence}).frame()
}
