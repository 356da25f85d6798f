//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
)

// pairFaults stands before the module where key pairs are made and used.
type pairFaults struct {
	cryptoki
	after func(string) error                     // after the named call did its work
	spoil func(call string, made []byte)         // what it made
	attrs func(public, private []*p11.Attribute) // the templates of a new pair
}

func (f *pairFaults) through(api cryptoki) cryptoki { f.cryptoki = api; return f }

func (f *pairFaults) then(call string, err error) error {
	if err == nil && f.after != nil {
		return f.after(call)
	}
	return err
}

func (f *pairFaults) GenerateKeyPair(sh p11.SessionHandle, m []*p11.Mechanism, public, private []*p11.Attribute) (p11.ObjectHandle, p11.ObjectHandle, error) {
	if f.attrs != nil {
		f.attrs(public, private)
	}
	a, b, err := f.cryptoki.GenerateKeyPair(sh, m, public, private)
	return a, b, f.then("GenerateKeyPair", err)
}

func (f *pairFaults) Sign(sh p11.SessionHandle, b []byte) ([]byte, error) {
	sig, err := f.cryptoki.Sign(sh, b)
	if f.spoil != nil && err == nil {
		f.spoil("Sign", sig)
	}
	return sig, f.then("Sign", err)
}

func (f *pairFaults) DeriveKey(sh p11.SessionHandle, m []*p11.Mechanism, key p11.ObjectHandle, a []*p11.Attribute) (p11.ObjectHandle, error) {
	h, err := f.cryptoki.DeriveKey(sh, m, key, a)
	return h, f.then("DeriveKey", err)
}

func (f *pairFaults) GetAttributeValue(sh p11.SessionHandle, h p11.ObjectHandle, a []*p11.Attribute) ([]*p11.Attribute, error) {
	got, err := f.cryptoki.GetAttributeValue(sh, h, a)
	if f.spoil != nil && err == nil && got[0].Type == p11.CKA_VALUE {
		f.spoil("CKA_VALUE", got[0].Value)
	}
	return got, err
}

