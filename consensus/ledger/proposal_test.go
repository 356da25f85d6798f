package ledger_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

func (w *world) propose(c authority.Change, by int, approves bool) *authority.Entry {
	w.Helper()
	e, err := authority.SignProposal(rand.Reader, authority.NewChange(c), w.custodians[by], approves)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *world) approve(c authority.Change, by int) *authority.Entry {
	w.Helper()
	return w.approveAs(c, w.custodians[by])
}

func (w *world) approveAs(c authority.Change, s *authority.Signer) *authority.Entry {
	w.Helper()
	e, err := authority.SignApproval(rand.Reader, authority.NewChange(c), s)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *world) cancel(c authority.Change, by int) *authority.Entry {
	w.Helper()
	return w.cancelAs(w.genesis.Cluster, c, w.custodians[by])
}

func (w *world) cancelAs(cluster api.ClusterID, c authority.Change, s *authority.Signer) *authority.Entry {
	w.Helper()
	e, err := authority.SignCancel(rand.Reader, cluster, authority.NewChange(c).ID(), s)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *world) proposalIs(c authority.Change, state string, approvals, cancels int) *ledger.Proposal {
	w.Helper()
	p := w.s.Proposal(authority.NewChange(c).ID())
	if p == nil || p.State != state || len(p.Approvals) != approvals || len(p.Cancels) != cancels || (p.Body != nil) != (state == ledger.ProposalOpen) {
		w.Fatalf("the proposal is %+v, expected %s with %d approvals and %d votes to cancel", p, state, approvals, cancels)
	}
	return p
}

// past moves ledger time.
func (w *world) past(ms int64) {
	w.Helper()
	for _, n := range []string{"n1", "n2", "n3"} {
		counter := uint64(1)
		if a := w.s.Anchor(n); a != nil {
			counter = a.Anchor.Counter + 1
		}
		w.accept(w.anchor(n, counter, created+ms))
	}
	if w.s.Time() != created+ms {
		w.Fatalf("ledger time is %d", w.s.Time())
	}
}

func TestAProposalThatHasItsCountIsASignedChange(t *testing.T) {
	w := newWorld(t)
	order, policy, revoke := w.orderChange(w.order("payroll")), w.change(), w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice})
	for _, c := range []authority.Change{order, policy, revoke} {
		whole := w.fork()
		whole.accept(w.sign(c, 0, 2))

		w.accept(w.propose(c, 0, true))
		w.proposalIs(c, ledger.ProposalOpen, 1, 0)
		r := w.accept(w.approve(c, 2))
		w.proposalIs(c, ledger.ProposalPassed, 2, 0)
		e, err := authority.ParseEntry(r.Passed)
		if err != nil || e.ID() != authority.NewChange(c).ID() {
			t.Fatalf("%s: what passed is %v, %v", c.Kind, e, err)
		}
		if _, err := authority.VerifyChange(&w.genesis.Genesis, e); err != nil {
			t.Errorf("%s: what passed is no signed change: %v", c.Kind, err)
		}
		if taken := w.s.Taken(e.ID()); taken == nil || taken.Index != w.index || taken.Kind != c.Kind || taken.NotAfter != c.NotAfter {
			t.Errorf("%s: it is remembered as %+v", c.Kind, taken)
		}
		w.refuse(w.sign(c, 0, 1).Encode(), ledger.ErrTaken)
		switch c.Kind {
		case authority.KindPolicy:
			if got, want := w.s.Policy(), whole.s.Policy(); got.Digest != want.Digest || got.Change != want.Change {
				t.Errorf("in force is %+v, handed in whole it is %+v", got, want)
			}
		case authority.KindKey:
			o := w.s.OrderNamed("payroll")
			if o == nil || !bytes.Equal(o.Entry, r.Passed) || o.Hash != e.ID() {
				t.Errorf("the order is %+v", o)
			}
		case authority.KindRevoke:
			w.denied(true, alice)
		}
	}
	w.birth(w.rootOrder())
	w.birth(authority.NewChange(order).ID())

	// Of a kind that takes one signature, the proposer's is enough; one who does not
	// approve at once has not signed.
	seal := w.changeOf(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectCluster}})
	w.accept(w.propose(seal, 1, false))
	w.proposalIs(seal, ledger.ProposalOpen, 0, 0)
	w.accept(w.approve(seal, 1))
	w.proposalIs(seal, ledger.ProposalPassed, 1, 0)
	again := w.changeOf(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectNode, Name: "n1"}})
	if r := w.accept(w.propose(again, 1, true)); r.Passed == nil {
		t.Error("it did not pass")
	}
	decodedAnywhere(t, w, 2)
}

