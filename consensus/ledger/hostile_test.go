package ledger_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/dkg"
)

// hostile is an entry that a bad leader may append, and the reason for which
// every node takes it for nothing.
type hostile struct {
	name  string
	entry []byte
	want  []error
}

// hostiles is a list over a state in which a policy is in force, the root key is
// born, payroll is ordered and its session is in the commit phase, ledger time
// is genesis plus 500 and taken is the policy's entry.
func (w *world) hostiles() []hostile {
	w.Helper()
	var list []hostile
	add := func(name string, e *authority.Entry, want ...error) {
		list = append(list, hostile{name, e.Encode(), want})
	}
	raw := func(name string, b []byte, want ...error) { list = append(list, hostile{name, b, want}) }
	frame := func(e *authority.Entry, alter func(*authority.Entry)) *authority.Entry {
		f := *e
		f.Signatures = append([]authority.Signature(nil), e.Signatures...)
		alter(&f)
		return &f
	}
	good := w.sign(w.change(), 0, 1)

	// Bytes.
	raw("nothing at all", nil, authority.ErrEntry)
	raw("empty bytes", []byte{}, authority.ErrEntry)
	raw("garbage", bytes.Repeat([]byte{0xff}, 1000), authority.ErrEntry)
	raw("the magic alone", []byte("WE1"), authority.ErrEntry)
	raw("truncated by a byte", good.Encode()[:len(good.Encode())-1], authority.ErrEntry)
	raw("a byte more", append(good.Encode(), 0), authority.ErrEntry)
	big := w.change()
	big.Body = make([]byte, authority.MaxEntrySize)
	add("more than 256 KiB, signed", w.sign(big, 0, 1), authority.ErrEntry)
	raw("an empty body", binary.BigEndian.AppendUint32([]byte("WE1\x00\x06policy\x00"), 0), authority.ErrChange)

	// Custodians.
	add("unsigned", w.sign(w.change()), authority.ErrTooFewSignatures)
	add("under-signed", w.sign(w.change(), 0), authority.ErrTooFewSignatures)
	add("one custodian counted twice", frame(good, func(e *authority.Entry) { e.Signatures[1] = e.Signatures[0] }), authority.ErrSignature)
	add("enough custodians, one of them twice", frame(good, func(e *authority.Entry) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), authority.ErrSignature)
	stranger := newSigner(w)
	strange := w.sign(w.change(), 0)
	if err := authority.SignChange(rand.Reader, strange, stranger); err != nil {
		w.Fatal(err)
	}
	add("a stranger among the custodians", strange, authority.ErrSignature)
	nodeSigned := w.sign(w.change(), 0)
	if err := authority.SignChange(rand.Reader, nodeSigned, w.nodes["n1"]); err != nil {
		w.Fatal(err)
	}
	add("a node among the custodians", nodeSigned, authority.ErrSignature)
	add("a stranger in a custodian's name", frame(strange, func(e *authority.Entry) {
		for i := range e.Signatures {
			e.Signatures[i].Signer = authority.FingerprintOf(w.custodians[i].PublicKey())
		}
	}), authority.ErrSignature)
	other := w.change()
	other.Cluster = api.ClusterID{9}
	add("for another cluster", w.sign(other, 0, 1), authority.ErrChange)
	add("in a frame of another kind", frame(good, func(e *authority.Entry) { e.Kind = authority.KindCA }), authority.ErrChange)
	genesis := w.change()
	genesis.Kind = authority.KindGenesis
	unframed := &authority.Entry{Kind: authority.KindGenesis, Body: wire.Encode(genesis)}
	for _, i := range []int{0, 1} {
		sig, err := w.custodians[i].Sign(rand.Reader, tag.ChangeSignature, unframed.Body)
		if err != nil {
			w.Fatal(err)
		}
		unframed.Signatures = append(unframed.Signatures, sig)
	}
	add("a second genesis", unframed, authority.ErrChange)
	add("of a kind that does not exist", frame(good, func(e *authority.Entry) { e.Kind = "feast" }), authority.ErrChange)
	add("an altered body", frame(good, func(e *authority.Entry) {
		e.Body = bytes.Replace(e.Body, []byte("policy "), []byte("p0licy "), 1)
	}), authority.ErrSignature)
	add("a change in the name of a node", frame(good, func(e *authority.Entry) { e.Author = "n1" }), authority.ErrStatement)
	raw("the same change again", w.log[0], ledger.ErrTaken)
	resigned := frame(w.policyTaken(), func(*authority.Entry) {})
	if err := authority.SignChange(rand.Reader, resigned, w.custodians[2]); err != nil {
		w.Fatal(err)
	}
	add("the same change again, signed by more", resigned, ledger.ErrTaken)
	stale := w.change()
	stale.Base = api.Digest{}
	add("a stale base", w.sign(stale, 0, 1), ledger.ErrStaleBase)
	stale.Base = api.Digest{7}
	add("a base that never was", w.sign(stale, 0, 1), ledger.ErrStaleBase)
	expired := w.change()
	expired.NotAfter = created + 499
	add("expired by ledger time", w.sign(expired, 0, 1), ledger.ErrExpired)
	empty := w.change()
	empty.Body = nil
	add("an empty policy", w.sign(empty, 0, 1), authority.ErrChange)

	// Authorities for applications, and orders.
	ca := func(c authority.CA) *authority.Entry {
		change := w.change()
		change.Kind, change.Base, change.Body = authority.KindCA, api.Digest{}, wire.Encode(c)
		return w.sign(change, 0, 1)
	}
	add("an authority whose name is a path", ca(authority.CA{Name: "../policy", Certificate: []byte{1}}), authority.ErrChange, api.ErrName)
	add("an authority whose name has a zero byte", ca(authority.CA{Name: "a\x00b", Certificate: []byte{1}}), authority.ErrChange, api.ErrName)
	add("an authority without a certificate", ca(authority.CA{Name: "a"}), authority.ErrChange)
	add("an authority of 9 KiB", ca(authority.CA{Name: "a", Certificate: make([]byte, 9<<10)}), ledger.ErrTooLarge)
	ordered := func(alter func(*authority.Order)) *authority.Entry {
		o := w.order("ledger")
		alter(&o)
		return w.sign(w.orderChange(o), 0, 1)
	}
	add("an order of a name that is taken", ordered(func(o *authority.Order) { o.Name = "payroll" }), ledger.ErrNameTaken)
	add("an order whose name is a path", ordered(func(o *authority.Order) { o.Name = "a/b" }), authority.ErrOrder)
	add("an order for a second root key", ordered(func(o *authority.Order) { o.Purpose, o.Name = authority.PurposeRoot, "" }), authority.ErrOrder)
	add("an order for another cluster", ordered(func(o *authority.Order) { o.Cluster = api.ClusterID{9} }), authority.ErrOrder)
	add("an order below the cluster's threshold", ordered(func(o *authority.Order) { o.T = 2 }), authority.ErrOrder)
	add("an order with a stranger as a holder", ordered(func(o *authority.Order) { o.Holders[4] = "stranger" }), authority.ErrOrder)
	add("an order with one holder twice", ordered(func(o *authority.Order) { o.Holders[4] = "n1" }), authority.ErrOrder)
	based := w.orderChange(w.order("ledger"))
	based.Base = api.Digest{1}
	denial := func(alter func(*authority.Change)) *authority.Entry {
		c := w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice})
		alter(&c)
		return w.sign(c, 0, 1)
	}
	add("a revoke over a base", denial(func(c *authority.Change) { c.Base = api.Digest{1} }), authority.ErrRevoke)
	add("a revoke of nothing", denial(func(c *authority.Change) { c.Body = nil }), authority.ErrRevoke)
	add("a revoke that one custodian signed", w.sign(w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice}), 0), authority.ErrTooFewSignatures)
	add("a revoke signed by a node", w.say("n1", authority.KindRevoke, authority.Revoke{Subject: alice}), authority.ErrStatement)
	add("a lift of a policy", w.lift(w.policyTaken().ID()), ledger.ErrNoDenial)
	add("a lift of nothing", w.lift(api.Digest{}), authority.ErrRevoke)
	add("a seal of a node that is not there", w.seal(authority.Subject{Kind: authority.SubjectNode, Name: "stranger"}), authority.ErrRevoke)
	add("a seal of a principal", w.seal(alice), authority.ErrRevoke)
	add("an order over a base", w.sign(based, 0, 1), ledger.ErrStaleBase)

	// Nodes.
	anchor := authority.Anchor{Counter: 2, Time: created + 600}
	said := w.say("n1", authority.KindAnchor, anchor)
	add("a statement signed by another node", w.sayFor(w.genesis.Cluster, w.nodes["n2"], "n1", authority.KindAnchor, anchor), authority.ErrSignature)
	add("a statement signed by a custodian", w.sayFor(w.genesis.Cluster, w.custodians[0], "n1", authority.KindAnchor, anchor), authority.ErrSignature)
	add("a statement of a node that is not on the roster", w.sayFor(w.genesis.Cluster, stranger, "stranger", authority.KindAnchor, anchor), authority.ErrStatement)
	add("a statement for another cluster", w.sayFor(api.ClusterID{9}, w.nodes["n1"], "n1", authority.KindAnchor, anchor), authority.ErrStatement)
	add("a statement in another node's frame", frame(said, func(e *authority.Entry) { e.Author = "n2" }), authority.ErrStatement)
	add("a statement in the custodians' frame", frame(said, func(e *authority.Entry) { e.Author = "" }), authority.ErrChange)
	add("a statement in a frame of another kind", frame(said, func(e *authority.Entry) { e.Kind = authority.KindOpen }), authority.ErrStatement)
	add("a statement signed twice", frame(said, func(e *authority.Entry) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), authority.ErrSignature)
	add("a statement signed by nobody", frame(said, func(e *authority.Entry) { e.Signatures = nil }), authority.ErrSignature)
	add("a statement of a custodian's kind", w.say("n1", authority.KindPolicy, anchor), authority.ErrStatement)
	add("a statement of a kind that does not exist", w.say("n1", "feast", anchor), authority.ErrStatement)
	add("a statement with another kind's body", w.say("n1", authority.KindOpen, anchor), authority.ErrStatement, wire.ErrMalformed)
	add("an anchor of a counter that was there", w.anchor("n1", 1, created+700), ledger.ErrOutOfTurn)
	add("an anchor of counter 0", w.anchor("n1", 0, created+700), ledger.ErrOutOfTurn)
	add("an address of another node", w.say("n1", authority.KindAddress, w.claim("n1", "n2", 2)), authority.ErrStatement)
	add("an address that another node signed", w.say("n1", authority.KindAddress, w.claim("n2", "n1", 2)), authority.ErrSignature)
	add("an address as old as the one there", w.say("n1", authority.KindAddress, w.claim("n1", "n1", 1)), ledger.ErrOutOfTurn)
	long := w.claim("n1", "n1", 2)
	long.Client = string(bytes.Repeat([]byte{'a'}, 256))
	add("an address of 256 bytes", w.say("n1", authority.KindAddress, long), authority.ErrGenesis)

	// Ceremonies (R23).
	payroll := w.s.OrderNamed("payroll")
	root := w.s.RootKey()
	add("an open of no order", w.say("n1", authority.KindOpen, authority.Open{Order: api.Digest{9}, Attempt: 1}), ledger.ErrNoOrder)
	add("an open of a run that is live", w.say("n1", authority.KindOpen, authority.Open{Order: payroll.Hash, Attempt: 2}), ledger.ErrOutOfTurn)
	add("an open of a key that is born", w.say("n1", authority.KindOpen, authority.Open{Order: root.Order, Attempt: 2}), ledger.ErrOutOfTurn)
	add("an open by a node that is no holder", w.say("n5", authority.KindOpen, authority.Open{Order: payroll.Hash, Attempt: 2}), ledger.ErrNotHolder)
	post := func(node string, session api.Digest, kind uint32, body []byte) *authority.Entry {
		return w.say(node, authority.KindPost, authority.Post{Session: session, Kind: kind, Body: body})
	}
	live := payroll.Live
	commit := w.post(live, "n2")
	add("a post on no session", post("n1", api.Digest{9}, 1, nil), ledger.ErrNoSession)
	add("a post on a session that has ended", post("n1", root.Session, 5, nil), ledger.ErrNoSession)
	add("a post of a node that is no holder", post("n5", live, 2, nil), ledger.ErrNotHolder)
	add("a post of the phase before", post("n1", live, 1, nil), board.ErrPhase)
	add("a post of the phase after", post("n1", live, 3, nil), board.ErrPhase)
	add("a post of kind 0", post("n1", live, 0, nil), board.ErrKind)
	add("a post of a kind that wraps round to a commit", post("n1", live, 256+uint32(dkg.KindCommit), nil), board.ErrKind)
	add("a post of the largest kind", post("n1", live, 1<<32-1, nil), board.ErrKind)
	add("a post of nothing", post("n1", live, 2, nil), wire.ErrMalformed)
	add("a post of garbage", post("n1", live, 2, []byte{0xff}), wire.ErrMalformed)
	add("a post that is too large", post("n1", live, 2, make([]byte, dkg.MaxBody+1)), dkg.ErrTooLarge)
	add("a commit for another session", post("n1", live, 2, wire.Encode(dkg.Commit{Session: root.Session})), dkg.ErrSession)
	add("a commit over another list", post("n1", live, 2, wire.Encode(dkg.Commit{Session: live})), dkg.ErrPrevious)
	add("a holder's post in another's name", frame(commit, func(e *authority.Entry) { e.Author = "n3" }), authority.ErrStatement)
	raw("a post that is there", w.log[len(w.log)-1], board.ErrTwice)
	deadline := func(node string, session api.Digest, phase uint32) *authority.Entry {
		return w.say(node, authority.KindDeadline, authority.Deadline{Session: session, Phase: phase})
	}
	add("a deadline of another phase", deadline("n1", live, 1), board.ErrPhase)
	add("a deadline of a phase that wraps round", deadline("n1", live, 256+uint32(dkg.PhaseCommit)), board.ErrPhase)
	add("a deadline by a node that is no holder", deadline("n5", live, 2), ledger.ErrNotHolder)
	add("a deadline of no session", deadline("n1", api.Digest{}, 2), ledger.ErrNoSession)
	activate := func(node string, session api.Digest) *authority.Entry {
		return w.say(node, authority.KindActivate, authority.Activate{Session: session})
	}
	add("an activation before all have confirmed", activate("n1", live), board.ErrPhase)
	add("an activation of a key that is born", activate("n1", root.Session), ledger.ErrNoSession)
	add("an activation by a node that is no holder", activate("n5", live), ledger.ErrNotHolder)
	record := w.recordSignature("n2", root)
	add("a record signature of no key", w.say("n2", authority.KindRecord, signedBy(authority.RecordSignature{Key: api.KeyID{9}, Version: 1, Epoch: 1})), ledger.ErrNoKey)
	later := record
	later.Epoch = 2
	add("a record signature of another epoch", w.say("n2", authority.KindRecord, signedBy(later)), ledger.ErrNoKey)
	add("a record signature of a holder in another's name", w.say("n3", authority.KindRecord, signedBy(record)), authority.ErrSignature)
	add("a record signature that is there", w.say("n1", authority.KindRecord, signedBy(w.recordSignature("n1", root))), ledger.ErrOutOfTurn)
	forged := *root
	forged.Record.Attempt++
	add("a signature of another record", w.say("n2", authority.KindRecord, signedBy(w.recordSignature("n2", &forged))), authority.ErrSignature)
	garbled := record
	garbled.Signature.ASN1 = make([]byte, 4096)
	add("a record signature of 4 KiB", w.say("n2", authority.KindRecord, signedBy(garbled)), authority.ErrSignature)
	return list
}

