package opening

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/tag"
	"filippo.io/nistec"
)

// ErrKey means that something is no opening key that this program encrypts to.
var ErrKey = errors.New("not an opening key, which begins with age1 and is of X25519, or with age1tag1 and is of P-256")

// maxRecipient is more than a recipient of either kind has, in characters.
const maxRecipient = 128

// ParseRecipient takes the public half of an opening key. It fails with [ErrKey] for
// what is not spelt as it would be written here, and for age1tagpq1, whose boxes are
// larger than ours may be.
func ParseRecipient(s string) (age.Recipient, error) {
	if len(s) > maxRecipient {
		return nil, fmt.Errorf("%w: %d characters", ErrKey, len(s))
	}
	if strings.HasPrefix(s, "age1tag1") {
		r, err := tag.ParseRecipient(s)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKey, err)
		}
		if r.Hybrid() || r.String() != s {
			return nil, fmt.Errorf("%w: it is spelt in another way than it should", ErrKey)
		}
		return r, nil
	}
	r, err := age.ParseX25519Recipient(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	if r.String() != s {
		return nil, fmt.Errorf("%w: it is spelt in another way than it should", ErrKey)
	}
	return r, nil
}

// Identity opens what is encrypted to a P-256 key that is held elsewhere.
type Identity struct {
	key       hpke.PrivateKey
	recipient *tag.Recipient
}

// The p256tag recipient of age (https://age-encryption.org/p256tag): HPKE (RFC 9180)
// with DHKEM(P-256, HKDF-SHA256), HKDF-SHA256 and ChaCha20Poly1305.
const (
	stanzaType = "p256tag"
	hpkeInfo   = "age-encryption.org/p256tag"
	tagSize    = 4
	pointSize  = 65 // uncompressed
	sealedSize = 32 // a file key of 16 bytes, and its tag
)

// NewIdentity is the identity of a P-256 key. It fails with [ErrKey] for another curve.
func NewIdentity(key ecdh.KeyExchanger) (*Identity, error) {
	if key == nil || key.Curve() != ecdh.P256() {
		return nil, fmt.Errorf("%w: it is on another curve than P-256", ErrKey)
	}
	point, err := nistec.NewP256Point().SetBytes(key.PublicKey().Bytes())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	recipient, err := tag.NewClassicRecipient(point.BytesCompressed())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	private, err := hpke.NewDHKEMPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return &Identity{key: private, recipient: recipient}, nil
}

// Recipient is the public half, "age1tag1...".
func (i *Identity) Recipient() string { return i.recipient.String() }

// Unwrap implements [age.Identity]. The key is asked only for a stanza with its tag.
func (i *Identity) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != stanzaType {
			continue
		}
		enc, ok := i.mine(s)
		if !ok {
			continue
		}
		r, err := hpke.NewRecipient(enc, i.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(hpkeInfo))
		if err != nil {
			return nil, fmt.Errorf("open with the key %s: %w", i.Recipient(), err)
		}
		if fileKey, err := r.Open(nil, s.Body); err == nil {
			return fileKey, nil
		}
		// Four bytes of tag are a hint, and may be those of another key.
	}
	return nil, age.ErrIncorrectIdentity
}

// mine returns the encapsulated key of a stanza whose tag is that of this key.
func (i *Identity) mine(s *age.Stanza) (enc []byte, ok bool) {
	if len(s.Args) != 2 || len(s.Body) != sealedSize {
		return nil, false
	}
	has, err := base64.RawStdEncoding.Strict().DecodeString(s.Args[0])
	if err != nil || len(has) != tagSize {
		return nil, false
	}
	enc, err = base64.RawStdEncoding.Strict().DecodeString(s.Args[1])
	if err != nil || len(enc) != pointSize {
		return nil, false
	}
	want, err := i.recipient.Tag(enc)
	return enc, err == nil && subtle.ConstantTimeCompare(has, want) == 1
}
