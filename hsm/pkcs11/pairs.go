//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"

	p11 "github.com/miekg/pkcs11"

	"warifu.dev/hsm"
)

const (
	// coordinate is the length of one coordinate, and of a shared secret, in bytes.
	coordinate = 32
	point      = 1 + 2*coordinate
)

// prime256v1 is the object identifier 1.2.840.10045.3.1.7 in DER, which CKA_EC_PARAMS
// has for P-256 (RFC 5480, 2.1.1.1).
var prime256v1 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

var _ hsm.Pairs = (*Device)(nil)

// OpenPairs opens a token for its key pairs, and logs in. The PIN is tried once. Errors
// as [Open].
func OpenPairs(c Config) (hsm.Pairs, error) {
	d, err := open(c, func(api cryptoki) cryptoki { return api })
	if err != nil {
		return nil, err
	}
	return d, nil
}

// pair names a key pair on a token.
type pair struct {
	label string
	use   hsm.Use
}

func (p pair) onToken() string { return prefix + string(p.use) + "/" + p.label }

// privateKey is what we ask for of a private key that is made. Whoever has the PIN may
// use it; nobody may have it.
func privateKey(use hsm.Use) []property {
	return []property{
		{"CKA_CLASS", p11.CKA_CLASS, p11.CKO_PRIVATE_KEY},
		{"CKA_KEY_TYPE", p11.CKA_KEY_TYPE, p11.CKK_EC},
		{"CKA_TOKEN", p11.CKA_TOKEN, true},
		{"CKA_PRIVATE", p11.CKA_PRIVATE, true},
		{"CKA_SENSITIVE", p11.CKA_SENSITIVE, true},
		{"CKA_EXTRACTABLE", p11.CKA_EXTRACTABLE, false},
		{"CKA_SIGN", p11.CKA_SIGN, use == hsm.UseSign},
		{"CKA_SIGN_RECOVER", p11.CKA_SIGN_RECOVER, false},
		{"CKA_DERIVE", p11.CKA_DERIVE, use == hsm.UseExchange},
		{"CKA_DECRYPT", p11.CKA_DECRYPT, false},
		{"CKA_UNWRAP", p11.CKA_UNWRAP, false},
		{"CKA_MODIFIABLE", p11.CKA_MODIFIABLE, false},
		{"CKA_COPYABLE", p11.CKA_COPYABLE, false},
		{"CKA_DESTROYABLE", p11.CKA_DESTROYABLE, true},
	}
}

// publicKey is what we ask for of the public key beside it.
func publicKey(use hsm.Use) []property {
	return []property{
		{"CKA_CLASS", p11.CKA_CLASS, p11.CKO_PUBLIC_KEY},
		{"CKA_KEY_TYPE", p11.CKA_KEY_TYPE, p11.CKK_EC},
		{"CKA_EC_PARAMS", p11.CKA_EC_PARAMS, prime256v1},
		{"CKA_TOKEN", p11.CKA_TOKEN, true},
		{"CKA_PRIVATE", p11.CKA_PRIVATE, false},
		{"CKA_VERIFY", p11.CKA_VERIFY, use == hsm.UseSign},
		{"CKA_ENCRYPT", p11.CKA_ENCRYPT, false},
		{"CKA_WRAP", p11.CKA_WRAP, false},
		{"CKA_MODIFIABLE", p11.CKA_MODIFIABLE, false},
	}
}

// askForPair is ask about a key pair.
func (d *Device) askForPair(action string, p pair, call func(*token) error) error {
	err := hsm.CheckLabel(p.label)
	if err == nil && p.use != hsm.UseSign && p.use != hsm.UseExchange {
		err = fmt.Errorf("the use %q: %w", p.use, hsm.ErrLabel)
	}
	if err == nil {
		err = d.ask(call)
	}
	if err != nil {
		return fmt.Errorf("%s key pair %q: %w", action, string(p.use)+"/"+p.label, err)
	}
	return nil
}

// CreatePair implements hsm.Pairs.
func (d *Device) CreatePair(label string, use hsm.Use) error {
	var began bool
	p := pair{label, use}
	return d.askForPair("create", p, func(t *token) error { return t.createPair(p, &began) })
}

// DestroyPair implements hsm.Pairs.
func (d *Device) DestroyPair(label string, use hsm.Use) error {
	var began bool
	p := pair{label, use}
	return d.askForPair("destroy", p, func(t *token) error { return t.destroyPair(p, &began) })
}

