package authority

import (
	"bytes"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// MaxRenewed bounds the keys that one order names: with their signatures they stay
// well within an entry. An order that names none is about all of them.
const MaxRenewed = 1000

// Renewal is the order of a refresh or of a reshare: new shares of keys that there
// are, whose public keys stay what they are. A refresh leaves threshold and holders,
// and says nothing of them.
type Renewal struct {
	Keys         []api.KeyID `cbor:"1,keyasint,omitempty"` // ascending; none: every named key that is born by then
	PhaseSeconds uint32      `cbor:"2,keyasint"`           // after which participants may sign that a phase is past its deadline
	T            uint32      `cbor:"3,keyasint,omitempty"` // of a reshare
	F            uint32      `cbor:"4,keyasint,omitempty"` // of a reshare
	Holders      []string    `cbor:"5,keyasint,omitempty"` // of a reshare, in index order
	Root         bool        `cbor:"6,keyasint,omitempty"` // the cluster's root key as well, before all others

	OverlapSeconds uint32 `cbor:"7,keyasint,omitempty"` // of ledger time in which the epochs before answer beside the new ones; 0: a minute
}

// Bounds of an overlap that an order sets, in seconds: ledger time goes on in steps of
// ten, and an epoch that is to be over is not to be forgotten.
const (
	MinOverlapSecond = 10
	MaxOverlapSecond = 3600
)

// Concerns says whether the order is about a key. When it was born is not asked.
func (r *Renewal) Concerns(id api.KeyID) bool {
	return len(r.Keys) == 0 || slices.Contains(r.Keys, id)
}

// ParseRenewal reads the order inside a change of the kind [KindRefresh] or
// [KindReshare]. Failures wrap [ErrOrder].
func ParseRenewal(c *Change) (*Renewal, error) {
	if c.Kind != KindRefresh && c.Kind != KindReshare {
		return nil, fmt.Errorf("%w: a change of the kind %q is none of new shares", ErrOrder, c.Kind)
	}
	if !c.Base.IsZero() {
		return nil, fmt.Errorf("%w: a %s replaces nothing", ErrOrder, c.Kind)
	}
	var r Renewal
	if err := wire.Decode(c.Body, &r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	return &r, r.Check(c.Kind)
}

// Check holds the order against the rules of its own: they need no ledger.
func (r *Renewal) Check(kind string) error {
	if len(r.Keys) > MaxRenewed {
		return fmt.Errorf("%w: %d keys, at most %d", ErrOrder, len(r.Keys), MaxRenewed)
	}
	if o := r.OverlapSeconds; o != 0 && (o < MinOverlapSecond || o > MaxOverlapSecond) {
		return fmt.Errorf("%w: two epochs overlap for %d to %d seconds, not for %d", ErrOrder, MinOverlapSecond, MaxOverlapSecond, o)
	}
	for i := 1; i < len(r.Keys); i++ {
		if bytes.Compare(r.Keys[i-1][:], r.Keys[i][:]) >= 0 {
			return fmt.Errorf("%w: its keys do not ascend", ErrOrder)
		}
	}
	if kind == KindReshare {
		return checkShape(r.T, r.F, r.Holders, r.PhaseSeconds)
	}
	if r.T != 0 || r.F != 0 || len(r.Holders) != 0 {
		return fmt.Errorf("%w: a refresh changes neither threshold nor holders", ErrOrder)
	}
	return checkPhase(r.PhaseSeconds)
}

// Bounds of what nodes state of old epochs.
const (
	// MaxRetired bounds the epochs that one statement names: those of a batch.
	MaxRetired = 100
	// MaxErasureWord bounds each of the words of an erasure receipt, in bytes: PKCS#11
	// has 16 for a serial number, and labels are ours.
	MaxErasureWord = 64
)

// Retire ends old epochs whose overlap is over: nothing is released from them any
// more, and their shares are to be erased.
type Retire struct {
	Epochs []LiveEpoch `cbor:"1,keyasint"` // sorted, at most [MaxRetired]
}

// Repair says that its author is back, and was struck from keys while it was away: they
// are refreshed, so that it has shares again.
type Repair struct {
	Seen api.Digest `cbor:"1,keyasint"` // the chain as the author had it: no two repairs are the same statement
}

// ErasureReceipt is what a node says of old shares of its own: that it holds none of these
// epochs, nor of any epoch before them of the same version, since it has destroyed what
// sealed the generation of its keyring that had the last of them. So the newest says all
// that those before it said.
type ErasureReceipt struct {
	Generation uint64      `cbor:"2,keyasint"`           // the one that was destroyed
	Label      string      `cbor:"3,keyasint,omitempty"` // of the token's object that sealed it
	Serial     string      `cbor:"4,keyasint,omitempty"` // of the token
	Time       int64       `cbor:"5,keyasint"`           // Unix milliseconds, by the node's clock
	Through    []LiveEpoch `cbor:"6,keyasint"`           // sorted, no version twice, at most [MaxRetired]
}

// Check holds the receipt against its bounds. Failures wrap [ErrStatement].
func (r *ErasureReceipt) Check() error {
	if len(r.Label) > MaxErasureWord || len(r.Serial) > MaxErasureWord {
		return fmt.Errorf("%w: a word of an erasure receipt is over %d bytes", ErrStatement, MaxErasureWord)
	}
	for i := 1; i < len(r.Through); i++ {
		if a, b := r.Through[i-1], r.Through[i]; a.Key == b.Key && a.Version == b.Version {
			return fmt.Errorf("%w: it names version %d of the key %s twice", ErrStatement, b.Version, b.Key)
		}
	}
	return CheckEpochs(r.Through)
}

// Covers says whether the receipt is of an epoch.
func (r *ErasureReceipt) Covers(e LiveEpoch) bool {
	return slices.ContainsFunc(r.Through, func(t LiveEpoch) bool {
		return t.Key == e.Key && t.Version == e.Version && t.Epoch >= e.Epoch
	})
}

// CheckEpochs says whether a list of epochs is one: sorted, none twice, within its
// bound, not empty (R3). Failures wrap [ErrStatement].
func CheckEpochs(list []LiveEpoch) error {
	if len(list) == 0 || len(list) > MaxRetired {
		return fmt.Errorf("%w: %d epochs, from 1 to %d are possible", ErrStatement, len(list), MaxRetired)
	}
	for i := 1; i < len(list); i++ {
		if list[i-1].Compare(list[i]) >= 0 {
			return fmt.Errorf("%w: its epochs are not sorted", ErrStatement)
		}
	}
	return nil
}
