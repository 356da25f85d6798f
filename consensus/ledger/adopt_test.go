package ledger_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// heirs is a cluster whose custodians are those of another one, which is lost, and what
// is left of that: a key, its shares, and its record.
type heirs struct {
	*world
	lost   *world
	key    *ledger.Key
	shares map[string]*group.Scalar // by the holders there
}

// inherit loses a cluster with one key, and gives its custodians another one, whose root
// key is born.
func inherit(tb testing.TB) *heirs { return inheritAs(tb, false, 1) }

// inheritAt loses a key in a later epoch.
func inheritAt(tb testing.TB, epoch uint64) *heirs { return inheritAs(tb, false, epoch) }

// inheritAs loses a key that was born by its own order, or in a pool.
func inheritAs(tb testing.TB, pooled bool, epoch uint64) *heirs {
	tb.Helper()
	h := &heirs{lost: newWorld(tb), shares: map[string]*group.Scalar{}}
	a := h.lost
	a.birth(a.rootOrder())
	o := a.order("payroll")
	o.Owner, o.RotateEvery = "ops", authority.MinEvery
	var ses *ledger.Session
	if pooled {
		a.accept(a.sign(a.poolChange(poolOf(1)), 0, 1))
		ses = a.beginPool("web")
	} else {
		order := a.sign(a.orderChange(o), 0, 1)
		a.accept(order)
		ses = a.open(order.ID())
	}
	a.run(ses.ID, dkg.PhaseConfirm)
	for _, n := range o.Holders {
		ready, err := a.parts[ses.ID][n].Step(a.s.Session(ses.ID).Board.View(), rand.Reader)
		if err != nil || len(ready.Shares) != 1 {
			tb.Fatalf("%s has no share: %v", n, err)
		}
		h.shares[n] = ready.Shares[0]
	}
	a.postAll(ses.ID)
	a.accept(a.say("n1", authority.KindActivate, authority.Activate{Session: ses.ID}))
	if pooled {
		a.take(o)
	}
	for k := a.s.KeyNamed("payroll"); k.Number < epoch; k = a.s.KeyNamed("payroll") {
		a.turn(k.ID, k.T, k.Holders)
	}
	a.signedBy(a.s.KeyNamed("payroll"), "n1", "n4", "n5")
	h.key = a.s.KeyNamed("payroll")

	b := newWorldOf(tb, 5, 5, 3, func(g *authority.Genesis) {
		g.Cluster = api.ClusterID{4, 5, 6}
		g.Root.Cluster = g.Cluster
	})
	g := b.genesis.Genesis
	g.Custodians = a.genesis.Custodians
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	b.custodians = a.custodians
	for _, c := range b.custodians {
		if err := doc.Sign(rand.Reader, c); err != nil {
			tb.Fatal(err)
		}
	}
	var err error
	if b.genesis, err = doc.Verify(); err != nil {
		tb.Fatal(err)
	}
	b.s = ledger.New(b.genesis)
	h.world = b
	return h
}

// adopts is what custodians would sign: the shares of n1, n3 and n4 are left.
func (h *heirs) adopts() authority.Adopt {
	return authority.Adopt{
		Lost: h.lost.genesis.Signed().Encode(), Record: h.lost.s.SignedRecord(h.key, &h.key.Epoch).Encode(),
		Takers: []string{"n5", "", "n2", "n3", ""},
	}
}

func (h *heirs) adoption(a authority.Adopt, custodians ...int) *authority.Entry {
	h.Helper()
	return h.sign(h.changeOf(authority.KindAdopt, a), custodians...)
}

// reshare gives the key to all nodes here, by the shares that were brought.
func (h *heirs) reshare() *ledger.Key {
	h.Helper()
	takers := map[string]string{"n5": "n1", "n2": "n3", "n3": "n4"}
	all := []string{"n1", "n2", "n3", "n4", "n5"}
	e := h.sign(h.changeOf(authority.KindReshare, authority.Renewal{PhaseSeconds: 60, T: 3, F: 1, Holders: all}), 0, 1)
	h.accept(e)
	h.accept(h.say("n5", authority.KindOpen, authority.Open{Order: e.ID(), Attempt: 1}))
	id := h.s.Renewal(e.ID()).Live
	parts := map[string]*dkg.Participant{}
	for i, n := range h.s.Session(id).Participants {
		var old []*group.Scalar
		if from := takers[n]; from != "" {
			old = []*group.Scalar{h.shares[from]}
		}
		p, err := dkg.NewParticipant(h.s.Session(id).Board.Session(), sharing.Index(i+1), old, rand.Reader)
		if err != nil {
			h.Fatal(err)
		}
		parts[n] = p
	}
	h.parts[id] = parts
	for range 5 {
		phase := h.phase(id)
		for _, n := range all {
			if e := h.post(id, n); e != nil && h.phase(id) == phase {
				h.accept(e)
			}
		}
	}
	h.accept(h.say("n1", authority.KindActivate, authority.Activate{Session: id}))
	return h.s.Key(h.key.ID)
}

