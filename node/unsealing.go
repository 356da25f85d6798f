package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing/unseal"
)

// unsealing is this node's seal while custodians open it.
type unsealing struct {
	mu      sync.Mutex
	opening *seal.Opening // nil when there is nothing for custodians to open; guarded by mu
}

// begin waits for custodians when the newest seal is one that they open.
func (u *unsealing) begin(n *Node) error {
	_, next, err := keyring.Generations(n.secrets.cfg)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.opening, err = seal.NewOpening(rand.Reader, unseal.Seal{Cluster: n.genesis.Cluster, Node: n.cfg.Node, Generation: next - 1})
	return err
}

// end forgets the attempt and its pieces.
func (u *unsealing) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.opening != nil {
		u.opening.Wipe()
		u.opening = nil
	}
}

// needed says who of the custodians has handed over its piece, and how many more
// it takes; 0 when the seal is open, or not theirs to open.
func (u *unsealing) needed(g *authority.VerifiedGenesis) (have []string, more uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.opening == nil {
		return nil, 0
	}
	for i, c := range g.Custodians {
		if u.opening.Has(i) {
			have = append(have, c.Name)
		}
	}
	return have, g.UnsealCount - min(g.UnsealCount, uint32(len(have)))
}

// unsealWords says what a sealed node waits for.
func (n *Node) unsealWords(have []string, more uint32) string {
	var missing []string
	for _, c := range n.genesis.Custodians {
		if !slices.Contains(have, c.Name) {
			missing = append(missing, c.Name)
		}
	}
	here := "no piece is here"
	if len(have) > 0 {
		here = "here: " + strings.Join(have, ", ")
	}
	return fmt.Sprintf("sealed: needs %d more of %s (%s)", more, strings.Join(missing, ", "), here)
}

// lookUnsealing ends an attempt whose time is over, or which a birth has overtaken: a
// node that could not open in time what it had sealed in it has sealed its share
// anew, and holds it.
func (n *Node) lookUnsealing(ctx context.Context) {
	n.unsealing.mu.Lock()
	defer n.unsealing.mu.Unlock()
	if n.unsealing.opening == nil {
		return
	}
	if state, _ := n.secrets.current(); state == seal.Unsealed {
		n.unsealing.opening.Wipe()
		n.unsealing.opening = nil
		return
	}
	ended, err := n.unsealing.opening.Look(n.now())
	if err != nil {
		n.log.Error("the seal cannot be offered to custodians", "error", err)
	}
	if ended {
		n.note(ctx, audit.Record{Kind: audit.Piece, Code: string(api.CodeTimeout), Why: "too few pieces in time: those that were here are wiped"})
	}
}

// sealTick is how often the seal is looked at when the ledger is quiet: what was
// handed to this node directly, or is stored and not committed, moves nothing there.
const sealTick = 200 * time.Millisecond