// R23: start, contribute and cancel are signed; what a stranger, another cluster's
// custodian or a replay says is refused by name.
func TestProposalsAndVotesAreRefusedByName(t *testing.T) {
	w := newWorld(t)
	open, cancelled, passed := w.change(), w.change(), w.orderChange(w.order("payroll"))
	for _, c := range []authority.Change{open, cancelled, passed} {
		w.accept(w.propose(c, 0, false))
	}
	w.accept(w.cancel(cancelled, 0))
	w.accept(w.cancel(cancelled, 1))
	w.accept(w.approve(passed, 1))
	w.accept(w.approve(passed, 2))
	w.accept(w.approve(open, 0))
	expired := w.orderChange(w.order("late"))
	expired.NotAfter = created + 100
	w.accept(w.propose(expired, 1, true))
	never := w.orderChange(w.order("never"))
	w.past(500)

	stranger := newSigner(t)
	foreign := open
	foreign.Cluster = api.ClusterID{9}
	resigned := func(e *authority.Entry, alter func(*authority.Entry)) *authority.Entry {
		f := *e
		f.Signatures = append([]authority.Signature(nil), e.Signatures...)
		alter(&f)
		return &f
	}
	byStranger, err := authority.SignProposal(rand.Reader, authority.NewChange(never), stranger, true)
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() authority.Change { return w.change() }
	stale := fresh()
	stale.Base = api.Digest{7}
	far := fresh()
	far.NotAfter = w.s.Time() + ledger.MaxProposalLife + 1
	over := fresh()
	over.NotAfter = created + 499
	big := fresh()
	big.Body = make([]byte, authority.MaxEntrySize-2000)
	named := w.orderChange(w.order("payroll"))
	for _, tt := range []struct {
		sentence string
		entry    *authority.Entry
		want     []error
	}{
		{"a stranger proposes", byStranger, []error{authority.ErrSignature}},
		{"a stranger proposes in a custodian's name", resigned(w.propose(never, 0, false), func(e *authority.Entry) {
			e.Signatures[0].ASN1 = byStranger.Signatures[0].ASN1
		}), []error{authority.ErrSignature}},
		{"a proposal that nobody signed", resigned(w.propose(never, 0, false), func(e *authority.Entry) { e.Signatures = nil }), []error{authority.ErrSignature}},
		{"a proposal with a stranger's approval", resigned(w.propose(never, 0, true), func(e *authority.Entry) {
			e.Signatures[1] = byStranger.Signatures[1]
		}), []error{authority.ErrSignature}},
		{"a proposal with the approval of another custodian", resigned(w.propose(never, 0, true), func(e *authority.Entry) {
			e.Signatures[1] = w.propose(never, 1, true).Signatures[1]
		}), []error{authority.ErrSignature}},
		{"a proposal with three signatures", resigned(w.propose(never, 0, true), func(e *authority.Entry) {
			e.Signatures = append(e.Signatures, e.Signatures[1])
		}), []error{authority.ErrSignature}},
		{"a proposal for another cluster", w.propose(foreign, 0, true), []error{authority.ErrProposal}},
		{"a proposal in the frame of a vote", resigned(w.propose(never, 0, false), func(e *authority.Entry) { e.Kind = authority.KindApprove }), []error{authority.ErrProposal}},
		{"a proposal that is there", w.propose(open, 0, false), []error{ledger.ErrTaken}},
		{"a proposal that another made", w.propose(open, 1, true), []error{ledger.ErrProposed}},
		{"a proposal of what has passed", w.propose(passed, 1, true), []error{ledger.ErrProposed}},
		{"a proposal of what was cancelled", w.propose(cancelled, 0, false), []error{ledger.ErrCancelled}},
		{"a proposal that has expired", w.propose(over, 0, true), []error{ledger.ErrExpired}},
		{"a proposal for later than 90 days", w.propose(far, 0, true), []error{ledger.ErrTooFar}},
		{"a proposal against another state", w.propose(stale, 0, true), []error{ledger.ErrStaleBase}},
		{"a proposal of a name that is taken", w.propose(named, 0, true), []error{ledger.ErrNameTaken}},
		{"a proposal that no signatures would fit beside", w.propose(big, 0, true), []error{ledger.ErrTooLarge}},
		{"a stranger approves", w.approveAs(open, stranger), []error{authority.ErrSignature}},
		{"a node approves", w.approveAs(open, w.nodes["n1"]), []error{authority.ErrSignature}},
		{"a stranger approves in a custodian's name", resigned(w.approve(open, 1), func(e *authority.Entry) {
			e.Signatures[0].ASN1 = w.approveAs(open, stranger).Signatures[0].ASN1
		}), []error{authority.ErrSignature}},
		{"the signature over another change", resigned(w.approve(open, 1), func(e *authority.Entry) {
			e.Signatures = w.approve(never, 1).Signatures
		}), []error{authority.ErrSignature}},
		{"an approval for another cluster", w.approve(foreign, 1), []error{authority.ErrProposal}},
		{"an approval signed twice", resigned(w.approve(open, 1), func(e *authority.Entry) {
			e.Signatures = append(e.Signatures, e.Signatures[0])
		}), []error{authority.ErrSignature}},
		{"an approval as a vote to cancel", resigned(w.approve(open, 1), func(e *authority.Entry) { e.Kind = authority.KindCancel }), []error{authority.ErrProposal}},
		{"an approval's signature under a vote to cancel", resigned(w.cancel(open, 1), func(e *authority.Entry) {
			e.Signatures = w.approve(open, 1).Signatures
		}), []error{authority.ErrSignature}},
		{"a custodian approves again", w.approve(open, 0), []error{ledger.ErrVoted, ledger.ErrTaken}},
		{"an approval of what never was", w.approve(never, 0), []error{ledger.ErrNoProposal}},
		{"an approval of what has expired", w.approve(expired, 0), []error{ledger.ErrExpired}},
		{"an approval of what was cancelled", w.approve(cancelled, 2), []error{ledger.ErrCancelled}},
		{"an approval of what has passed", w.approve(passed, 0), []error{ledger.ErrPassed}},
		{"a stranger cancels", w.cancelAs(w.genesis.Cluster, open, stranger), []error{authority.ErrSignature}},
		{"another cluster's custodian cancels", w.cancelAs(api.ClusterID{9}, open, w.custodians[0]), []error{authority.ErrProposal}},
		{"a custodian cancels again", w.cancel(cancelled, 1), []error{ledger.ErrVoted, ledger.ErrTaken}},
		{"a cancel of what never was", w.cancel(never, 0), []error{ledger.ErrNoProposal}},
		{"a cancel of what has expired", w.cancel(expired, 0), []error{ledger.ErrExpired}},
		{"a cancel of what has passed", w.cancel(passed, 0), []error{ledger.ErrPassed}},
		{"a cancel of what was cancelled", w.cancel(cancelled, 2), []error{ledger.ErrCancelled}},
		{"a vote in the name of a node", resigned(w.cancel(open, 0), func(e *authority.Entry) { e.Author = "n1" }), []error{authority.ErrStatement}},
		{"a vote of garbage", &authority.Entry{Kind: authority.KindApprove, Body: []byte{0xff}}, []error{authority.ErrProposal, wire.ErrMalformed}},
		{"a proposal of garbage", &authority.Entry{Kind: authority.KindPropose, Body: []byte{0xff}}, []error{authority.ErrProposal, wire.ErrMalformed}},
	} {
		w.TB = under(t, tt.sentence)
		w.refuse(tt.entry.Encode(), tt.want...)
		w.TB = t
	}
	w.proposalIs(open, ledger.ProposalOpen, 1, 0)
	// Each entry of the past again: nothing is taken twice.
	for _, e := range w.log[:w.index] {
		w.refuse(e)
	}
	w.proposalIs(open, ledger.ProposalOpen, 1, 0)
	decodedAnywhere(t, w, 2)
}

