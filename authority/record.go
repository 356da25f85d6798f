package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// ErrRecord is returned, wrapped, for a key record that a client must not believe.
var ErrRecord = errors.New("not a believable key record")

// KeyRecord is the public half of a key in one epoch, as its holders sign it.
type KeyRecord struct {
	Cluster       api.ClusterID `cbor:"1,keyasint"`
	Key           api.KeyID     `cbor:"2,keyasint"`
	Version       uint32        `cbor:"3,keyasint"`
	Epoch         uint64        `cbor:"4,keyasint"`
	Order         []byte        `cbor:"5,keyasint"` // the custodian-signed entry that ordered it, or adopted it
	Attempt       uint64        `cbor:"6,keyasint"`
	LinkBefore    api.Digest    `cbor:"7,keyasint"` // of the open entry
	RosterVersion uint64        `cbor:"8,keyasint"`
	RecordVersion uint64        `cbor:"9,keyasint"`
	Y             []byte        `cbor:"10,keyasint"` // 65 bytes
	W             []byte        `cbor:"11,keyasint"` // Δ·Y, 65 bytes
	YI            [][]byte      `cbor:"12,keyasint"` // 65 bytes each, by index
	// Reshared is the newest custodian-signed entry that gave the key other holders or
	// another threshold than its first order; empty while there was none.
	Reshared []byte `cbor:"13,keyasint,omitempty"`
	// BornRoster is the roster's version at the key's birth, in later epochs.
	BornRoster uint64 `cbor:"14,keyasint,omitempty"`
	// First stands in the record of a version that came by the period of the key's first
	// order, which knows no key id.
	First *FirstRun `cbor:"15,keyasint,omitempty"`
	// Sets stand in the record of a symmetric key, which has no Y, W and YI: for each set
	// of h-t+1 holders, by ascending bit set, the hash of its key, 32 bytes.
	Sets [][]byte `cbor:"16,keyasint,omitempty"`
	// Pool stands in the record of a key that was born in a pool. BornRoster is then the
	// roster's version at its birth in every epoch, and RosterVersion that of its taking,
	// or of the epoch.
	Pool *FromPool `cbor:"17,keyasint,omitempty"`
}

// SignedRecord is a record with the signatures of its holders.
type SignedRecord struct {
	Record     KeyRecord   `cbor:"1,keyasint"`
	Signatures []Signature `cbor:"2,keyasint,omitempty"`
	// Succession is how the custodians who signed the orders, and the roster whose nodes
	// signed the record, came to be: see [Follow]. It is empty when those of genesis did.
	Succession [][]byte `cbor:"3,keyasint,omitempty"`
	// Ordered is how many of these changes there were when the order was taken, and
	// Reordered when the newest reshare was.
	Ordered   uint64 `cbor:"4,keyasint,omitempty"`
	Reordered uint64 `cbor:"5,keyasint,omitempty"`
	// Pooled is how many there were when the pool was ordered that the key was born in.
	Pooled uint64 `cbor:"6,keyasint,omitempty"`
}

// Encode returns the canonical encoding.
func (s *SignedRecord) Encode() []byte { return wire.Encode(s) }

