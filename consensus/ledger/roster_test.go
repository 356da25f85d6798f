package ledger_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// line makes the keys and the roster line of a node that is not there yet.
func (w *world) line(id string) authority.Node {
	w.Helper()
	if w.nodes[id] == nil {
		w.nodes[id] = newSigner(w)
	}
	return authority.Node{ID: id, Region: "jp-west", Key: w.nodes[id].PublicKey(), Claim: w.claim(id, id, 1)}
}

func (w *world) membership(kind string, m authority.Membership) authority.Change {
	c := w.changeOf(kind, m)
	c.Base = w.s.Roll().Change
	return c
}

func (w *world) adding(id string) authority.Change {
	n := w.line(id)
	return w.membership(authority.KindNodeAdd, authority.Membership{Newcomer: &n})
}

func (w *world) removing(id string) authority.Change {
	return w.membership(authority.KindNodeRemove, authority.Membership{Leaver: id})
}

func (w *world) replacingNode(newcomer, leaver string) authority.Change {
	n := w.line(newcomer)
	return w.membership(authority.KindNodeReplace, authority.Membership{Newcomer: &n, Leaver: leaver})
}

func (w *world) undoing(id string) authority.Change {
	return w.membership(authority.KindNodeRemove, authority.Membership{Leaver: id, Undo: true})
}

// arrive has these nodes anchor that Raft has come to the last step.
func (w *world) arrive(nodes ...string) {
	w.Helper()
	for _, n := range nodes {
		w.accept(w.anchorAt(n, w.s.Step()))
	}
}

func (w *world) anchorAt(node string, step uint64) *authority.Entry {
	counter := uint64(1)
	if a := w.s.Anchor(node); a != nil {
		counter = a.Anchor.Counter + 1
	}
	return w.say(node, authority.KindAnchor, authority.Anchor{Counter: counter, Time: created, Members: step})
}

// path says the configurations of Raft's that may be: + follows without a vote.
func (w *world) path() (out []string) {
	for _, c := range w.s.Path() {
		s := ""
		for _, m := range c {
			s += m.ID
			if !m.Votes {
				s += "+"
			}
			s += " "
		}
		out = append(out, s[:len(s)-1])
	}
	return out
}

func (w *world) pathIs(want ...string) {
	w.Helper()
	if got := w.path(); !slices.Equal(got, want) {
		w.Errorf("Raft may have %q, want %q", got, want)
	}
}

// R31: a newcomer is there by a signed change alone, follows without a vote until it
// has posted an anchor, and the next change waits until t nodes have anchored the vote.
func TestANodeIsAdded(t *testing.T) {
	w := newWorld(t)
	w.pathIs("n1 n2 n3 n4 n5")
	c := w.adding("n6")
	w.refuse(w.anchorAt("n6", 0).Encode(), authority.ErrStatement)
	w.refuse(w.sign(c, 0).Encode(), authority.ErrTooFewSignatures)
	w.accept(w.sign(c, 0, 1))
	if w.s.RosterVersion() != 2 || len(w.s.Roster()) != 6 || w.s.NodeByID("n6") == nil || w.s.Claim("n6") == nil || w.s.Settled() {
		t.Fatalf("the roster is %+v, settled %v", w.s.Roster(), w.s.Settled())
	}
	w.pathIs("n1 n2 n3 n4 n5", "n1 n2 n3 n4 n5 n6+")
	w.refuse(w.sign(w.adding("n7"), 0, 1).Encode(), ledger.ErrUnfinished)
	w.accept(w.anchorAt("n6", 0))
	w.pathIs("n1 n2 n3 n4 n5", "n1 n2 n3 n4 n5 n6+", "n1 n2 n3 n4 n5 n6")
	w.arrive("n6", "n1")
	w.refuse(w.sign(w.adding("n7"), 0, 1).Encode(), ledger.ErrUnfinished)
	w.arrive("n2")
	w.pathIs("n1 n2 n3 n4 n5 n6")
	w.refuse(w.sign(w.undoing("n6"), 0, 1).Encode(), ledger.ErrFinished)
	w.accept(w.sign(w.adding("n7"), 0, 1))
	decodedAnywhere(t, w, 3)
}

