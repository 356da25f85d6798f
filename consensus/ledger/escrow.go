package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/escrow"
)

// MaxEscrows bounds the orders of escrow of one key, which are never pruned and stand in
// its certificate: one of each version is enough, and one more for new custodians.
const MaxEscrows = 64

// Reasons for which a step of an escrow is a no-op.
var (
	// ErrEscrowed means that the shares of this epoch are escrowed to these custodians already.
	ErrEscrowed = errors.New("the shares of this epoch are escrowed to these custodians already")
	// ErrManyEscrows means that there are as many orders of escrow of the key as may be.
	ErrManyEscrows = errors.New("there are as many orders of escrow of the key as there may be")
	// ErrOtherKeepers means that the custodians were replaced since the order: no share is
	// sealed to those who are none any more.
	ErrOtherKeepers = errors.New("the custodians were replaced since the order of escrow: no share is sealed to those before")
)

// Escrow is an order to seal the shares of one epoch of a key to custodians, and who has.
// It is kept for ever: what is sealed opens for ever. How many there are of a key stands in
// its life as well, so that none can be left out.
type Escrow struct {
	By      Signed     `cbor:"1,keyasint"`
	Key     api.KeyID  `cbor:"2,keyasint"`
	Version uint32     `cbor:"3,keyasint"`
	Epoch   uint64     `cbor:"4,keyasint"`
	T       uint32     `cbor:"5,keyasint"` // so many of these shares open everything under the version
	Open    uint32     `cbor:"6,keyasint"` // so many of the custodians open a share
	Holders []string   `cbor:"7,keyasint"` // by index
	Struck  []string   `cbor:"8,keyasint,omitempty"`
	Index   uint64     `cbor:"9,keyasint"`            // Raft index where it was taken
	Time    int64      `cbor:"10,keyasint"`           // ledger time then, Unix milliseconds
	Sealed  []SealedBy `cbor:"11,keyasint,omitempty"` // in the order in which they came
}

// SealedBy is one holder who has sealed its share.
type SealedBy struct {
	Node  string `cbor:"1,keyasint"`
	Index uint32 `cbor:"2,keyasint"` // of its share
	Time  int64  `cbor:"3,keyasint"` // ledger time, Unix milliseconds
}

// SealedShare is what a holder has sealed, as it signed it.
type SealedShare struct {
	Entry []byte `cbor:"1,keyasint"`
	Index uint64 `cbor:"2,keyasint"` // Raft index
}

func (v *Escrow) digest() api.Digest      { return digestOf(v) }
func (v *SealedShare) digest() api.Digest { return digestOf(v) }

// Has says whether a node has sealed its share.
func (v *Escrow) Has(node string) bool {
	return slices.ContainsFunc(v.Sealed, func(b SealedBy) bool { return b.Node == node })
}

// Opens says whether enough shares are sealed for custodians to open everything under the
// version.
func (v *Escrow) Opens() bool { return len(v.Sealed) >= int(v.T) }

// Nodes are those who have sealed their shares, by index.
func (v *Escrow) Nodes() []string {
	return slices.DeleteFunc(slices.Clone(v.Holders), func(h string) bool { return !v.Has(h) })
}

// waitsFor: an order of escrow waits for the holders who have not sealed their shares.
func (v *Escrow) waitsFor() []string {
	return slices.DeleteFunc(slices.Clone(v.Holders), func(h string) bool { return slices.Contains(v.Struck, h) || v.Has(h) })
}

func escrowsPath(key api.KeyID) string { return pathEscrow + key.String() + "/" }

func sealedPath(order api.Digest, index uint32) string {
	return fmt.Sprintf("%s%s/%03d", pathEscrowed, order, index)
}

// Escrows lists every order of escrow of a key, by its id.
func (s *State) Escrows(key api.KeyID) []*Escrow { return list[*Escrow](s, escrowsPath(key)) }

// AllEscrows lists the orders of escrow of all keys.
func (s *State) AllEscrows() []*Escrow { return list[*Escrow](s, pathEscrow) }

// Escrow returns an order of escrow of a key, or nil.
func (s *State) Escrow(key api.KeyID, order api.Digest) *Escrow {
	return get[*Escrow](s, escrowsPath(key)+order.String())
}

// SealedShare returns what the holder of an index has sealed by an order, or nil.
func (s *State) SealedShare(order api.Digest, index uint32) *SealedShare {
	return get[*SealedShare](s, sealedPath(order, index))
}

