package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/secret"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// secrets is what this node has opened, and what it may do with it. Requests
// read it at any moment, so nothing slow is done under its lock: the device and
// the disk are asked first, then the result is put in place.
type secrets struct {
	cfg keyring.Config

	// lock makes the lock of a seal to be written; nil where the token alone opens a seal.
	lock keyring.Locking

	// sealing has room for one who opens a seal or writes a first one: whoever opens
	// one destroys what is beside it.
	sealing chan struct{}

	mu     sync.RWMutex
	opened *keyring.Keyring // by custodians, for the ceremonies' goroutine to take; guarded by mu
	onDisk bool             // there is a seal that custodians open; guarded by mu
	ring   *keyring.Keyring // nil while none is open; written by the ceremonies' goroutine; guarded by mu
	state  seal.State       // written by the ceremonies' goroutine; guarded by mu
}

// newSecrets is a node's, with nothing open.
func newSecrets(cfg keyring.Config) *secrets {
	return &secrets{cfg: cfg, sealing: make(chan struct{}, 1)}
}

// Errors of making a share durable.
var (
	errNotUnsealed = errors.New("this node is not unsealed")
	errBornAlready = errors.New("this node is unsealed: its root share is not replaced by a birth")
)

// open opens the keyring that is on disk, if there is one and custodians are not
// needed for it. It reports whether they are.
func (s *secrets) open() (locked bool, err error) {
	s.sealing <- struct{}{}
	ring, err := keyring.Open(s.cfg)
	<-s.sealing
	switch {
	case errors.Is(err, keyring.ErrLocked):
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state, s.onDisk = seal.Sealed, true
		return true, nil
	case err != nil && !errors.Is(err, keyring.ErrNone):
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring, s.state, s.onDisk = ring, seal.Sealed, false
	return false, nil
}

// unlock opens the keyring with the custodians' secret. The ceremonies' goroutine
// takes it from there.
func (s *secrets) unlock(u secret.Bytes) error {
	cfg := s.cfg
	cfg.Unseal = u
	s.sealing <- struct{}{}
	defer func() { <-s.sealing }()
	ring, err := keyring.Open(cfg)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened, s.onDisk = ring, false
	return nil
}

// wipe takes out of use what is open, overwrites it, and reports whether anything
// was. What is on disk stays as sealed as it was.
func (s *secrets) wipe() bool {
	s.mu.Lock()
	rings := slices.DeleteFunc([]*keyring.Keyring{s.opened, s.ring}, func(k *keyring.Keyring) bool { return k == nil })
	s.opened, s.ring = nil, nil
	if len(rings) > 0 {
		s.onDisk, s.state = true, seal.Sealed
	}
	s.mu.Unlock()
	for _, ring := range rings { // not under the lock: a write of it may be under way
		ring.Wipe()
	}
	return len(rings) > 0
}

// put puts a keyring of a new birth in the place of what is open of those that failed.
// Nothing was given out of them.
func (s *secrets) put(ring *keyring.Keyring, state seal.State) {
	s.mu.Lock()
	old := []*keyring.Keyring{s.opened, s.ring}
	s.opened, s.ring, s.state = nil, ring, state
	s.mu.Unlock()
	for _, k := range old {
		if k != nil {
			k.Wipe()
		}
	}
}

func (s *secrets) current() (seal.State, *keyring.Keyring) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state, s.ring
}

// look decides the state anew from the ledger, and reports whether it changed. It
// uses the root share under the lock: whoever wipes it takes it away under that.
func (s *secrets) look(state *ledger.State, node string) (seal.State, bool) {
	var key, older *seal.RootKey
	if k := state.RootKey(); k != nil {
		key = rootOf(&k.Epoch, node)
		if o := state.Older(k.ID, k.Version); o != nil {
			older = rootOf(&o.Epoch, node)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		s.ring, s.opened = s.opened, nil
	}
	last := s.state
	if s.ring == nil {
		s.state = seal.Decide(key, nil, s.onDisk)
		return s.state, s.state != last
	}
	s.ring.UseRoot(func(r keyring.Root) {
		if older != nil && older.Session == r.Session { // the root key has two epochs now
			key = older
		}
		s.state = seal.Decide(key, &seal.RootShare{Session: r.Session, Index: r.Index, Share: r.Share}, s.onDisk)
	})
	return s.state, s.state != last
}

func rootOf(e *ledger.Epoch, node string) *seal.RootKey {
	return &seal.RootKey{Session: e.Session, Index: e.IndexOf(node), YI: e.Record.YI}
}

// confirm makes this node's shares of a session durable: the root share as a new
// generation, any other in the keyring.
func (s *secrets) confirm(ctx context.Context, now *ledger.State, ses *ledger.Session, index sharing.Index, shares []*group.Scalar) error {
	state, ring := s.current()
	if len(ses.Keys) > 0 {
		return s.confirmRenewal(ctx, now, ses, index, shares)
	}
	pool := now.PoolOf(ses.Order) != nil
	root := !pool && now.OrderByHash(ses.Order).Order.Purpose == authority.PurposeRoot
	switch {
	case root && ring != nil && ring.Root().Session == ses.ID:
		return nil
	case root && state == seal.Unsealed:
		return errBornAlready
	case !root && (ring == nil || state != seal.Unsealed):
		return errNotUnsealed
	}
	if pool {
		return s.confirmPool(ctx, now, ses, index, shares)
	}
	if !root {
		return s.confirmBirth(ctx, now, ses, index, shares[0])
	}
	own := shares[0].Add(group.SmallScalar(0)) // the driver wipes its copy
	return s.sealRoot(keyring.Root{Session: ses.ID, Epoch: 1, Index: uint32(index), Share: own})
}

// sealRoot makes the first generation of a root share. It owns the share.
func (s *secrets) sealRoot(root keyring.Root) error {
	state, _ := s.current()
	cfg := s.cfg
	if s.lock != nil {
		var err error
		if cfg, err = cfg.Locked(s.lock); err != nil {
			root.Share.Wipe()
			return fmt.Errorf("lock the root share: %w", err)
		}
		defer cfg.Unseal.Wipe()
	}
	s.sealing <- struct{}{}
	defer func() { <-s.sealing }()
	if s.hasOpened(root.Session) { // by custodians, while the lock was made: it is this very share
		root.Share.Wipe()
		return nil
	}
	next, err := keyring.Create(cfg, root)
	if err != nil {
		root.Share.Wipe()
		return fmt.Errorf("seal the root share: %w", err)
	}
	s.put(next, state)
	return nil
}

// hasOpened says whether custodians have opened the root share of a session.
func (s *secrets) hasOpened(session api.Digest) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.opened != nil && s.opened.Root().Session == session
}