// ParseSignedRecord reads a record; it believes nothing. Failures wrap [ErrRecord].
func ParseSignedRecord(b []byte) (*SignedRecord, error) {
	var s SignedRecord
	if err := wire.Decode(b, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return &s, nil
}

// SignRecord is a holder's signature over r.
func SignRecord(rand io.Reader, s *Signer, r *KeyRecord) (Signature, error) {
	return s.Sign(rand, tag.KeyRecord, wire.Encode(r))
}

// VerifyRecordSignature checks one holder's signature over r.
func VerifyRecordSignature(r *KeyRecord, sig Signature, key []byte) error {
	return sig.Verify(key, tag.KeyRecord, wire.Encode(r))
}

// VerifiedRecord is a record that at least t of the holders its orders name
// have signed. Only [SignedRecord.Verify] makes one.
type VerifiedRecord struct {
	KeyRecord
	order  Order
	born   Order
	origin api.ClusterID
}

// Order returns the custodian-signed order: t and holders come from here, never
// from the record. After a reshare they are those of the newest order.
func (r *VerifiedRecord) Order() *Order { return &r.order }

// Origin returns the cluster that envelopes under this key name: the one that it was born
// in, which is another one if it was adopted since.
func (r *VerifiedRecord) Origin() api.ClusterID { return r.origin }

// Birth returns the order of the key's birth, whose t and h its Δ is born with.
func (r *VerifiedRecord) Birth() *Order { return &r.born }

// ordered is what the orders in a record say, each verified under the custodians who were
// in force then.
type ordered struct {
	id           api.Digest // of the first order
	born, newest *Order
	adoption     *Adoption // the first order is that of another cluster, by this; or nil
}

func (s *SignedRecord) orders(g *VerifiedGenesis) (o ordered, err error) {
	r := &s.Record
	e, c, then, err := s.followed(g, s.Ordered, r.Order)
	if err != nil {
		return o, err
	}
	o.id = e.ID()
	if c.Kind == KindAdopt {
		if o.adoption, err = then.Adopts(c, e.Signatures); err == nil {
			born := o.adoption.Order()
			o.born = &born
		}
	} else {
		o.born, err = ParseOrder(c)
	}
	if err != nil {
		return o, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if o.newest = o.born; len(r.Reshared) == 0 {
		return o, nil
	}
	if _, c, _, err = s.followed(g, s.Reordered, r.Reshared); err != nil {
		return o, err
	}
	by, err := ParseRenewal(c)
	if err != nil {
		return o, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if c.Kind != KindReshare || !by.Concerns(r.Key) {
		return o, fmt.Errorf("%w: its newest order is a %s of other keys", ErrRecord, c.Kind)
	}
	now := *o.born
	now.T, now.F, now.Holders, now.PhaseSeconds = by.T, by.F, by.Holders, by.PhaseSeconds
	o.newest = &now
	return o, nil
}

// followed verifies a change under the custodians that so many changes lead to.
func (s *SignedRecord) followed(g *VerifiedGenesis, after uint64, entry []byte) (*Entry, *Change, *Genesis, error) {
	e, err := ParseEntry(entry)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: its order: %w", ErrRecord, err)
	}
	custodians, err := Follow(g, s.Succession[:min(after, uint64(len(s.Succession)))])
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	c, err := VerifyChange(custodians.Genesis, e)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: its order: %w", ErrRecord, err)
	}
	return e, c, custodians.Genesis, nil
}

// Verify believes the record of a named key, or says why not. Its orders are verified
// first, under the custodians who were in force then; t and the holders are taken from
// the newest, and only then are signatures counted, under the roster of the record's
// version. That W = Δ·Y is left to the caller, who has the group.
func (s *SignedRecord) Verify(g *VerifiedGenesis) (*VerifiedRecord, error) {
	r := &s.Record
	roster, err := Follow(g, s.Succession)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	by, err := s.orders(g)
	if err != nil {
		return nil, err
	}
	born, o := by.born, by.newest
	if min(born.T, o.T) < g.Root.T {
		return nil, fmt.Errorf("%w: threshold %d, this cluster's keys have at least %d", ErrRecord, min(born.T, o.T), g.Root.T)
	}
	key, version, origin, err := s.identity(g, &by)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Cluster != g.Cluster:
		return nil, fmt.Errorf("%w: it is for the cluster %s", ErrRecord, r.Cluster)
	case r.RosterVersion != roster.Roll.Version:
		return nil, fmt.Errorf("%w: roster version %d, its chain leads to %d", ErrRecord, r.RosterVersion, roster.Roll.Version)
	case r.Version != version || r.Epoch == 0 || r.RecordVersion != r.Epoch || r.Epoch == 1 && (len(r.Reshared) > 0 || r.BornRoster > 0 && r.Pool == nil):
		return nil, fmt.Errorf("%w: version %d, epoch %d, record version %d do not go together", ErrRecord, r.Version, r.Epoch, r.RecordVersion)
	case born.Import != nil && !bytes.Equal(r.Y, born.Import.Y):
		return nil, fmt.Errorf("%w: its public key is not the one that was ordered to be imported", ErrRecord)
	case r.Key != key:
		return nil, fmt.Errorf("%w: its key id is not that of its session, or of its order", ErrRecord)
	case len(s.Signatures) > MaxSignatures: // each may cost a verification (R24)
		return nil, fmt.Errorf("%w: %d signatures", ErrRecord, len(s.Signatures))
	}
	if err := r.checkPublic(born.Symmetric(), o); err != nil {
		return nil, err
	}
	if err := born.CheckPlaces(roster.Genesis, o.Holders); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	seen := map[Fingerprint]bool{}
	for _, sig := range s.Signatures {
		for _, h := range o.Holders {
			n := roster.Genesis.NodeByID(h)
			if n == nil || seen[sig.Signer] || FingerprintOf(n.Key) != sig.Signer {
				continue
			}
			if VerifyRecordSignature(r, sig, n.Key) == nil {
				seen[sig.Signer] = true
			}
		}
	}
	if len(seen) < int(o.T) {
		return nil, fmt.Errorf("%w: %w: %d of at least %d holders", ErrRecord, ErrTooFewSignatures, len(seen), o.T)
	}
	return &VerifiedRecord{KeyRecord: *r, order: *o, born: *born, origin: origin}, nil
}

