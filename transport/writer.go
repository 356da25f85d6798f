package transport

import (
	"bufio"
	"context"
	"io"
	"runtime"
	"time"
)

// deadlineWriter is what a frameWriter writes to: a QUIC stream.
type deadlineWriter interface {
	io.Writer
	SetWriteDeadline(time.Time) error
}

// outgoing is a frame on its way, and what to do when it has left, or never
// will: sent may be nil.
type outgoing struct {
	frame []byte
	sent  func()
}

// gone marks o as sent.
func (o *outgoing) gone() {
	if o.sent != nil {
		o.sent()
	}
}

// frameWriter puts the frames of many goroutines on one stream, as many in one
// write as are ready: a packet, and the system call and the cipher under it, is
// then shared.
type frameWriter struct {
	in  chan outgoing
	out deadlineWriter

	buffer *bufio.Writer // owned by run
	round  []outgoing    // owned by run; what the next flush sends
}

func newFrameWriter(out deadlineWriter) *frameWriter {
	return &frameWriter{
		in:     make(chan outgoing, framesQueued),
		out:    out,
		buffer: bufio.NewWriterSize(out, writeBuffer),
	}
}

// send queues a frame, waiting for a place until ctx ends.
func (w *frameWriter) send(ctx context.Context, o outgoing) {
	select {
	case w.in <- o:
	case <-ctx.Done():
		o.gone()
	}
}

// run writes until ctx ends, which is no error, or a write fails.
func (w *frameWriter) run(ctx context.Context) error {
	for {
		select {
		case next := <-w.in:
			w.add(next)
		case <-ctx.Done():
			return nil
		}
		w.drain()
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// add puts a frame into the round. It writes when the buffer is full, and leaves
// an error there for flush to return.
func (w *frameWriter) add(o outgoing) {
	if len(w.round) == 0 {
		_ = w.out.SetWriteDeadline(time.Now().Add(writeWait)) // fails only on a closed stream, as the write will
	}
	w.round = append(w.round, o)
	_, _ = w.buffer.Write(o.frame)
}

// drain adds what else is ready, giving those who are about to send one chance
// to do so. It takes at most a queueful, so that one deadline covers it.
func (w *frameWriter) drain() {
	yielded := false
	for range framesQueued {
		select {
		case next := <-w.in:
			w.add(next)
		default:
			if yielded {
				return
			}
			yielded = true
			runtime.Gosched()
		}
	}
}

// flush writes the round.
func (w *frameWriter) flush() error {
	err := w.buffer.Flush()
	for i := range w.round {
		w.round[i].gone()
	}
	clear(w.round) // do not keep the frames alive
	w.round = w.round[:0]
	return err
}

// abandon drops what is still queued. It is called when run has returned and
// nobody sends any more.
func (w *frameWriter) abandon() {
	for {
		select {
		case o := <-w.in:
			o.gone()
		default:
			return
		}
	}
}
