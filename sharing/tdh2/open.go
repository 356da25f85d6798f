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
func (pk *PublicKey) Open(v *VerifiedEnvelope, partials map[sharing.Index]*group.Point) (secret.Bytes, error) {
	if err := pk.addressed(v.e); err != nil {
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
	return v.open(point)
}

// open unwraps with the KEM point. The commitment is compared first; once it
// matches, the point is the one that was wrapped with, and any further failure is
// the envelope's own.
func (v *VerifiedEnvelope) open(point *group.Point) (secret.Bytes, error) {
	if point.IsIdentity() {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrNotOpened)
	}
	kek, commitment := deriveKEK(point, v.label, v.e.raw[offU:offUBar], v.pk.W)
	defer clear(kek)
	if subtle.ConstantTimeCompare(commitment, v.e.commitment()) != 1 {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrNotOpened)
	}
	dek, err := newAEAD(kek).Open(nil, nil, v.e.wrapped(), tag.List(tag.EnvelopeAAD, v.label[:]))
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("open an envelope: %w", ErrCorruptEnvelope)
	}
	return secret.New(dek), nil
}

// OpenProven is [PublicKey.Open] for partials whose proofs verified, t of them,
// all of this envelope and one epoch. It settles the blame: since the partials
// are right, a failure is [ErrCorruptEnvelope]. [ErrPublicShares] means that the
// Y_i the proofs were checked against are not of this key, so that they prove nothing.
func (pk *PublicKey) OpenProven(v *VerifiedEnvelope, proven []VerifiedPartial) (secret.Bytes, error) {
	if len(proven) != pk.T {
		return secret.Bytes{}, fmt.Errorf("open an envelope with %d proven partials where %d are needed: %w", len(proven), pk.T, ErrPartials)
	}
	hash := v.e.Hash()
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
	dek, err := pk.Open(v, partials)
	if errors.Is(err, ErrNotOpened) {
		return secret.Bytes{}, fmt.Errorf("open an envelope with %d proven partials: %w", len(proven), ErrCorruptEnvelope)
	}
	return dek, err
}
