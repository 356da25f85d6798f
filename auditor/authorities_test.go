package auditor

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// others are new custodians, and the change that puts them in the place of those in
// force.
func (w *world) others(base api.Digest) ([]*authority.Signer, *authority.Entry) {
	w.t.Helper()
	signers := []*authority.Signer{signerOf(w.t, newKey(w.t)), signerOf(w.t, newKey(w.t))}
	by := authority.Custody{Required: w.genesis.Required}
	for i, s := range signers {
		by.Custodians = append(by.Custodians, authority.Custodian{Name: fmt.Sprintf("new%d", i+1), Sign: s.PublicKey(), Open: "age1test"})
	}
	return signers, w.sign(authority.KindCustodians, wire.Encode(by), base)
}

// heldBy lets these logs alone hold an entry.
func (w *world) heldBy(e *authority.Entry, nodes ...string) api.Digest {
	w.t.Helper()
	w.index++
	w.record(w.taken(e), nodes...)
	return e.ID()
}

// damaged are the nodes whose logs a report calls damaged.
func damaged(r *Report) (nodes []string) {
	for _, n := range r.Damaged() {
		nodes = append(nodes, n.Node)
	}
	return nodes
}

// Two of five lie, and leave out that the custodians were replaced; the log of an honest
// one is missing. What the others hold of the new ones is no lie.
func TestWhatFewLogsHoldIsNoLie(t *testing.T) {
	all, honest, missing := []string{"n1", "n2", "n3", "n4", "n5"}, []string{"n3", "n4", "n5"}, Given{Without: []string{"n5"}}
	verify := func(w *world, given Given) *Report {
		f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0)
		return mustVerify(t, f, given)
	}
	t.Run("they leave out all that the new ones sign", func(t *testing.T) {
		w := newWorld(t)
		next, e := w.others(api.Digest{})
		w.heldBy(e, honest...)
		w.custodians = next
		after, again := w.others(e.ID()) // and those are replaced too
		w.heldBy(again, honest...)
		w.custodians = after
		w.heldBy(w.sign(authority.KindPolicy, document(byDay), api.Digest{}), honest...)
		r := verify(w, missing)
		if bad := damaged(r); bad != nil {
			t.Errorf("damaged are %v: %v", bad, r.Damaged()[0].Damage)
		}
		if n := strings.Count(strings.Join(r.History.Doubts, "; "), "stands in too few logs to be sure"); n != 3 {
			t.Errorf("doubts: %q", r.History.Doubts)
		}
		// With the log that was missing nothing is in doubt.
		if r = verify(w, Given{}); damaged(r) != nil || len(r.History.Doubts) != 0 {
			t.Errorf("damaged are %v, %q", damaged(r), r.History.Doubts)
		}
	})
	t.Run("they leave out the replacement alone", func(t *testing.T) {
		w := newWorld(t)
		old := w.custodians
		next, e := w.others(api.Digest{})
		w.heldBy(e, honest...)
		w.custodians = next
		policy := w.heldBy(w.sign(authority.KindPolicy, document(byDay), api.Digest{}), all...)
		w.heldBy(w.sign(authority.KindCA, wire.Encode(w.ca("trial")), api.Digest{}), honest...)
		if r := verify(w, missing); damaged(r) != nil {
			t.Errorf("damaged are %v", damaged(r))
		}
		// By what the new ones have surely signed, the old ones hold nothing any more.
		w.custodians = old
		w.heldBy(w.sign(authority.KindPolicy, document(allOfClerks), policy), "n1")
		if bad := damaged(verify(w, missing)); !slices.Equal(bad, []string{"n1"}) {
			t.Errorf("damaged are %v", bad)
		}
	})
	t.Run("strangers are none of them", func(t *testing.T) {
		w := newWorld(t)
		_, e := w.others(api.Digest{})
		w.heldBy(e, honest...)
		w.custodians = []*authority.Signer{signerOf(t, newKey(t)), signerOf(t, newKey(t))}
		w.heldBy(w.sign(authority.KindPolicy, document(byDay), api.Digest{}), "n1")
		if bad := damaged(verify(w, missing)); !slices.Equal(bad, []string{"n1"}) {
			t.Errorf("damaged are %v", bad)
		}
	})
	t.Run("what replaces the same as one that is sure did not happen", func(t *testing.T) {
		w := newWorld(t)
		old := w.custodians
		made, forged := w.others(api.Digest{})
		next, e := w.others(api.Digest{})
		w.heldBy(forged, "n1")
		w.custodians = made
		w.heldBy(w.sign(authority.KindPolicy, document(allOfClerks), api.Digest{}), "n1")
		w.custodians = old
		w.heldBy(e, all...)
		w.custodians = next
		w.heldBy(w.sign(authority.KindPolicy, document(byDay), api.Digest{}), all...)
		if bad := damaged(verify(w, Given{})); !slices.Equal(bad, []string{"n1"}) {
			t.Errorf("damaged are %v", bad)
		}
	})
}

// A member says what it says from the change of the roster on that brought it.
func TestNewMembersAreFollowed(t *testing.T) {
	for _, row := range []struct {
		name  string
		added bool
	}{{"a member", true}, {"a stranger", false}} {
		w := newWorld(t)
		n6 := w.node("n6")
		s := signerOf(t, w.keys["n6"])
		if row.added {
			w.enroll(authority.KindNodeAdd, authority.Membership{Newcomer: &n6})
		}
		said, err := authority.SignStatement(rand.Reader, s, w.genesis.Cluster, "n6", authority.KindActivate, authority.Activate{Session: api.Digest{5}})
		if err != nil {
			t.Fatal(err)
		}
		w.take(said)
		f, _ := w.export(filepath.Join(t.TempDir(), "export"), 0)
		r := mustVerify(t, f, Given{})
		if good := sound(r) == ""; good != row.added {
			t.Errorf("%s: %q", row.name, sound(r))
		}
		if could, _, err := f.WhoCould(Given{}, "payroll", w.clock); err != nil || strings.Contains(strings.Join(could.NotKnown, "; "), "does not know what it does") {
			t.Errorf("%s: %q, %v", row.name, could.NotKnown, err)
		}
	}
}
