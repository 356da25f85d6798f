package custodian_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"warifu.dev/sharing/custodian"
)

func TestACustodianInATokenSignsAndOpensAndGivesNothing(t *testing.T) {
	sign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	open, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c, err := custodian.InToken("aki", sign, open)
	if err != nil {
		t.Fatal(err)
	}
	name, point, recipient := c.Public()
	if want, _ := sign.PublicKey.Bytes(); name != "aki" || !bytes.Equal(point, want) || !strings.HasPrefix(recipient, "age1tag1") {
		t.Errorf("%s %x %s", name, point, recipient)
	}

	// It answers a drill, and no other does.
	d := custodian.Drill{Cluster: [32]byte{1}, Node: "n1", Signer: [32]byte{2}, Index: 3, Link: [32]byte{4}}
	box, want, err := custodian.NewChallenge(rand.Reader, d, recipient)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := custodian.AnswerChallenge(d, box, c.OpenKey()); err != nil || got != want {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := custodian.AnswerChallenge(d, box, create(t).OpenKey()); !errors.Is(err, custodian.ErrChallenge) {
		t.Errorf("by another custodian: %v", err)
	}

	if _, err := c.SealCost(pass("six words make a passphrase"), cheap); !errors.Is(err, custodian.ErrInToken) {
		t.Errorf("written to a file: %v", err)
	}

	// R16: one key for both is none. So is one of another curve.
	both, err := sign.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := custodian.InToken("aki", sign, both); !errors.Is(err, custodian.ErrToken) {
		t.Errorf("one key for two purposes: %v", err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := p384.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := custodian.InToken("aki", p384, open); !errors.Is(err, custodian.ErrToken) {
		t.Errorf("P-384 signs: %v", err)
	}
	if _, err := custodian.InToken("aki", sign, other); !errors.Is(err, custodian.ErrToken) {
		t.Errorf("P-384 opens: %v", err)
	}
	if _, err := custodian.InToken("Aki", sign, open); !errors.Is(err, custodian.ErrName) {
		t.Errorf("a name that is none: %v", err)
	}
}
