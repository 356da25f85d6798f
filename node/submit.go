package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
)

// submitTimeout bounds one submission, elections included.
const submitTimeout = 15 * time.Second

// submit hands an entry to the leader, wherever it is, and says what became of
// it. What a client handed in and will never be taken is not handed on; it counts in of.
// The node's own, for which of is nil, does not, and only the leader looks at it before.
func (n *Node) submit(ctx context.Context, entry []byte, of *rate) (*api.SubmitAnswer, error) {
	if e := n.stopped(); e != nil {
		return nil, e
	}
	if of != nil {
		if a, err := foresee(n.consensus.Committed(), n.consensus.Tail().State, entry, false); a != nil || err != nil {
			return a, err
		}
	}
	if of != nil && !of.allow(n.now(), unitsOf(len(entry)), clientUnitsPerSecond) {
		return nil, api.Retry(api.CodeOverloaded, "this node takes at most %d units of changes a second", clientUnitsPerSecond)
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	for {
		var a *api.SubmitAnswer
		err := failpoint.Step("node/submit", func() (err error) { a, err = n.submitOnce(ctx, entry); return err })
		if !errors.Is(err, errNoLeader) {
			return a, err
		}
		select {
		case <-ctx.Done():
			return nil, api.Retry(api.CodeUnknownOutcome, "no leader took the entry in time")
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// forEver are the reasons for which an entry is refused by every state.
var forEver = []error{
	authority.ErrEntry, authority.ErrSignature, authority.ErrTooFewSignatures, authority.ErrPublicKey,
	authority.ErrChange, authority.ErrOrder, authority.ErrStatement, authority.ErrProposal, authority.ErrImport,
}

// foresee answers for entries that are in the ledger already, and refuses those
// that neither the committed state nor the tail would take. A node that does not
// lead may be behind, and not know of new custodians yet: it refuses only what no
// state ever takes.
func foresee(committed, tail *ledger.State, entry []byte, leads bool) (*api.SubmitAnswer, error) {
	next := committed.Position().Index + 1
	_, result := committed.Apply(next, entry)
	if errors.Is(result.Err, ledger.ErrTaken) {
		return answerOf(result)
	}
	never := slices.ContainsFunc(forEver, func(e error) bool { return errors.Is(result.Err, e) }) && !errors.Is(result.Err, authority.ErrNotCustodian)
	never = never && !errors.Is(result.Err, ledger.ErrNoNode) // nor of another roster
	if result.Err == nil || !leads && !never {
		return nil, nil
	}
	if _, again := tail.Apply(tail.Position().Index+1, entry); again.Err == nil || errors.Is(again.Err, ledger.ErrTaken) {
		return nil, nil
	}
	return answerOf(result)
}

var errNoLeader = errors.New("no leader is known")

func (n *Node) submitOnce(ctx context.Context, entry []byte) (*api.SubmitAnswer, error) {
	leader := n.consensus.Leader()
	switch leader {
	case "":
		return nil, errNoLeader
	case n.cfg.Node:
		return n.submitHere(ctx, entry)
	}
	b, err := n.peers.Call(ctx, leader, api.MethodPeerSubmit, wire.Encode(api.SubmitRequest{Entry: entry}))
	var refusal *transport.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == string(api.CodeOverloaded):
		return nil, errNoLeader
	case errors.As(err, &refusal):
		return nil, &api.Error{Code: api.Code(refusal.Code), Sentence: refusal.Sentence, Retryable: refusal.Retryable}
	case errors.Is(err, transport.ErrUnreachable):
		return nil, errNoLeader
	case err != nil:
		return nil, api.Retry(api.CodeUnknownOutcome, "the leader did not answer")
	}
	var a api.SubmitAnswer
	if err := wire.Decode(b, &a); err != nil {
		return nil, fmt.Errorf("answer of the leader %s: %w", leader, err)
	}
	return &a, nil
}

// submitHere appends the entry as the leader, unless it would be a no-op.
func (n *Node) submitHere(ctx context.Context, entry []byte) (*api.SubmitAnswer, error) {
	if n.consensus.Leader() == n.cfg.Node {
		if a, err := foresee(n.consensus.Committed(), n.consensus.Tail().State, entry, true); a != nil || err != nil {
			return a, err
		}
	}
	result, err := n.consensus.Submit(ctx, entry)
	switch {
	case errors.Is(err, consensus.ErrNotLeader):
		return nil, errNoLeader
	case err != nil:
		return nil, api.Retry(api.CodeUnknownOutcome, "the entry may or may not have been committed")
	}
	return answerOf(result)
}

func answerOf(r ledger.Result) (*api.SubmitAnswer, error) {
	switch {
	case r.Err == nil:
		return &api.SubmitAnswer{ID: r.ID, Index: r.Index, Taken: true}, nil
	case errors.Is(r.Err, ledger.ErrTaken):
		return &api.SubmitAnswer{ID: r.ID, Index: r.Index}, nil
	default:
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", r.Err)
	}
}

// say signs body as this node's statement and submits it.
func (n *Node) say(ctx context.Context, kind string, body any) error {
	e, err := authority.SignStatement(rand.Reader, n.signer, n.genesis.Cluster, n.cfg.Node, kind, body)
	if err != nil {
		return err
	}
	_, err = n.submit(ctx, e.Encode(), nil)
	return err
}