// EscrowsOf lists the orders of escrow by which a node is to seal its share now.
func (s *State) EscrowsOf(node string) []*Escrow {
	return slices.DeleteFunc(owed[*Escrow](s, node, pathEscrow), func(e *Escrow) bool { return s.MayEscrow(e, node) != nil })
}

// takeEscrow keeps the order to seal the shares of an epoch to the custodians in force.
func (s *State) takeEscrow(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	o, err := authority.ParseEscrow(c)
	if err != nil {
		return err
	}
	if err := o.AllowedBy(s.Custody()); err != nil {
		return err
	}
	r := &o.Signed.Record
	l, err := s.namedKey(r.Key)
	if err != nil {
		return err
	}
	k := s.KeyVersion(r.Key, r.Version)
	switch {
	case l.Destroy != nil:
		return ErrDying
	case k == nil || k.Waits():
		return fmt.Errorf("%w: version %d of %s", ErrNoKey, r.Version, s.nameOf(r.Key))
	case k.Symmetric():
		return fmt.Errorf("%w: %s", ErrSymmetric, k.Name)
	case k.Number != r.Epoch:
		return fmt.Errorf("%w: epoch %d of %s, whose current one is %d", ErrNoKey, r.Epoch, k.Name, k.Number)
	case !bytes.Equal(wire.Encode(r), wire.Encode(k.Record)):
		return fmt.Errorf("%w: its record is not that of epoch %d of %s", authority.ErrEscrow, k.Number, k.Name)
	}
	if _, err := o.Signed.Verify(s.genesis); err != nil { // whoever opens it has this record alone
		return fmt.Errorf("%w: %w", authority.ErrEscrow, err)
	}
	before := s.Escrows(r.Key)
	for _, e := range before {
		if e.Version == r.Version && e.Epoch == r.Epoch && s.Custody().SameKeepers(s.CustodyAt(e.By.Custody)) {
			return fmt.Errorf("%w: by %s", ErrEscrowed, e.By.Change)
		}
	}
	if len(before) >= MaxEscrows {
		return ErrManyEscrows
	}
	next := *l
	next.Escrows = uint32(len(before) + 1)
	d.put(pathLife+r.Key.String(), &next)
	d.put(escrowsPath(r.Key)+id.String(), &Escrow{
		By: s.signed(id, raw), Key: r.Key, Version: r.Version, Epoch: r.Epoch, T: k.T, Open: o.Open, Holders: k.Holders, Struck: k.Struck, Index: index, Time: s.Time(),
	})
	return nil
}

// MayEscrow says nil when a node may seal its share by an order: while the epoch is one of
// the key's, the key is not to be destroyed, and the custodians are those of the order.
func (s *State) MayEscrow(e *Escrow, node string) error {
	k := s.KeyVersion(e.Key, e.Version)
	switch now := s.Escrow(e.Key, e.By.Change); {
	case now == nil || k == nil:
		return ErrNoOrder
	case !slices.Contains(now.waitsFor(), node):
		return fmt.Errorf("%w: %s does not hold a share of that epoch, or has sealed it", ErrNotHolder, node)
	case !s.Custody().SameKeepers(s.CustodyAt(e.By.Custody)):
		return ErrOtherKeepers
	case s.Life(e.Key).Destroy != nil:
		return ErrDying
	case s.EpochOf(k, e.Epoch) == nil:
		return fmt.Errorf("%w: epoch %d of %s is over", ErrNoKey, e.Epoch, k.Name)
	}
	return nil
}

// takeEscrowed keeps a holder's share as it is sealed to custodians. Whether it is that
// share, whoever opens it will see.
func (s *State) takeEscrowed(d *draft, index uint64, node string, b *authority.Escrowed, raw []byte) error {
	e := s.Escrow(b.Key, b.Order)
	if e == nil {
		return ErrNoOrder
	}
	if err := s.MayEscrow(e, node); err != nil {
		return err
	}
	if b.Index == 0 || int64(b.Index) > int64(len(e.Holders)) || e.Holders[b.Index-1] != node {
		return fmt.Errorf("%w: %s has not the index %d", ErrNotHolder, node, b.Index)
	}
	var sealed escrow.Sealed
	if err := wire.Decode(b.Sealed, &sealed); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	if err := sealed.Check(len(s.Custody().Custodians), int(e.Open)); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrStatement, err)
	}
	next := *e
	next.Sealed = append(slices.Clone(e.Sealed), SealedBy{node, b.Index, s.Time()})
	d.put(escrowsPath(b.Key)+b.Order.String(), &next)
	d.put(sealedPath(b.Order, b.Index), &SealedShare{Entry: slices.Clone(raw), Index: index})
	return nil
}