func openPairsWith(t *testing.T, c Config, f *pairFaults) *Device {
	t.Helper()
	d, err := open(c, f.through)
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

// signs has a pair sign, and verifies it.
func signs(t *testing.T, s crypto.Signer) error {
	t.Helper()
	digest := sha256.Sum256([]byte("a change"))
	sig, err := s.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err == nil && !ecdsa.VerifyASN1(s.Public().(*ecdsa.PublicKey), digest[:], sig) {
		t.Error("a signature that does not verify was given away")
	}
	return err
}

// exchanges has a pair exchange keys with a fresh one, and compares.
func exchanges(t *testing.T, e ecdh.KeyExchanger) (same bool, err error) {
	t.Helper()
	other, err := ecdh.P256().GenerateKey(rand.Reader)
	must(t, err)
	want, err := other.ECDH(e.PublicKey())
	must(t, err)
	got, err := e.ECDH(other.PublicKey())
	return bytes.Equal(got, want), err
}

func TestAPairSignsOrExchangesKeys(t *testing.T) {
	c := newToken(t, "pairs")
	d := openPairsWith(t, c, new(pairFaults))
	must(t, d.CreatePair("alice", hsm.UseSign))
	must(t, d.CreatePair("alice", hsm.UseExchange))
	for _, use := range []hsm.Use{hsm.UseSign, hsm.UseExchange} {
		if err := d.CreatePair("alice", use); !errors.Is(err, hsm.ErrPairExists) {
			t.Errorf("made a second time to %s: %v", use, err)
		}
	}
	s, err := d.Signer("alice")
	must(t, err)
	must(t, signs(t, s))
	e, err := d.Exchanger("alice")
	must(t, err)
	for range 20 { // a shared secret may begin with zeros
		if same, err := exchanges(t, e); err != nil || !same {
			t.Fatalf("the same: %v, %v", same, err)
		}
	}
	if public, _ := s.Public().(*ecdsa.PublicKey).Bytes(); bytes.Equal(public, e.PublicKey().Bytes()) {
		t.Error("one key for two purposes") // R16
	}

	// They are there for who opens the token again, and are no sealing keys.
	must(t, d.Close())
	d = openPairsWith(t, c, new(pairFaults))
	again, err := d.Signer("alice")
	must(t, err)
	if !again.Public().(*ecdsa.PublicKey).Equal(s.Public()) {
		t.Error("another key")
	}
	must(t, signs(t, again))
	must(t, d.Check())
	if labels, err := d.Labels(); err != nil || len(labels) != 0 {
		t.Errorf("%q, %v", labels, err)
	}

	must(t, d.DestroyPair("alice", hsm.UseSign))
	if _, err := d.Signer("alice"); !errors.Is(err, hsm.ErrNoPair) {
		t.Errorf("after it was destroyed: %v", err)
	}
	if err := signs(t, again); !errors.Is(err, hsm.ErrNoPair) {
		t.Errorf("signs after it was destroyed: %v", err)
	}
	if err := d.DestroyPair("alice", hsm.UseSign); !errors.Is(err, hsm.ErrNoPair) {
		t.Errorf("destroyed twice: %v", err)
	}
	if _, err := d.Exchanger("alice"); err != nil {
		t.Errorf("the other pair is gone too: %v", err)
	}
}

func TestWhatAPairIsNotAskedFor(t *testing.T) {
	d := openPairsWith(t, newToken(t, "refusals"), new(pairFaults))
	must(t, d.CreatePair("alice", hsm.UseSign))
	must(t, d.CreatePair("alice", hsm.UseExchange))
	s, err := d.Signer("alice")
	must(t, err)
	if _, err := s.Sign(rand.Reader, make([]byte, 48), crypto.SHA384); err == nil {
		t.Error("another hash")
	}
	if _, err := s.Sign(rand.Reader, make([]byte, 31), crypto.SHA256); err == nil {
		t.Error("half a digest")
	}
	e, err := d.Exchanger("alice")
	must(t, err)
	p384, err := ecdh.P384().GenerateKey(rand.Reader)
	must(t, err)
	if _, err := e.ECDH(p384.PublicKey()); err == nil {
		t.Error("another curve")
	}
	if err := d.CreatePair("a b", hsm.UseSign); !errors.Is(err, hsm.ErrLabel) {
		t.Errorf("a label that is none: %v", err)
	}
	if err := d.CreatePair("bob", "both"); !errors.Is(err, hsm.ErrLabel) {
		t.Errorf("a use that is none: %v", err)
	}
	if _, err := d.Exchanger("bob"); !errors.Is(err, hsm.ErrNoPair) {
		t.Errorf("nobody's: %v", err)
	}
}

func TestTheTokenKeepsThePrivateKey(t *testing.T) { // R33, R16
	d := openPairsWith(t, newToken(t, "kept"), new(pairFaults))
	must(t, d.CreatePair("alice", hsm.UseSign))
	must(t, d.CreatePair("alice", hsm.UseExchange))
	raw(t, d, func(ctx *p11.Ctx, tok *token) error {
		for _, use := range []hsm.Use{hsm.UseSign, hsm.UseExchange} {
			key, err := tok.one(p11.CKO_PRIVATE_KEY, pair{"alice", use})
			if err != nil {
				return err
			}
			if got, err := ctx.GetAttributeValue(tok.session, key, []*p11.Attribute{p11.NewAttribute(p11.CKA_VALUE, nil)}); err == nil {
				t.Errorf("the token hands out %d bytes of the key that is to %s", len(got[0].Value), use)
			}
			for _, spoil := range []uint{p11.CKA_EXTRACTABLE, p11.CKA_SIGN, p11.CKA_DERIVE, p11.CKA_UNWRAP} {
				if err := ctx.SetAttributeValue(tok.session, key, []*p11.Attribute{p11.NewAttribute(spoil, true)}); err == nil {
					t.Errorf("attribute %#x can be set", spoil)
				}
			}
			if _, err := ctx.CopyObject(tok.session, key, []*p11.Attribute{p11.NewAttribute(p11.CKA_EXTRACTABLE, true)}); err == nil {
				t.Error("the key can be copied")
			}
		}
		// Neither does what the other is for.
		signs, err := tok.one(p11.CKO_PRIVATE_KEY, pair{"alice", hsm.UseSign})
		if err != nil {
			return err
		}
		derives, err := tok.one(p11.CKO_PRIVATE_KEY, pair{"alice", hsm.UseExchange})
		if err != nil {
			return err
		}
		if err := ctx.SignInit(tok.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_ECDSA, nil)}, derives); err == nil {
			t.Error("the opening key signs")
		}
		other, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		if _, err := tok.derive(signs, other.PublicKey().Bytes()); err == nil {
			t.Error("the signing key exchanges keys")
		}
		return nil
	})
}

