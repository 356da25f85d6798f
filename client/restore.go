package client

import (
	"errors"
	"fmt"
	"slices"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/unseal"
)

// ErrNoPiece means that a custodian has no piece of what a restore asks to open.
var ErrNoPiece = errors.New("this custodian has no piece of what the restore asks to open")

// RestoreOffer is what a node asks custodians to open for a restore, verified.
type RestoreOffer struct {
	*authority.VerifiedRestoreOffer
	locks []unseal.Lock
}

// ParseRestoreOffer reads an offer of warifud restore, and believes it from the hash of the
// genesis document of the cluster that takes the shares on, or says why not: see
// [authority.ParseRestoreOffer]. It asks nobody.
func ParseRestoreOffer(b []byte, genesis api.Digest) (*RestoreOffer, error) {
	v, err := authority.ParseRestoreOffer(b, genesis)
	if err != nil {
		return nil, err
	}
	o := &RestoreOffer{v, make([]unseal.Lock, len(v.Seals))}
	for i, s := range v.Seals {
		l := &o.locks[i]
		if err := wire.Decode(s.Kept.Lock, l); err != nil {
			return nil, fmt.Errorf("%w: the lock of %s: %w", authority.ErrRestoreOffer, s.Node, err)
		}
		if err := l.Check(len(s.Kept.Keepers), int(l.Threshold)); err != nil {
			return nil, fmt.Errorf("%w: the lock of %s: %w", authority.ErrRestoreOffer, s.Node, err)
		}
		if len(s.Door) != unseal.DoorSize {
			return nil, fmt.Errorf("%w: a door of %d bytes", authority.ErrRestoreOffer, len(s.Door))
		}
	}
	return o, nil
}

// Need is how many custodians open one of the seals.
func (o *RestoreOffer) Need(seal int) int { return int(o.locks[seal].Threshold) }

// PlaceOf is a custodian's place among those who open one of the seals, from 0, or -1.
func (o *RestoreOffer) PlaceOf(seal int, key authority.Fingerprint) int {
	return slices.IndexFunc(o.Seals[seal].Kept.Keepers, func(k authority.Keeper) bool { return k.Key == key })
}

// HandOver opens a custodian's pieces of the seals, and encrypts each to the door of the
// offer: nobody else reads it, and in no other attempt, nor for another restore, it is of
// any use. It fails with [ErrNoPiece] for who has none.
func (o *RestoreOffer) HandOver(key authority.Fingerprint, by age.Identity) ([]byte, error) {
	out := authority.RestorePieces{Offer: o.ID}
	for i, s := range o.Seals {
		place := o.PlaceOf(i, key)
		if place < 0 {
			continue
		}
		handed, err := o.handOver(i, place, by)
		if err != nil {
			return nil, fmt.Errorf("the piece of the seal of %s: %w", s.Node, err)
		}
		out.Pieces = append(out.Pieces, authority.RestorePiece{Seal: uint32(i), Place: uint32(place), Handed: handed})
	}
	if len(out.Pieces) == 0 {
		return nil, ErrNoPiece
	}
	return out.Encode(), nil
}

func (o *RestoreOffer) handOver(seal, place int, by age.Identity) ([]byte, error) {
	s, l := o.Seals[seal], o.locks[seal]
	of := unseal.Seal{Cluster: s.Cluster, Node: s.Node, Generation: s.Generation}
	piece, err := unseal.OpenBox(of, place, l.Pieces[place].Box, by)
	if err != nil {
		return nil, err
	}
	defer piece.Wipe()
	if err := l.CheckPiece(of, place, piece); err != nil {
		return nil, err
	}
	return unseal.HandOver(of, o.Attempt(), s.Door, place, piece)
}