func TestRostersThatCouldNotBe(t *testing.T) {
	w := newWorldOf(t, 5, 4, 3)
	again := func(id, key string) authority.Change {
		n := w.line("n6")
		n.ID, n.Key = id, w.nodes[key].PublicKey()
		n.Claim = w.claim(key, id, 1)
		return w.membership(authority.KindNodeAdd, authority.Membership{Newcomer: &n})
	}
	custodian := w.line("n6")
	custodian.Key = w.custodians[0].PublicKey()
	claim, err := authority.SignClaim(rand.Reader, w.custodians[0], authority.AddressClaim{Node: "n6", Counter: 1, Client: "a:1", Peer: "a:2"})
	if err != nil {
		t.Fatal(err)
	}
	custodian.Claim = claim
	forged := w.line("n6")
	forged.Claim.Peer = "b.example:1"
	for sentence, c := range map[string]authority.Change{
		"one who is there":                  again("n1", "n6"),
		"a key that is there":               again("n6", "n1"),
		"a custodian's key":                 w.membership(authority.KindNodeAdd, authority.Membership{Newcomer: &custodian}),
		"an address of another's":           w.membership(authority.KindNodeAdd, authority.Membership{Newcomer: &forged}),
		"nobody":                            w.membership(authority.KindNodeAdd, authority.Membership{}),
		"nobody leaves":                     w.membership(authority.KindNodeRemove, authority.Membership{}),
		"a stranger leaves":                 w.removing("n9"),
		"an added one is undone":            w.membership(authority.KindNodeAdd, authority.Membership{Newcomer: &custodian, Undo: true}),
		"one leaves in the place of itself": w.replacingNode("n6", "n6"),
	} {
		w.TB = under(t, sentence)
		w.refuse(w.sign(c, 0, 1).Encode(), authority.ErrMembership)
		w.TB = t
	}
	stale := w.adding("n6")
	stale.Base = api.Digest{1}
	w.refuse(w.sign(stale, 0, 1).Encode(), ledger.ErrStaleBase)
	// Three must sign for this cluster's history: three stay.
	for _, n := range []string{"n5", "n4"} {
		w.accept(w.sign(w.removing(n), 0, 1))
		w.arrive("n1", "n2", "n3")
	}
	w.refuse(w.sign(w.removing("n3"), 0, 1).Encode(), authority.ErrMembership)
	// Who was on the roster never comes back.
	w.refuse(w.sign(w.adding("n5"), 0, 1).Encode(), authority.ErrMembership)
	if got := fmt.Sprint(len(w.s.Roster()), w.s.RosterVersion(), len(w.s.Roll().Former)); got != "3 3 2" {
		t.Error(got)
	}
	decodedAnywhere(t, w, 2)
}

// A node without shares leaves at once: what it says from then on is no node's word, and
// what the ledger had of it is gone.
func TestANodeWithoutSharesIsRemoved(t *testing.T) {
	w := newWorldOf(t, 5, 4, 3)
	w.birth(w.rootOrder())
	w.accept(w.anchorAt("n5", 0))
	w.accept(w.sign(w.removing("n5"), 0, 1))
	if w.s.NodeByID("n5") != nil || w.s.Anchor("n5") != nil || w.s.Claim("n5") != nil || w.s.Step() != 2 {
		t.Fatal("it is still there")
	}
	w.refuse(w.anchorAt("n5", 0).Encode(), authority.ErrStatement)
	w.pathIs("n1 n2 n3 n4 n5", "n1 n2 n3 n4")
	w.arrive("n1", "n2", "n3")
	w.pathIs("n1 n2 n3 n4")
	// Who follows the chain of changes alone takes it for gone with the next one.
	w.accept(w.sign(w.adding("n6"), 0, 1))
	chain, err := authority.Follow(w.genesis, w.s.Succession(w.s.Changes()))
	if err != nil || chain.Genesis.NodeByID("n5") != nil || chain.Genesis.NodeByID("n6") == nil || chain.Roll.Version != 3 {
		t.Fatalf("followed: %+v, %v", chain, err)
	}
	decodedAnywhere(t, w, 3)
}

