package tdh2

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

var (
	// ErrPartials means that a set of partials cannot be combined at all: not
	// exactly t, an index outside the holder list or given twice, the identity, or
	// proofs that belong to different envelopes or epochs.
	ErrPartials = errors.New("tdh2: these partials cannot be combined")
	// ErrNotOpened means that the envelope did not open: some partial is wrong, or
	// the envelope is. Ask for share proofs, and use [PublicKey.OpenProven].
	ErrNotOpened = errors.New("tdh2: the envelope did not open with these partials")
	// ErrCorruptEnvelope means that the envelope cannot be opened by anyone:
	// whoever wrapped it did it wrong. Blame no node, and do not retry.
	ErrCorruptEnvelope = errors.New("tdh2: the envelope is corrupt")
)

// Open combines exactly t partials, all of one epoch, and returns the DEK, which
// the caller wipes. Which epoch they are of is the caller's to hold: bare partials
// do not say. Errors are [ErrPartials], [ErrNotOpened], [ErrCorruptEnvelope], and
// those of an envelope for another key.
func (pk *PublicKey) Open(o Opening, partials map[sharing.Index]*group.Point) (secret.Bytes, error) {
	a := o.addressed()
	if err := pk.names(a.e); err != nil {
		return secret.Bytes{}, err
	}
	if len(partials) != pk.T {
		return secret.Bytes{}, fmt.Errorf("open an envelope with %d partials where %d are needed: %w", len(partials), pk.T, ErrPartials)
	}
	quorum := slices.Sorted(maps.Keys(partials))
	points := make([]*group.Point, len(quorum))
	for k, i := range quorum {
		if err := (sharing.Params{T: pk.T, H: pk.H}).CheckIndex(i); err != nil {
			return secret.Bytes{}, fmt.Errorf("open an envelope: %w: %w", ErrPartials, err)
		}
		points[k] = partials[i]
		if points[k] == nil || points[k].IsIdentity() {
			return secret.Bytes{}, fmt.Errorf("open an envelope with the identity from index %d: %w", int(i), ErrPartials)
		}
	}
	// Δ·Σ λ_i·x_i·u = Δ·y·u = r·W.
	point, err := sharing.Interpolate(pk.Delta, quorum, points)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w: %w", ErrPartials, err)
	}
	return a.open(point)
}

// open unwraps with the KEM point. The commitment is compared first; once it
// matches, the point is the one that was wrapped with, and any further failure is
// the envelope's own.
func (a *AddressedEnvelope) open(point *group.Point) (secret.Bytes, error) {
	if point.IsIdentity() {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrNotOpened)
	}
	kek, commitment := deriveKEK(point, a.label, a.e.raw[offU:offUBar], a.pk.W)
	defer clear(kek)
	if subtle.ConstantTimeCompare(commitment, a.e.commitment()) != 1 {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrNotOpened)
	}
	dek, err := newAEAD(kek).Open(nil, nil, a.e.wrapped(), tag.List(tag.EnvelopeAAD, a.label[:]))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrCorruptEnvelope)
	}
	return secret.New(dek), nil
}

// OpenProven is [PublicKey.Open] for partials whose proofs verified, t of them,
// all of this envelope and one epoch. It settles the blame: since the partials
// are right, a failure is [ErrCorruptEnvelope]. [ErrPublicShares] means that the
// Y_i the proofs were checked against are not of this key, so that they prove nothing.
func (pk *PublicKey) OpenProven(o Opening, proven []VerifiedPartial) (secret.Bytes, error) {
	if len(proven) != pk.T {
		return secret.Bytes{}, fmt.Errorf("open an envelope with %d proven partials where %d are needed: %w", len(proven), pk.T, ErrPartials)
	}
	hash := o.addressed().e.Hash()
	partials := make(map[sharing.Index]*group.Point, len(proven))
	quorum := make([]sharing.Index, len(proven))
	publicShares := make([]*group.Point, len(proven))
	for k, p := range proven {
		if p.envelope != hash || p.id.Epoch != proven[0].id.Epoch {
			return secret.Bytes{}, fmt.Errorf("open an envelope with a proof for another envelope or epoch: %w", ErrPartials)
		}
		partials[p.id.Index] = p.di
		quorum[k], publicShares[k] = p.id.Index, p.yi
	}
	w, err := sharing.Interpolate(pk.Delta, quorum, publicShares) // refuses an index given twice
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w: %w", ErrPartials, err)
	}
	if !w.Equal(pk.W) {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrPublicShares)
	}
	dek, err := pk.Open(o, partials)
	if errors.Is(err, ErrNotOpened) {
		return secret.Bytes{}, fmt.Errorf("open an envelope with %d proven partials: %w", len(proven), ErrCorruptEnvelope)
	}
	return dek, err
}
