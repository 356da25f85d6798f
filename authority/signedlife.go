package authority

import (
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// SignedLife is where a key stands in its life, as custodians have signed it. A node
// that leaves out the newest change shows an older state, and makes none up.
type SignedLife struct {
	State      []byte   `cbor:"1,keyasint,omitempty"` // entry of the last change of its state; empty: none
	StateAfter uint64   `cbor:"2,keyasint,omitempty"` // how many changes of custodians and roster there had been
	Said       []byte   `cbor:"3,keyasint,omitempty"` // entry that says owner, labels and expiry, the order of its birth if nothing came later; empty: none
	SaidAfter  uint64   `cbor:"4,keyasint,omitempty"`
	Succession [][]byte `cbor:"5,keyasint,omitempty"` // see [Follow]; up to the latest of them

	Destroy      []byte `cbor:"6,keyasint,omitempty"` // entry of the order to destroy it; empty: none
	DestroyAfter uint64 `cbor:"7,keyasint,omitempty"`
}

// Encode returns the canonical encoding.
func (s *SignedLife) Encode() []byte { return wire.Encode(s) }

// ParseSignedLife reads what a node serves; it believes nothing. Failures wrap
// [ErrKeyLife].
func ParseSignedLife(b []byte) (*SignedLife, error) {
	var s SignedLife
	if err := wire.Decode(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
	}
	return &s, nil
}

// VerifiedLife is where a key stands, by the word of custodians. Only
// [SignedLife.Verify] makes one.
type VerifiedLife struct {
	Life
	KeyLabels
	Changed bool // its state was changed since its birth
	Dying   bool // it is to be destroyed, or is: nothing more is to be wrapped under it
}

// Verify believes what is said of the key that this order bears, or says why not.
// Failures wrap [ErrKeyLife].
func (s *SignedLife) Verify(g *VerifiedGenesis, key api.KeyID, o *Order) (*VerifiedLife, error) {
	v := &VerifiedLife{Life: BornAs(o)}
	if said := o.Says(key); said != nil {
		v.KeyLabels = *said
	}
	signed := func(entry []byte, after uint64) (*Change, error) {
		if after > uint64(len(s.Succession)) {
			return nil, fmt.Errorf("%w: it lacks the custodians who signed it", ErrKeyLife)
		}
		custodians, err := Follow(g, s.Succession[:after])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
		}
		e, err := ParseEntry(entry)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
		}
		c, err := VerifyChange(custodians.Genesis, e)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
		}
		return c, nil
	}
	if len(s.State) > 0 {
		c, err := signed(s.State, s.StateAfter)
		if err != nil {
			return nil, err
		}
		to, err := ParseKeyState(c)
		if err != nil {
			return nil, err
		}
		if to.Key != key {
			return nil, fmt.Errorf("%w: it is of the key %s", ErrKeyLife, to.Key)
		}
		v.Put, v.Changed = to.To, true
	}
	if len(s.Said) > 0 {
		c, err := signed(s.Said, s.SaidAfter)
		if err != nil {
			return nil, err
		}
		said, err := parseSaid(c, key, o.Name)
		if err != nil {
			return nil, err
		}
		v.KeyLabels = *said
		v.Life.NotAfter = said.NotAfter
	}
	if len(s.Destroy) > 0 {
		c, err := signed(s.Destroy, s.DestroyAfter)
		if err != nil {
			return nil, err
		}
		ends, err := ParseKeyDestroy(c)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
		}
		if ends.Key != key {
			return nil, fmt.Errorf("%w: it destroys the key %s", ErrKeyLife, ends.Key)
		}
		v.Dying = true
	}
	return v, nil
}

// BornAs is where the key of an order stands from its birth on.
func BornAs(o *Order) Life {
	l := Life{Put: Active, NotBefore: o.NotBefore, NotAfter: o.NotAfter}
	if o.NotBefore != 0 {
		l.Put = PreActive
	}
	return l
}
