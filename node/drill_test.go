package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"
	"time"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/custodian"
)

// A node records a drill for a custodian who has opened its challenge and signs for it,
// once, in time; and for nobody else.
func TestADrillIsRecordedForWhoOpenedTheChallenge(t *testing.T) {
	n, r := fakeNode(t)
	opens, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := authority.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	by := authority.Custody{Custodians: append([]authority.Custodian(nil), r.Genesis.Custodians...), Required: r.Genesis.Required}
	by.Custodians[2] = authority.Custodian{Name: "dora", Sign: signer.PublicKey(), Open: opens.Recipient().String()}
	if res := r.Apply(r.Change(authority.KindCustodians, wire.Encode(by), api.Digest{})); res.Err != nil {
		t.Fatal(res.Err)
	}
	who := authority.FingerprintOf(signer.PublicKey())
	now := time.Now()
	n.now = func() time.Time { return now }
	answered := func(s *authority.Signer, off byte) *api.DrillAnswer {
		t.Helper()
		q, err := n.challenge(who)
		if err != nil {
			t.Fatal(err)
		}
		d := custodian.Drill{Cluster: n.genesis.Cluster, Node: q.Node, Signer: who, Index: q.Index, Link: q.Link}
		answer, err := custodian.AnswerChallenge(d, q.Box, opens)
		if err != nil {
			t.Fatal(err)
		}
		answer[0] += off
		signed, err := authority.SignDrill(rand.Reader, s, n.genesis.Cluster, q.Node, authority.Drill{Index: q.Index, Link: q.Link, Answer: answer})
		if err != nil {
			t.Fatal(err)
		}
		return &api.DrillAnswer{Answer: answer, Signature: signed.Signature.ASN1}
	}
	refused := func(sentence string, who authority.Fingerprint, q *api.DrillAnswer) {
		t.Helper()
		if _, err := n.takeAnswer(t.Context(), who, nil, q); codeOf(err) != api.CodePiece {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	refused("a wrong answer", who, answered(signer, 1))
	refused("signed by another", who, answered(r.Custodians[0], 0))
	altered := answered(signer, 0)
	altered.Answer[0]++
	refused("altered on its way", who, altered)
	altered.Answer[0]--
	refused("the right answer after a wrong one", who, altered)
	refused("by one who was asked nothing", authority.FingerprintOf(r.Custodians[0].PublicKey()), answered(signer, 0))
	late := answered(signer, 0)
	now = now.Add(drillPatience + time.Second)
	refused("too late", who, late)
	if len(r.State().Drills()) != 0 {
		t.Fatal("one of them is recorded")
	}
	if _, err := n.challenge(authority.FingerprintOf(r.Node("n1").PublicKey())); codeOf(err) != api.CodeDenied {
		t.Errorf("a stranger is given a challenge: %v", err)
	}
	good := answered(signer, 0)
	if a, err := n.takeAnswer(t.Context(), who, nil, good); err != nil || !a.Taken {
		t.Fatalf("%+v, %v", a, err)
	}
	refused("the same answer again", who, good)
	if d := drillsAnswer(r.State()).Drills; len(d) != 1 || d[0].Custodian != api.Digest(who) || d[0].Node != "n1" {
		t.Errorf("recorded is %+v", d)
	}
}