// policyTaken is the first entry of the log, which is a policy.
func (w *world) policyTaken() *authority.Entry {
	w.Helper()
	e, err := authority.ParseEntry(w.log[0])
	if err != nil {
		w.Fatal(err)
	}
	return e
}

// eventful brings the world to where [world.hostiles] begins.
func (w *world) eventful() *world {
	w.Helper()
	w.accept(w.sign(w.change(), 0, 1))
	for _, n := range []string{"n1", "n2", "n3"} {
		w.accept(w.anchor(n, 1, created+500))
	}
	root := w.birth(w.rootOrder())
	w.accept(w.say("n1", authority.KindRecord, signedBy(w.recordSignature("n1", root))))
	o := w.order("payroll")
	o.Holders = o.Holders[:4]
	e := w.sign(w.orderChange(o), 0, 1)
	w.accept(e)
	ses := w.open(e.ID())
	w.run(ses.ID, dkg.PhaseCommit)
	w.accept(w.post(ses.ID, "n4"))
	return w
}

// R23, R31: what the leader or a stranger appends, no node takes for more than bytes.
func TestHostileEntriesAreNoOpsWithAName(t *testing.T) {
	w := newWorld(t).eventful()
	for _, tt := range w.hostiles() {
		t.Run(tt.name, func(t *testing.T) {
			n := w.fork()
			n.TB = t
			r := n.refuse(tt.entry, tt.want...)
			if len(tt.want) > 0 && tt.want[0] == ledger.ErrTaken && r.Index != 1 {
				t.Errorf("it points to %d", r.Index)
			}
			n.accept(n.sign(n.change(), 0, 1)) // and the cluster goes on
		})
	}
}

