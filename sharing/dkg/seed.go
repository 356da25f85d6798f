package dkg

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// A symmetric key is imported as a seed of 32 random bytes. For every set S of h-t+1
// holders the owner derives, and deals to the members of S,
//
//	c_S = HKDF-SHA256(seed; info = tag, cluster, name, h, t, S)
//
// and the key of the set is made of c_S as of the only contribution at a birth. So it is
// bound to the key's id: who has the seed computes it again, and it opens nothing that was
// made elsewhere, or under another name.
//
// The order says the hash of the list of the hashes of all c_S, so that another seed than
// the one that custodians saw is dealt to nobody.

// SeedSize is the length of a seed.
const SeedSize = 32

// ErrSeed means that a seed is not of 32 bytes, is not the one that was ordered, or that
// its owner's part is taken without it.
var ErrSeed = errors.New("dkg: not the seed whose import was ordered")

// SeedCommitment is what the order of an import says of a seed. name is the key's; the
// seed is the caller's to wipe. It tells nothing of a seed that is random.
func SeedCommitment(cluster [32]byte, name string, t, h int, seed secret.Bytes) ([32]byte, error) {
	p := sharing.Params{T: t, H: h}
	parts, err := seedParts(cluster, name, p, seed)
	if err != nil {
		return [32]byte{}, fmt.Errorf("commit to a seed: %w", err)
	}
	defer parts.Wipe()
	return commitParts(cluster, p, parts), nil
}

// NewOwner is [NewParticipant] of the owner of the seed of a symmetric key that is
// imported under a name. It draws nothing: all that it deals follows from the seed, which
// the caller wipes.
func NewOwner(s Session, name string, seed secret.Bytes) (*Participant, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("begin an import: %w", err)
	}
	if !s.Symmetric.imported() {
		return nil, fmt.Errorf("begin an import of a seed, which the session is not: %w", ErrSeed)
	}
	parts, err := seedParts(s.Cluster, name, s.params(), seed)
	if err != nil {
		return nil, fmt.Errorf("begin an import: %w", err)
	}
	if commitParts(s.Cluster, s.params(), parts) != s.Symmetric.Seed {
		parts.Wipe()
		return nil, fmt.Errorf("begin an import: %w", ErrSeed)
	}
	return &Participant{session: s, me: sharing.Index(s.H + 1), keys: make([]secret.Bytes, s.Participants()), sets: parts, dirty: true}, nil
}

// seedParts are c_S for all sets, in the order of [tprf.Sets].
func seedParts(cluster [32]byte, name string, p sharing.Params, seed secret.Bytes) (secret.Bytes, error) {
	if err := tprf.CheckShape(p); err != nil {
		return secret.Bytes{}, err
	}
	if seed.Len() != SeedSize {
		return secret.Bytes{}, fmt.Errorf("a seed of %d bytes: %w", seed.Len(), ErrSeed)
	}
	sets := tprf.Sets(p)
	parts := make([]byte, 0, len(sets)*ContributionSize)
	for _, set := range sets {
		info := tag.List(tag.SeedPart, cluster[:], []byte(name), tag.Uint64(uint64(p.H)), tag.Uint64(uint64(p.T)), tag.Uint64(uint64(set)))
		part, err := hkdf.Key(sha256.New, seed.Reveal(), nil, string(info), ContributionSize)
		if err != nil {
			panic("dkg: derive of a seed: " + err.Error())
		}
		parts = append(parts, part...)
		clear(part)
	}
	return secret.New(parts), nil
}

func seedPartHash(cluster [32]byte, p sharing.Params, set tprf.Set, part []byte) [32]byte {
	return tag.Hash(tag.SeedPartHash, cluster[:], tag.Uint64(uint64(p.H)), tag.Uint64(uint64(p.T)), tag.Uint64(uint64(set)), part)
}

func commitParts(cluster [32]byte, p sharing.Params, parts secret.Bytes) [32]byte {
	var list [][]byte
	for k, set := range tprf.Sets(p) {
		hash := seedPartHash(cluster, p, set, parts.Reveal()[k*ContributionSize:(k+1)*ContributionSize])
		list = append(list, hash[:])
	}
	return commitSeed(list)
}

// commitSeed is the commitment to a seed, of the hashes of what it gives to each set.
func commitSeed(hashes [][]byte) [32]byte { return tag.Hash(tag.SeedCommitment, hashes...) }
