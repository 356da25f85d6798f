package client_test

import (
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

func wraps(k *client.Key) error {
	_, err := k.Wrap(rand.Reader, nil, secret.New([]byte("a data key")))
	return err
}

// What custodians signed decides, and no node; a client never goes back.
func TestNothingIsWrappedUnderAKeyThatIsKnownNotToBeActive(t *testing.T) {
	c := offline(t)
	all := []string{"n1", "n2", "n3", "n4", "n5"}
	dealt := c.Deal("payroll", 3, all...)
	id := dealt.Record.Key
	k, err := client.ParseKey(c.Genesis, c.Sign(dealt.Record, all...))
	if err != nil {
		t.Fatal(err)
	}
	with := func(k *client.Key, to authority.KeyState, said *authority.KeyLabels) *client.Key {
		t.Helper()
		known, err := k.With(c.Life(id, to, said))
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	if err := wraps(k); err != nil {
		t.Error(err)
	}
	for to, ok := range map[authority.KeyState]bool{authority.Active: true, authority.Suspended: false, authority.Deactivated: false, authority.Compromised: false} {
		if err := wraps(with(k, to, nil)); ok != (err == nil) || !ok && !errors.Is(err, client.ErrKeyState) {
			t.Errorf("%s: %v", to, err)
		}
	}
	now := time.Now().UnixMilli()
	expired := with(k, "", &authority.KeyLabels{Key: id, Owner: "ops", NotAfter: now - 1})
	if err := wraps(expired); !errors.Is(err, client.ErrKeyState) || expired.Said().Owner != "ops" {
		t.Error(err, expired.Said())
	}
	if err := wraps(with(k, "", &authority.KeyLabels{Key: id, NotAfter: now + 100_000})); err != nil {
		t.Error(err)
	}
	o := c.Order("later", 3, all...)
	o.NotBefore = now + 100_000
	early := c.DealOrder(o, c.SignOrder(o, c.Custodians[:2]...))
	pre, err := client.ParseKey(c.Genesis, c.Sign(early.Record, all...))
	if err != nil {
		t.Fatal(err)
	}
	if err := wraps(pre); !errors.Is(err, client.ErrKeyState) || pre.State(time.Now()) != authority.PreActive {
		t.Error(err)
	}
	o = c.Order("short", 3, all...) // what its order says needs no node
	o.Owner, o.NotAfter = "ops", now-1
	short := c.DealOrder(o, c.SignOrder(o, c.Custodians[:2]...))
	over, err := client.ParseKey(c.Genesis, c.Sign(short.Record, all...))
	if err != nil {
		t.Fatal(err)
	}
	if err := wraps(over); !errors.Is(err, client.ErrKeyState) || over.State(time.Now()) != authority.Deactivated || over.Said().Owner != "ops" {
		t.Error(err, over.Said())
	}

	for sentence, b := range map[string][]byte{
		"junk":           []byte("junk"),
		"of another key": c.Life(api.KeyID{9}, authority.Active, nil),
		"of a stranger":  offline(t).Life(id, authority.Active, nil),
	} {
		if _, err := k.With(b); !errors.Is(err, authority.ErrKeyLife) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	dead := with(k, authority.Deactivated, nil)
	for sentence, later := range map[string]*client.Key{
		"nothing":            k,
		"that it is active":  with(k, authority.Active, nil),
		"that it is stopped": with(k, authority.Suspended, nil),
	} {
		if got := later.Following(dead); got.State(time.Now()) != authority.Deactivated {
			t.Errorf("a node that says %s made it %s", sentence, got.State(time.Now()))
		}
	}
	if got := with(k, authority.Compromised, nil).Following(dead); got.State(time.Now()) != authority.Compromised {
		t.Error("it never learns more")
	}
	if again, err := k.With(dead.Life()); err != nil || again.State(time.Now()) != authority.Deactivated {
		t.Error("what is kept does not read", err)
	}
}

func TestAClientAsksAnewWhereAKeyStands(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	id := c.key.Record.Key
	k, err := cl.Record(t.Context(), "payroll")
	if err != nil || wraps(k) != nil {
		t.Fatal(err)
	}
	say := func(life []byte) {
		for _, n := range c.nodes {
			n.with(func() { n.life = life })
		}
	}
	say(c.Life(id, authority.Deactivated, nil))
	if k, err := cl.Record(t.Context(), "payroll"); err != nil || wraps(k) != nil {
		t.Error("it was asked though it is known", err)
	}
	if k, err = cl.Refresh(t.Context(), "payroll"); err != nil || !errors.Is(wraps(k), client.ErrKeyState) {
		t.Error(err)
	}
	say(nil) // nodes that would rather not say
	if k, err = cl.Refresh(t.Context(), "payroll"); err != nil || !errors.Is(wraps(k), client.ErrKeyState) {
		t.Error("it went back", err)
	}
	say([]byte("junk"))
	if _, err := cl.Refresh(t.Context(), "payroll"); !errors.Is(err, client.ErrAnswer) {
		t.Error(err)
	}
}

func TestEachNodeSaysForItselfWhatItHasOfAKey(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	for id, n := range c.nodes {
		signer := c.Node(id)
		if id == "n4" {
			signer = c.Node("n5")
		}
		if id == "n3" {
			continue
		}
		n.with(func() {
			n.at = func(q *api.KeyAtRequest) (*authority.SignedKeyAt, error) {
				return authority.SignKeyAt(rand.Reader, signer, authority.KeyAt{Cluster: c.Genesis.Cluster, Node: id, Nonce: q.Nonce, Serial: "s-" + id})
			}
		})
	}
	list, err := cl.KeyAt(t.Context(), "payroll", 0)
	if err != nil || len(list) != 5 {
		t.Fatal(list, err)
	}
	for _, n := range list {
		switch n.Node {
		case "n3":
			if !errors.Is(n.Err, client.ErrDenied) {
				t.Errorf("n3: %v", n.Err)
			}
		case "n4":
			if !errors.Is(n.Err, authority.ErrKeyAt) || n.Has != nil && n.Signed != nil {
				t.Errorf("n4, which another signed for: %v", n.Err)
			}
		default:
			if n.Err != nil || n.Has.Serial != "s-"+n.Node || len(n.Signed) == 0 {
				t.Errorf("%+v", n)
			}
		}
	}
	list, err = cl.KeyAt(t.Context(), "payroll", 2) // they speak of another version
	if err != nil || len(list) != 5 {
		t.Fatal(list, err)
	}
	for _, n := range list {
		if n.Err == nil {
			t.Errorf("%s said of version 2: %+v", n.Node, n.Has)
		}
	}
	if _, err := cl.KeyAt(t.Context(), "no name", 0); !errors.Is(err, api.ErrName) {
		t.Error(err)
	}
}

// The record of the version that an envelope names is asked for, and kept beside the
// newest; what is known of the key's state goes with both.
func TestEachVersionHasARecordOfItsOwn(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	id := c.key.Record.Key
	o := c.Order("payroll", 3, "n1", "n2", "n3", "n4", "n5")
	o.Key, o.Version = &id, 2
	second := c.DealOrder(o, c.SignOrder(o, c.Custodians[:2]...))
	second.Record.Key, second.Record.Version = id, 2
	record := c.SignVersion(second, "n1", "n2", "n3")
	first, err := cl.RecordOf(t.Context(), id, 1)
	if err != nil || first.Version() != 1 {
		t.Fatal(first, err)
	}
	if _, err := cl.RecordOf(t.Context(), id, 2); !errors.Is(err, client.ErrAnswer) {
		t.Errorf("the first version was taken for the second: %v", err)
	}
	for _, n := range c.nodes {
		n.with(func() { n.record = record })
	}
	newest, err := cl.Refresh(t.Context(), "payroll")
	if err != nil || newest.Version() != 2 {
		t.Fatal(newest, err)
	}
	if k, err := cl.Record(t.Context(), "payroll"); err != nil || k.Version() != 2 {
		t.Error("the newest is not what a name is for", err)
	}
	if k, err := cl.RecordOf(t.Context(), id, 1); err != nil || k.Version() != 1 {
		t.Error("the first is gone", err)
	}
}
