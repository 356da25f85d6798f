package custodian

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
)

// Cost of the passphrase, as the logarithm of scrypt's N with r = 8 and p = 1.
const (
	// DefaultCost is about one second on a laptop, and 256 MiB.
	DefaultCost = 18
	// MaxCost bounds what reading a file may cost: about four seconds, and 1 GiB.
	MaxCost = 20
	// MaxFile is more than any custodian file has, in bytes.
	MaxFile = 16 << 10
	// maxContent is more than [content] takes, in bytes.
	maxContent = 1 << 10
)

const contentFormat = 1

var (
	// ErrPassphrase means that the passphrase is wrong, or empty.
	ErrPassphrase = errors.New("the passphrase does not open this custodian file")
	// ErrFile means that bytes are not a custodian file that this program reads.
	ErrFile = errors.New("not a custodian file")
	// ErrInToken means that the keys are in a token, which never gives them.
	ErrInToken = errors.New("this custodian's keys are in a token, and never leave it")
	// ErrCost means that a cost is not within 1..[MaxCost].
	ErrCost = errors.New("the cost of a passphrase is 1 to 20")
)

// content is what the age file holds.
type content struct {
	Format uint32 `cbor:"1,keyasint"`
	Name   string `cbor:"2,keyasint"`
	Sign   []byte `cbor:"3,keyasint"` // private scalar, 32 bytes
	Open   string `cbor:"4,keyasint"` // "AGE-SECRET-KEY-1..."
}

// Seal returns the custodian file under a passphrase of at least one byte.
func (c *Custodian) Seal(passphrase secret.Bytes) ([]byte, error) {
	return c.SealCost(passphrase, DefaultCost)
}

// SealCost is [Custodian.Seal] with a chosen cost, see [DefaultCost]. It fails with
// [ErrInToken] for a custodian whose keys are there.
func (c *Custodian) SealCost(passphrase secret.Bytes, cost int) ([]byte, error) {
	if c.inFile == nil {
		return nil, fmt.Errorf("seal the custodian file of %s: %w", c.name, ErrInToken)
	}
	if cost < 1 || cost > MaxCost {
		return nil, fmt.Errorf("seal the custodian file of %s: %w", c.name, ErrCost)
	}
	recipient, err := age.NewScryptRecipient(string(passphrase.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("seal the custodian file of %s: %w: %w", c.name, ErrPassphrase, err)
	}
	recipient.SetWorkFactor(cost)
	scalar, err := c.inFile.sign.Bytes()
	if err != nil {
		panic("custodian: encode a key that was made here: " + err.Error())
	}
	defer clear(scalar)
	plain := wire.Encode(content{Format: contentFormat, Name: c.name, Sign: scalar, Open: c.inFile.open.String()})
	defer clear(plain)

	var file bytes.Buffer
	text := armor.NewWriter(&file)
	w, err := age.Encrypt(text, recipient)
	if err != nil {
		return nil, fmt.Errorf("seal the custodian file of %s: %w", c.name, err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("seal the custodian file of %s: %w", c.name, err)
	}
	if err := errors.Join(w.Close(), text.Close()); err != nil {
		return nil, fmt.Errorf("seal the custodian file of %s: %w", c.name, err)
	}
	return file.Bytes(), nil
}

// Open reads a custodian file. Errors: [ErrPassphrase]; [ErrFile] for anything
// else that is wrong with it, a cost above [MaxCost] included.
func Open(file []byte, passphrase secret.Bytes) (*Custodian, error) {
	if len(file) == 0 || len(file) > MaxFile {
		return nil, fmt.Errorf("%w: %d bytes, from 1 to %d are possible", ErrFile, len(file), MaxFile)
	}
	identity, err := age.NewScryptIdentity(string(passphrase.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPassphrase, err)
	}
	identity.SetMaxWorkFactor(MaxCost)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(file)), bounded{identity})
	switch {
	case errors.Is(err, errNoPassphrase):
		return nil, fmt.Errorf("%w: it is an age file that takes no passphrase", ErrFile)
	case errors.Is(err, age.ErrIncorrectIdentity):
		return nil, ErrPassphrase
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxContent+1))
	defer clear(plain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return parse(plain)
}

// errNoPassphrase tells a file for other recipients from a wrong passphrase.
var errNoPassphrase = errors.New("no passphrase stanza")

// bounded asks the passphrase only for a file that has one.
type bounded struct{ *age.ScryptIdentity }

func (b bounded) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != "scrypt" {
		return nil, errNoPassphrase
	}
	return b.ScryptIdentity.Unwrap(stanzas)
}

// parse reads the decrypted content. What it says of a failure never holds a secret.
func parse(plain []byte) (*Custodian, error) {
	if len(plain) > maxContent {
		return nil, fmt.Errorf("%w: its content is longer than %d bytes", ErrFile, maxContent)
	}
	var c content
	if err := wire.Decode(plain, &c); err != nil {
		return nil, fmt.Errorf("%w: its content is %w", ErrFile, wire.ErrMalformed)
	}
	defer clear(c.Sign)
	if c.Format != contentFormat {
		return nil, fmt.Errorf("%w: format %d, this program reads %d", ErrFile, c.Format, contentFormat)
	}
	if err := checkName(c.Name); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	sign, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), c.Sign)
	if err != nil {
		return nil, fmt.Errorf("%w: its signing key is no P-256 scalar", ErrFile)
	}
	open, err := age.ParseX25519Identity(c.Open)
	if err != nil || open.String() != c.Open {
		return nil, fmt.Errorf("%w: its opening key is no age identity", ErrFile)
	}
	return withKeys(c.Name, &keys{sign, open}), nil
}
