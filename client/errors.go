package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/quic-go/quic-go"

	"warifu.dev/api"
	"warifu.dev/transport"
)

var (
	// ErrQuorum: fewer than t holders gave a partial that could be used.
	ErrQuorum = errors.New("quorum unavailable")
	// ErrDenied: a node refused by policy. Unknown keys and revoked callers look the same.
	ErrDenied = errors.New("denied")
	// ErrGrant: the policy demands a grant, and none that fits, or that has a use left,
	// was named.
	ErrGrant = errors.New("a grant is needed")
	// ErrRate: a node has let the caller use the key as often as the policy says, for
	// now.
	ErrRate = errors.New("over the rate")
	// ErrUnauthenticated: a node does not know the certificate this client shows.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrUnknownKey: no key of this name or id is known to the nodes asked.
	ErrUnknownKey = errors.New("unknown key")
	// ErrEnvelope: the envelope was altered, is not for this context, key or
	// cluster, or nobody can open it. Asking again does not help.
	ErrEnvelope = errors.New("the envelope is not usable")
	// ErrRefusedEntry: the ledger did not take the entry, and never will.
	ErrRefusedEntry = errors.New("the entry is refused")
	// ErrUnknownOutcome: the entry may or may not have been taken. Submit it again:
	// an entry that is there already is not taken twice.
	ErrUnknownOutcome = errors.New("the outcome is unknown")
	// ErrParted: nodes show changes of the custodians or the roster that exclude each
	// other, and too few of them to tell which is in force. Those who were replaced may
	// have signed one; ask again when more nodes answer.
	ErrParted = errors.New("nodes show changes of custodians that exclude each other")
	// ErrUnknownNode: genesis names no such node.
	ErrUnknownNode = errors.New("no such node")
	// ErrAnswer: a node answered what no honest node answers.
	ErrAnswer = errors.New("the node's answer is not usable")
	// ErrConfig: [Config] is not complete.
	ErrConfig = errors.New("the client's configuration is not usable")
	// ErrClosed: the client has been closed.
	ErrClosed = errors.New("the client is closed")
)

// NodeReason is why one node did not help.
type NodeReason struct {
	Node     string   `json:"node"`
	Code     api.Code `json:"code"`
	Sentence string   `json:"sentence"`

	cause error // of our own making, for errors.Is; may be nil
}

func (r NodeReason) String() string { return r.Node + ": " + r.said() }

// said is the reason without the node. Why a node could not be reached this
// client says itself, in brackets.
func (r NodeReason) said() string {
	if r.Code == api.CodeUnreachable {
		return fmt.Sprintf("%s (%s)", r.Code, r.Sentence)
	}
	return fmt.Sprintf("%s: %s", r.Code, r.Sentence)
}

// FoldReasons says what each node said, and once what several said alike: "all 5
// nodes: denied: ...", "2 nodes (a, b): ...". nodes is how many nodes there are
// to ask; 0: not known.
func FoldReasons(reasons []NodeReason, nodes int) []string {
	var order []string
	by := map[string][]string{}
	for _, r := range reasons {
		said := r.said()
		if by[said] == nil {
			order = append(order, said)
		}
		if !slices.Contains(by[said], r.Node) {
			by[said] = append(by[said], r.Node)
		}
	}
	lines := make([]string, 0, len(order))
	for _, said := range order {
		who := by[said]
		switch n := len(who); n {
		case 1:
			lines = append(lines, who[0]+": "+said)
		case nodes:
			lines = append(lines, fmt.Sprintf("all %d nodes: %s", n, said))
		default:
			lines = append(lines, fmt.Sprintf("%d nodes (%s): %s", n, strings.Join(who, ", "), said))
		}
	}
	return lines
}

// NodesError says that no node asked could do what was asked for.
type NodesError struct {
	Doing   string       `json:"doing"`           // "fetch the record of the key payroll"
	Nodes   int          `json:"nodes,omitempty"` // how many there are to ask; 0: not known
	Reasons []NodeReason `json:"reasons"`
}

// Error lists each reason on a line of its own, as [FoldReasons] says them.
func (e *NodesError) Error() string {
	return e.Doing + ": no node could" + reasonLines(e.Reasons, e.Nodes)
}

// Is maps the nodes' codes to the errors of this package.
func (e *NodesError) Is(target error) bool { return reasonsAre(e.Reasons, target) }

// Unwrap returns what this client itself found wrong with answers.
func (e *NodesError) Unwrap() []error { return causes(e.Reasons) }

// QuorumError says why an envelope could not be opened now.
type QuorumError struct {
	Need    int           `json:"need"`
	Got     int           `json:"got"`
	Key     api.KeyID     `json:"key"`
	Request api.RequestID `json:"request"`         // as it stands in the nodes' audit
	Nodes   int           `json:"nodes,omitempty"` // how many hold the key; 0: not known
	Reasons []NodeReason  `json:"reasons"`
}

