package custodian

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"filippo.io/age"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing/opening"
)

// MaxName is the longest name of a custodian, in bytes.
const MaxName = 63

// ErrName is returned for a name that genesis would not take.
var ErrName = errors.New("a custodian's name has 1 to 63 characters of a-z, 0-9, '.', '_' and '-', and starts with a letter or a digit")

// Custodian uses both private keys. It never prints them.
type Custodian struct {
	name      string
	sign      crypto.Signer // its public key is an *ecdsa.PublicKey on P-256
	open      age.Identity
	recipient string // that open is the identity of
	inFile    *keys  // nil if the keys are in a token, which never gives them
}

// keys are what a custodian file holds.
type keys struct {
	sign *ecdsa.PrivateKey
	open *age.X25519Identity
}

func withKeys(name string, k *keys) *Custodian {
	return &Custodian{name: name, sign: k.sign, open: k.open, recipient: k.open.Recipient().String(), inFile: k}
}

// Create makes both keys. The signing key is drawn from rand as far as
// [ecdsa.GenerateKey] takes it; age draws the opening key from the system.
func Create(rand io.Reader, name string) (*Custodian, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	sign, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return nil, fmt.Errorf("make the signing key of %s: %w", name, err)
	}
	open, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("make the opening key of %s: %w", name, err)
	}
	return withKeys(name, &keys{sign, open}), nil
}

// Public returns what genesis says of this custodian: the name, the signing key
// as an uncompressed point of 65 bytes, and the age recipient, "age1..." for a file and
// "age1tag1..." for a token.
func (c *Custodian) Public() (name string, signKey []byte, openRecipient string) {
	b, err := c.sign.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		panic("custodian: encode a key that was looked at: " + err.Error())
	}
	return c.name, b, c.recipient
}

// SignKey returns the signing key on P-256, which also serves for the custodian's
// client certificate: of a file an *ecdsa.PrivateKey.
func (c *Custodian) SignKey() crypto.Signer { return c.sign }

// OpenKey returns the age identity that opens pieces encrypted to this custodian.
func (c *Custodian) OpenKey() age.Identity { return c.open }

// CheckRecipient refuses what is not the public half of an opening key, to which
// nothing could be encrypted. The error says which there are.
func CheckRecipient(open string) error {
	_, err := opening.ParseRecipient(open)
	return err
}

// Name returns the custodian's name.
func (c *Custodian) Name() string { return c.name }

func checkName(name string) error {
	if len(name) == 0 || len(name) > MaxName {
		return ErrName
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return ErrName
		}
	}
	return nil
}

// String implements [fmt.Stringer].
func (c Custodian) String() string { return c.name + " " + secret.Redacted }

// GoString implements [fmt.GoStringer].
func (c Custodian) GoString() string { return c.String() }

// Format implements [fmt.Formatter].
func (c Custodian) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue implements [slog.LogValuer].
func (c Custodian) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText implements [encoding.TextMarshaler], and with it JSON.
func (c Custodian) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// MarshalCBOR always fails with [secret.ErrNotEncodable].
func (c Custodian) MarshalCBOR() ([]byte, error) { return nil, secret.ErrNotEncodable }
