package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/failpoint"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing/unseal"
)

// unsealing is this node's seal while custodians open it.
type unsealing struct {
	mu      sync.Mutex
	opening *seal.Opening // nil when there is nothing for custodians to open; guarded by mu

	shut atomic.Pointer[unseal.Seal] // what opening opens; written under mu
}

// over forgets the attempt and its pieces. mu is held.
func (u *unsealing) over() {
	u.opening.Wipe()
	u.opening = nil
	u.shut.Store(nil)
}

// begin waits for custodians when the newest seal is one that they open.
func (u *unsealing) begin(n *Node) error {
	newest, err := keyring.Newest(n.secrets.cfg)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s := unseal.Seal{Cluster: n.genesis.Cluster, Node: n.cfg.Node, Generation: newest}
	if u.opening, err = seal.NewOpening(rand.Reader, s); err != nil {
		return err
	}
	u.shut.Store(&s)
	return nil
}

// end forgets the attempt and its pieces.
func (u *unsealing) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.opening != nil {
		u.over()
	}
}

// sealLock is the lock of a seal on this node's disk, and the document as it read for the
// custodians whose pieces open it: those in force when it was written, who may have been
// replaced since. It is nil while this node has not read of it.
func (n *Node) sealLock(s unseal.Seal) (*unseal.Lock, *authority.Genesis) {
	state := n.consensus.Committed()
	l := state.Lock(s.Node, s.Generation)
	if l == nil {
		return nil, nil
	}
	return &l.Lock, state.CustodyAt(l.Custody)
}

// errNoLock says that this node has not read what opens its own seal.
func errNoLock(s unseal.Seal) error {
	return api.Retry(api.CodeStale, "this node has not read the lock of its own seal yet, generation %d", s.Generation)
}

// opensHere returns the custodian of this key whose piece opens what is sealed here now,
// or nil: one who was replaced is a custodian to a node that is still locked for it, as
// long as that is sealed, and for handing over its piece alone.
func (n *Node) opensHere(key authority.Fingerprint) *authority.Custodian {
	s := n.unsealing.shut.Load()
	if s == nil {
		return nil
	}
	if _, g := n.sealLock(*s); g != nil {
		return g.CustodianByKey(key)
	}
	return nil
}

// waits is what a sealed node says that it waits for; nothing when the seal is open, or
// not custodians' to open.
func (n *Node) waits() (words string, is bool) {
	n.unsealing.mu.Lock()
	defer n.unsealing.mu.Unlock()
	if n.unsealing.opening == nil {
		return "", false
	}
	l, g := n.sealLock(n.unsealing.opening.Seal())
	if l == nil {
		return "sealed: the lock of this seal is not read yet", true
	}
	var have, missing []string
	for i, c := range g.Custodians {
		if n.unsealing.opening.Has(i) {
			have = append(have, c.Name)
		} else {
			missing = append(missing, c.Name)
		}
	}
	here, former := "no piece is here", ""
	if len(have) > 0 {
		here = "here: " + strings.Join(have, ", ")
	}
	if !g.SameKeepers(n.consensus.Committed().Custody()) {
		former = "; they were replaced since this seal was locked, and theirs are the pieces that open it"
	}
	return fmt.Sprintf("sealed: needs %d more of %s (%s%s)", l.Threshold-min(l.Threshold, uint32(len(have))), strings.Join(missing, ", "), here, former), true
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
		n.unsealing.over()
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

// place is that of a custodian's piece in a lock, or -1.
func place(g *authority.Genesis, key authority.Fingerprint) int {
	return slices.IndexFunc(g.Custodians, func(c authority.Custodian) bool { return authority.FingerprintOf(c.Sign) == key })
}

// shutBySeal says nil, or that no piece opens this node now.
func (n *Node) shutBySeal() *api.Error {
	if by, is := n.sealedBy(); is {
		return api.Retry(api.CodeSealed, "custodians have sealed this node: it takes a lift of %s first", by)
	}
	return nil
}

// unsealOffer shows a custodian what there is to open here, and its own box.
func (n *Node) unsealOffer(key authority.Fingerprint) (*api.UnsealOffer, error) {
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
	l, g := n.sealLock(s)
	if l == nil {
		return nil, errNoLock(s)
	}
	attempt, door := o.Door()
	signature, err := authority.SignDoor(rand.Reader, n.signer, unseal.Signed(s, attempt, door)...)
	if err != nil {
		return nil, err
	}
	a.Locked, a.Generation, a.Attempt, a.Door, a.Signature = true, s.Generation, attempt, door, signature
	a.Need, a.Former = l.Threshold, !g.SameKeepers(n.consensus.Committed().Custody())
	a.Custodians = names(g.Custodians)
	if i := place(g, key); i >= 0 {
		a.Box, a.Place = l.Pieces[i].Box, uint32(i)+1
	}
	for i, c := range g.Custodians {
		if o.Has(i) {
			a.Have = append(a.Have, c.Name)
		}
	}
	return a, nil
}

// takePiece takes a custodian's piece, or refuses it by name. With the last one that
// is needed the seal is open when it returns.
func (n *Node) takePiece(ctx context.Context, key authority.Fingerprint, custodian, source string, q *api.UnsealPiece) (*api.UnsealOffer, error) {
	err := n.openWith(key, custodian, q)
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
	return n.unsealOffer(key)
}

func (n *Node) openWith(key authority.Fingerprint, custodian string, q *api.UnsealPiece) error {
	if e := n.shutBySeal(); e != nil {
		return e
	}
	n.unsealing.mu.Lock()
	defer n.unsealing.mu.Unlock()
	o := n.unsealing.opening
	if o == nil {
		return api.Refuse(api.CodePiece, "there is nothing to open here: the seal is open, or it takes no custodians")
	}
	s := o.Seal()
	l, g := n.sealLock(s)
	if l == nil {
		return errNoLock(s)
	}
	at := place(g, key)
	if at < 0 {
		return api.Refuse(api.CodePiece, "%s has no piece of this seal, which was locked for the custodians before: %s", custodian, strings.Join(names(g.Custodians), ", "))
	}
	u, err := o.Take(n.now(), l, q.Generation, q.Attempt, at, q.Handed)
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
	n.unsealing.over()
	return nil
}

func names(custodians []authority.Custodian) (out []string) {
	for _, c := range custodians {
		out = append(out, c.Name)
	}
	return out
}
