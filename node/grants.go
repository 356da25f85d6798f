package node

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/node/gate"
)

// maxGrantsBytes bounds the grants of one answer, which is at most one frame.
const maxGrantsBytes = 900 << 10

// submitGrant puts a grant into the ledger in this node's name, if the approvers of
// the policy in force have signed it: what others hand over must not use up what this
// node may put. The ledger itself knows no approvers, and every holder asks again.
func (n *Node) submitGrant(ctx context.Context, e *authority.Entry, raw []byte, of *rate) (*api.SubmitAnswer, error) {
	if _, err := authority.ParseGrant(e); err != nil {
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", err)
	}
	if err := authority.CheckApprovals(e); err != nil {
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", err)
	}
	if stale := n.freshEnough(); stale != nil {
		return nil, stale // it may not have read the policy that names the approvers
	}
	s, tail := n.states()
	approved := func(e *authority.Entry) bool {
		for _, state := range []*ledger.State{s, tail} {
			if p, err := n.policies.of(state); err != nil || len(gate.ApprovedBy(e, p)) == 0 {
				return false
			}
		}
		return true
	}
	if !approved(e) {
		return nil, api.Refuse(api.CodeRefusedEntry, "the grant is signed by fewer than any approval of the policy in force asks for")
	}
	id := e.ID()
	for _, put := range s.GrantsNamed(id) {
		if before, err := authority.ParseEntry(put.Entry); err == nil && approved(before) {
			return &api.SubmitAnswer{ID: id, Index: put.Index}, nil
		}
	}
	p, err := n.policies.of(s)
	if err != nil {
		return nil, err // it was there above
	}
	if name, part := n.putting.begin(e, n.putHere(s), p.Approvers(), n.now()); name != "" {
		return nil, api.Retry(api.CodeOverloaded, "%s has approved as many grants as one approver may at this node: %d that have not expired", name, part)
	}
	statement, err := authority.SignStatement(rand.Reader, n.signer, n.genesis.Cluster, n.cfg.Node, authority.KindGrant, authority.GrantPost{Entry: raw})
	if err != nil {
		return nil, err
	}
	if _, foreseen := s.Apply(s.Position().Index+1, statement.Encode()); errors.Is(foreseen.Err, ledger.ErrManyGrants) {
		return nil, api.Retry(api.CodeOverloaded, "this node has put as many grants as it may at once")
	}
	a, err := n.submit(ctx, statement.Encode(), of)
	if err != nil {
		return nil, err
	}
	a.ID = id
	return a, nil
}

// grants lists grants as this node has them committed: one, or all that have not
// expired. An application is shown its own; another's looks as if it were not there.
func (n *Node) grants(s *session, who class, q *api.GrantsRequest) (*api.GrantsAnswer, error) {
	state := n.consensus.Committed()
	list := state.Grants()
	if !q.ID.IsZero() {
		list = state.GrantsNamed(q.ID)
	}
	slices.SortFunc(list, func(a, b *ledger.Granted) int { return cmp.Compare(b.Index, a.Index) })
	answer := &api.GrantsAnswer{}
	size := 0
	for _, put := range list {
		e, err := authority.ParseEntry(put.Entry)
		if err != nil {
			return nil, fmt.Errorf("a grant of the ledger: %w", err)
		}
		g, err := authority.ParseGrant(e)
		if err != nil {
			return nil, fmt.Errorf("a grant of the ledger: %w", err)
		}
		if who == classApplication && g.Principal != s.principal {
			continue
		}
		if size += len(put.Entry) + 64; size > maxGrantsBytes {
			answer.More++
			continue
		}
		answer.Grants = append(answer.Grants, api.GrantState{ID: put.ID, Entry: put.Entry, Index: put.Index, Used: uint32(n.slots.Used(put.ID))})
	}
	return answer, nil
}

// grantIn is the id of the grant that a node's statement carries.
func grantIn(entry []byte) api.Digest {
	var st authority.Statement
	var post authority.GrantPost
	e, err := authority.ParseEntry(entry)
	if err == nil {
		err = wire.Decode(e.Body, &st)
	}
	if err == nil {
		err = wire.Decode(st.Body, &post)
	}
	if err == nil {
		e, err = authority.ParseEntry(post.Entry)
	}
	if err != nil {
		return api.Digest{} // the ledger took it: it cannot be
	}
	return e.ID()
}
