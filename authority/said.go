package authority

import (
	"fmt"

	"warifu.dev/api"
)

// Says is what an order says of the key that it bears, or nil when it says nothing: as a
// change of the kind [KindKeyLabels] says it, which may replace it later.
func (o *Order) Says(key api.KeyID) *KeyLabels {
	if o.Owner == "" && len(o.Labels) == 0 && o.NotAfter == 0 {
		return nil
	}
	return &KeyLabels{Key: key, Owner: o.Owner, Labels: o.Labels, NotAfter: o.NotAfter}
}

// checkSaid holds what an order says of its key against the bounds of that, and against
// the order.
func (o *Order) checkSaid() error {
	said := o.Says(api.KeyID{})
	switch {
	case said == nil:
		return nil
	case o.Key != nil, o.Purpose == PurposeRoot:
		return fmt.Errorf("%w: what is said of a key at its birth is of all its versions, and nothing is said of the root key", ErrKeyLife)
	case o.NotAfter != 0 && o.NotAfter <= o.NotBefore:
		return fmt.Errorf("%w: it would expire before it is active", ErrKeyLife)
	}
	return said.checkWords()
}

// parseSaid reads what a change says of a key: one of its labels, or the order of its
// birth, which knows its name alone. The ledger takes one such order of a name, ever.
func parseSaid(c *Change, key api.KeyID, name string) (*KeyLabels, error) {
	if c.Kind != KindKey {
		said, err := ParseKeyLabels(c)
		if err == nil && said.Key != key {
			err = fmt.Errorf("%w: it is said of the key %s", ErrKeyLife, said.Key)
		}
		return said, err
	}
	o, err := ParseOrder(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyLife, err)
	}
	said := o.Says(key)
	if said == nil || o.Name != name {
		return nil, fmt.Errorf("%w: it is the order of the key %s, and says nothing of this one", ErrKeyLife, o.Name)
	}
	return said, nil
}
