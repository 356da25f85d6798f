package authority

import (
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
)

// MinEvery is the shortest period of [Order.RotateEvery], in seconds: versions stay, and
// holders keep the shares of all of them.
const MinEvery = 24 * 3600

// NextVersion says that the period of a key's order is over, by ledger time: its next
// version is to be born.
type NextVersion struct {
	Key     api.KeyID `cbor:"1,keyasint"`
	Version uint32    `cbor:"2,keyasint"` // the one that comes
}

// Next is the order of a later version of a key: the same threshold among the same
// holders, and the same period from then on. It is born, also where the first one was
// imported, and what was said at the first one's birth is of all versions. Nodes give it
// by the period of an order, custodians whenever they like.
func (o *Order) Next(id api.KeyID, version uint32) Order {
	n := *o
	n.Key, n.Version, n.NotBefore = &id, version, 0
	n.Owner, n.Labels, n.NotAfter, n.Import = "", nil, 0, nil
	return n
}

// NextHash identifies the order of a later version by the period of an order.
func NextHash(order api.Digest, version uint32) api.Digest {
	return tag.Hash(tag.NextVersion, order[:], tag.Uint64(uint64(version)))
}

// FirstRun is the run of the ceremony in which the first version of a key was born: the
// key's id is derived from it.
type FirstRun struct {
	RosterVersion uint64     `cbor:"1,keyasint"`
	Attempt       uint64     `cbor:"2,keyasint"`
	LinkBefore    api.Digest `cbor:"3,keyasint"` // of the open entry
	Pool          *FromPool  `cbor:"4,keyasint,omitempty"`
}

// bears is the key and the version that a record may be of, by its order. A version that
// comes by the order's period is of the order's key; a first order knows that by its run
// alone, which no other record needs. A key from a pool was born by the pool's order.
func (r *KeyRecord) bears(cluster api.ClusterID, order, pool api.Digest, born *Order) (key api.KeyID, version uint32, err error) {
	at := r.RosterVersion
	if r.Epoch > 1 || r.Pool != nil {
		at = r.BornRoster
	}
	if r.Pool != nil {
		key, version = PooledKeyID(SessionID(cluster, at, pool, r.Attempt, r.LinkBefore), r.Pool.Place), 1
	} else {
		key, version = born.Bears(SessionID(cluster, at, order, r.Attempt, r.LinkBefore))
	}
	follows := born.RotateEvery != 0 && r.Version > version
	switch f := r.First; {
	case (f != nil) != (follows && born.Key == nil):
		return key, version, fmt.Errorf("%w: the key's first run stands in it and is not needed, or does not and is", ErrRecord)
	case follows && r.Pool != nil:
		return key, version, fmt.Errorf("%w: a later version is of no pool", ErrRecord)
	case f != nil && f.Pool != nil:
		key = PooledKeyID(SessionID(cluster, f.RosterVersion, pool, f.Attempt, f.LinkBefore), f.Pool.Place)
	case f != nil:
		key = KeyIDOf(SessionID(cluster, f.RosterVersion, order, f.Attempt, f.LinkBefore))
	}
	if follows {
		version = r.Version
	}
	return key, version, nil
}