func TestAPairOfAnUnsafeTemplateIsRefused(t *testing.T) { // R33
	c := newToken(t, "unsafe")
	f := &pairFaults{}
	d := openPairsWith(t, c, f)
	for _, spoil := range []struct {
		name string
		typ  uint
		to   any
	}{
		{"that can be handed out", p11.CKA_EXTRACTABLE, true},
		{"that is not sensitive", p11.CKA_SENSITIVE, false},
		{"that also exchanges keys", p11.CKA_DERIVE, true},
		{"that unwraps", p11.CKA_UNWRAP, true},
		{"that can be altered", p11.CKA_MODIFIABLE, true},
	} {
		t.Run(spoil.name, func(t *testing.T) {
			f.attrs = func(_, private []*p11.Attribute) { spoiled(private, p11.NewAttribute(spoil.typ, spoil.to)) }
			if err := d.CreatePair("alice", hsm.UseSign); !errors.Is(err, hsm.ErrTemplate) {
				t.Fatal(err)
			}
			if _, err := d.Signer("alice"); !errors.Is(err, hsm.ErrNoPair) {
				t.Errorf("it was left: %v", err)
			}
			// One that somebody else made under our label is not used either.
			raw(t, d, func(ctx *p11.Ctx, tok *token) error {
				label := pair{"alice", hsm.UseSign}.onToken()
				private := spoiled(asked(label, privateKey(hsm.UseSign)), p11.NewAttribute(spoil.typ, spoil.to))
				_, _, err := ctx.GenerateKeyPair(tok.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_EC_KEY_PAIR_GEN, nil)},
					asked(label, publicKey(hsm.UseSign)), private)
				return err
			})
			if _, err := d.Signer("alice"); !errors.Is(err, hsm.ErrTemplate) {
				t.Errorf("planted: %v", err)
			}
			must(t, d.DestroyPair("alice", hsm.UseSign))
		})
	}
}

func TestATokenThatErrsGivesNothingAway(t *testing.T) {
	c := newToken(t, "errs")
	f := &pairFaults{}
	d := openPairsWith(t, c, f)
	flip := func(name string) func(string, []byte) {
		return func(call string, made []byte) {
			if call == name {
				made[7] ^= 1
			}
		}
	}
	// While it is made: nothing is left.
	for use, call := range map[hsm.Use]string{hsm.UseSign: "Sign", hsm.UseExchange: "CKA_VALUE"} {
		f.spoil = flip(call)
		if err := d.CreatePair("bob", use); !errors.Is(err, hsm.ErrDevice) {
			t.Errorf("%s: %v", use, err)
		}
		if err := d.DestroyPair("bob", use); !errors.Is(err, hsm.ErrNoPair) {
			t.Errorf("%s: something was left: %v", use, err)
		}
	}
	f.spoil = nil
	must(t, d.CreatePair("alice", hsm.UseSign))
	s, err := d.Signer("alice")
	must(t, err)
	f.spoil = flip("Sign")
	if err := signs(t, s); !errors.Is(err, hsm.ErrDevice) {
		t.Errorf("a wrong signature: %v", err)
	}
	f.spoil = nil
	must(t, signs(t, s))
}

func TestADeadSessionOfAPairIsReplaced(t *testing.T) { // R33
	c := newToken(t, "dead")
	f := &pairFaults{}
	d := openPairsWith(t, c, f)
	f.after = once("GenerateKeyPair", p11.CKR_SESSION_HANDLE_INVALID)
	must(t, d.CreatePair("alice", hsm.UseSign)) // made once, by the try that seemed to fail
	must(t, d.CreatePair("alice", hsm.UseExchange))
	s, err := d.Signer("alice")
	must(t, err)
	e, err := d.Exchanger("alice")
	must(t, err)
	f.after = once("Sign", p11.CKR_DEVICE_ERROR)
	must(t, signs(t, s))
	f.after = once("DeriveKey", p11.CKR_SESSION_CLOSED)
	if same, err := exchanges(t, e); err != nil || !same {
		t.Errorf("the same: %v, %v", same, err)
	}
	kill(t, d)
	must(t, signs(t, s))
	must(t, d.Close())
	if err := signs(t, s); !errors.Is(err, hsm.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