// identity is the key and the version that a record may be of, by its verified orders,
// and the cluster that the key was born in. What was adopted was born elsewhere, with a
// pool or without one.
func (s *SignedRecord) identity(g *VerifiedGenesis, by *ordered) (key api.KeyID, version uint32, origin api.ClusterID, err error) {
	if a := by.adoption; a != nil {
		return a.Record.Key, a.Record.Version, a.Lost.Cluster, a.continues(&s.Record)
	}
	pool, err := s.pool(g, by.born)
	if err != nil {
		return key, version, origin, err
	}
	key, version, err = s.Record.bears(g.Cluster, by.id, pool, by.born)
	return key, version, g.Cluster, err
}

// checkPublic holds that what the record says of the shares is of its kind of key, and
// complete (R3).
func (r *KeyRecord) checkPublic(symmetric bool, o *Order) error {
	if !symmetric {
		if len(r.YI) != len(o.Holders) || len(r.Sets) != 0 {
			return fmt.Errorf("%w: %d verification keys and %d sets for %d holders", ErrRecord, len(r.YI), len(r.Sets), len(o.Holders))
		}
		return nil
	}
	switch want := setCount(len(o.Holders), int(o.T)); {
	case len(r.Y)+len(r.W)+len(r.YI) != 0:
		return fmt.Errorf("%w: a symmetric key has no public key", ErrRecord)
	case r.Epoch != 1:
		return fmt.Errorf("%w: epoch %d of a symmetric key, whose shares are never made anew", ErrRecord, r.Epoch)
	case len(r.Sets) != want:
		return fmt.Errorf("%w: the hashes of %d set keys, there are %d", ErrRecord, len(r.Sets), want)
	}
	for _, h := range r.Sets {
		if len(h) != len(api.Digest{}) {
			return fmt.Errorf("%w: the hash of a set key has %d bytes", ErrRecord, len(h))
		}
	}
	return nil
}

// setCount is the number of sets of h-t+1 among h holders.
func setCount(h, t int) int {
	n := 1
	for i := 1; i < t; i++ { // h over t-1
		n = n * (h - t + 1 + i) / i
	}
	return n
}

// ParseOrder reads the order inside a change of the kind [KindKey].
func ParseOrder(c *Change) (*Order, error) {
	if c.Kind != KindKey {
		return nil, fmt.Errorf("%w: a change of the kind %q is none", ErrOrder, c.Kind)
	}
	var o Order
	if err := wire.Decode(c.Body, &o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOrder, err)
	}
	if o.Cluster != c.Cluster || o.Purpose == PurposeRoot {
		return nil, fmt.Errorf("%w: for another cluster, or for a root key", ErrOrder)
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	return &o, nil
}