// A node that holds shares of a key that releases stays until there is none, and nobody
// leaves without whom a key would be lost.
func TestWhoHoldsSharesStays(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	c := w.orderChange(w.order("payroll"))
	w.accept(w.sign(c, 0, 1))
	k := w.birth(authority.NewChange(c).ID())
	w.accept(w.sign(w.replacingNode("n6", "n5"), 0, 1))
	w.arrive("n6", "n1", "n2")
	w.refuse(w.sign(w.orderChange(w.order("photos")), 0, 1).Encode(), ledger.ErrNoNode)
	w.refuse(w.sign(w.adding("n7"), 0, 1).Encode(), ledger.ErrUnfinished)
	w.pathIs("n1 n2 n3 n4 n5 n6")
	if got := fmt.Sprint(w.s.Holding("n5")); got != "[payroll the root key]" || w.s.NodeByID("n5") == nil {
		t.Fatal(got)
	}
	w.accept(w.say("n5", authority.KindRecord, signedBy(w.recordSignature("n5", k))))
	decodedAnywhere(t, w, 2)

	tight := newWorldOf(t, 6, 5, 3)
	tight.birth(tight.rootOrder())
	o := tight.order("payroll")
	o.Holders, o.F = o.Holders[:3], 0
	c = tight.orderChange(o)
	tight.accept(tight.sign(c, 0, 1))
	tight.birth(authority.NewChange(c).ID())
	tight.refuse(tight.sign(tight.removing("n3"), 0, 1).Encode(), ledger.ErrShares)
	tight.accept(tight.sign(tight.removing("n4"), 0, 1))
	if tight.s.NodeByID("n4") == nil || tight.s.Waiting() == "" {
		t.Error("it leaves with a share of the root key")
	}
}

// Shares of a key that is destroyed keep nobody once it is gone: they are never dealt anew.
func TestADestroyedKeyKeepsNobodyOnceItIsGone(t *testing.T) {
	w := newWorldOf(t, 6, 5, 3)
	w.birth(w.rootOrder())
	o := w.order("payroll")
	o.Holders = []string{"n6", "n1", "n2"} // n6 holds nothing else
	o.F = 0
	c := w.orderChange(o)
	w.accept(w.sign(c, 0, 1))
	id := w.birth(authority.NewChange(c).ID()).ID
	w.accept(w.destroy(id, authority.DestroyWait, 0, 1))
	w.refuse(w.sign(w.removing("n6"), 0, 1).Encode(), ledger.ErrShares)
	w.clock(1, w.s.Life(id).Destroy.After)
	w.accept(w.beginEnd(id))
	if got := fmt.Sprint(w.s.Holding("n6")); got != "[payroll]" {
		t.Errorf("before anybody has erased it holds %s", got)
	}
	w.accept(w.erased("n6", authority.LiveEpoch{Key: id, Version: 1, Epoch: 1})) // of 3-of-3 one is enough
	if got := w.s.Holding("n6"); len(got) != 0 {
		t.Errorf("it holds %v", got)
	}
	remove := w.removing("n6")
	remove.NotAfter = w.s.Time() + 1000
	w.accept(w.sign(remove, 0, 1))
	if w.s.NodeByID("n6") != nil {
		t.Error("it is still there")
	}
}

// Who was to leave, and holds shares, may be kept after all.
func TestALeaverIsKept(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	c := w.orderChange(w.order("payroll"))
	w.accept(w.sign(c, 0, 1))
	w.birth(authority.NewChange(c).ID())
	w.accept(w.sign(w.removing("n5"), 0, 1))
	w.arrive("n1", "n2", "n3")
	if w.s.NodeByID("n5") == nil || w.s.Waiting() != "n5 has shares of payroll, the root key" {
		t.Fatal(w.s.Waiting())
	}
	w.refuse(w.sign(w.undoing("n4"), 0, 1).Encode(), authority.ErrMembership)
	w.accept(w.sign(w.undoing("n5"), 0, 1))
	w.pathIs("n1 n2 n3 n4 n5")
	w.arrive("n1", "n2", "n3")
	if w.s.NodeByID("n5") == nil || w.s.Waiting() != "" || w.s.RosterVersion() != 3 {
		t.Error(w.s.Waiting())
	}
	decodedAnywhere(t, w, 2)
}

