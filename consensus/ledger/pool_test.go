package ledger_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
)

// poolOf is a pool of the shape that [world.order] has.
func poolOf(size uint32) authority.Pool {
	return authority.Pool{
		Name: "web", Size: size, T: 3, F: 1, Holders: []string{"n1", "n2", "n3", "n4", "n5"}, PhaseSeconds: 60,
		LifeSeconds: 2 * authority.MinPoolLife,
	}
}

// poolChange puts a pool in the place of the one of its name.
func (w *world) poolChange(p authority.Pool) authority.Change {
	c := w.changeOf(authority.KindPool, p)
	c.NotAfter = w.s.Time() + 1000
	if before := w.s.Pool(p.Name); before != nil {
		c.Base = before.Order
	}
	return c
}

// pooling is a cluster with a root key and a pool that has no keys yet.
func pooling(tb testing.TB, size uint32) *world {
	tb.Helper()
	w := newWorld(tb)
	w.birth(w.rootOrder())
	w.accept(w.sign(w.poolChange(poolOf(size)), 0, 1))
	return w
}

func (w *world) openPool(node, pool string, attempt uint64) *authority.Entry {
	return w.say(node, authority.KindOpen, authority.Open{Order: w.s.Pool(pool).Order, Attempt: attempt})
}

// beginPool opens the next run of a pool.
func (w *world) beginPool(pool string) *ledger.Session {
	w.Helper()
	p := w.s.Pool(pool)
	w.accept(w.openPool(p.Body.Holders[0], pool, p.Attempt+1))
	ses := w.s.Session(w.s.Pool(pool).Live)
	w.parts[ses.ID] = map[string]*dkg.Participant{}
	for i, h := range p.Body.Holders {
		part, err := dkg.NewParticipant(ses.Board.Session(), sharing.Index(i+1), nil, rand.Reader)
		if err != nil {
			w.Fatal(err)
		}
		w.parts[ses.ID][h] = part
	}
	return ses
}

// fill runs a pool's ceremony to its end.
func (w *world) fill(pool string, silent ...string) *ledger.Session {
	w.Helper()
	ses := w.beginPool(pool)
	w.run(ses.ID, dkg.PhaseConfirm, silent...)
	w.postAll(ses.ID, silent...)
	if len(silent) > 0 {
		w.late(ses.ID, dkg.PhaseConfirm, silent...)
	}
	w.accept(w.say("n1", authority.KindActivate, authority.Activate{Session: ses.ID}))
	return ses
}

// take orders a key now, by two custodians.
func (w *world) take(o authority.Order) *authority.Entry {
	w.Helper()
	c := w.orderChange(o)
	c.NotAfter = w.s.Time() + 1000
	e := w.sign(c, 0, 1)
	w.accept(e)
	return e
}

