package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Bounds of what an owner states of a data set. The ledger keeps it as long as it keeps
// the key.
const (
	// MaxDatasetNote bounds the owner's words, in bytes.
	MaxDatasetNote = 256
	// MaxOwnerCertificate bounds the owner's certificate, in bytes: one that carries more
	// than a name and a key is meant for something else.
	MaxOwnerCertificate = 2 << 10
)

// ErrDataset is returned, wrapped, for a statement about a data set that must not be
// believed.
var ErrDataset = errors.New("not a believable statement about a data set")

// Dataset is its owner's statement that something is under a key. Nobody else knows:
// wrapping is offline. Its entry has one signature, by the key of the owner's client
// certificate.
type Dataset struct {
	Cluster  api.ClusterID `cbor:"1,keyasint"`
	Key      api.KeyID     `cbor:"2,keyasint"`
	Name     string        `cbor:"3,keyasint"`           // of the data set, as [api.CheckName]
	Owner    string        `cbor:"4,keyasint"`           // SPIFFE ID
	Note     string        `cbor:"5,keyasint,omitempty"` // at most [MaxDatasetNote] bytes
	Manifest api.Digest    `cbor:"6,keyasint"`           // SHA-256 of a list of what is in it; zero: there is none
	Size     uint64        `cbor:"7,keyasint,omitempty"` // of that list, in bytes
	Time     int64         `cbor:"8,keyasint"`           // Unix milliseconds, by the owner's clock

	Public      []byte `cbor:"9,keyasint"`  // the owner's key, 65 bytes
	Certificate []byte `cbor:"10,keyasint"` // the owner's, DER
}

// DatasetPost carries an owner's statement into the ledger, in the name of the node that
// knows the caller by that very certificate.
type DatasetPost struct {
	Entry []byte `cbor:"1,keyasint"`
}

// SignDataset makes the owner's statement. It fills in the key.
func SignDataset(rand io.Reader, s *Signer, d Dataset) (*Entry, error) {
	d.Public = s.PublicKey()
	e := &Entry{Kind: KindDataset, Body: wire.Encode(d)}
	if err := d.check(); err != nil {
		return nil, err
	}
	sig, err := s.Sign(rand, tag.DatasetSignature, e.Body)
	if err != nil {
		return nil, err
	}
	e.Signatures = []Signature{sig}
	return e, nil
}

// VerifyDataset reads a statement about a data set, which the key in it has signed.
// Whose key that is, its certificate says: [Dataset.VerifyOwner]. Failures wrap
// [ErrDataset].
func VerifyDataset(e *Entry) (*Dataset, error) {
	var d Dataset
	if e.Author != "" || e.Kind != KindDataset || len(e.Signatures) != 1 {
		return nil, fmt.Errorf("%w: a frame of the kind %.40q by %.70q, with %d signatures", ErrDataset, e.Kind, e.Author, len(e.Signatures))
	}
	if err := wire.Decode(e.Body, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDataset, err)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := e.Signatures[0].Verify(d.Public, tag.DatasetSignature, e.Body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDataset, err)
	}
	return &d, nil
}

func (d *Dataset) check() error {
	if err := api.CheckName(d.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrDataset, err)
	}
	if err := api.CheckPrincipal(d.Owner); err != nil {
		return fmt.Errorf("%w: %w", ErrDataset, err)
	}
	switch {
	case d.Key == api.KeyID{}:
		return fmt.Errorf("%w: it names no key", ErrDataset)
	case len(d.Note) > MaxDatasetNote || !utf8.ValidString(d.Note):
		return fmt.Errorf("%w: a note has at most %d bytes of UTF-8", ErrDataset, MaxDatasetNote)
	case d.Manifest.IsZero() && d.Size != 0:
		return fmt.Errorf("%w: a manifest of %d bytes, which has no hash", ErrDataset, d.Size)
	case len(d.Certificate) == 0 || len(d.Certificate) > MaxOwnerCertificate:
		return fmt.Errorf("%w: a certificate of %d bytes, from 1 to %d are possible", ErrDataset, len(d.Certificate), MaxOwnerCertificate)
	}
	return nil
}

// VerifyOwner checks that the certificate in the statement names its owner and has its
// key. Who issued it, and whether it was in force, the node knew that carried the
// statement. No state depends on this: how a certificate is parsed may change.
func (d *Dataset) VerifyOwner() error {
	c, err := x509.ParseCertificate(d.Certificate)
	if err != nil {
		return fmt.Errorf("%w: its certificate: %w", ErrDataset, err)
	}
	key, ok := c.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() || string(EncodePublicKey(key)) != string(d.Public) {
		return fmt.Errorf("%w: its certificate is for another key", ErrDataset)
	}
	if len(c.URIs) != 1 || c.URIs[0].String() != d.Owner {
		return fmt.Errorf("%w: its certificate is not that of %.80q", ErrDataset, d.Owner)
	}
	return nil
}
