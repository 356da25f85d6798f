package authority

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Kinds of what custodians sign.
const (
	KindGenesis = "genesis"
	KindPolicy  = "policy"
	KindCA      = "ca"
	KindKey     = "key"
	KindRevoke  = "revoke" // [Revoke]
	KindLift    = "lift"   // [Lift]
	KindSeal    = "seal"   // [Seal]

	KindCustodians = "custodians" // [Custody]

	KindNodeAdd     = "node-add"     // [Membership]
	KindNodeRemove  = "node-remove"  // [Membership]
	KindNodeReplace = "node-replace" // [Membership]
	KindKeyState    = "key-state"    // [KeyStateChange]
	KindKeyLabels   = "key-labels"   // [KeyLabels]

	KindRefresh = "refresh" // [Renewal]: new shares for the holders of keys
	KindReshare = "reshare" // [Renewal]: for other holders, or with another threshold

	KindKeyDestroy = "key-destroy" // [KeyDestroy]
	KindKeyKeep    = "key-keep"    // [KeyKeep]

	KindAdopt = "adopt" // [Adopt]: a key of a lost cluster

	KindPool = "pool" // [Pool]

	KindEscrow = "escrow" // [Escrow]: shares of a key are sealed to custodians
)

// ChangeKinds lists every kind that custodians sign, sorted.
func ChangeKinds() []string {
	return []string{
		KindAdopt, KindCA, KindCustodians, KindEscrow, KindGenesis, KindKey, KindKeyDestroy, KindKeyKeep, KindKeyLabels, KindKeyState, KindLift,
		KindNodeAdd, KindNodeRemove, KindNodeReplace, KindPolicy, KindPool, KindRefresh, KindReshare, KindRevoke, KindSeal,
	}
}

// IsChangeKind says whether custodians sign this kind.
func IsChangeKind(kind string) bool { return slices.Contains(ChangeKinds(), kind) }

// ErrChange is returned, wrapped, for bytes that are not a change.
var ErrChange = errors.New("not a usable change")

// Change is one object of authority. What it means stands in Body, by kind:
// KindPolicy an encoded policy document, KindCA a [CA], KindKey an [Order],
// KindRevoke a [Revoke], KindLift a [Lift], KindSeal a [Seal], KindCustodians a [Custody],
// KindKeyState a [KeyStateChange], KindKeyLabels a [KeyLabels], those of nodes a [Membership],
// KindRefresh and KindReshare a [Renewal], KindKeyDestroy a [KeyDestroy], KindKeyKeep a [KeyKeep],
// KindAdopt an [Adopt], KindPool a [Pool], KindEscrow an [Escrow].
type Change struct {
	Cluster  api.ClusterID `cbor:"1,keyasint"`
	Kind     string        `cbor:"2,keyasint"`
	Body     []byte        `cbor:"3,keyasint"`
	Base     api.Digest    `cbor:"4,keyasint"` // id of the change it replaces, or 32 zero bytes
	Nonce    [16]byte      `cbor:"5,keyasint"`
	NotAfter int64         `cbor:"6,keyasint"` // Unix milliseconds of ledger time; later it is a no-op
}

// CA is a certificate authority for applications.
type CA struct {
	Name        string `cbor:"1,keyasint"`
	Certificate []byte `cbor:"2,keyasint"` // X.509, DER
}

// MaxCertificate bounds a CA certificate, in bytes.
const MaxCertificate = 8 << 10

// NewChange makes an unsigned entry of c.
func NewChange(c Change) *Entry { return &Entry{Kind: c.Kind, Body: wire.Encode(c)} }

// ParseChange reads the change inside an entry and holds the frame against it.
// It looks at no signature.
func ParseChange(e *Entry) (*Change, error) {
	if e.Author != "" {
		return nil, fmt.Errorf("%w: its author is the node %s", ErrChange, e.Author)
	}
	var c Change
	if err := wire.Decode(e.Body, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrChange, err)
	}
	if c.Kind != e.Kind || !IsChangeKind(c.Kind) || c.Kind == KindGenesis {
		return nil, fmt.Errorf("%w: of the kind %q in a frame of the kind %q", ErrChange, c.Kind, e.Kind)
	}
	return &c, nil
}

// SignChange adds a custodian's signature to e. Signing twice changes nothing.
func SignChange(rand io.Reader, e *Entry, signer *Signer) error {
	if _, err := ParseChange(e); err != nil {
		return err
	}
	sig, err := signer.Sign(rand, tag.ChangeSignature, e.Body)
	if err != nil {
		return err
	}
	e.Signatures = addSignature(e.Signatures, sig)
	return nil
}

// VerifyChange checks that the change is for g's cluster and that enough
// distinct custodians of g signed it.
func VerifyChange(g *Genesis, e *Entry) (*Change, error) {
	c, err := ParseChange(e)
	if err != nil {
		return nil, err
	}
	if c.Cluster != g.Cluster {
		return nil, fmt.Errorf("%w: it is for the cluster %s", ErrChange, c.Cluster)
	}
	if err := countSignatures(g, e.Signatures, g.RequiredForChange(c), tag.ChangeSignature, e.Body); err != nil {
		return nil, fmt.Errorf("change of the kind %s: %w", c.Kind, err)
	}
	return c, nil
}