// The order of a key that fits takes the lowest id of those that wait, with one entry,
// and the record that its holders sign then is one that clients believe. (crypto.md
// section 4: no key is whole; section 6: a client takes t and holders from its order.)
func TestAnOrderTakesAKeyFromAPool(t *testing.T) {
	w := pooling(t, 3)
	ses := w.fill("web")
	p := w.s.Pool("web")
	waiting := w.s.Pooled(p)
	if len(waiting) != 3 || !p.Live.IsZero() || ses.Board.Session().N != 3 {
		t.Fatalf("%d wait", len(waiting))
	}
	ids := map[api.KeyID]bool{}
	for place := uint32(1); place <= 3; place++ {
		ids[authority.PooledKeyID(ses.ID, place)] = true
	}
	for i, k := range waiting {
		if !ids[k.ID] || i > 0 && bytes.Compare(waiting[i-1].ID[:], k.ID[:]) >= 0 {
			t.Errorf("%d: the id %s", i, k.ID)
		}
	}

	// Nobody knows of them as of keys.
	if len(w.s.Keys()) != 1 || len(w.s.LiveEpochs()) != 0 || w.s.Key(waiting[0].ID) != nil || len(w.s.Unsigned("n1")) != 0 || len(w.s.OrdersAfter("", 9)) != 0 {
		t.Error("a key that waits is shown as one that there is")
	}
	w.refuse(w.move(waiting[0].ID, authority.Suspended, api.Digest{}).Encode(), ledger.ErrNoKey)
	w.refuse(w.destroy(waiting[0].ID, 0, 0, 1, 2).Encode(), ledger.ErrNoKey)
	sig, err := authority.SignRecord(rand.Reader, w.nodes["n1"], &waiting[0].Record)
	if err != nil {
		t.Fatal(err)
	}
	w.refuse(w.say("n1", authority.KindRecord, signedBy(authority.RecordSignature{Key: waiting[0].ID, Version: 1, Epoch: 1, Signature: sig})).Encode(), ledger.ErrNoKey)

	o := w.order("payroll")
	o.Owner, o.RotateEvery = "ops", authority.MinEvery
	order := w.take(o)
	k := w.s.KeyNamed("payroll")
	if k == nil || k.ID != waiting[0].ID || k.Version != 1 || k.Order != order.ID() || k.BornAt != w.index || !slices.Equal(k.Holders, o.Holders) || w.s.Life(k.ID).Owner != "ops" {
		t.Fatalf("%+v", k)
	}
	if w.s.PooledKey(k.ID) != nil || len(w.s.Pooled(p)) != 2 || w.s.VersionDue(k.ID) != w.s.Time()+day || len(w.s.Unsigned("n1")) != 1 || len(w.s.OrdersOf("n1")) != 0 {
		t.Error("it was taken, and it waits")
	}
	w.refuse(order.Encode(), ledger.ErrTaken) // a replay takes none
	w.refuse(w.sign(w.orderChange(o), 0, 1).Encode(), ledger.ErrNameTaken)
	w.refuse(w.sign(w.orderChange(w.order("alone")), 0).Encode(), authority.ErrTooFewSignatures)
	if len(w.s.Pooled(p)) != 2 {
		t.Fatal("an order that was refused has taken a key")
	}
	signed := w.believed(k.ID)
	for sentence, alter := range map[string]func(*authority.KeyRecord){
		"of another place":                  func(r *authority.KeyRecord) { r.Pool = &authority.FromPool{Order: r.Pool.Order, Place: 9} },
		"of no place":                       func(r *authority.KeyRecord) { r.Pool = &authority.FromPool{Order: r.Pool.Order} },
		"of no pool":                        func(r *authority.KeyRecord) { r.Pool = nil },
		"of a pool that is an order":        func(r *authority.KeyRecord) { r.Pool = &authority.FromPool{Order: r.Order, Place: r.Pool.Place} },
		"of a key that its run did not":     func(r *authority.KeyRecord) { r.Key = waiting[1].ID },
		"whose roster at birth is left out": func(r *authority.KeyRecord) { r.BornRoster = 0 },
		"that follows, and is of a pool":    func(r *authority.KeyRecord) { r.Version = 2 },
	} {
		r := signed.Record
		alter(&r)
		w.disbelieved("a record "+sentence, r)
	}

	// Nor is a pool believed that is signed, and of another shape.
	few := poolOf(2)
	few.Name, few.Holders = "few", few.Holders[:4]
	other := w.sign(w.poolChange(few), 0, 1)
	elsewhere := signed.Record
	elsewhere.Pool = &authority.FromPool{Order: other.Encode(), Place: 1}
	elsewhere.Key = authority.PooledKeyID(authority.SessionID(elsewhere.Cluster, elsewhere.BornRoster, other.ID(), elsewhere.Attempt, elsewhere.LinkBefore), 1)
	w.disbelieved("a record of a pool that its order does not fit", elsewhere)

	// The next one takes the next, whatever its name; then birth goes as ever.
	second, third := w.take(w.order("b")), w.take(w.order("a"))
	if w.s.KeyNamed("b").ID != waiting[1].ID || w.s.KeyNamed("a").ID != waiting[2].ID {
		t.Error("two orders took other keys than the two lowest, in the order in which they came")
	}
	w.believed(w.s.OrderByHash(second.ID()).Key)
	w.believed(w.s.OrderByHash(third.ID()).Key)
	fourth := w.take(w.order("c"))
	if w.s.KeyNamed("c") != nil || len(w.s.OrdersOf("n1")) != 1 {
		t.Fatal("there is a key of nothing")
	}
	w.birth(fourth.ID())

	// Its next version comes by its period; the record shows where the first was born.
	w.clock(1, created+day)
	w.accept(w.due("n1", k.ID, 2))
	w.birth(authority.NextHash(order.ID(), 2))
	later := w.believed(k.ID)
	if later.Record.Version != 2 || later.Record.First == nil || later.Record.First.Pool == nil || later.Record.Pool != nil {
		t.Errorf("%+v", later.Record.First)
	}
	for sentence, alter := range map[string]func(*authority.FirstRun){
		"without its first run's pool":    func(f *authority.FirstRun) { f.Pool = nil },
		"of another place in the pool":    func(f *authority.FirstRun) { f.Pool = &authority.FromPool{Order: f.Pool.Order, Place: 99} },
		"of another run of the same pool": func(f *authority.FirstRun) { f.Attempt++ },
	} {
		r := later.Record
		f := *r.First
		alter(&f)
		r.First = &f
		w.disbelieved("a record "+sentence, r)
	}
	decodedAnywhere(t, w, 2)
}