// sentenced puts a sentence before what it is told.
type sentenced struct {
	*testing.T
	sentence string
}

func under(t *testing.T, sentence string) testing.TB { return sentenced{t, sentence} }

func (s sentenced) Errorf(format string, args ...any) {
	s.Helper()
	s.T.Errorf(s.sentence+": "+format, args...)
}

func (s sentenced) Error(args ...any) {
	s.Helper()
	s.T.Error(append([]any{s.sentence + ":"}, args...)...)
}

// R23: cancelling takes as many votes as passing, and the id never passes afterwards:
// neither proposed again, nor whole with all signatures, nor handed to a node.
func TestWhatWasCancelledNeverPasses(t *testing.T) {
	w := newWorld(t)
	policy, revoke := w.change(), w.changeOf(authority.KindRevoke, authority.Revoke{Subject: alice})
	for _, c := range []authority.Change{policy, revoke} {
		w.accept(w.propose(c, 0, true))
		w.accept(w.cancel(c, 2))
		w.proposalIs(c, ledger.ProposalOpen, 1, 1) // one is not enough
		w.accept(w.cancel(c, 1))
		p := w.proposalIs(c, ledger.ProposalCancelled, 1, 2)
		if p.Ended != w.index {
			t.Errorf("it ended at %d", p.Ended)
		}
		w.refuse(w.approve(c, 1).Encode(), ledger.ErrCancelled)
		w.refuse(w.propose(c, 2, true).Encode(), ledger.ErrCancelled)
		w.refuse(w.sign(c, 0, 1, 2).Encode(), ledger.ErrCancelled)
	}
	if _, _, err := w.s.Denies(w.sign(revoke, 0, 1).Encode()); !errors.Is(err, ledger.ErrCancelled) {
		t.Errorf("a node would keep it: %v", err)
	}
	w.denied(false, alice)
	// When it is forgotten, it has expired.
	w.past(policy.NotAfter - created + 1)
	w.accept(w.propose(w.later("after"), 0, true))
	if w.s.Proposal(authority.NewChange(policy).ID()) != nil {
		t.Error("it is not forgotten")
	}
	w.refuse(w.sign(policy, 0, 1).Encode(), ledger.ErrExpired)
	w.refuse(w.approve(policy, 0).Encode(), ledger.ErrNoProposal)

	// Whichever side has its count first wins.
	c := w.later("other")
	w.accept(w.propose(c, 0, true))
	w.accept(w.cancel(c, 2))
	w.accept(w.approve(c, 1))
	w.proposalIs(c, ledger.ProposalPassed, 2, 1)
	w.refuse(w.cancel(c, 0).Encode(), ledger.ErrPassed)
}

