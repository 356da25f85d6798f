package authority

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// Waiting before a key is destroyed, in milliseconds of ledger time.
const (
	// DestroyWait is how long a destruction waits, so that somebody notices: less of it
	// takes the signatures of all custodians.
	DestroyWait = 7 * 24 * 3600 * 1000
	// MaxDestroyWait bounds the wait: what is further off is ordered later.
	MaxDestroyWait = 366 * 24 * 3600 * 1000
)

// ErrDestroy is returned, wrapped, for an order to destroy a key, or to keep it, that
// could never be taken.
var ErrDestroy = errors.New("not a usable order to destroy or to keep a key")

// KeyDestroy orders that a key is destroyed, in all its versions and epochs, when the
// wait is over. From the moment that a node has it, nothing under the key is opened.
type KeyDestroy struct {
	Key  api.KeyID `cbor:"1,keyasint"`
	Wait int64     `cbor:"2,keyasint"` // milliseconds of ledger time, from when it is taken
}

// KeyKeep takes an order to destroy a key back while it waits. Its base names that
// order's change.
type KeyKeep struct {
	Key api.KeyID `cbor:"1,keyasint"`
}

// Destroy begins the destruction of a key whose wait is over. A node says it, and what
// it says has no weight but that of the order and of ledger time.
type Destroy struct {
	Key api.KeyID `cbor:"1,keyasint"`
}

// ParseKeyDestroy reads a change of the kind [KindKeyDestroy]. Failures wrap
// [ErrDestroy].
func ParseKeyDestroy(c *Change) (*KeyDestroy, error) {
	var k KeyDestroy
	if c.Kind != KindKeyDestroy {
		return nil, fmt.Errorf("%w: a change of the kind %q destroys nothing", ErrDestroy, c.Kind)
	}
	if err := wire.Decode(c.Body, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDestroy, err)
	}
	switch {
	case k.Key == (api.KeyID{}):
		return nil, fmt.Errorf("%w: it names no key", ErrDestroy)
	case k.Wait < 0 || k.Wait > MaxDestroyWait:
		return nil, fmt.Errorf("%w: it waits %d milliseconds, from 0 to %d are possible", ErrDestroy, k.Wait, int64(MaxDestroyWait))
	case !c.Base.IsZero():
		return nil, fmt.Errorf("%w: an order to destroy replaces nothing", ErrDestroy)
	}
	return &k, nil
}

// ParseKeyKeep reads a change of the kind [KindKeyKeep]. Failures wrap [ErrDestroy].
func ParseKeyKeep(c *Change) (*KeyKeep, error) {
	var k KeyKeep
	if c.Kind != KindKeyKeep {
		return nil, fmt.Errorf("%w: a change of the kind %q keeps nothing", ErrDestroy, c.Kind)
	}
	if err := wire.Decode(c.Body, &k); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDestroy, err)
	}
	if k.Key == (api.KeyID{}) || c.Base.IsZero() {
		return nil, fmt.Errorf("%w: it names no key, or no order", ErrDestroy)
	}
	return &k, nil
}

// RequiredForChange is how many custodians must sign this change: all of them when a key
// is destroyed without the whole wait; what is said of a key in its order takes no fewer
// than it would later; else as many as [Genesis.RequiredFor] its kind.
func (g *Genesis) RequiredForChange(c *Change) int {
	if k, err := ParseKeyDestroy(c); err == nil && k.Wait < DestroyWait {
		return len(g.Custodians)
	}
	if o, err := ParseOrder(c); err == nil && o.Says(api.KeyID{}) != nil {
		return max(g.RequiredFor(KindKey), g.RequiredFor(KindKeyLabels))
	}
	return g.RequiredFor(c.Kind)
}