// sealedBy says whether custodians have sealed this node, or the cluster: in the
// committed state or in what is stored.
func (n *Node) sealedBy() (api.Digest, bool) {
	node := authority.Subject{Kind: authority.SubjectNode, Name: n.cfg.Node}
	committed, tail := n.states()
	for _, s := range []*ledger.State{committed, tail} {
		if by, is := s.Revoked(node, authority.Subject{Kind: authority.SubjectCluster}); is {
			return by, true
		}
	}
	return api.Digest{}, false
}

// unsealed says nil, or why nothing is released.
func (n *Node) unsealed() *api.Error {
	if _, is := n.sealedBy(); is {
		return api.Retry(api.CodeSealed, "custodians have sealed this node: a lift ends it")
	}
	switch state, _ := n.secrets.current(); state {
	case seal.Unsealed:
		return n.paidUp()
	case seal.Unborn:
		return api.Retry(api.CodeUnborn, "the cluster's root key is not born yet")
	case seal.Stranded:
		return api.Refuse(api.CodeSealed, "this node has no share of the root key's current epoch")
	default:
		return api.Retry(api.CodeSealed, "this node is sealed")
	}
}

// freshEnough says nil, or that the node may be behind, or has stopped serving.
func (n *Node) freshEnough() *api.Error {
	if e := n.stopped(); e != nil {
		return e
	}
	if n.fresh.left(n.boot(), n.consensus.AppliedIndex()) > 0 {
		return nil
	}
	return api.Retry(api.CodeStale, "this node has not heard from a majority in the last %v", maxStaleness)
}

func (n *Node) share(key api.KeyID, version uint32, epoch uint64) (s *keyring.Share, back func(), ok bool) {
	state, ring := n.secrets.current()
	if state != seal.Unsealed {
		return nil, nil, false
	}
	return ring.Borrow(key, version, epoch)
}

// What [Node.servingState] says of a node that releases, and of one that custodians
// have sealed.
const (
	serving            = "serving"
	sealedByCustodians = "sealed by custodians"
)

// servingState names what the node does, for status: "serving", or why it
// releases nothing.
func (n *Node) servingState() string {
	state, _ := n.secrets.current()
	_, sealed := n.sealedBy()
	switch {
	case n.consensus.Stopped() != nil:
		return stoppedState(n.consensus.Stopped())
	case sealed:
		return sealedByCustodians
	case state != seal.Unsealed:
		return string(state)
	case n.audit.State() != "ok":
		return n.audit.State()
	case n.freshEnough() != nil:
		return "stale"
	default:
		return serving
	}
}

// ceremonyTick is how often ceremonies are looked at when the ledger is quiet.
const ceremonyTick = time.Second

// runCeremonies follows the ledger: it unseals when the root key is there, and
// takes this node's part in every ceremony.
func (n *Node) runCeremonies(ctx context.Context) {
	tick := time.NewTicker(ceremonyTick)
	defer tick.Stop()
	noted := false
	note := func() {
		if err := n.consensus.Stopped(); err != nil && !noted {
			noted = true
			n.noteStopped(context.WithoutCancel(ctx), err)
		}
	}
	defer note() // it may have stopped since the last look
	for {
		note()
		changed := n.consensus.Changed()
		s := n.consensus.Committed()
		if state, moved := n.secrets.look(s, n.cfg.Node); moved {
			n.log.Info("seal", "state", state)
			if state == seal.Unsealed {
				_ = failpoint.Step("node/record-unseal", func() error {
					n.note(ctx, audit.Record{Kind: audit.Unseal, LedgerIndex: s.Position().Index})
					return nil
				})
			}
		}
		// What this node sees may be long past while it catches up: it takes part
		// in what is open now.
		if n.freshEnough() == nil {
			n.driver.Step(ctx, n.consensus.Committed()) // read after: s may be older than what is fresh
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
			n.noteCounts(ctx)
		}
	}
}

// note appends a record of the node's own doing.
func (n *Node) note(ctx context.Context, r audit.Record) {
	r.Time, r.Node = n.now().UnixMilli(), n.cfg.Node
	if _, err := n.audit.Append(ctx, r); err != nil && ctx.Err() == nil {
		n.log.Error("the audit does not take a record", "kind", r.Kind, "error", err)
	}
}

// noteCounts writes down how many strangers came, and what was over a cap.
func (n *Node) noteCounts(ctx context.Context) {
	if c := n.strangers.Swap(0); c > 0 {
		n.note(ctx, audit.Record{Kind: audit.Strangers, Count: c})
	}
	for principal, c := range n.cap.TakeOver() {
		n.note(ctx, audit.Record{Kind: audit.Capped, Principal: principal, Count: c})
	}
}