// later is an order that can still be taken for a second.
func (w *world) later(name string) authority.Change {
	c := w.orderChange(w.order(name))
	c.NotAfter = w.s.Time() + 1000
	return c
}

// A change that has its count and can no longer be applied has failed, under a name
// that is part of the state.
func TestAProposalThatCannotBeAppliedHasFailed(t *testing.T) {
	w := newWorld(t)
	first, second := w.change(), w.change()
	early, late := w.orderChange(w.order("payroll")), w.orderChange(w.order("payroll"))
	for _, c := range []authority.Change{first, second, early, late} {
		w.accept(w.propose(c, 0, true))
	}
	for _, c := range []authority.Change{first, early} {
		w.accept(w.approve(c, 1))
		w.proposalIs(c, ledger.ProposalPassed, 2, 0)
	}
	for _, tt := range []struct {
		change authority.Change
		why    string
	}{{second, "stale-base"}, {late, "name-taken"}} {
		r := w.accept(w.approve(tt.change, 1))
		if p := w.proposalIs(tt.change, ledger.ProposalFailed, 2, 0); p.Why != tt.why || p.Ended != w.index || r.Passed != nil {
			t.Errorf("it failed as %q", p.Why)
		}
		w.refuse(w.approve(tt.change, 2).Encode(), ledger.ErrFailed)
		w.refuse(w.cancel(tt.change, 2).Encode(), ledger.ErrFailed)
		if w.s.Taken(authority.NewChange(tt.change).ID()) != nil {
			t.Error("it was taken")
		}
	}
	if p := w.s.Policy(); p.Change != authority.NewChange(first).ID() {
		t.Error("another policy is in force")
	}
	decodedAnywhere(t, w, 2)
}