// Signer implements hsm.Pairs.
func (d *Device) Signer(label string) (crypto.Signer, error) {
	s := &signer{d: d, pair: pair{label, hsm.UseSign}}
	err := d.askForPair("look for", s.pair, func(t *token) error {
		public, err := t.checkPair(s.pair)
		if err == nil {
			s.public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Exchanger implements hsm.Pairs.
func (d *Device) Exchanger(label string) (ecdh.KeyExchanger, error) {
	e := &exchanger{d: d, pair: pair{label, hsm.UseExchange}}
	err := d.askForPair("look for", e.pair, func(t *token) error {
		public, err := t.checkPair(e.pair)
		if err == nil {
			e.public, err = ecdh.P256().NewPublicKey(public)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// signer is a pair that signs.
type signer struct {
	d      *Device
	pair   pair
	public *ecdsa.PublicKey
}

// Public implements crypto.Signer: an *ecdsa.PublicKey.
func (s *signer) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer for SHA-256 digests; the token draws its own nonce. A
// signature that does not verify is not given away: a faulty one can tell the key.
func (s *signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	if opts.HashFunc() != crypto.SHA256 || len(digest) != sha256.Size {
		return nil, fmt.Errorf("sign with key pair %q: only digests of SHA-256 are signed", s.pair.label)
	}
	err = s.d.askForPair("sign with", s.pair, func(t *token) error {
		private, err := t.one(p11.CKO_PRIVATE_KEY, s.pair)
		if err != nil {
			return err
		}
		sig, err = t.sign(private, digest)
		return err
	})
	if err == nil && !ecdsa.VerifyASN1(s.public, digest, sig) {
		err = fmt.Errorf("sign with key pair %q: the signature does not verify by its public key: %w", s.pair.label, hsm.ErrDevice)
	}
	if err != nil {
		return nil, err
	}
	return sig, nil
}

// exchanger is a pair that exchanges keys.
type exchanger struct {
	d      *Device
	pair   pair
	public *ecdh.PublicKey
}

// PublicKey implements ecdh.KeyExchanger.
func (e *exchanger) PublicKey() *ecdh.PublicKey { return e.public }

// Curve implements ecdh.KeyExchanger.
func (e *exchanger) Curve() ecdh.Curve { return ecdh.P256() }

// ECDH implements ecdh.KeyExchanger: the x-coordinate of the shared point.
func (e *exchanger) ECDH(peer *ecdh.PublicKey) (shared []byte, err error) {
	if peer == nil || peer.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("exchange keys with %q: the other key is on another curve", e.pair.label)
	}
	err = e.d.askForPair("exchange keys with", e.pair, func(t *token) error {
		private, err := t.one(p11.CKO_PRIVATE_KEY, e.pair)
		if err != nil {
			return err
		}
		shared, err = t.derive(private, peer.Bytes())
		return err
	})
	return shared, err
}

// ofPair finds the objects of one class that a pair has: none or one, if nobody meddled.
func (t *token) ofPair(class uint, p pair) ([]p11.ObjectHandle, error) {
	return t.search(
		p11.NewAttribute(p11.CKA_CLASS, class),
		p11.NewAttribute(p11.CKA_TOKEN, true),
		p11.NewAttribute(p11.CKA_LABEL, p.onToken()),
	)
}

// one finds the one object of a class that a pair has.
func (t *token) one(class uint, p pair) (p11.ObjectHandle, error) {
	found, err := t.ofPair(class, p)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, hsm.ErrNoPair
	case len(found) > 1:
		return 0, fmt.Errorf("%d keys of one label: %w", len(found), hsm.ErrTemplate)
	}
	return found[0], nil
}

// checkPair verifies the templates of a pair (R33) and returns its public key, 65 bytes.
func (t *token) checkPair(p pair) ([]byte, error) {
	private, err := t.one(p11.CKO_PRIVATE_KEY, p)
	if err != nil {
		return nil, err
	}
	if err := t.hasAll(private, privateKey(p.use), born); err != nil {
		return nil, err
	}
	public, err := t.one(p11.CKO_PUBLIC_KEY, p)
	if err != nil {
		return nil, err
	}
	if err := t.hasAll(public, publicKey(p.use)); err != nil {
		return nil, err
	}
	got, err := t.api.GetAttributeValue(t.session, public, []*p11.Attribute{p11.NewAttribute(p11.CKA_EC_POINT, nil)})
	if err != nil {
		return nil, err
	}
	// A DER octet string around the point (PKCS#11 Current Mechanisms 2.40, 2.3.3); some
	// tokens leave it out.
	b := got[0].Value
	if len(b) == point+2 && b[0] == asn1.TagOctetString && b[1] == point {
		b = b[2:]
	}
	if _, err := ecdh.P256().NewPublicKey(b); err != nil {
		return nil, fmt.Errorf("CKA_EC_POINT is no point of P-256: %w", hsm.ErrTemplate)
	}
	return b, nil
}

// createPair makes a pair, looks at it and tries it. began is false on the first try: a
// pair that is there on the second was made by the first, before the session died.
func (t *token) createPair(p pair, began *bool) error {
	if !*began {
		for _, class := range []uint{p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY} {
			if found, err := t.ofPair(class, p); err != nil {
				return err
			} else if len(found) > 0 {
				return hsm.ErrPairExists
			}
		}
	}
	found, err := t.ofPair(p11.CKO_PRIVATE_KEY, p)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		*began = true
		id := make([]byte, 16) // what other programs tell pairs by
		rand.Read(id)
		attributes := func(list []property) []*p11.Attribute {
			return append(asked(p.onToken(), list), p11.NewAttribute(p11.CKA_ID, id))
		}
		mechanism := []*p11.Mechanism{p11.NewMechanism(p11.CKM_EC_KEY_PAIR_GEN, nil)}
		if _, _, err := t.api.GenerateKeyPair(t.session, mechanism, attributes(publicKey(p.use)), attributes(privateKey(p.use))); err != nil {
			return err
		}
	}
	err = t.tryPair(p)
	if err != nil && !isDead(err) {
		// Nobody knows of it yet.
		if e := t.destroyPair(p, began); e != nil {
			return fmt.Errorf("%w; and the pair could not be destroyed: %w", err, e)
		}
	}
	return err
}

// tryPair looks at a pair and uses it once.
func (t *token) tryPair(p pair) error {
	public, err := t.checkPair(p)
	if err != nil {
		return err
	}
	private, err := t.one(p11.CKO_PRIVATE_KEY, p)
	if err != nil {
		return err
	}
	if p.use == hsm.UseSign {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
		if err != nil {
			return err
		}
		digest := sha256.Sum256(public)
		sig, err := t.sign(private, digest[:])
		if err == nil && !ecdsa.VerifyASN1(key, digest[:], sig) {
			err = fmt.Errorf("what it signs does not verify: %w", hsm.ErrDevice)
		}
		return err
	}
	key, err := ecdh.P256().NewPublicKey(public)
	if err != nil {
		return err
	}
	other, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	want, err := other.ECDH(key)
	if err != nil {
		return err
	}
	defer clear(want)
	got, err := t.derive(private, other.PublicKey().Bytes())
	if err == nil && subtle.ConstantTimeCompare(got, want) != 1 {
		err = fmt.Errorf("it exchanges another key than it should: %w", hsm.ErrDevice)
	}
	clear(got)
	return err
}

// destroyPair destroys what there is of a pair and looks again. began as in createPair.
func (t *token) destroyPair(p pair, began *bool) error {
	for _, class := range []uint{p11.CKO_PRIVATE_KEY, p11.CKO_PUBLIC_KEY} {
		found, err := t.ofPair(class, p)
		if err != nil {
			return err
		}
		for _, key := range found {
			*began = true
			if err := t.api.DestroyObject(t.session, key); err != nil {
				return err
			}
		}
		if found, err = t.ofPair(class, p); err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("the token still holds the pair: %w", hsm.ErrDevice)
		}
	}
	if !*began {
		return hsm.ErrNoPair
	}
	return nil
}

// sign signs a digest with CKM_ECDSA (PKCS#11 Current Mechanisms 2.40, 2.3.6), whose r
// and s, of equal length, become the form of RFC 3279, 2.2.3.
func (t *token) sign(private p11.ObjectHandle, digest []byte) ([]byte, error) {
	if err := t.api.SignInit(t.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_ECDSA, nil)}, private); err != nil {
		return nil, err
	}
	raw, err := t.api.Sign(t.session, digest)
	if err != nil {
		return nil, err
	}
	if len(raw) != 2*coordinate {
		return nil, fmt.Errorf("the token signed %d bytes: %w", len(raw), hsm.ErrDevice)
	}
	sig, err := asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(raw[:coordinate]), new(big.Int).SetBytes(raw[coordinate:]),
	})
	if err != nil {
		return nil, fmt.Errorf("encode a signature: %w: %w", hsm.ErrDevice, err)
	}
	return sig, nil
}