// A key of a lost cluster becomes one of this cluster. It opens nothing, and no client
// believes a record of it, before the shares that were brought are reshared; then its
// record tells of both clusters, and envelopes name the one that it was born in.
func TestAKeyOfALostClusterIsAdopted(t *testing.T) {
	h := inherit(t)
	h.birth(h.rootOrder())
	h.accept(h.adoption(h.adopts(), 0, 1))
	k := h.s.KeyNamed("payroll")
	if k == nil || k.ID != h.key.ID || !k.Waits() || k.Number != 1 || h.s.Origin(k) != h.lost.genesis.Cluster || k.IndexOf("n5") != 1 || k.IndexOf("n2") != 3 || k.IndexOf("n1") != 0 {
		t.Fatalf("%+v", k)
	}
	if !slices.Equal(k.Struck, []string{"lost:n2", "lost:n5"}) || len(h.s.Unsigned("n5")) != 0 || h.s.Bearing() || len(h.s.LiveEpochs()) != 0 {
		t.Errorf("what is lost: %v; who signs: %d", k.Struck, len(h.s.Unsigned("n5")))
	}
	if l := h.s.Life(k.ID); l.Owner != "" || h.s.OrderByHash(k.Order).Order.RotateEvery != 0 {
		t.Errorf("what custodians said there holds here: %+v", l)
	}
	if h.s.Releases(k, 1, created) != nil {
		t.Error("a key that was adopted releases before it is reshared")
	}
	h.refuse(h.say("n5", authority.KindRecord, signedBy(h.recordSignature("n5", k))).Encode(), ledger.ErrNoKey)
	early := authority.SignedRecord{Record: k.Record}
	for _, n := range []string{"n5", "n2", "n3"} {
		early.Signatures = append(early.Signatures, h.recordSignature(n, k).Signature)
	}
	if _, err := early.Verify(h.genesis); !errors.Is(err, authority.ErrRecord) {
		t.Errorf("a record of the epoch that was adopted: %v", err)
	}
	refresh := h.sign(h.changeOf(authority.KindRefresh, authority.Renewal{PhaseSeconds: 60}), 0, 1)
	h.accept(refresh)
	if got := h.s.Renewal(refresh.ID()); got.Total != 0 {
		t.Errorf("a refresh is about %d keys that wait for a reshare", got.Total)
	}

	k = h.reshare()
	if k.Number != 2 || k.Waits() || k.Struck != nil || h.s.Releases(k, 2, created) == nil || h.s.Releases(k, 1, created) != nil {
		t.Fatalf("%+v", k)
	}
	if live := h.s.LiveEpochs(); len(live) != 1 || live[0].Epoch != 2 {
		t.Errorf("live: %+v", live)
	}
	h.signedBy(k, "n1", "n2", "n4")
	k = h.s.Key(k.ID)
	signed := h.s.SignedRecord(k, &k.Epoch)
	r, err := signed.Verify(h.genesis)
	if err != nil {
		t.Fatal(err)
	}
	if r.Origin() != h.lost.genesis.Cluster || r.Cluster != h.genesis.Cluster || !bytes.Equal(r.Y, h.key.Record.Y) || r.Order().Name != "payroll" || r.Birth().T != 3 {
		t.Errorf("%+v", r)
	}
	pk, err := k.Public(h.s.Origin(k), &k.Epoch)
	if err != nil || !bytes.Equal(pk.W.Bytes(), h.key.Record.W) {
		t.Errorf("its public half has changed: %v", err)
	}
	if _, err := h.lost.s.SignedRecord(h.key, &h.key.Epoch).Verify(h.genesis); err == nil {
		t.Error("the lost cluster's record is believed here")
	}
	// The epoch that was brought is over at once, and three of its five shares are enough
	// for it to be gone.
	old := authority.LiveEpoch{Key: k.ID, Version: 1, Epoch: 1}
	h.accept(h.say("n1", authority.KindRetire, authority.Retire{Epochs: []authority.LiveEpoch{old}}))
	if e := h.s.Erased(old); e.Need() != 3 || !slices.Equal(e.Awaiting(), []string{"n5", "n2", "n3"}) {
		t.Errorf("%+v", e)
	}
	// t holders here vouch for another public key in vain.
	forged := authority.SignedRecord{Record: signed.Record, Succession: signed.Succession, Ordered: signed.Ordered, Reordered: signed.Reordered}
	forged.Record.Y = h.nodes["n1"].PublicKey()
	for _, n := range []string{"n1", "n2", "n3"} {
		sig, err := authority.SignRecord(rand.Reader, h.nodes[n], &forged.Record)
		if err != nil {
			t.Fatal(err)
		}
		forged.Signatures = append(forged.Signatures, sig)
	}
	if _, err := forged.Verify(h.genesis); !errors.Is(err, authority.ErrRecord) {
		t.Errorf("a record of another public key: %v", err)
	}
	decodedAnywhere(t, h.world, 2)
}

