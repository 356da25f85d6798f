package authority

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// MinEscrowOpen is the fewest custodians that may open what is escrowed to them.
const MinEscrowOpen = 2

// MaxEscrowRecord bounds the record in an order of escrow, in bytes: with its signatures
// the order fits in the ledger's proof of a key.
const MaxEscrowRecord = 32 << 10

// ErrEscrow is returned, wrapped, for a change that orders no escrow that may be ordered.
var ErrEscrow = errors.New("not a usable order of escrow")

// Escrow orders each holder of one epoch of one key to seal its share of it to the
// custodians in force. It is an extra door: so many of them who have t of these shares open
// everything that is under that version of the key, for ever, beside policy and audit.
type Escrow struct {
	Record []byte `cbor:"1,keyasint"` // the key's record in that epoch, signed by its holders
	Open   uint32 `cbor:"2,keyasint"` // how many custodians open a share
}

// EscrowOrder is an [Escrow] whose record was read. What it says of the key is believed
// once [EscrowOrder.Verify] has.
type EscrowOrder struct {
	Open   uint32
	Signed *SignedRecord
}

// Escrowed is a holder's share as it is sealed to custodians, by one order.
type Escrowed struct {
	Key    api.KeyID  `cbor:"1,keyasint"`
	Order  api.Digest `cbor:"2,keyasint"` // id of the change
	Index  uint32     `cbor:"3,keyasint"` // of the holder, 1..h
	Sealed []byte     `cbor:"4,keyasint"` // encoded escrow.Sealed of sharing/escrow
}

// ParseEscrow reads what a change of the kind [KindEscrow] orders. Failures wrap
// [ErrEscrow].
func ParseEscrow(c *Change) (*EscrowOrder, error) {
	if c.Kind != KindEscrow || !c.Base.IsZero() {
		return nil, fmt.Errorf("%w: a change of the kind %q, or one that replaces something, is none", ErrEscrow, c.Kind)
	}
	var b Escrow
	if err := wire.Decode(c.Body, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEscrow, err)
	}
	if len(b.Record) > MaxEscrowRecord {
		return nil, fmt.Errorf("%w: a record of %d bytes, at most %d are possible", ErrEscrow, len(b.Record), MaxEscrowRecord)
	}
	signed, err := ParseSignedRecord(b.Record)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEscrow, err)
	}
	switch {
	case b.Open < MinEscrowOpen:
		return nil, fmt.Errorf("%w: any %d custodians would open it, at least %d must", ErrEscrow, b.Open, MinEscrowOpen)
	case len(signed.Record.Sets) > 0:
		return nil, fmt.Errorf("%w: of a symmetric key", ErrEscrow)
	}
	return &EscrowOrder{Open: b.Open, Signed: signed}, nil
}

// AllowedBy says whether the custodians of g may be those whom it is sealed to: there are
// as many as must open it, and no fewer open it than sign such an order.
func (o *EscrowOrder) AllowedBy(g *Genesis) error {
	if k, need := len(g.Custodians), g.RequiredFor(KindEscrow); int64(o.Open) > int64(k) || int64(o.Open) < int64(need) {
		return fmt.Errorf("%w: any %d of %d custodians would open it, and %d must sign the order", ErrEscrow, o.Open, k, need)
	}
	return nil
}

// VerifiedEscrow is an order of escrow that custodians have signed, with the key's record.
// Only [VerifyEscrow] makes one.
type VerifiedEscrow struct {
	ID         api.Digest
	Open       uint32
	Record     *VerifiedRecord
	Signed     []byte      // the record as it was signed
	Custodians []Custodian // whom it is sealed to, in their order
	By         []string    // who of them signed the order
}

// VerifyEscrow verifies an order of escrow under the custodians to whom a chain of changes
// since genesis leads, and the record in it. Failures wrap [ErrEscrow], or what [Follow]
// and [VerifyChange] say.
func VerifyEscrow(g *VerifiedGenesis, succession [][]byte, entry []byte) (*VerifiedEscrow, error) {
	chain, err := Follow(g, succession)
	if err != nil {
		return nil, err
	}
	e, err := ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	c, err := VerifyChange(chain.Genesis, e)
	if err != nil {
		return nil, err
	}
	o, err := ParseEscrow(c)
	if err != nil {
		return nil, err
	}
	if err := o.AllowedBy(chain.Genesis); err != nil {
		return nil, err
	}
	r, err := o.Signed.Verify(g)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEscrow, err)
	}
	v := &VerifiedEscrow{ID: e.ID(), Open: o.Open, Record: r, Signed: o.Signed.Encode(), Custodians: chain.Genesis.Custodians}
	for _, s := range e.Signatures {
		v.By = append(v.By, chain.Genesis.CustodianByKey(s.Signer).Name)
	}
	return v, nil
}