// An order takes what custodians have signed that it is to have, and no key of another
// shape.
func TestAnOrderTakesOnlyWhatFitsIt(t *testing.T) {
	w := pooling(t, 1)
	w.fill("web")
	id := w.s.Pooled(w.s.Pool("web"))[0].ID
	for sentence, alter := range map[string]func(*authority.Order){
		"another threshold":         func(o *authority.Order) { o.T = 4 },
		"fewer holders":             func(o *authority.Order) { o.Holders = o.Holders[:4] },
		"holders in another order":  func(o *authority.Order) { o.Holders = []string{"n2", "n1", "n3", "n4", "n5"} },
		"a symmetric key":           func(o *authority.Order) { o.Purpose = authority.PurposeEncrypt },
		"another number of liars":   func(o *authority.Order) { o.F = 2 },
		"other regions":             func(o *authority.Order) { o.Regions = []string{"nowhere"} },
		"a key that was whole once": func(o *authority.Order) { o.Import = &authority.Import{Y: w.s.RootKey().Record.Y} },
	} {
		n := w.fork()
		o := n.order("payroll")
		alter(&o)
		e := n.sign(n.orderChange(o), 0, 1)
		n.apply(e.Encode())
		if n.s.PooledKey(id) == nil || n.s.KeyNamed("payroll") != nil {
			t.Errorf("an order of %s took a key of the pool", sentence)
		}
	}
	o := w.order("payroll")
	o.NotBefore, o.PhaseSeconds = created+500, 10
	w.take(o)
	if k := w.s.KeyNamed("payroll"); k == nil || k.ID != id || w.s.KeyState(id, w.s.Time()) != authority.PreActive {
		t.Error("a key that is to be active later takes none")
	}
	// The next version of a key is of that key.
	w = pooling(t, 1)
	order := w.take(w.order("payroll"))
	first := w.birth(order.ID())
	w.fill("web")
	next := w.next(first.ID, 2)
	w.accept(next)
	if len(w.s.Pooled(w.s.Pool("web"))) != 1 || w.s.Key(first.ID).Version != 1 {
		t.Error("the next version of a key took one of the pool")
	}
}

