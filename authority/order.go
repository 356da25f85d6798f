package authority

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Bounds of a threshold key.
const (
	MinT       = 2
	MaxHolders = 16
	// MaxSymmetricHolders bounds the holders of a symmetric key: the number of its sets
	// grows as the binomials, and is 126 at 5-of-9.
	MaxSymmetricHolders = 9
	MaxPhaseSecond      = 24 * 3600
)

// Purposes: a key has one, fixed at birth (R16).
const (
	PurposeRoot   = "root"   // opens keyrings; no request takes it
	PurposeUnwrap = "unwrap" // TDH2 envelopes
	// PurposeEncrypt is that of symmetric keys: a threshold pseudo-random function, by
	// which holders encrypt and decrypt.
	PurposeEncrypt = "encrypt"
)

// ErrOrder is returned, wrapped, for an order that breaks a rule of its own.
var ErrOrder = errors.New("not a usable order")

// Order commands a ceremony: the birth of a key among its holders, or the import of
// one. Holders are node ids; a holder's place in this list, counted from 1, is its index.
type Order struct {
	Cluster      api.ClusterID `cbor:"1,keyasint"`
	Purpose      string        `cbor:"2,keyasint"`
	Name         string        `cbor:"3,keyasint,omitempty"` // alias; empty for the root key
	T            uint32        `cbor:"4,keyasint"`
	F            uint32        `cbor:"5,keyasint"` // liars the ceremony survives
	Holders      []string      `cbor:"6,keyasint"`
	PhaseSeconds uint32        `cbor:"7,keyasint"` // after which holders may sign that a phase is past its deadline

	// NotBefore, if it is not 0, lets the key be born pre-active: it is active from
	// then on, in Unix milliseconds.
	NotBefore int64 `cbor:"20,keyasint,omitempty"`

	// Key and Version are given when it is the next version of a key that there is.
	Key     *api.KeyID `cbor:"21,keyasint,omitempty"`
	Version uint32     `cbor:"22,keyasint,omitempty"` // from 2

	// What custodians say of a new key from its birth on: see [Order.Says].
	Owner    string            `cbor:"23,keyasint,omitempty"`
	Labels   map[string]string `cbor:"24,keyasint,omitempty"`
	NotAfter int64             `cbor:"25,keyasint,omitempty"` // Unix milliseconds; 0: it does not expire

	// RotateEvery is after how many seconds nodes order the key's next version by
	// themselves, and each one after that, as [Order.Next] says; 0: never.
	RotateEvery uint64 `cbor:"26,keyasint,omitempty"`

	// Regions, ascending, are those that the key is pinned to: no node elsewhere holds a
	// share of it, in any epoch; none: its holders may be anywhere.
	Regions []string `cbor:"27,keyasint,omitempty"`

	// Import is given when the key is not born, but was whole before.
	Import *Import `cbor:"30,keyasint,omitempty"`
}

// Bears is the key, and the version of it, that a session of this order bears.
func (o *Order) Bears(session api.Digest) (api.KeyID, uint32) {
	if o.Key != nil {
		return *o.Key, o.Version
	}
	return KeyIDOf(session), 1
}

// H is the number of holders.
func (o *Order) H() uint32 { return uint32(len(o.Holders)) }

// Symmetric says whether the key is a threshold pseudo-random function, and has no
// public key.
func (o *Order) Symmetric() bool { return o.Purpose == PurposeEncrypt }

// IndexOf returns the place of a node among the holders, 1..h, or 0.
func (o *Order) IndexOf(node string) uint32 {
	for i, h := range o.Holders {
		if h == node {
			return uint32(i + 1)
		}
	}
	return 0
}

