package authority_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

func TestAProposalIsItsCustodiansWord(t *testing.T) {
	w := newWorld(t)
	change := w.sign(w.change(KindKey), w.custodians[2])
	for _, approves := range []bool{false, true} {
		e, err := SignProposal(rand.Reader, change, w.custodians[0], approves)
		if err != nil {
			t.Fatal(err)
		}
		p, err := VerifyProposal(&w.doc, e)
		if err != nil {
			t.Fatal(err)
		}
		if p.By != FingerprintOf(w.custodians[0].PublicKey()) || p.Entry.ID() != change.ID() || p.Change.Kind != KindKey {
			t.Errorf("it says %+v", p)
		}
		if id, err := AboutChange(e); err != nil || id != change.ID() {
			t.Errorf("it is about %s, %v", id, err)
		}
		if want := map[bool]int{true: 1}[approves]; len(p.Entry.Signatures) != want {
			t.Errorf("%d signatures of the change", len(p.Entry.Signatures))
		}
		for i := range e.Body {
			f := *e
			f.Body = append([]byte(nil), e.Body...)
			f.Body[i] ^= 1
			if _, err := VerifyProposal(&w.doc, &f); err == nil {
				t.Fatalf("with another byte %d it is taken", i)
			}
		}
	}
	if _, err := SignProposal(rand.Reader, &Entry{Kind: KindKey, Body: []byte{1}}, w.custodians[0], false); !errors.Is(err, ErrChange) {
		t.Errorf("of no change: %v", err)
	}
}