func TestAPoolIsPutBySignedOrders(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	good := poolOf(4)
	with := func(alter func(*authority.Pool)) authority.Pool {
		p := good
		alter(&p)
		return p
	}
	for sentence, tt := range map[string]struct {
		p    authority.Pool
		want error
	}{
		"of too many keys":            {with(func(p *authority.Pool) { p.Size = authority.MaxPoolSize + 1 }), authority.ErrPool},
		"of keys that wait for years": {with(func(p *authority.Pool) { p.LifeSeconds = authority.MaxPoolLife + 1 }), authority.ErrPool},
		"of keys that wait no time":   {with(func(p *authority.Pool) { p.LifeSeconds = authority.MinPoolLife - 1 }), authority.ErrPool},
		"without a name":              {with(func(p *authority.Pool) { p.Name = "" }), authority.ErrPool},
		"among nobody":                {with(func(p *authority.Pool) { p.Holders = nil }), authority.ErrPool},
		"with a low threshold":        {with(func(p *authority.Pool) { p.T = 2 }), authority.ErrOrder},
		"with a holder from nowhere":  {with(func(p *authority.Pool) { p.Holders = []string{"n1", "n2", "n3", "n4", "n9"} }), ledger.ErrNoNode},
		"that ends what is not there": {authority.Pool{Name: "web"}, authority.ErrPool},
	} {
		if r := w.refuse(w.sign(w.poolChange(tt.p), 0, 1).Encode(), tt.want); r.Err == nil {
			t.Errorf("a pool %s was taken", sentence)
		}
	}
	w.refuse(w.sign(w.poolChange(good), 0).Encode(), authority.ErrTooFewSignatures)
	w.refuse(w.say("n1", authority.KindPool, good).Encode(), authority.ErrStatement)
	w.accept(w.sign(w.poolChange(good), 0, 1))
	stale := w.poolChange(good)
	stale.Base = api.Digest{}
	w.refuse(w.sign(stale, 0, 1).Encode(), ledger.ErrStaleBase)
	for i := 1; i < ledger.MaxPools; i++ {
		w.accept(w.sign(w.poolChange(with(func(p *authority.Pool) { p.Name = fmt.Sprint("more", i) })), 0, 1))
	}
	w.refuse(w.sign(w.poolChange(with(func(p *authority.Pool) { p.Name = "one-too-many" })), 0, 1).Encode(), ledger.ErrManyPools)
	// As a proposal, too.
	c := w.poolChange(with(func(p *authority.Pool) { p.Size = 2 }))
	w.accept(w.propose(c, 0, true))
	w.accept(w.approve(c, 1))
	if p := w.s.Pool("web"); p == nil || p.Body.Size != 2 || p.Order != authority.NewChange(c).ID() {
		t.Fatalf("%+v", p)
	}
	end := w.changeOf(authority.KindPool, authority.Pool{Name: "web"})
	end.Base = w.s.Pool("web").Order
	w.accept(w.sign(end, 0, 1))
	if w.s.Pool("web") != nil || len(w.s.Pools()) != ledger.MaxPools-1 {
		t.Error("it is there")
	}
}