// The same list one after another: what a state refuses, it refuses again, and
// in the end the good ceremony goes on where it was.
func TestACeremonyGoesOnAmongHostileEntries(t *testing.T) {
	w := newWorld(t).eventful()
	live := w.s.OrderNamed("payroll").Live
	list := w.hostiles()
	for range 2 {
		for _, tt := range list {
			w.refuse(tt.entry, tt.want...)
		}
	}
	w.run(live, dkg.PhaseConfirm)
	w.postAll(live)
	w.accept(w.say("n4", authority.KindActivate, authority.Activate{Session: live}))
	if w.s.KeyNamed("payroll") == nil {
		t.Error("payroll is not born")
	}
}

// An activation counts receipts: all, or R of them once three holders are late.
func TestActivateTooEarly(t *testing.T) {
	w := newWorld(t)
	ses := w.open(w.rootOrder())
	w.run(ses.ID, dkg.PhaseConfirm)
	early := w.say("n1", authority.KindActivate, authority.Activate{Session: ses.ID})
	for _, n := range []string{"n1", "n2", "n3", "n4"} {
		w.refuse(early.Encode(), board.ErrNotReady)
		w.accept(w.post(ses.ID, n))
	}
	w.refuse(early.Encode(), board.ErrNotReady)
	w.late(ses.ID, dkg.PhaseConfirm)
	w.accept(early)
	w.refuse(early.Encode(), ledger.ErrNoSession)
}

// R43: an entry has at most 256 KiB.
func TestTheLargestEntryIsTaken(t *testing.T) {
	w := newWorld(t)
	c := w.change()
	c.Body = make([]byte, 1<<17)
	over := len(w.sign(c, 0, 1).Encode()) - len(c.Body)
	for _, size := range []int{authority.MaxEntrySize - over - 8, authority.MaxEntrySize - over + 8} { // a signature has 70 to 72 bytes
		c.Body = make([]byte, size)
		if e := w.sign(c, 0, 1); size < authority.MaxEntrySize-over {
			w.accept(e)
		} else {
			w.refuse(e.Encode(), authority.ErrEntry)
		}
	}
}

// The state keeps nothing of the caller's bytes.
func TestAnEntryMayBeReusedByItsOwner(t *testing.T) {
	w := newWorld(t)
	e := w.sign(w.orderChange(w.order("payroll")), 0, 1)
	b := e.Encode()
	s, r := w.s.Apply(1, b)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	clear(b)
	if o := s.OrderNamed("payroll"); !bytes.Equal(o.Entry, e.Encode()) || o.Order.Name != "payroll" {
		t.Error("the order has changed with the bytes it came in")
	}
}