// A replacement whose newcomer never comes is taken back; who was to leave stays.
func TestAChangeThatIsNotFinishedIsTakenBack(t *testing.T) {
	w := newWorldOf(t, 5, 4, 3)
	w.accept(w.sign(w.replacingNode("n6", "n5"), 0, 1))
	c := w.undoing("n5")
	w.refuse(w.sign(c, 0, 1).Encode(), authority.ErrMembership)
	w.accept(w.sign(w.undoing("n6"), 0, 1))
	if w.s.NodeByID("n6") != nil || w.s.NodeByID("n5") == nil || w.s.Roll().Leaver != "" {
		t.Fatal("not taken back")
	}
	w.pathIs("n1 n2 n3 n4 n5 n6", "n1 n2 n3 n4 n5 n6+", "n1 n2 n3 n4 n5")
	w.arrive("n1", "n2", "n3")
	// With a newcomer that votes, and no share at the leaver, the leaver is gone.
	w.accept(w.sign(w.replacingNode("n7", "n5"), 0, 1))
	w.arrive("n7", "n1")
	if w.s.NodeByID("n5") == nil {
		t.Fatal("gone before the newcomer votes by t words")
	}
	w.arrive("n2")
	w.pathIs("n1 n2 n3 n4 n7 n5", "n1 n2 n3 n4 n7")
	if w.s.NodeByID("n5") != nil || w.s.Waiting() == "" {
		t.Error("still there")
	}
	w.arrive("n1", "n2", "n3")
	if !w.s.Settled() || w.s.Waiting() != "" {
		t.Error(w.s.Waiting())
	}
	// The custodians are replaced in between: the roster stays what it is.
	w.accept(w.sign(w.replacing(w.custodyOf(2, 0, 1, 2)), 0, 1))
	if w.s.NodeByID("n5") != nil || len(w.s.Roster()) != 5 {
		t.Error("a leaver is back")
	}
	decodedAnywhere(t, w, 3)
}

// A record is believed under the roster of its own version, by the chain that leads
// there.
func TestARecordNamesItsRoster(t *testing.T) {
	w := newWorldOf(t, 5, 5, 3)
	w.birth(w.rootOrder())
	w.accept(w.sign(w.adding("n6"), 0, 1))
	w.arrive("n6", "n1", "n2")
	o := w.order("payroll")
	o.Holders = []string{"n1", "n2", "n3", "n4", "n6"}
	c := w.orderChange(o)
	w.accept(w.sign(c, 0, 1))
	k := w.birth(authority.NewChange(c).ID())
	for _, n := range []string{"n1", "n6", "n3"} {
		w.accept(w.say(n, authority.KindRecord, signedBy(w.recordSignature(n, k))))
	}
	k = w.s.Key(k.ID)
	ordered := w.s.OrderByHash(k.Order).Custody
	r := authority.SignedRecord{Record: k.Record, Signatures: k.Signatures, Succession: w.s.SuccessionTo(ordered, k.Record.RosterVersion), Ordered: ordered}
	if _, err := r.Verify(w.genesis); err != nil {
		t.Error(err)
	}
	r.Succession = nil
	if _, err := r.Verify(w.genesis); err == nil {
		t.Error("believed without the chain")
	}
}

// R31: a change by which somebody has left is finished for whoever would take it back:
// what comes back would have no log, and Raft may have let it go already.
func TestWhoHasLeftIsNotBroughtBack(t *testing.T) {
	w := newWorldOf(t, 5, 4, 3) // and no key is born, so that nobody holds a share
	w.accept(w.sign(w.removing("n5"), 0, 1))
	w.refuse(w.sign(w.undoing("n5"), 0, 1).Encode(), ledger.ErrFinished)
	w.pathIs("n1 n2 n3 n4 n5", "n1 n2 n3 n4")
	w.arrive("n1", "n2", "n3")
	w.accept(w.sign(w.replacingNode("n6", "n4"), 0, 1))
	w.arrive("n6", "n1", "n2")
	w.pathIs("n1 n2 n3 n6 n4", "n1 n2 n3 n6")
	w.refuse(w.sign(w.undoing("n6"), 0, 1).Encode(), ledger.ErrFinished)
	if w.s.NodeByID("n4") != nil || w.s.NodeByID("n6") == nil {
		t.Error("the roster went back")
	}
	decodedAnywhere(t, w, 2)
}
