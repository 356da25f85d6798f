package node

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm/soft"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing/group"
)

// keeper is the secrets of n1 after the birth of the root key.
func keeper(t *testing.T, c *trial.Cluster) *secrets {
	t.Helper()
	born := c.BearRoot()
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(t.TempDir(), "hsm"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s := newSecrets(keyring.Config{Dir: t.TempDir(), Cluster: c.Genesis.Cluster, Node: "n1", Device: dev, Rand: rand.Reader})
	keep(t, c, s, born.Key.Session, born.Shares[0])
	if state, _ := s.look(c.State(), "n1"); state != seal.Unsealed {
		t.Fatal(state)
	}
	return s
}

func keep(t *testing.T, c *trial.Cluster, s *secrets, session api.Digest, share *group.Scalar) {
	t.Helper()
	ses := c.State().Session(session)
	if err := s.confirm(t.Context(), c.State(), ses, 1, []*group.Scalar{share}); err != nil {
		t.Fatal(err)
	}
}

// R9: the shares of births that came to nothing go with the next generation; those that
// live, run, or are not known yet stay.
func TestAnErasureTakesTheSharesOfAbandonedBirthsWithIt(t *testing.T) {
	c := trial.New(t, 2, 3)
	s := keeper(t, c)
	early := c.State() // which knows none of the named keys
	named := c.BearKey("demo")
	keep(t, c, s, named.Key.Session, named.Shares[0])
	runs := func(name string) api.Digest {
		if r := c.Apply(c.Order(name)); r.Err != nil {
			t.Fatal(r.Err)
		}
		o := c.State().OrderNamed(name)
		if err := c.Say("n1", authority.KindOpen, authority.Open{Order: o.Hash, Attempt: 1}); err != nil {
			t.Fatal(err)
		}
		live := c.State().OrderNamed(name).Live
		keep(t, c, s, live, group.SmallScalar(5))
		return live
	}
	lost, running := runs("lost"), runs("running")
	for _, n := range []string{"n1", "n2"} {
		if err := c.Say(n, authority.KindAbandon, authority.Abandon{Session: lost}); err != nil {
			t.Fatal(err)
		}
	}
	_, ring := s.current()
	has := func(session api.Digest) bool {
		_, ok := ring.Share(authority.KeyIDOf(session), 1, 1)
		return ok
	}
	erase := func(now *ledger.State, drop func(keyring.Held) bool) {
		t.Helper()
		live := ring.Generation()
		what, err := s.erase(t.Context(), now, drop)
		if err != nil || what.Generation != live || what.Serial == "" || what.Label == "" {
			t.Fatalf("%+v, %v", what, err)
		}
	}
	none := func(keyring.Held) bool { return false }
	erase(early, none)
	if !has(lost) || !has(running) || !has(named.Key.Session) {
		t.Error("a share is gone of which this state knows nothing")
	}
	erase(c.State(), none)
	if has(lost) {
		t.Error("the share of an abandoned birth stays")
	}
	if !has(running) || !has(named.Key.Session) {
		t.Error("a share that lives is gone")
	}

	// A day later the ledger has forgotten the runs that are over.
	long := runs("long-ago")
	for _, n := range []string{"n1", "n2"} {
		if err := c.Say(n, authority.KindAbandon, authority.Abandon{Session: long}); err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range []string{"n1", "n2"} {
		if err := c.Say(n, authority.KindAnchor, authority.Anchor{Counter: uint64(i) + 1, Time: trial.Created + 30*3600*1000}); err != nil {
			t.Fatal(err)
		}
	}
	if c.State().Session(long) != nil || c.State().Session(named.Key.Session) != nil {
		t.Fatal("the ledger forgets nothing, and this shows nothing")
	}
	erase(c.State(), none)
	if has(long) || !has(running) || !has(named.Key.Session) {
		t.Error("what the ledger has forgotten is not gone, or more than that")
	}
	erase(c.State(), func(h keyring.Held) bool { return h.Key == named.Key.ID && h.Version == 1 && h.Epoch == 1 })
	if has(named.Key.Session) || !has(running) {
		t.Error("another share than the named one is erased")
	}
	s.wipe()
	if _, err := s.erase(t.Context(), c.State(), none); !errors.Is(err, errNotUnsealed) {
		t.Errorf("a sealed node erases: %v", err)
	}
}

// A run may be over, and forgotten by the ledger, while its holder is away: the share that
// it left does not keep the holder from the next run for that epoch.
func TestAShareOfAForgottenAttemptMakesRoom(t *testing.T) {
	c := trial.New(t, 2, 3)
	s := keeper(t, c)
	named := c.BearKey("demo")
	keep(t, c, s, named.Key.Session, named.Shares[0])
	_, ring := s.current()
	put := func(session api.Digest) error {
		return s.putAll(t.Context(), c.State(), ring, func() []keyring.Share {
			return []keyring.Share{{Key: named.Key.ID, Version: 1, Epoch: 2, Session: session, Index: 1, Scalar: group.SmallScalar(7)}}
		})
	}
	for _, session := range []api.Digest{{1}, {2}, {2}} {
		if err := put(session); err != nil {
			t.Fatal(err)
		}
		if share, ok := ring.Share(named.Key.ID, 1, 2); !ok || share.Session != session {
			t.Errorf("the share of the epoch is of the run %s", share.Session)
		}
		if _, ok := ring.Share(named.Key.ID, 1, 1); !ok {
			t.Error("the share that is dealt again is gone")
		}
	}
}

// An old share is also what its holder dealt again: nothing is said to be erased before
// the ceremonies that were over are forgotten.
func TestAnErasureWaitsForCeremoniesToBeForgotten(t *testing.T) {
	var e erasures
	one := []authority.LiveEpoch{{Version: 1, Epoch: 1}}
	two := append(one, authority.LiveEpoch{Version: 1, Epoch: 2})
	for i, look := range []struct {
		wanted        []authority.LiveEpoch
		at, forgotten uint64
		ready         bool
	}{{nil, 10, 0, true}, {one, 11, 10, false}, {one, 15, 11, true}, {two, 16, 15, false}, {two, 20, 16, true}, {two, 21, 16, true}} {
		if got := e.ready(look.wanted, look.at, look.forgotten); got != look.ready {
			t.Errorf("look %d is ready: %v", i+1, got)
		}
	}
}

// A root share in use is not erased with what is in the keyring, whatever the ledger says
// of its epoch: no receipt names it.
func TestNoReceiptNamesARootShareInUse(t *testing.T) {
	c := trial.New(t, 2, 3)
	root := c.BearRoot().Key.ID
	wanted := func() []authority.LiveEpoch {
		return []authority.LiveEpoch{{Key: api.KeyID{}, Version: 1, Epoch: 5}, {Key: root, Version: 1, Epoch: 1}, {Key: root, Version: 1, Epoch: 2}}
	}
	for epoch, want := range map[uint64]int{1: 1, 2: 2, 3: 3} {
		if got := before(epoch, wanted(), c.State(), "n1"); len(got) != want {
			t.Errorf("with the root share of epoch %d, erased are %v", epoch, got)
		}
	}
}

// A receipt is of all epochs before the one that it names as well: none is signed while a
// share of any of them stays in the keyring.
func TestNoReceiptNamesWhatStaysInTheKeyring(t *testing.T) {
	s := keeper(t, trial.New(t, 2, 3))
	_, ring := s.current()
	key, other := api.KeyID{1}, api.KeyID{2}
	for _, epoch := range []uint64{2, 4} {
		if err := ring.Put(keyring.Share{Key: key, Version: 2, Epoch: epoch, Session: api.Digest{byte(epoch)}, Index: 1, Scalar: group.SmallScalar(7)}); err != nil {
			t.Fatal(err)
		}
	}
	of := func(id api.KeyID, version uint32, epoch uint64) authority.LiveEpoch {
		return authority.LiveEpoch{Key: id, Version: version, Epoch: epoch}
	}
	for _, tt := range []struct {
		goes    uint64 // epochs up to this one
		through uint64
		signs   bool
	}{{0, 1, true}, {0, 2, false}, {0, 3, false}, {0, 4, false}, {2, 2, true}, {2, 3, true}, {2, 4, false}, {2, 9, false}, {4, 9, true}} {
		want := []authority.LiveEpoch{of(key, 1, 9), of(key, 2, tt.through), of(key, 3, 9), of(other, 2, 9)}
		got := withoutKept(want, ring, func(h keyring.Held) bool { return h.Epoch <= tt.goes })
		if !tt.signs {
			want = slices.Delete(slices.Clone(want), 1, 2)
		}
		if !slices.Equal(got, want) {
			t.Errorf("with shares of the epochs 2 and 4, of which those up to %d go, a receipt through %d names %v, want %v", tt.goes, tt.through, got, want)
		}
	}
}

// Shares of many keys are erased by one node after another, and not with every run of a
// refresh; those of a few at once.
func TestManySharesAreErasedInTurn(t *testing.T) {
	var e erasures
	if !e.isTurn(eraseMany, 4, 1) {
		t.Error("the shares of few keys wait")
	}
	now := time.Hour
	if e.isTurn(eraseMany+1, 2, now) || e.isTurn(eraseMany+1, 2, now+2*eraseTurn-1) || !e.isTurn(eraseMany+2, 2, now+2*eraseTurn) {
		t.Error("the third node does not wait for the two before it")
	}
	now += time.Minute
	e.first, e.last = 0, now
	if e.isTurn(eraseMany+1, 0, now+eraseApart-1) || !e.isTurn(eraseMany+1, 0, now+eraseApart) {
		t.Error("one generation comes right after another")
	}
}

// One generation is for all that was old by then, whatever the number: receipts follow in
// batches, none names what is not erased, and none is about two generations.
func TestOneGenerationIsForManyReceipts(t *testing.T) {
	e := erasures{by: map[authority.LiveEpoch]keyring.Erasure{}}
	var wanted []authority.LiveEpoch
	for i := range 2*authority.MaxRetired + 50 {
		of := authority.LiveEpoch{Version: 1, Epoch: uint64(i + 1)}
		e.by[of] = keyring.Erasure{Generation: 7}
		wanted = append(wanted, of)
	}
	wanted = append(wanted, authority.LiveEpoch{Version: 2, Epoch: 1}) // came to be old since
	var sizes []int
	for {
		done, what := e.batch(wanted)
		if len(done) == 0 {
			break
		}
		if sizes = append(sizes, len(done)); what.Generation != 7 || !slices.Equal(done, wanted[:len(done)]) {
			t.Fatalf("a receipt about generation %d has %v", what.Generation, done)
		}
		wanted = wanted[len(done):]
	}
	if !slices.Equal(sizes, []int{authority.MaxRetired, authority.MaxRetired, 50}) || len(wanted) != 1 {
		t.Errorf("receipts of %v epochs, and %d are left", sizes, len(wanted))
	}
	first, second := authority.LiveEpoch{Version: 1, Epoch: 1}, authority.LiveEpoch{Version: 1, Epoch: 2}
	e.by = map[authority.LiveEpoch]keyring.Erasure{first: {Generation: 7}, second: {Generation: 8}}
	if done, what := e.batch([]authority.LiveEpoch{first, second}); len(done) != 1 || done[0] != first || what.Generation != 7 {
		t.Errorf("one receipt of two generations: %v, generation %d", done, what.Generation)
	}
}