// Check holds the order against the rules of its own: they need no ledger.
func (o *Order) Check() error {
	switch {
	case o.Purpose != PurposeRoot && o.Purpose != PurposeUnwrap && o.Purpose != PurposeEncrypt:
		return fmt.Errorf("%w: unknown purpose %q", ErrOrder, o.Purpose)
	case o.Symmetric() && len(o.Holders) > MaxSymmetricHolders:
		return fmt.Errorf("%w: %d holders, a symmetric key has at most %d", ErrOrder, len(o.Holders), MaxSymmetricHolders)
	case (o.Purpose == PurposeRoot) != (o.Name == ""):
		return fmt.Errorf("%w: the root key has no name, every other key has one", ErrOrder)
	case (o.Key == nil) != (o.Version == 0), o.Version == 1, o.Key != nil && (o.NotBefore != 0 || o.Purpose == PurposeRoot):
		return fmt.Errorf("%w: a next version names its key and a number from 2, has no date of its own, and is not of the root key", ErrOrder)
	case o.Import != nil && (o.Key != nil || o.Purpose == PurposeRoot):
		return fmt.Errorf("%w: what is imported is the first version of a key, and not of the root key", ErrOrder)
	case o.NotBefore < 0, o.NotBefore != 0 && o.Purpose == PurposeRoot:
		return fmt.Errorf("%w: a named key has an activation date after 1970, or none; the root key has none", ErrOrder)
	}
	if o.Name != "" {
		if err := api.CheckName(o.Name); err != nil {
			return fmt.Errorf("%w: %w", ErrOrder, err)
		}
	}
	if err := o.checkSaid(); err != nil {
		return fmt.Errorf("%w: %w", ErrOrder, err)
	}
	if o.RotateEvery != 0 && (o.RotateEvery < MinEvery || o.RotateEvery > MaxRotate || o.Purpose == PurposeRoot || o.Import != nil) {
		return fmt.Errorf("%w: a next version comes every %d to %d seconds, or never; the root key has none, and custodians order that after an import", ErrOrder, MinEvery, MaxRotate)
	}
	if err := o.checkRegions(); err != nil {
		return err
	}
	if o.Import != nil {
		if err := o.Import.check(o.Symmetric()); err != nil {
			return err
		}
	}
	return checkShape(o.T, o.F, o.Holders, o.PhaseSeconds)
}

// checkShape holds what an order says of threshold, liars, holders and deadlines
// against each other.
func checkShape(threshold, f uint32, holders []string, phase uint32) error {
	h, t := len(holders), int(threshold)
	switch {
	case h < MinT || h > MaxHolders:
		return fmt.Errorf("%w: %d holders, from %d to %d are possible", ErrOrder, h, MinT, MaxHolders)
	case t < MinT || t > h:
		return fmt.Errorf("%w: threshold %d of %d holders, from %d to %d is possible", ErrOrder, t, h, MinT, h)
	case f == 0 && h != t, f != 0 && f > uint32(min(h-t, t-1)):
		return fmt.Errorf("%w: f = %d, must be 1 to min(h-t, t-1) = %d, or 0 when h = t", ErrOrder, f, min(h-t, t-1))
	}
	if err := checkPhase(phase); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, n := range holders {
		if err := api.CheckName(n); err != nil {
			return fmt.Errorf("%w: holder %w", ErrOrder, err)
		}
		if seen[n] {
			return fmt.Errorf("%w: %s holds it twice", ErrOrder, n)
		}
		seen[n] = true
	}
	return nil
}

func checkPhase(seconds uint32) error {
	if seconds == 0 || seconds > MaxPhaseSecond {
		return fmt.Errorf("%w: a phase lasts 1 to %d seconds", ErrOrder, MaxPhaseSecond)
	}
	return nil
}

// RootOrderHash identifies the root key's order, which genesis carries.
func RootOrderHash(genesis api.Digest, o *Order) api.Digest {
	return tag.Hash(tag.RootOrder, genesis[:], wire.Encode(o))
}

// SessionID identifies one run of the ceremony that an order commands. A failed
// run's id is never used again: the next attempt has another number and starts
// from another link (R15, R17).
func SessionID(cluster api.ClusterID, rosterVersion uint64, order api.Digest, attempt uint64, linkBefore api.Digest) api.Digest {
	return tag.Hash(tag.Session, cluster[:], tag.Uint64(rosterVersion), order[:], tag.Uint64(attempt), linkBefore[:])
}

// KeyIDOf derives a key's id from the session its first version was born in.
func KeyIDOf(session api.Digest) api.KeyID { return tag.Hash(tag.KeyID, session[:]) }
