package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// Reasons for which an adoption is a no-op. What is wrong with it by itself carries
// authority.ErrAdopt.
var (
	// ErrNotNew means that a key was ordered here, and not adopted, or that keys of another
	// cluster were: what one cluster lost is adopted by one that has nothing else yet.
	ErrNotNew = errors.New("keys are adopted before any is ordered, and all from one cluster")
	// ErrKeyTaken means that this version of the key is here already.
	ErrKeyTaken = errors.New("this version of the key is here already")
)

// Adopted says of a key that it was born in another cluster, which was lost.
type Adopted struct {
	Cluster api.ClusterID `cbor:"1,keyasint"` // its origin: envelopes under it name that cluster, old and new ones
	Genesis api.Digest    `cbor:"2,keyasint"` // hash of that cluster's genesis document
	Epoch   uint64        `cbor:"3,keyasint"` // in which it was adopted: its shares were brought from there
}

// Waits says whether the key was adopted, and has not been reshared since: it opens
// nothing, and no client believes a record of it.
func (k *Key) Waits() bool { return k.Adopted != nil && k.Adopted.Epoch == k.Number }

// brought says whether an epoch of the key is the one in which it was adopted.
func (k *Key) brought(epoch uint64) bool { return k.Adopted != nil && k.Adopted.Epoch == epoch }

// Origin is the cluster that envelopes under a key name: this one, unless it was adopted.
func (s *State) Origin(k *Key) api.ClusterID {
	if k.Adopted != nil {
		return k.Adopted.Cluster
	}
	return s.genesis.Cluster
}

// takeAdopt makes a version of a key of a lost cluster one of this cluster, in the epoch
// that it had there and with the indices that its shares have; who takes none is struck.
// That the custodians of this cluster have signed was verified; sigs are the signatures.
func (s *State) takeAdopt(d *draft, index uint64, c *authority.Change, sigs []authority.Signature, id api.Digest, raw []byte) error {
	a, err := s.Custody().Adopts(c, sigs)
	if err != nil {
		return err
	}
	r, order := a.Record, a.Order()
	if s.RootKey() == nil {
		return fmt.Errorf("%w: the root key is not born yet", ErrOutOfTurn)
	}
	if slices.Contains(a.Takers, s.custody.roll.Leaver) && s.custody.roll.Leaver != "" {
		return fmt.Errorf("%w: %w: %s leaves", authority.ErrAdopt, ErrNoNode, s.custody.roll.Leaver)
	}
	for _, o := range s.Orders() {
		if o.Hash == s.rootOrder {
			continue
		}
		if k := s.keyOf(o); k == nil || k.Adopted == nil || k.Adopted.Genesis != a.Lost.Hash() {
			return fmt.Errorf("%w: here is %s", ErrNotNew, o.Order.Name)
		}
	}
	if s.KeyVersion(r.Key, r.Version) != nil {
		return fmt.Errorf("%w: version %d of %s", ErrKeyTaken, r.Version, r.Key)
	}
	if n := s.OrderNamed(order.Name); n != nil && n.Key != r.Key {
		return fmt.Errorf("%w: %s", ErrNameTaken, order.Name)
	}
	if err := checkPoints(a, &order); err != nil {
		return err
	}
	holders, lost := a.Holders()
	now := r.Order()
	d.put(keyPath(r.Key, r.Version), &Key{
		ID: r.Key, Version: r.Version, Order: id, Purpose: order.Purpose, Name: order.Name, BornT: order.T, BornH: order.H(), BornAt: index,
		Adopted: &Adopted{Cluster: a.Lost.Cluster, Genesis: a.Lost.Hash(), Epoch: r.Epoch},
		Epoch: Epoch{
			Number: r.Epoch, Session: a.Session(s.genesis.Cluster), T: now.T, F: now.F, Holders: holders, Struck: lost, Opened: index,
			Record: authority.KeyRecord{
				Cluster: s.genesis.Cluster, Key: r.Key, Version: r.Version, Epoch: r.Epoch, Order: bytes.Clone(raw),
				RosterVersion: s.RosterVersion(), RecordVersion: r.Epoch, Y: r.Y, W: r.W, YI: r.YI,
			},
		},
	})
	d.put(pathOrder+id.String(), &Ordered{Hash: id, Order: order, Entry: bytes.Clone(raw), Custody: uint64(s.custody.chain.Len()), Key: r.Key})
	if newest := s.Key(r.Key); newest == nil || newest.Version < r.Version {
		d.put(pathName+order.Name, &named{Order: id})
	}
	return nil
}

// keyOf is the key version that an order bore, or nil.
func (s *State) keyOf(o *Ordered) *Key {
	for _, k := range list[*Key](s, pathKey+o.Key.String()+"/") {
		if k.Order == o.Hash {
			return k
		}
	}
	return nil
}

// checkPoints holds the points of an adopted record against each other, as far as this
// cluster relies on them before its own reshare does.
func checkPoints(a *authority.Adoption, born *authority.Order) error {
	y, err := group.DecodePoint(a.Record.Y)
	if err != nil {
		return fmt.Errorf("%w: Y: %w", authority.ErrAdopt, err)
	}
	pk, err := tdh2.NewPublicKey(a.Lost.Cluster, a.Record.Key, a.Record.Version, int(born.T), int(born.H()), y)
	if err != nil {
		return fmt.Errorf("%w: %w", authority.ErrAdopt, err)
	}
	if !bytes.Equal(pk.W.Bytes(), a.Record.W) {
		return fmt.Errorf("%w: W is not Δ·Y", authority.ErrAdopt)
	}
	for i, b := range a.Record.YI {
		if _, err := group.DecodePoint(b); err != nil {
			return fmt.Errorf("%w: verification key %d: %w", authority.ErrAdopt, i+1, err)
		}
	}
	return nil
}