// A change that is handed in whole ends its proposal.
func TestAChangeHandedInWholeEndsItsProposal(t *testing.T) {
	w := newWorld(t)
	c := w.change()
	w.accept(w.propose(c, 0, true))
	w.accept(w.sign(c, 1, 2))
	w.proposalIs(c, ledger.ProposalPassed, 1, 0)
	w.refuse(w.approve(c, 1).Encode(), ledger.ErrPassed)
}

// R23: one custodian fills its own room and nobody else's, and what has expired makes
// room and is gone from the state.
func TestOneCustodianCannotShutOutTheOthers(t *testing.T) {
	w := newWorld(t)
	for range ledger.MaxProposalsOf {
		w.accept(w.propose(w.change(), 0, true))
	}
	w.refuse(w.propose(w.change(), 0, true).Encode(), ledger.ErrTooManyProposals)
	for range ledger.MaxProposalsOf {
		w.accept(w.propose(w.change(), 1, false))
	}
	w.accept(w.propose(w.change(), 2, false))
	if n := len(w.s.Proposals()); n != 2*ledger.MaxProposalsOf+1 {
		t.Fatalf("%d are open", n)
	}
	w.past(1001)
	last := w.later("last")
	w.accept(w.propose(last, 0, false))
	if n := len(w.s.Proposals()); n != 1 {
		t.Errorf("%d are left", n)
	}
	decodedAnywhere(t, w, 2)
}

// Of a kind that one custodian passes, one custodian cancels as well: whoever proposes
// and cancels over and over fills its own room, and not the state.
func TestWhatOneCustodianCancelsIsBounded(t *testing.T) {
	w := newWorld(t)
	seal := func() authority.Change {
		return w.changeOf(authority.KindSeal, authority.Seal{Subject: authority.Subject{Kind: authority.SubjectCluster}})
	}
	for range ledger.MaxEndedOf {
		c := seal()
		w.accept(w.propose(c, 0, false))
		w.accept(w.cancel(c, 0))
		w.proposalIs(c, ledger.ProposalCancelled, 0, 1)
	}
	w.refuse(w.propose(seal(), 0, false).Encode(), ledger.ErrTooManyProposals)
	w.accept(w.propose(w.change(), 1, true))
	w.past(1001)
	w.accept(w.propose(w.later("last"), 0, false))
	if n := len(w.s.Proposals()); n != 1 {
		t.Errorf("%d are left", n)
	}
}

// A signature over a change is not one over a vote or a proposal, nor the other way round.
func TestEachSignatureHasOnePurpose(t *testing.T) {
	w := newWorld(t)
	c := w.change()
	e := w.propose(c, 0, true)
	for _, tt := range []struct {
		tag  tag.Tag
		body []byte
		want int
	}{{tag.ProposalSignature, e.Body, 0}, {tag.ChangeSignature, authority.NewChange(c).Body, 1}} {
		for i, sig := range e.Signatures {
			if err := sig.Verify(w.custodians[0].PublicKey(), tt.tag, tt.body); (err == nil) != (i == tt.want) {
				t.Errorf("signature %d under %s: %v", i, tt.tag, err)
			}
		}
	}
	e.Signatures[0], e.Signatures[1] = e.Signatures[1], e.Signatures[0]
	w.refuse(e.Encode(), authority.ErrSignature)
}