// A key that the lost cluster took from a pool is adopted as any other: a record of it here
// tells of the adoption, and of no pool.
func TestAKeyThatCameFromAPoolIsAdopted(t *testing.T) {
	h := inheritAs(t, true, 1)
	if h.key.Record.Pool == nil {
		t.Fatal("the lost cluster took it from no pool")
	}
	h.birth(h.rootOrder())
	h.accept(h.sign(h.poolChange(poolOf(1)), 0, 1))
	h.fill("web")
	waits := h.s.Pooled(h.s.Pool("web"))[0]
	h.accept(h.adoption(h.adopts(), 0, 1))
	if k := h.s.KeyNamed("payroll"); k == nil || k.ID != h.key.ID || k.Drawn != nil || h.s.PooledKey(waits.ID) == nil {
		t.Fatalf("%+v: an adoption takes no key of a pool here", k)
	}
	k := h.reshare()
	h.signedBy(k, "n1", "n2", "n4")
	k = h.s.Key(k.ID)
	signed := h.s.SignedRecord(k, &k.Epoch)
	if r, err := signed.Verify(h.genesis); err != nil || r.Origin() != h.lost.genesis.Cluster || !bytes.Equal(r.Y, h.key.Record.Y) {
		t.Fatalf("%+v, %v", r, err)
	}
	for sentence, pool := range map[string]*authority.FromPool{
		"the lost cluster's pool": h.key.Record.Pool,
		"a pool of this cluster":  waits.Record.Pool,
	} {
		r := signed.Record
		r.Pool = pool
		h.disbelieved("a record of an adopted key that tells of "+sentence, r)
	}
	decodedAnywhere(t, h.world, 2)
}

// Of a key whose later version alone was adopted there is no first one here, nor a pool
// that it came from.
func TestALaterVersionAloneIsAdopted(t *testing.T) {
	h := inherit(t)
	a := h.lost
	next := a.next(h.key.ID, 2)
	a.accept(next)
	second := a.birth(next.ID())
	a.signedBy(second, "n1", "n2", "n3")
	h.key = a.s.Key(h.key.ID)
	h.birth(h.rootOrder())
	h.accept(h.adoption(h.adopts(), 0, 1))
	k := h.s.Key(h.key.ID)
	if k.Version != 2 || h.s.KeyVersion(k.ID, 1) != nil {
		t.Fatalf("%+v", k)
	}
	if signed := h.s.SignedRecord(k, &k.Epoch); signed.Pooled != 0 || signed.Record.Version != 2 {
		t.Errorf("%+v", signed)
	}
}