// Error lists each reason on a line of its own, as [FoldReasons] says them.
func (e *QuorumError) Error() string {
	return fmt.Sprintf("%s: %d of %d partials for key %s (request %s)", ErrQuorum, e.Got, e.Need, e.Key, e.Request) + reasonLines(e.Reasons, e.Nodes)
}

// Is reports true for [ErrQuorum], and for [ErrDenied], [ErrGrant], [ErrRate],
// [ErrKeyState] or [ErrUnauthenticated] if at least one node gave that as its reason.
func (e *QuorumError) Is(target error) bool {
	return target == ErrQuorum || reasonsAre(e.Reasons, target)
}

// Unwrap returns what this client itself found wrong with answers.
func (e *QuorumError) Unwrap() []error { return causes(e.Reasons) }

// Denied reports whether at least one node refused by policy.
func (e *QuorumError) Denied() bool { return reasonsAre(e.Reasons, ErrDenied) }

func reasonLines(reasons []NodeReason, nodes int) string {
	var b strings.Builder
	for _, line := range FoldReasons(reasons, nodes) {
		b.WriteString("\n  ")
		b.WriteString(line)
	}
	return b.String()
}

var errorOfCode = map[api.Code]error{
	api.CodeDenied:          ErrDenied,
	api.CodeGrant:           ErrGrant,
	api.CodeSlot:            ErrGrant,
	api.CodeRate:            ErrRate,
	api.CodeKeyState:        ErrKeyState,
	api.CodeUnauthenticated: ErrUnauthenticated,
	api.CodeUnknownKey:      ErrUnknownKey,
	api.CodeEnvelope:        ErrEnvelope,
	api.CodeRefusedEntry:    ErrRefusedEntry,
	api.CodeUnknownOutcome:  ErrUnknownOutcome,
}

func reasonsAre(reasons []NodeReason, target error) bool {
	for _, r := range reasons {
		if of := errorOfCode[r.Code]; of != nil && of == target {
			return true
		}
	}
	return false
}

func causes(reasons []NodeReason) []error {
	var list []error
	for _, r := range reasons {
		if r.cause != nil {
			list = append(list, r.cause)
		}
	}
	return list
}

// reasonOf turns the failure of one call into a reason.
func reasonOf(node string, err error) NodeReason {
	refused := refusalOf(err)
	return NodeReason{Node: node, Code: refused.Code, Sentence: refused.Sentence, cause: causeOf(err)}
}

// causeOf keeps an error only if this client found it, not the node.
func causeOf(err error) error {
	var refused *api.Error
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

// refusalOf maps every failure of a call to a code and a sentence.
func refusalOf(err error) *api.Error {
	var refused *api.Error
	var wired *transport.Refusal
	switch {
	case errors.As(err, &refused):
		return &api.Error{Code: refused.Code, Sentence: printable(refused.Sentence), Retryable: refused.Retryable}
	case errors.As(err, &wired):
		code := api.Code(wired.Code)
		switch wired.Code {
		case transport.CodeTimeout:
			code = api.CodeTimeout
		case transport.CodeTooLarge:
			code = api.CodeMalformed
		}
		return &api.Error{Code: api.Code(printable(string(code))), Sentence: printable(wired.Sentence), Retryable: wired.Retryable}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return api.Retry(api.CodeTimeout, "no answer in time")
	case errors.Is(err, ErrAnswer):
		return api.Refuse(api.CodeMalformed, "%s", printable(err.Error()))
	default:
		return api.Retry(api.CodeUnreachable, "%s", printable(err.Error()))
	}
}

// unreached is why no connection was made to an address, in few words: the
// packages below each add their own.
type unreached struct {
	addr string
	err  error
}

func (u *unreached) Unwrap() error { return u.err }

func (u *unreached) Error() string {
	var errno syscall.Errno
	var handshake *quic.HandshakeTimeoutError
	var idle *quic.IdleTimeoutError
	why := u.err.Error()
	switch {
	case errors.As(u.err, &errno):
		why = errno.Error()
	case errors.Is(u.err, transport.ErrPinned):
		why = transport.ErrPinned.Error()
	case errors.As(u.err, &handshake), errors.As(u.err, &idle):
		why = "nobody answers"
	}
	return u.addr + ": " + why
}

// maxSentence bounds what is repeated of a node's words, in bytes.
const maxSentence = 400

// printable keeps a node's words from writing to a terminal what they like.
func printable(s string) string {
	if len(s) > maxSentence {
		s = s[:maxSentence] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xfffd {
			return ' '
		}
		return r
	}, s)
}