// runSeal does what custodians' seals and lifts say, and ends attempts at opening
// that are over. It waits for nothing that a ceremony waits for.
func (n *Node) runSeal(ctx context.Context) {
	tick := time.NewTicker(sealTick)
	defer tick.Stop()
	shut := false
	for {
		changed := n.consensus.Changed()
		shut = n.lookSeal(ctx, shut)
		n.lookUnsealing(ctx)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// lookSeal sees to it that nothing is open in this process while a seal of
// custodians is in force, pieces included. When the last is lifted, the node opens as
// after a start: by its token, or by custodians' pieces. shut is whether it was
// sealed at the last look, and what is returned whether it is now.
func (n *Node) lookSeal(ctx context.Context, shut bool) bool {
	if by, is := n.sealedBy(); is {
		n.unsealing.end()
		if n.secrets.wipe() {
			n.log.Warn("custodians have sealed this node", "seal", by)
			n.note(ctx, audit.Record{Kind: audit.Sealed, EntryID: by})
		}
		return true
	}
	if !shut {
		return false
	}
	locked, err := n.secrets.open()
	if err == nil && locked {
		err = n.unsealing.begin(n)
	}
	if err != nil {
		n.log.Error("the seal was lifted, and the keyring does not open: start the node again", "error", err)
	}
	return false
}

// place is a custodian's, in the order of genesis, or -1.
func (n *Node) place(custodian string) int {
	return slices.IndexFunc(n.genesis.Custodians, func(c authority.Custodian) bool { return c.Name == custodian })
}

// shutBySeal says nil, or that no piece opens this node now.
func (n *Node) shutBySeal() *api.Error {
	if by, is := n.sealedBy(); is {
		return api.Retry(api.CodeSealed, "custodians have sealed this node: it takes a lift of %s first", by)
	}
	return nil
}

// unsealOffer shows a custodian what there is to open here, and its own box.
func (n *Node) unsealOffer(custodian string) (*api.UnsealOffer, error) {
	place := n.place(custodian)
	if place < 0 {
		return nil, api.Refuse(api.CodeDenied, "only custodians open seals")
	}
	if e := n.shutBySeal(); e != nil {
		return nil, e
	}
	a := &api.UnsealOffer{Node: n.cfg.Node, State: n.servingState()}
	n.unsealing.mu.Lock()
	defer n.unsealing.mu.Unlock()
	o := n.unsealing.opening
	if o == nil {
		return a, nil
	}
	s := o.Seal()
	l := n.consensus.Committed().Lock(s.Node, s.Generation)
	if l == nil {
		return nil, api.Retry(api.CodeStale, "this node has not read the lock of its own seal yet, generation %d", s.Generation)
	}
	attempt, door := o.Door()
	signature, err := authority.SignDoor(rand.Reader, n.signer, unseal.Signed(s, attempt, door)...)
	if err != nil {
		return nil, err
	}
	a.Locked, a.Generation, a.Attempt, a.Door, a.Signature = true, s.Generation, attempt, door, signature
	a.Box, a.Need = l.Pieces[place].Box, l.Threshold
	for i, c := range n.genesis.Custodians {
		if o.Has(i) {
			a.Have = append(a.Have, c.Name)
		}
	}
	return a, nil
}

// takePiece takes a custodian's piece, or refuses it by name. With the last one that
// is needed the seal is open when it returns.
func (n *Node) takePiece(ctx context.Context, custodian, source string, q *api.UnsealPiece) (*api.UnsealOffer, error) {
	err := n.openWith(custodian, q)
	r := audit.Record{Kind: audit.Piece, Principal: custodian, Source: source, Epoch: q.Generation}
	var refused *api.Error
	if errors.As(err, &refused) {
		r.Code, r.Why = string(refused.Code), refused.Sentence
	}
	if err == nil || n.cap.Allow(custodian, n.now()) {
		n.note(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	return n.unsealOffer(custodian)
}

func (n *Node) openWith(custodian string, q *api.UnsealPiece) error {
	place := n.place(custodian)
	if e := n.shutBySeal(); e != nil && place >= 0 {
		return e
	}
	n.unsealing.mu.Lock()
	defer n.unsealing.mu.Unlock()
	o := n.unsealing.opening
	switch {
	case place < 0:
		return api.Refuse(api.CodeDenied, "only custodians open seals")
	case o == nil:
		return api.Refuse(api.CodePiece, "there is nothing to open here: the seal is open, or it takes no custodians")
	}
	s := o.Seal()
	l := n.consensus.Committed().Lock(s.Node, s.Generation)
	if l == nil {
		return api.Retry(api.CodeStale, "this node has not read the lock of its own seal yet, generation %d", s.Generation)
	}
	u, err := o.Take(n.now(), l, q.Generation, q.Attempt, place, q.Handed)
	switch {
	case errors.Is(err, seal.ErrAttempt):
		return api.Retry(api.CodePiece, "the piece is of another attempt or generation: look at the offer again")
	case errors.Is(err, seal.ErrTwice):
		return api.Refuse(api.CodePiece, "the piece of %s is here already", custodian)
	case errors.Is(err, unseal.ErrHanded):
		return api.Refuse(api.CodePiece, "what was handed over does not open: altered, or another custodian's")
	case errors.Is(err, unseal.ErrPiece):
		return api.Refuse(api.CodePiece, "the piece is not the one that the lock of generation %d commits to", s.Generation)
	case err != nil:
		return err
	case u.Len() == 0:
		return nil
	}
	defer u.Wipe()
	if err := failpoint.Step("node/open-seal", func() error { return n.secrets.unlock(u) }); err != nil {
		n.log.Error("the seal does not open with the custodians' pieces", "error", err)
		return api.Refuse(api.CodeSealed, "the custodians' pieces are right and the seal does not open; the node's log says why")
	}
	o.Wipe()
	n.unsealing.opening = nil
	return nil
}

// newLock makes the lock of the next seal and waits until it is committed.
func (n *Node) newLock(ctx context.Context) (secret.Bytes, error) {
	live, next, err := keyring.Generations(n.secrets.cfg)
	if err != nil {
		return secret.Bytes{}, err
	}
	var recipients []string
	for _, c := range n.genesis.Custodians {
		recipients = append(recipients, c.Open)
	}
	s := unseal.Seal{Cluster: n.genesis.Cluster, Node: n.cfg.Node, Generation: next}
	u, l, err := unseal.Split(rand.Reader, s, recipients, int(n.genesis.UnsealCount))
	if err != nil {
		return secret.Bytes{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, submitTimeout)
	defer cancel()
	if err := failpoint.Step("node/post-lock", func() error {
		return n.say(ctx, authority.KindLock, authority.Lock{Generation: next, Live: live, Lock: wire.Encode(l)})
	}); err != nil {
		u.Wipe()
		return secret.Bytes{}, fmt.Errorf("post the lock of generation %d: %w", next, err)
	}
	return u, nil
}
