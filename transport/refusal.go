package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/quic-go/quic-go"
)

// The codes of the refusals this package makes itself. A handler has its own.
const (
	// CodeUnauthenticated: the other end does not accept this certificate.
	CodeUnauthenticated = "unauthenticated"
	// CodeOverloaded: too much is in flight; try again, or elsewhere.
	CodeOverloaded = "overloaded"
	// CodeInternal: the node failed; its log has the cause, the wire does not.
	CodeInternal = "internal"
	// CodeTimeout: the time of the request ran out at the server.
	CodeTimeout = "timeout"
	// CodeMalformed: the frame is not the canonical encoding of one.
	CodeMalformed = "malformed"
	// CodeTooLarge: the frame is longer than the other end reads.
	CodeTooLarge = "too_large"
)

// Refusal is the answer "no", as it crosses the wire. A [Handler] returns one
// to refuse a request; [Conn.Call] and [Peers.Call] return the one they met.
type Refusal struct {
	Code      string // a stable word for programs
	Sentence  string // for a person
	Retryable bool   // the same request may succeed later
	Detail    []byte // more for programs, encoded as the method says; may be empty
}

// Error returns the code and the sentence.
func (r *Refusal) Error() string { return r.Code + ": " + r.Sentence }

var (
	// ErrClosed: the connection has ended, so the call has no answer. Whether the
	// other end acted on it is unknown.
	ErrClosed = errors.New("the connection is closed")
	// ErrPinned: the server proved a key that is not the pinned one.
	ErrPinned = errors.New("the server's key is not the pinned one")
	// ErrUnreachable: no connection could be made.
	ErrUnreachable = errors.New("unreachable")
	// ErrBusy, beside ErrUnreachable: the server takes no more handshakes now, of
	// this address or of anybody.
	ErrBusy = errors.New("it takes no more handshakes now")
	// ErrUnknownPeer: the roster has no peer of that id.
	ErrUnknownPeer = errors.New("no such peer in the roster")
	// ErrTooLarge: the frame is longer than the limit of its kind.
	ErrTooLarge = errors.New("the frame is too large")
)

// Codes that close a connection, with a reason in words beside them.
const (
	// CloseDone: the end that closes has no more to say.
	CloseDone quic.ApplicationErrorCode = 0
	// AdmissionRefused: the certificate is not accepted here.
	AdmissionRefused quic.ApplicationErrorCode = 1
	// CloseOverloaded: one connection too many.
	CloseOverloaded quic.ApplicationErrorCode = 2
	// CloseMalformed: a frame was not the canonical encoding of one.
	CloseMalformed quic.ApplicationErrorCode = 3
	// CloseTooLarge: a frame was announced that is longer than is read.
	CloseTooLarge quic.ApplicationErrorCode = 4
	// CloseShutdown: the node stops.
	CloseShutdown quic.ApplicationErrorCode = 5
)

// maxReason bounds the words of a close, in bytes: they must fit in one packet.
const maxReason = 200

// closeReason cuts s to what fits.
func closeReason(s string) string {
	if len(s) > maxReason {
		return s[:maxReason]
	}
	return s
}

// refusalOf turns a handler's error into what may cross the wire. Only a
// *Refusal does as it is; anything else could show our insides.
func refusalOf(err error) *Refusal {
	var r *Refusal
	switch {
	case errors.As(err, &r):
		if r.Code == "" {
			panic(fmt.Sprintf("transport: a refusal without a code: %q", r.Sentence))
		}
		return r
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &Refusal{Code: CodeTimeout, Sentence: "the time of the request ran out", Retryable: true}
	default:
		return &Refusal{Code: CodeInternal, Sentence: "the node failed to answer; its log has the cause"}
	}
}

// ended says why a connection ended: a close by the other end with a name
// becomes the refusal of that name, all else wraps [ErrClosed].
func ended(err error) error {
	var closed *quic.ApplicationError
	if !errors.As(err, &closed) || !closed.Remote {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	switch closed.ErrorCode {
	case AdmissionRefused:
		return &Refusal{Code: CodeUnauthenticated, Sentence: closed.ErrorMessage}
	case CloseOverloaded:
		return &Refusal{Code: CodeOverloaded, Sentence: closed.ErrorMessage, Retryable: true}
	case CloseMalformed:
		return &Refusal{Code: CodeMalformed, Sentence: closed.ErrorMessage}
	case CloseTooLarge:
		return &Refusal{Code: CodeTooLarge, Sentence: closed.ErrorMessage}
	default:
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
}