// With its approvals a proposed change is the change that was signed in a file.
func TestApprovalsMakeASignedChange(t *testing.T) {
	w := newWorld(t)
	change := NewChange(w.change(KindKey))
	var approvals []Signature
	for _, i := range []int{2, 0} {
		e, err := SignApproval(rand.Reader, change, w.custodians[i])
		if err != nil {
			t.Fatal(err)
		}
		if id, err := AboutChange(e); err != nil || id != change.ID() {
			t.Errorf("it is about %s, %v", id, err)
		}
		v, err := ParseVote(&w.doc, e)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := VerifyApproval(&w.doc, e, v, change.Body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyApproval(&w.doc, e, v, append([]byte(nil), change.Body[:len(change.Body)-1]...)); !errors.Is(err, ErrProposal) {
			t.Errorf("over another change: %v", err)
		}
		if _, err := VerifyCancel(&w.doc, e, v); !errors.Is(err, ErrProposal) {
			t.Errorf("as a vote to cancel: %v", err)
		}
		approvals = append(approvals, sig)
	}
	e, err := ProposedEntry(change.Body, approvals)
	if err != nil || e.ID() != change.ID() {
		t.Fatal(err)
	}
	if _, err := VerifyChange(&w.doc, e); err != nil {
		t.Error(err)
	}
	if _, err := ProposedEntry(change.Body, make([]Signature, MaxSignatures+1)); !errors.Is(err, ErrChange) {
		t.Errorf("with 17 approvals: %v", err)
	}
	if _, err := ProposedEntry([]byte{1}, nil); !errors.Is(err, ErrChange) {
		t.Errorf("of no change: %v", err)
	}
}

func TestVotesThatAreNone(t *testing.T) {
	w := newWorld(t)
	change := NewChange(w.change(KindKey))
	cancel := func(cluster api.ClusterID, s *Signer) *Entry {
		e, err := SignCancel(rand.Reader, cluster, change.ID(), s)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	verify := func(e *Entry) error {
		v, err := ParseVote(&w.doc, e)
		if err == nil {
			_, err = VerifyCancel(&w.doc, e, v)
		}
		return err
	}
	good := cancel(w.doc.Cluster, w.custodians[1])
	if err := verify(good); err != nil {
		t.Fatal(err)
	}
	altered := func(alter func(*Entry)) *Entry {
		f := *good
		f.Signatures = append([]Signature(nil), good.Signatures...)
		f.Body = append([]byte(nil), good.Body...)
		alter(&f)
		return &f
	}
	of := func(v Vote) []byte { return wire.Encode(v) }
	for sentence, tt := range map[string]struct {
		entry *Entry
		want  error
	}{
		"of a stranger":                 {cancel(w.doc.Cluster, newSigner(t)), ErrSignature},
		"of a node":                     {cancel(w.doc.Cluster, w.nodes[0]), ErrSignature},
		"for another cluster":           {cancel(api.ClusterID{1}, w.custodians[1]), ErrProposal},
		"by a node's frame":             {altered(func(e *Entry) { e.Author = "n1" }), ErrProposal},
		"in the frame of an approval":   {altered(func(e *Entry) { e.Kind = KindApprove }), ErrProposal},
		"in the frame of a change":      {altered(func(e *Entry) { e.Kind = KindKey }), ErrProposal},
		"signed by nobody":              {altered(func(e *Entry) { e.Signatures = nil }), ErrSignature},
		"signed twice":                  {altered(func(e *Entry) { e.Signatures = append(e.Signatures, e.Signatures[0]) }), ErrSignature},
		"with another byte":             {altered(func(e *Entry) { e.Body[len(e.Body)-1] ^= 1 }), ErrSignature},
		"with the signature of another": {altered(func(e *Entry) { e.Signatures = cancel(w.doc.Cluster, w.custodians[0]).Signatures }), ErrSignature},
		"of a kind that is none": {altered(func(e *Entry) {
			e.Kind = KindPropose
			e.Body = of(Vote{Cluster: w.doc.Cluster, Kind: KindPropose, Custodian: FingerprintOf(w.custodians[1].PublicKey())})
		}), ErrProposal},
		"of garbage": {altered(func(e *Entry) { e.Body = []byte{0xff} }), wire.ErrMalformed},
	} {
		if err := verify(tt.entry); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// FuzzProposal reaches VerifyProposal, ParseVote, VerifyApproval, VerifyCancel,
// ProposedEntry and AboutChange: behind the good signature of a custodian, whatever it
// says is taken or refused by name.
func FuzzProposal(f *testing.F) {
	w := newWorld(f)
	change := NewChange(w.change(KindKey))
	who := w.custodians[0]
	propose, err := SignProposal(nil, change, who, true)
	if err != nil {
		f.Fatal(err)
	}
	approve, err := SignApproval(nil, change, who)
	if err != nil {
		f.Fatal(err)
	}
	cancel, err := SignCancel(nil, w.doc.Cluster, change.ID(), who)
	if err != nil {
		f.Fatal(err)
	}
	for _, e := range []*Entry{propose, approve, cancel} {
		f.Add(e.Kind, e.Body)
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		e := &Entry{Kind: kind, Body: body}
		named := func(err error) {
			if err != nil && !errors.Is(err, ErrProposal) && !errors.Is(err, ErrChange) && !errors.Is(err, ErrSignature) {
				t.Fatalf("unnamed error %v", err)
			}
		}
		_, err := AboutChange(e)
		named(err)
		_, err = ProposedEntry(body, approve.Signatures)
		named(err)
		for _, about := range []tag.Tag{tag.ProposalSignature, tag.CancelSignature, tag.ChangeSignature} {
			sig, err := who.Sign(nil, about, body)
			if err != nil {
				t.Fatal(err)
			}
			e.Signatures = []Signature{sig}
			p, err := VerifyProposal(&w.doc, e)
			named(err)
			if err == nil && (about != tag.ProposalSignature || p.Change.Cluster != w.doc.Cluster) {
				t.Fatal("a proposal by another signature")
			}
			v, err := ParseVote(&w.doc, e)
			named(err)
			if err != nil {
				continue
			}
			_, err = VerifyCancel(&w.doc, e, v)
			named(err)
			if err == nil && (about != tag.CancelSignature || v.Kind != KindCancel) {
				t.Fatal("a vote to cancel by another signature")
			}
			_, err = VerifyApproval(&w.doc, e, v, change.Body)
			named(err)
			if err == nil {
				t.Fatal("an approval by a signature over the vote")
			}
		}
	})
}