// derived is what we ask for of a shared secret: an object of this session that is read
// and destroyed at once. It is of one exchange; the private key is of all.
var derived = []*p11.Attribute{
	p11.NewAttribute(p11.CKA_CLASS, p11.CKO_SECRET_KEY),
	p11.NewAttribute(p11.CKA_KEY_TYPE, p11.CKK_GENERIC_SECRET),
	p11.NewAttribute(p11.CKA_VALUE_LEN, coordinate),
	p11.NewAttribute(p11.CKA_TOKEN, false),
	p11.NewAttribute(p11.CKA_SENSITIVE, false),
	p11.NewAttribute(p11.CKA_EXTRACTABLE, true),
}

// derive is CKM_ECDH1_DERIVE without a key derivation (PKCS#11 Current Mechanisms 2.40,
// 2.3.10): the x-coordinate of the shared point.
func (t *token) derive(private p11.ObjectHandle, peer []byte) (shared []byte, err error) {
	params := p11.NewECDH1DeriveParams(p11.CKD_NULL, nil, peer)
	object, err := t.api.DeriveKey(t.session, []*p11.Mechanism{p11.NewMechanism(p11.CKM_ECDH1_DERIVE, params)}, private, derived)
	if err != nil {
		return nil, err
	}
	got, err := t.api.GetAttributeValue(t.session, object, []*p11.Attribute{p11.NewAttribute(p11.CKA_VALUE, nil)})
	if e := t.api.DestroyObject(t.session, object); err == nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	if shared = got[0].Value; len(shared) != coordinate || bytes.Equal(shared, make([]byte, coordinate)) {
		return nil, fmt.Errorf("the token shares %d bytes, or nothing: %w", len(shared), hsm.ErrDevice)
	}
	return shared, nil
}
