package tdh2

import (
	"errors"
	"fmt"

	"warifu.dev/sharing/group"
)

var (
	// ErrEnvelopeProof means that the envelope's proof does not hold for this key
	// and context: it was altered, or made for another context.
	ErrEnvelopeProof = errors.New("tdh2: the envelope's proof does not hold for this key and context")
	// ErrWrongCluster means that the envelope was made for another cluster.
	ErrWrongCluster = errors.New("tdh2: the envelope is for another cluster")
	// ErrWrongKey means that the envelope was made for another key.
	ErrWrongKey = errors.New("tdh2: the envelope is for another key")
	// ErrWrongVersion means that the envelope was made for another version of the key.
	ErrWrongVersion = errors.New("tdh2: the envelope is for another version of the key")
)

// AddressedEnvelope is an envelope that says it is for one key, with the context it
// is to be opened under. Its proof has not been checked: holders do that before they
// give a partial, and for who combines partials the commitment tells whether they fit.
type AddressedEnvelope struct {
	e     *Envelope
	pk    *PublicKey
	label [32]byte
}

// VerifiedEnvelope is an envelope whose proof holds for one key and one context.
// Only [PublicKey.Verify] and [Endorsement.Accept] make one.
type VerifiedEnvelope struct {
	AddressedEnvelope
}

// Opening is what partials open: an [AddressedEnvelope], verified or not.
type Opening interface {
	addressed() *AddressedEnvelope
}

func (a *AddressedEnvelope) addressed() *AddressedEnvelope { return a }

// Address takes an envelope as one to be opened under this key and context. Errors are
// [ErrWrongCluster], [ErrWrongKey] and [ErrWrongVersion].
func (pk *PublicKey) Address(e *Envelope, context []byte) (*AddressedEnvelope, error) {
	if err := pk.names(e); err != nil {
		return nil, err
	}
	return &AddressedEnvelope{e: e, pk: pk, label: pk.label(context)}, nil
}

// Verify checks the proof of e: that u and ū have one logarithm r, known to the
// one who chose label, context and every other byte of the envelope. Errors are
// [ErrWrongCluster], [ErrWrongKey], [ErrWrongVersion] and [ErrEnvelopeProof].
func (pk *PublicKey) Verify(e *Envelope, context []byte) (*VerifiedEnvelope, error) {
	a, err := pk.Address(e, context)
	if err != nil {
		return nil, err
	}
	minusE := e.e.Neg()
	w := group.BaseMul(e.f).Add(e.u.Mul(minusE))
	wBar := group.MulSecondPublic(e.f).Add(e.uBar.Mul(minusE))
	unproved := e.raw[:len(e.raw)-proofSize]
	if !pk.challenge(context, unproved, w, wBar).Equal(e.e) {
		return nil, fmt.Errorf("verify an envelope: %w", ErrEnvelopeProof)
	}
	return &VerifiedEnvelope{*a}, nil
}

// names tells whether e names this key.
func (pk *PublicKey) names(e *Envelope) error {
	switch {
	case e.Cluster() != pk.Cluster:
		return fmt.Errorf("verify an envelope: %w", ErrWrongCluster)
	case e.KeyID() != pk.KeyID:
		return fmt.Errorf("verify an envelope: %w", ErrWrongKey)
	case e.Version() != pk.Version:
		return fmt.Errorf("verify an envelope of version %d under version %d: %w", e.Version(), pk.Version, ErrWrongVersion)
	}
	return nil
}

// Label returns the label L of TDH2: cluster, key, version and context.
func (a *AddressedEnvelope) Label() [32]byte { return a.label }

// Envelope returns the envelope that is to be opened.
func (a *AddressedEnvelope) Envelope() *Envelope { return a.e }

// Partial returns D_i = x_i·u in constant time. It is what a node releases.
func (v *VerifiedEnvelope) Partial(share *group.Scalar) *group.Point { return v.e.u.Mul(share) }