// Nodes fill a pool up when it is under half, and at no other time.
func TestAPoolIsFilledWhenItIsUnderHalf(t *testing.T) {
	w := newWorld(t)
	w.accept(w.sign(w.poolChange(poolOf(4)), 0, 1))
	w.refuse(w.openPool("n1", "web", 1).Encode(), ledger.ErrOutOfTurn) // no root key
	w.birth(w.rootOrder())
	w.refuse(w.openPool("n1", "web", 2).Encode(), ledger.ErrOutOfTurn)
	stranger := w.fork()
	few := poolOf(4)
	few.Name, few.Holders = "few", few.Holders[:4]
	stranger.accept(stranger.sign(stranger.poolChange(few), 0, 1))
	stranger.refuse(stranger.openPool("n5", "few", 1).Encode(), ledger.ErrNotHolder)

	first := w.beginPool("web")
	w.refuse(w.openPool("n2", "web", 2).Encode(), ledger.ErrOutOfTurn) // one is live
	w.clock(1, created+601_000)                                        // and its time is over
	w.fill("web")
	if _, abandoned := w.s.Session(first.ID).Board.Abandoned(); !abandoned {
		t.Error("a run whose time is over goes on")
	}
	w.refuse(w.openPool("n1", "web", 3).Encode(), ledger.ErrPoolFull)
	w.take(w.order("a"))
	w.take(w.order("b"))
	if p := w.s.Pool("web"); w.s.PoolLow(p) || len(w.s.Pooled(p)) != 2 {
		t.Fatal("half of it is low")
	}
	w.refuse(w.openPool("n1", "web", 3).Encode(), ledger.ErrPoolFull)
	w.take(w.order("c"))
	again := w.fill("web", "n3")
	if p := w.s.Pool("web"); again.Board.Session().N != 3 || len(w.s.Pooled(p)) != 4 {
		t.Fatalf("%d were born, %d wait", again.Board.Session().N, len(w.s.Pooled(p)))
	}
	// Who was silent has no share, and is named, as at a birth.
	var struck bool
	for _, n := range []string{"d", "e", "f", "g"} {
		k := w.s.OrderByHash(w.take(w.order(n)).ID()).Key
		struck = struck || slices.Equal(w.s.Key(k).Struck, []string{"n3"})
	}
	if !struck || w.s.MayRepair("n3") != nil {
		t.Error("nobody knows that n3 was silent")
	}
	decodedAnywhere(t, w, 1)
}

// R43: a run bears no more keys than one of a refresh gives new shares, and one run goes
// on at a time. What was low is filled until it is full.
func TestAPoolIsFilledInSmallPieces(t *testing.T) {
	w := pooling(t, ledger.MaxRenewed+2)
	other := poolOf(2)
	other.Name = "other"
	w.accept(w.sign(w.poolChange(other), 0, 1))
	first := w.beginPool("web")
	w.refuse(w.openPool("n1", "other", 1).Encode(), ledger.ErrOutOfTurn)
	if n := first.Board.Session().N; n != ledger.MaxRenewed {
		t.Fatalf("a run of %d keys", n)
	}
	w.run(first.ID, dkg.PhaseConfirm)
	w.postAll(first.ID)
	w.accept(w.say("n1", authority.KindActivate, authority.Activate{Session: first.ID}))
	if p := w.s.Pool("web"); !w.s.PoolLow(p) || !p.Filling || p.Opened != first.Opened {
		t.Fatal("it stays as it is, with more than half of its keys")
	}
	w.take(w.order("a"))
	w.fill("other")
	if n := w.fill("web").Board.Session().N; n != 3 { // one was taken meanwhile
		t.Errorf("the next run is of %d keys", n)
	}
	if p := w.s.Pool("web"); w.s.PoolLow(p) || p.Filling || len(w.s.Pooled(p)) != ledger.MaxRenewed+2 {
		t.Errorf("%d wait", len(w.s.Pooled(p)))
	}
	w.refuse(w.openPool("n1", "web", 3).Encode(), ledger.ErrPoolFull)

	// One whose time is over makes place for any.
	stuck, n := poolOf(2), w.fork()
	stuck.Name = "stuck"
	n.accept(n.sign(n.poolChange(stuck), 0, 1))
	held := n.beginPool("stuck")
	third := stuck
	third.Name = "third"
	n.accept(n.sign(n.poolChange(third), 0, 1))
	n.refuse(n.openPool("n1", "third", 1).Encode(), ledger.ErrOutOfTurn)
	n.clock(1, created+601_000)
	n.fill("third")
	if p := n.s.Pool("stuck"); n.s.Runs(n.s.Session(held.ID)) || !p.Live.IsZero() || !n.s.PoolLow(p) {
		t.Error("a run whose time is over goes on")
	}
	decodedAnywhere(t, n, 1)
}

