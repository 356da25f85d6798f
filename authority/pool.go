package authority

import (
	"bytes"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Bounds of a pool.
const (
	// MaxPoolSize bounds the keys of one pool: each is a share in every holder's keyring
	// that nobody has asked for yet.
	MaxPoolSize = 100
	// MinPoolLife and MaxPoolLife bound how long a key waits in a pool, in seconds. Its
	// shares are not refreshed meanwhile, so that it is not for years.
	MinPoolLife = 3600
	MaxPoolLife = 90 * 24 * 3600
)

// ErrPool is returned, wrapped, for the order of a pool that breaks a rule of its own.
var ErrPool = errors.New("not a usable order of a pool")

// Pool orders keys that are born ahead, without names: so many of one shape wait until
// the order of a key that they fit takes one. Nobody wraps or unwraps under them before.
// A pool of size 0 ends that of its name, and says nothing else.
type Pool struct {
	Name         string   `cbor:"1,keyasint"`
	Size         uint32   `cbor:"2,keyasint,omitempty"` // nodes fill it up when it is under half
	T            uint32   `cbor:"3,keyasint,omitempty"`
	F            uint32   `cbor:"4,keyasint,omitempty"`
	Holders      []string `cbor:"5,keyasint,omitempty"` // in index order
	PhaseSeconds uint32   `cbor:"6,keyasint,omitempty"` // after which holders may sign that a phase is past its deadline
	LifeSeconds  uint64   `cbor:"7,keyasint,omitempty"` // a key that nobody took by then, by ledger time, is erased
}

// ParsePool reads a change of the kind [KindPool]. Failures wrap [ErrPool].
func ParsePool(c *Change) (*Pool, error) {
	if c.Kind != KindPool {
		return nil, fmt.Errorf("%w: a change of the kind %q is none", ErrPool, c.Kind)
	}
	var p Pool
	if err := wire.Decode(c.Body, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPool, err)
	}
	if p.Size == 0 && c.Base.IsZero() {
		return nil, fmt.Errorf("%w: it ends no pool", ErrPool)
	}
	return &p, p.Check()
}

// Check holds the order against the rules of its own: they need no ledger.
func (p *Pool) Check() error {
	if err := api.CheckName(p.Name); err != nil {
		return fmt.Errorf("%w: %w", ErrPool, err)
	}
	if p.Size == 0 {
		if p.T != 0 || p.F != 0 || len(p.Holders) != 0 || p.PhaseSeconds != 0 || p.LifeSeconds != 0 {
			return fmt.Errorf("%w: it has no keys, and says what they are like", ErrPool)
		}
		return nil
	}
	switch {
	case p.Size > MaxPoolSize:
		return fmt.Errorf("%w: %d keys, at most %d are possible", ErrPool, p.Size, MaxPoolSize)
	case p.LifeSeconds < MinPoolLife || p.LifeSeconds > MaxPoolLife:
		return fmt.Errorf("%w: a key waits %d to %d seconds", ErrPool, MinPoolLife, MaxPoolLife)
	}
	if err := checkShape(p.T, p.F, p.Holders, p.PhaseSeconds); err != nil {
		return fmt.Errorf("%w: %w", ErrPool, err)
	}
	return nil
}

// Fits says whether an order of a key may take one of this pool: it orders a new key
// that unwraps, of the same threshold among the same holders, and says nothing else of how
// the key is born. What it says of the key's life holds for one of a pool as well, and so
// do the regions that it is pinned to, since the holders are the same.
func (p *Pool) Fits(o *Order) bool {
	same := Order{
		Cluster: o.Cluster, Purpose: PurposeUnwrap, Name: o.Name, T: p.T, F: p.F, Holders: p.Holders, PhaseSeconds: o.PhaseSeconds,
		NotBefore: o.NotBefore, Owner: o.Owner, Labels: o.Labels, NotAfter: o.NotAfter, RotateEvery: o.RotateEvery, Regions: o.Regions,
	}
	return p.Size > 0 && bytes.Equal(wire.Encode(same), wire.Encode(*o))
}

// PooledKeyID derives the id of a key from the run of a pool's ceremony that it was born
// in, and its place there, from 1.
func PooledKeyID(session api.Digest, place uint32) api.KeyID {
	return tag.Hash(tag.PooledKey, session[:], tag.Uint64(uint64(place)))
}

// FromPool stands in the record of a key that its order took from a pool. The run in the
// record is then one of the pool's order, and the record's order says whose key it is.
type FromPool struct {
	Order []byte `cbor:"1,keyasint"` // the custodian-signed entry that ordered the pool
	Place uint32 `cbor:"2,keyasint"` // of the key in its run, from 1
}

// fromPool is what a record says of the pool that its key, or the key's first version,
// was taken from; or nil.
func (r *KeyRecord) fromPool() *FromPool {
	if r.Pool == nil && r.First != nil {
		return r.First.Pool
	}
	return r.Pool
}

// pool verifies the order of the pool that the key comes from, under the custodians who
// were in force then, and returns its id; or nothing where there is none. Only a pool of
// the very shape that custodians have signed for this key may have borne it.
func (s *SignedRecord) pool(g *VerifiedGenesis, born *Order) (id api.Digest, err error) {
	from := s.Record.fromPool()
	if from == nil {
		return id, nil
	}
	e, c, _, err := s.followed(g, s.Pooled, from.Order)
	if err != nil {
		return id, err
	}
	p, err := ParsePool(c)
	if err != nil {
		return id, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if !p.Fits(born) || from.Place == 0 || from.Place > MaxPoolSize {
		return id, fmt.Errorf("%w: the pool %s bears no key of its order", ErrRecord, p.Name)
	}
	return e.ID(), nil
}
