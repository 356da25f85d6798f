package gate

import (
	"bytes"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// Whoever knows the public key of a key that waits in a pool can wrap under it, and every
// holder has its share: and nothing is released, whatever the policy permits, before the
// order of a key has taken it, in the committed state. From then on it is a key as any
// other, that envelope included: wrapping is offline.
func TestAKeyThatWaitsInAPoolOpensNothing(t *testing.T) {
	w := newWorld(t)
	c := trial.New(t, 2, 3)
	c.BearRoot()
	put := func(kind string, body []byte) {
		t.Helper()
		if r := c.Apply(c.Change(kind, body, api.Digest{})); r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	all := `@id("all") permit (principal, action, resource);`
	put(authority.KindPolicy, policy.Document{Text: all, Entities: entities}.Encode())
	g := &c.Genesis.Root
	put(authority.KindPool, wire.Encode(authority.Pool{
		Name: "web", Size: 2, T: g.T, F: g.F, Holders: g.Holders, PhaseSeconds: 60, LifeSeconds: authority.MaxPoolLife,
	}))
	session, shares := c.Fill("web")
	waits := c.State().Pooled(c.State().Pool("web"))[0]
	place := slices.IndexFunc([]uint32{1, 2}, func(p uint32) bool { return authority.PooledKeyID(session, p) == waits.ID })
	y, err := group.DecodePoint(waits.Record.Y)
	if err != nil {
		t.Fatal(err)
	}
	w.Cluster = c
	if w.public, err = tdh2.NewPublicKey(c.Genesis.Cluster, waits.ID, 1, 2, 3, y); err != nil {
		t.Fatal(err)
	}
	w.share = &keyring.Share{
		Key: waits.ID, Version: 1, Epoch: 1, Index: 1, Scalar: shares[0][place], Endorsement: secret.New(bytes.Repeat([]byte{7}, keyring.SaltSize)),
	}
	item := w.item(t)
	refused := func(when string) {
		t.Helper()
		w.recorder.records = nil
		a := w.one(t, app, item)
		if a.Refusal == nil || a.Refusal.Code != api.CodeDenied {
			t.Errorf("%s: %+v", when, a.Refusal)
		}
		if r := w.recorder.records; len(r) != 1 || r[0].Kind != audit.Refusal || r[0].KeyName != "" {
			t.Errorf("%s, recorded: %+v", when, r)
		}
	}
	w.committed = c.State()
	w.tail = w.committed
	refused("while it waits")
	if r := c.Apply(c.Order("demo")); r.Err != nil {
		t.Fatal(r.Err)
	}
	w.tail = c.State()
	if k := w.tail.KeyNamed("demo"); k == nil || k.ID != waits.ID {
		t.Fatal("the order has not taken it")
	}
	refused("when its order is stored and not committed")
	w.committed = w.tail
	w.recorder.records = nil
	a := w.one(t, app, item)
	if a.Refusal != nil {
		t.Fatal(a.Refusal)
	}
	if r := w.recorder.records; len(r) != 1 || r[0].Kind != audit.Release || r[0].KeyName != "demo" || r[0].Key != waits.ID {
		t.Errorf("recorded: %+v", r)
	}
	envelope, err := tdh2.Parse(item.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.public.Verify(envelope, fileA.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	d1, err := group.DecodePoint(a.Partial)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := w.public.Open(v, map[sharing.Index]*group.Point{1: d1, 3: v.Partial(shares[2][place])}); err != nil || !got.Equal(dek) {
		t.Errorf("opened: %v", err)
	}
}
