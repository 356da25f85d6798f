package node

import (
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/sharing/tprf"
)

func keepSets(t *testing.T, c *trial.Cluster, s *secrets, session api.Digest, sets *tprf.Share) error {
	t.Helper()
	return s.confirmSets(t.Context(), c.State(), c.State().Session(session), sets)
}

// The set keys of a symmetric key are in the keyring before the receipt is sent, and there
// after a restart; those of an attempt that came to nothing give way to the next one's.
func TestSetKeysAreKeptInTheKeyring(t *testing.T) {
	c := trial.New(t, 2, 3)
	s := keeper(t, c)
	born := c.BearSymmetric("demo")
	k := born.Key
	for range 2 { // again changes nothing
		if err := keepSets(t, c, s, k.Session, born.Sets[0]); err != nil {
			t.Fatal(err)
		}
	}
	holds := func(s *secrets, version uint32, session api.Digest, record [][]byte) bool {
		_, ring := s.current()
		share, back, ok := ring.Borrow(k.ID, version, 1)
		if !ok {
			return false
		}
		defer back()
		return share.Scalar == nil && share.Session == session && share.Sets.Fits(session, record)
	}
	if !holds(s, 1, k.Session, k.Record.Sets) {
		t.Error("the share is not in the keyring, or another")
	}
	if born.Sets[0].Wipe(); !holds(s, 1, k.Session, k.Record.Sets) {
		t.Error("the keyring has the driver's copy")
	}

	// A next version, whose first attempt is abandoned after this node has confirmed.
	o := c.Genesis.Root
	o.Purpose, o.Name, o.Key, o.Version = authority.PurposeEncrypt, "demo", &k.ID, 2
	order := c.ChangeOf(authority.KindKey, o)
	open := func(attempt uint64) api.Digest {
		t.Helper()
		if err := c.Say("n1", authority.KindOpen, authority.Open{Order: order, Attempt: attempt}); err != nil {
			t.Fatal(err)
		}
		return c.State().OrderByHash(order).Live
	}
	first := open(1)
	if err := keepSets(t, c, s, first, c.SetsOf(1)); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"n1", "n2"} {
		if err := c.Say(n, authority.KindAbandon, authority.Abandon{Session: first}); err != nil {
			t.Fatal(err)
		}
	}
	second := c.Bear(c.State().OrderByHash(order))
	if err := keepSets(t, c, s, second.Key.Session, second.Sets[0]); err != nil {
		t.Fatal(err)
	}
	if !holds(s, 2, second.Key.Session, second.Key.Record.Sets) || !holds(s, 1, k.Session, k.Record.Sets) {
		t.Error("the second attempt's share is not there, or the first version's is gone")
	}

	again := newSecrets(s.cfg)
	if _, err := again.open(); err != nil {
		t.Fatal(err)
	}
	if state, _ := again.look(c.State(), "n1"); state != seal.Unsealed {
		t.Fatal(state)
	}
	if !holds(again, 2, second.Key.Session, second.Key.Record.Sets) || !holds(again, 1, k.Session, k.Record.Sets) {
		t.Error("after a restart the shares are not there")
	}

	if _, err := again.erase(t.Context(), c.State(), func(h keyring.Held) bool { return h.Key == k.ID }); err != nil {
		t.Fatal(err)
	}
	if holds(again, 1, k.Session, k.Record.Sets) || holds(again, 2, second.Key.Session, second.Key.Record.Sets) {
		t.Error("what was erased is there")
	}
	again.wipe()
	if err := keepSets(t, c, again, second.Key.Session, c.SetsOf(1)); !errors.Is(err, errNotUnsealed) {
		t.Errorf("a sealed node takes set keys: %v", err)
	}
}