// Keys that nobody takes do not wait for ever, and what is ended takes them along: no
// order finds them, and no run brings them back.
func TestKeysThatWaitGo(t *testing.T) {
	full := func() (*world, api.KeyID) {
		w := pooling(t, 2)
		w.fill("web")
		return w, w.s.Pooled(w.s.Pool("web"))[0].ID
	}
	gone := func(w *world, id api.KeyID, sentence string) {
		t.Helper()
		if w.s.PooledKey(id) != nil {
			t.Errorf("%s: it waits", sentence)
		}
		w.take(w.order("payroll"))
		if w.s.KeyNamed("payroll") != nil {
			t.Errorf("%s: it was taken", sentence)
		}
		decodedAnywhere(t, w, 1)
	}
	w, id := full()
	w.clock(1, created+2*authority.MinPoolLife*1000)
	if w.s.PooledKey(id) == nil {
		t.Fatal("it goes before its time")
	}
	w.clock(2, created+2*authority.MinPoolLife*1000+1)
	gone(w, id, "its life is over")
	w.fill("web")
	if len(w.s.Pooled(w.s.Pool("web"))) != 2 {
		t.Error("others are not born in its place")
	}

	w, id = full()
	w.accept(w.sign(w.poolChange(authority.Pool{Name: "web"}), 0, 1))
	gone(w, id, "the pool is ended")

	w, id = full()
	w.accept(w.sign(w.poolChange(poolOf(2)), 0, 1))
	gone(w, id, "another pool of its name is put")

	w, id = full()
	w.accept(w.sign(w.changeOf(authority.KindRefresh, authority.Renewal{PhaseSeconds: 30}), 0, 1))
	gone(w, id, "all keys get new shares")

	// So does what is being born meanwhile: its shares are of before, too.
	w = pooling(t, 2)
	ses := w.beginPool("web")
	w.run(ses.ID, dkg.PhaseConfirm)
	w.accept(w.sign(w.changeOf(authority.KindRefresh, authority.Renewal{PhaseSeconds: 30}), 0, 1))
	if p := w.s.Pool("web"); w.s.Runs(w.s.Session(ses.ID)) || !p.Live.IsZero() || w.s.Running() {
		t.Error("all keys get new shares: a run goes on with older ones")
	}
	w.refuse(w.say("n1", authority.KindActivate, authority.Activate{Session: ses.ID}).Encode(), ledger.ErrNoSession)
	if next := w.fill("web"); next.Attempt != 2 {
		t.Error("nothing is born in its place")
	}

	w, _ = full()
	w.take(w.order("first"))
	id = w.s.Pooled(w.s.Pool("web"))[0].ID
	w.accept(w.sign(w.changeOf(authority.KindRefresh, authority.Renewal{PhaseSeconds: 30, Keys: []api.KeyID{w.s.KeyNamed("first").ID}}), 0, 1))
	if w.s.PooledKey(id) == nil {
		t.Error("it goes when another key gets new shares")
	}
}

// A run of a pool ends with it, in any phase: what it would bear is of no order.
func TestARunOfAPoolEndsWithIt(t *testing.T) {
	for _, phase := range []dkg.Phase{dkg.PhaseJoin, dkg.PhaseDeal, dkg.PhaseConfirm} {
		w := pooling(t, 2)
		ses := w.beginPool("web")
		w.run(ses.ID, phase)
		w.accept(w.sign(w.poolChange(authority.Pool{Name: "web"}), 0, 1))
		if _, abandoned := w.s.Session(ses.ID).Board.Abandoned(); !abandoned || w.s.Running() || w.s.Runs(w.s.Session(ses.ID)) {
			t.Errorf("in the %v phase it goes on", phase)
		}
		w.refuse(w.say("n1", authority.KindActivate, authority.Activate{Session: ses.ID}).Encode(), ledger.ErrNoSession)
		decodedAnywhere(t, w, 1)
	}
	// t holders who give one up leave the pool as it was.
	w := pooling(t, 2)
	ses := w.beginPool("web")
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.say(n, authority.KindAbandon, authority.Abandon{Session: ses.ID}))
	}
	if p := w.s.Pool("web"); !p.Live.IsZero() || p.Attempt != 1 || len(w.s.Pooled(p)) != 0 {
		t.Errorf("%+v", p)
	}
	if next := w.fill("web"); next.Attempt != 2 || next.ID == ses.ID {
		t.Error("no other run is opened")
	}
}