// Each rule of an adoption has one that breaks it.
func TestAdoptionsThatAreRefused(t *testing.T) {
	h := inherit(t)
	h.refuse(h.adoption(h.adopts(), 0, 1).Encode(), ledger.ErrOutOfTurn) // before the root key
	h.birth(h.rootOrder())
	stranger := newSigner(t)
	for sentence, tt := range map[string]struct {
		alter func(*authority.Adopt)
		want  error
	}{
		"no genesis document":          {func(a *authority.Adopt) { a.Lost = nil }, authority.ErrAdopt},
		"one that is altered":          {func(a *authority.Adopt) { a.Lost = flipped(a.Lost, len(a.Lost)-1) }, authority.ErrAdopt},
		"this cluster's":               {func(a *authority.Adopt) { a.Lost = h.genesis.Signed().Encode() }, authority.ErrAdopt},
		"a record that too few signed": {func(a *authority.Adopt) { a.Record = h.fewer(2) }, authority.ErrTooFewSignatures},
		"no record":                    {func(a *authority.Adopt) { a.Record = nil }, authority.ErrAdopt},
		"fewer takers than t":          {func(a *authority.Adopt) { a.Takers = []string{"n5", "", "", "n3", ""} }, authority.ErrAdopt},
		"a taker of two shares":        {func(a *authority.Adopt) { a.Takers = []string{"n5", "n5", "n2", "n3", ""} }, authority.ErrAdopt},
		"a taker that is not here":     {func(a *authority.Adopt) { a.Takers = []string{"n9", "", "n2", "n3", ""} }, authority.ErrAdopt},
		"takers of other indices":      {func(a *authority.Adopt) { a.Takers = []string{"n5", "n2", "n3"} }, authority.ErrAdopt},
		"a taker without a name":       {func(a *authority.Adopt) { a.Takers = []string{"N5", "", "n2", "n3", ""} }, authority.ErrAdopt},
	} {
		a := h.adopts()
		tt.alter(&a)
		if r := h.refuse(h.adoption(a, 0, 1).Encode(), tt.want); r.Err == nil {
			t.Errorf("%s was taken", sentence)
		}
	}
	h.refuse(h.adoption(h.adopts(), 0).Encode(), authority.ErrTooFewSignatures)

	// A symmetric key has no shares that a reshare could move.
	sym, id := bornSymmetric(t)
	k := sym.s.Key(id)
	if len(k.Signed) == 0 {
		sym.signedBy(k, "n1", "n2", "n3")
		k = sym.s.Key(id)
	}
	r := h.refuse(h.adoption(authority.Adopt{
		Lost: sym.genesis.Signed().Encode(), Record: sym.s.SignedRecord(k, &k.Epoch).Encode(), Takers: []string{"n5", "n2", "n3", "", ""},
	}, 0, 1).Encode(), authority.ErrAdopt)
	if !strings.Contains(r.Err.Error(), "symmetric") {
		t.Errorf("a symmetric key: %v", r.Err)
	}

	// Enough custodians here, and too few of them are of the lost cluster.
	e := h.adoption(h.adopts(), 0)
	other := inherit(t)
	other.lost = h.lost
	other.custodians[1] = stranger
	g := other.genesis.Genesis
	g.Custodians = slices.Clone(g.Custodians)
	for i, c := range other.custodians {
		g.Custodians[i].Sign = c.PublicKey()
	}
	if _, err := authority.VerifyAdopt(&g, other.adoption(h.adopts(), 0, 1)); !errors.Is(err, authority.ErrAdopt) || !errors.Is(err, authority.ErrTooFewSignatures) {
		t.Errorf("without the lost cluster's custodians: %v", err)
	}
	c, err := authority.ParseChange(e)
	if err != nil {
		t.Fatal(err)
	}
	c.Base = api.Digest{1}
	h.refuse(h.sign(*c, 0, 1).Encode(), authority.ErrAdopt)

	// It is adopted once, by a cluster that has ordered no key, and from one cluster.
	fresh := h.fork()
	h.accept(h.adoption(h.adopts(), 0, 1))
	h.refuse(h.adoption(h.adopts(), 0, 1).Encode(), ledger.ErrKeyTaken)
	third := inherit(t)
	h.refuse(h.adoption(third.adopts(), 0, 1).Encode(), authority.ErrAdopt) // by other custodians
	fresh.accept(fresh.sign(fresh.orderChange(fresh.order("mine")), 0, 1))
	fresh.refuse(h.adoption(h.adopts(), 0, 1).Encode(), ledger.ErrNotNew)
}

// fewer is the record with so many signatures.
func (h *heirs) fewer(n int) []byte {
	s := h.lost.s.SignedRecord(h.key, &h.key.Epoch)
	s.Signatures = s.Signatures[:n]
	return s.Encode()
}
