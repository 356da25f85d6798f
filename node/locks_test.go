package node

import (
	"context"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
)

func recipient(t *testing.T) string {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id.Recipient().String()
}

// lockedNode is n1 of a cluster in which two of three custodians open the seals; its root
// share is not born yet.
func lockedNode(t *testing.T) (*Node, *fakeReplica) {
	t.Helper()
	n, r := nodeOf(trial.NewOf(t, 2, 3, func(g *authority.Genesis) {
		g.Unseal, g.UnsealCount = authority.UnsealCustodians, 2
		for i := range g.Custodians {
			g.Custodians[i].Open = recipient(t)
		}
	}))
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(t.TempDir(), "hsm"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	n.secrets = newSecrets(keyring.Config{Dir: t.TempDir(), Cluster: r.Genesis.Cluster, Node: "n1", Device: dev, Rand: rand.Reader})
	n.secrets.lock = locking(t, n)
	return n, r
}

// locking makes locks for no longer than a moment.
func locking(t *testing.T, n *Node) keyring.Locking {
	return func() (keyring.Lock, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return n.newLock(ctx)
	}
}

// submits does something else with an entry than to append it.
type submits struct {
	*fakeReplica
	do func(entry []byte) (ledger.Result, error)
}

func (s submits) Submit(_ context.Context, entry []byte) (ledger.Result, error) { return s.do(entry) }

// A seal whose lock is lost opens never again: none is written before this node has read
// the lock in the ledger itself, whatever the leader says of it.
func TestNoSealIsWrittenBeforeItsLockIsCommitted(t *testing.T) {
	n, r := lockedNode(t)
	n.consensus = submits{r, func([]byte) (ledger.Result, error) { return ledger.Result{}, nil }}
	born := r.BearRoot()
	ses := r.State().Session(born.Key.Session)
	if err := n.secrets.confirm(t.Context(), r.State(), ses, 1, born.Shares[:1]); !errors.Is(err, errLock) {
		t.Fatalf("a leader says that the lock is committed, and it is not: %v", err)
	}
	if newest, err := keyring.Newest(n.secrets.cfg); newest != 0 || err != nil {
		t.Fatalf("the seal is written: generation %d, %v", newest, err)
	}
	n.consensus = r
	if err := n.secrets.confirm(t.Context(), r.State(), ses, 1, born.Shares[:1]); err != nil {
		t.Fatal(err)
	}
	// The lock that was lost may still come: the seal is of another generation.
	if newest, err := keyring.Newest(n.secrets.cfg); newest != 2 || err != nil || r.State().Lock("n1", 2) == nil || len(r.State().Locks("n1")) != 1 {
		t.Errorf("generation %d, %v, locks %+v", newest, err, r.State().Locks("n1"))
	}
}

// An entry may be sent more than once, and be taken the first time.
func TestALockThatWasTakenBeforeItWasSentAgain(t *testing.T) {
	n, r := lockedNode(t)
	n.consensus = submits{r, func(entry []byte) (ledger.Result, error) {
		r.Apply(entry)
		return r.Apply(entry), nil
	}}
	l, err := n.secrets.lock()
	if err != nil || l.Generation != 1 || l.Unseal.Len() != 32 {
		t.Fatalf("generation %d, %v", l.Generation, err)
	}
}

// When the custodians are replaced, a node that is open locks its root share for those in
// force, and says so when nothing older is left; one that is sealed does nothing.
func TestANodeLocksItselfAnewForOtherCustodians(t *testing.T) {
	n, r := lockedNode(t)
	born := r.BearRoot()
	keep(t, r.Cluster, n.secrets, born.Key.Session, born.Shares[0])
	look := func() {
		t.Helper()
		if err := n.lookLock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	generation := func(want uint64, locks int) {
		t.Helper()
		newest, err := keyring.Newest(n.secrets.cfg)
		if err != nil || newest != want || len(r.State().Locks("n1")) != locks || r.State().Lock("n1", want) == nil {
			t.Fatalf("generation %d, %v, locks %+v", newest, err, r.State().Locks("n1"))
		}
	}
	replace := func(base api.Digest, alter func(*authority.Custody)) api.Digest {
		t.Helper()
		now := r.State().Custody()
		by := authority.Custody{Custodians: append([]authority.Custodian(nil), now.Custodians...), Required: now.Required, UnsealCount: now.UnsealCount}
		alter(&by)
		e := r.Change(authority.KindCustodians, wire.Encode(by), base)
		if res := r.Apply(e); res.Err != nil {
			t.Fatal(res.Err)
		}
		return r.State().CustodyChange()
	}
	first := replace(api.Digest{}, func(by *authority.Custody) { by.Custodians[2].Open = recipient(t) })
	look() // before the first look at the ledger the root share is not proven
	generation(1, 1)
	if state, _ := n.secrets.look(r.State(), "n1"); state != seal.Unsealed {
		t.Fatal(state)
	}
	look()
	generation(2, 1)
	if l := r.State().Lock("n1", 2); l.Custody != 1 || len(r.State().FormerLocks()) != 0 {
		t.Errorf("%+v, %+v", l, r.State().FormerLocks())
	}
	look()
	generation(2, 1) // once

	second := replace(first, func(by *authority.Custody) { by.UnsealCount = 3 })
	look()
	generation(3, 1)
	if l := r.State().Lock("n1", 3); l.Lock.Threshold != 3 {
		t.Errorf("any %d open it", l.Lock.Threshold)
	}
	// Other counts alone change nothing of who opens it.
	third := replace(second, func(by *authority.Custody) {
		by.Required = append([]authority.RequiredCount(nil), by.Required...)
		by.Required[len(by.Required)-1].Count = 1
	})
	look()
	generation(3, 1)

	// The statement that the old seal is destroyed is lost: it is made again.
	replace(third, func(by *authority.Custody) { by.UnsealCount = 2 })
	lost := false
	n.consensus = submits{r, func(entry []byte) (ledger.Result, error) {
		e, err := authority.ParseEntry(entry)
		if err != nil {
			return ledger.Result{}, err
		}
		st, err := authority.VerifyStatement(&r.Genesis.Genesis, e)
		if err != nil {
			return ledger.Result{}, err
		}
		var l authority.Lock
		if err := wire.Decode(st.Body, &l); err != nil || len(l.Lock) > 0 {
			return r.Apply(entry), err
		}
		lost = true
		return ledger.Result{}, errors.New("lost")
	}}
	if err := n.lookLock(t.Context()); err == nil || !lost {
		t.Fatalf("it is not said that the old seal is destroyed: %v", err)
	}
	generation(4, 2)
	if former := r.State().FormerLocks(); len(former) != 1 || former[0].Custody != 2 {
		t.Errorf("still locked for former custodians: %+v", former)
	}
	n.consensus = r
	look()
	generation(4, 1)
}

// A node that was killed with its first seal written seals its share again when the
// birth goes on. Custodians open the one it was killed with meanwhile: that one is used,
// and what is put into it is there after a restart.
func TestASealThatIsOpenedWhileAnotherIsMade(t *testing.T) {
	n, r := lockedNode(t)
	born := r.BearRoot()
	ses := r.State().Session(born.Key.Session)
	var u secret.Bytes
	n.secrets.lock = func() (keyring.Lock, error) {
		made, err := n.newLock(t.Context())
		u = secret.Clone(made.Unseal.Reveal())
		return made, err
	}
	if err := n.secrets.confirm(t.Context(), r.State(), ses, 1, born.Shares[:1]); err != nil {
		t.Fatal(err)
	}
	cfg := n.secrets.cfg
	n.secrets = newSecrets(cfg) // killed, and started
	if locked, err := n.secrets.open(); !locked || err != nil {
		t.Fatal(locked, err)
	}
	first := secret.Clone(u.Reveal())
	n.secrets.lock = func() (keyring.Lock, error) {
		made, err := n.newLock(t.Context())
		if err := n.secrets.unlock(first); err != nil { // the last piece comes while the lock is posted
			t.Error(err)
		}
		return made, err
	}
	if err := n.secrets.confirm(t.Context(), r.State(), ses, 1, born.Shares[:1]); err != nil {
		t.Fatal(err)
	}
	if state, _ := n.secrets.look(r.State(), "n1"); state != seal.Unsealed {
		t.Fatal(state)
	}
	named := r.BearKey("demo")
	keep(t, r.Cluster, n.secrets, named.Key.Session, named.Shares[0])
	cfg.Unseal = first
	again, err := keyring.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Share(named.Key.ID, 1, 1); !ok || again.Generation() != 1 {
		t.Errorf("generation %d, the share is there: %v", again.Generation(), ok)
	}
}
