package auditor

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// A key from a pool could be opened from when its own order was taken, and not from when
// it was born without a name.
func TestAKeyFromAPoolCouldBeOpenedFromItsOrderOn(t *testing.T) {
	w := newWorld(t)
	g := &w.genesis.Genesis
	w.put(authority.KindCA, w.ca("trial"), api.Digest{})
	w.put(authority.KindPolicy, document(`@id("all") permit (principal == Warifu::Principal::"spiffe://trial/alice", action, resource);`), api.Digest{})
	p := authority.Pool{Name: "web", Size: 2, T: 3, F: 1, Holders: w.ids(), PhaseSeconds: 60, LifeSeconds: authority.MaxPoolLife}
	pool := w.sign(authority.KindPool, wire.Encode(p), api.Digest{})
	w.take(pool)
	link := api.Digest{7}
	session := authority.SessionID(g.Cluster, 1, pool.ID(), 1, link)
	activate := func(session api.Digest) {
		t.Helper()
		e, err := authority.SignStatement(rand.Reader, signerOf(t, w.keys["n1"]), g.Cluster, "n1", authority.KindActivate, authority.Activate{Session: session})
		if err != nil {
			t.Fatal(err)
		}
		w.take(e)
		w.tick(time.Minute)
	}
	unborn := w.clock
	w.tick(time.Minute)
	activate(session)
	waits := w.clock
	w.tick(time.Minute)
	o := authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeUnwrap, Name: "payroll", T: 3, F: 1, Holders: w.ids(), PhaseSeconds: 60}
	order := w.sign(authority.KindKey, wire.Encode(o), api.Digest{})
	w.take(order)
	w.tick(time.Minute)
	taken := w.clock
	r := &authority.SignedRecord{Record: authority.KeyRecord{
		Cluster: g.Cluster, Key: authority.PooledKeyID(session, 2), Version: 1, Epoch: 1, Order: order.Encode(), Attempt: 1, LinkBefore: link,
		RosterVersion: 1, BornRoster: 1, RecordVersion: 1, YI: make([][]byte, 5), Pool: &authority.FromPool{Order: pool.Encode(), Place: 2},
	}}
	for _, id := range w.ids() {
		sig, err := authority.SignRecord(rand.Reader, signerOf(t, w.keys[id]), &r.Record)
		if err != nil {
			t.Fatal(err)
		}
		r.Signatures = append(r.Signatures, sig)
	}
	f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0, r)
	if s := sound(mustVerify(t, f, Given{})); s != "" {
		t.Fatal(s)
	}
	for at, want := range map[int64]string{unborn: "no key of this name was ordered", waits: "no key of this name was ordered", taken: "alice yes"} {
		could, _, err := f.WhoCould(Given{}, "payroll", at)
		if err != nil || !strings.Contains(says(could), want) || strings.Contains(says(could), "not born") {
			t.Errorf("at %d: %s, %v", at-unborn, says(could), err)
		}
	}

	// Of a run that nobody recorded as over, the key was not born.
	other := newWorld(t)
	other.put(authority.KindCA, other.ca("trial"), api.Digest{})
	key := other.key("payroll")
	in := &InForce{Born: map[api.KeyID]*Entry{{1}: {Session: session}}, Pools: map[string]*Entry{"web": {}}}
	if !in.born(authority.PooledKeyID(session, 1)) || in.born(key.Record.Key) || in.born(authority.PooledKeyID(session, authority.MaxPoolSize+1)) {
		t.Error("who was born there is not who is said to be")
	}
	in.Pools = nil
	if in.born(authority.PooledKeyID(session, 1)) {
		t.Error("a key of a pool was born without one")
	}

	// A pool that is put in the place of another one names it.
	next := p
	next.Size = 1
	w.put(authority.KindPool, next, pool.ID())
	w.put(authority.KindPool, authority.Pool{Name: "web"}, pool.ID()) // and this one names the one before
	w.tick(time.Minute)
	f, _ = w.export(filepath.Join(t.TempDir(), "export"), 0, r)
	could, _, err := f.WhoCould(Given{}, "payroll", w.clock)
	if err != nil || !strings.Contains(strings.Join(could.NotKnown, ";"), "an entry between them is missing") {
		t.Errorf("%v, %v", could.NotKnown, err)
	}
}