// Who leaves the roster takes the pools along that it holds shares of: its shares of them
// would be of keys that are still to be given out.
func TestAPoolGoesWithItsHolder(t *testing.T) {
	w := newWorldOf(t, 6, 5, 3)
	w.birth(w.rootOrder())
	w.accept(w.sign(w.poolChange(poolOf(2)), 0, 1))
	w.fill("web")
	other := poolOf(2)
	other.Name, other.Holders = "other", []string{"n2", "n3", "n4", "n6"}
	w.accept(w.sign(w.poolChange(other), 0, 1))
	live := w.beginPool("other")
	w.accept(w.sign(w.removing("n1"), 0, 1))
	if w.s.Pool("web") != nil || w.s.Pool("other") == nil || len(w.s.Pools()) != 1 || !w.s.Runs(live) {
		t.Errorf("pools: %+v", w.s.Pools())
	}
	w.refuse(w.sign(w.poolChange(poolOf(2)), 0, 1).Encode(), ledger.ErrNoNode)
	decodedAnywhere(t, w, 1)
}

// A record says by which custodians its pool was ordered, though others order its key.
func TestAPoolOutlivesItsCustodians(t *testing.T) {
	w := pooling(t, 1)
	w.fill("web")
	w.accept(w.sign(w.replacing(w.custodyOf(2, 1, 2)), 0, 1))
	c := w.orderChange(w.order("payroll"))
	w.refuse(w.sign(c, 0, 1).Encode(), authority.ErrNotCustodian)
	w.accept(w.sign(c, 1, 2))
	k := w.s.KeyNamed("payroll")
	if k == nil {
		t.Fatal("it was not taken")
	}
	signed := w.believed(k.ID)
	later := *signed
	later.Pooled = 1
	if _, err := later.Verify(w.genesis); !errors.Is(err, authority.ErrRecord) {
		t.Errorf("a pool that was not ordered by the custodians of its time is believed: %v", err)
	}
}

// A key from a pool is escrowed and destroyed as any other; one that waits in it is not.
func TestAKeyFromAPoolEndsAsAnyOther(t *testing.T) {
	w := pooling(t, 2)
	w.fill("web")
	w.take(w.order("payroll"))
	k := w.s.KeyNamed("payroll")
	w.believed(k.ID)
	if live := w.s.LiveEpochs(); len(live) != 1 || live[0].Key != k.ID {
		t.Fatalf("%v", live)
	}
	w.accept(w.escrow(k.ID, 2, 0, 1))
	early := w.s.SignedRecord(k, &k.Epoch)
	early.Record = w.s.Pooled(w.s.Pool("web"))[0].Record
	w.refuse(w.sign(w.changeOf(authority.KindEscrow, authority.Escrow{Record: early.Encode(), Open: 2}), 0, 1).Encode(), ledger.ErrNoKey)
	w.accept(w.destroy(k.ID, 0, 0, 1, 2))
	w.accept(w.beginEnd(k.ID))
	e := w.s.Erased(authority.LiveEpoch{Key: k.ID, Version: 1, Epoch: 1})
	if e == nil || len(w.s.LiveEpochs()) != 0 || len(e.Awaiting()) != 5 || w.s.LastEnded() != w.index {
		t.Errorf("%+v", e)
	}
	if len(w.s.Pooled(w.s.Pool("web"))) != 1 {
		t.Error("another key that waits went with it")
	}
}
