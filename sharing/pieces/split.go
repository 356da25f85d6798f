package pieces

import (
	"fmt"
	"io"
	"slices"

	"github.com/hashicorp/vault/shamir"
	"golang.org/x/mod/sumdb/tlog"

	"warifu.dev/internal/secret"
)

// Split makes n pieces of s, any m of which give it back. Salts come from rand;
// vault/shamir draws its polynomials from the system.
func Split(rand io.Reader, s secret.Bytes, n, m int) ([]*Piece, error) {
	switch size := s.Len(); {
	case size == 0 || size > MaxSecret:
		return nil, fmt.Errorf("%w: a secret has 1 to %d bytes, not %d", ErrSecret, MaxSecret, size)
	case m < MinThreshold || n > MaxPieces || m > n:
		return nil, fmt.Errorf("%w: any %d of %d; it is at least %d, of at most %d", ErrSecret, m, n, MinThreshold, MaxPieces)
	}
	salted := make([]byte, saltSize, saltSize+s.Len())
	if _, err := io.ReadFull(rand, salted); err != nil {
		return nil, fmt.Errorf("draw a salt: %w", err)
	}
	salted = append(salted, s.Reveal()...)
	defer clear(salted)
	shares, err := shamir.Split(salted, n, m)
	if err != nil {
		return nil, fmt.Errorf("split: %w", err)
	}
	out := make([]*Piece, n)
	tree := leaves{}
	for i, share := range shares {
		p := &Piece{body{Format: format, Of: n, Need: m, Index: i + 1, Data: share, Secret: committed(salted[:saltSize], salted[saltSize:])}}
		if _, err := io.ReadFull(rand, p.b.Salt[:]); err != nil {
			return nil, fmt.Errorf("draw a salt: %w", err)
		}
		c := p.b.commitment()
		if err := tree.add(c[:]); err != nil {
			return nil, err
		}
		out[i] = p
	}
	root, err := tlog.TreeHash(int64(n), tree)
	if err != nil {
		return nil, fmt.Errorf("hash the pieces: %w", err)
	}
	for i, p := range out {
		proof, err := tlog.ProveRecord(int64(n), int64(i), tree)
		if err != nil {
			return nil, fmt.Errorf("hash the pieces: %w", err)
		}
		p.b.Root = root
		p.b.Path = make([][32]byte, 0, len(proof))
		for _, h := range proof {
			p.b.Path = append(p.b.Path, h)
		}
	}
	return out, nil
}

// leaves holds the hashes of a small tree, in the order in which tlog stores them.
type leaves map[int64]tlog.Hash

// ReadHashes implements [tlog.HashReader].
func (l leaves) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, 0, len(indexes))
	for _, i := range indexes {
		out = append(out, l[i])
	}
	return out, nil
}

func (l leaves) add(leaf []byte) error {
	n := int64(0)
	for tlog.StoredHashCount(n) < int64(len(l)) {
		n++
	}
	hashes, err := tlog.StoredHashes(n, leaf, l)
	if err != nil {
		return fmt.Errorf("hash a piece: %w", err)
	}
	for _, h := range hashes {
		l[int64(len(l))] = h
	}
	return nil
}

// Collection takes pieces one by one, and refuses those that do not belong.
type Collection struct {
	pieces []*Piece
}

// Add takes a piece, or refuses it with [ErrOtherSet] or [ErrTwice]. It says how
// many are still needed.
func (c *Collection) Add(p *Piece) (missing int, err error) {
	if len(c.pieces) > 0 && c.pieces[0].b.set() != p.b.set() {
		return c.missing(), fmt.Errorf("%w: %v; the first was %v", ErrOtherSet, p, c.pieces[0])
	}
	if slices.ContainsFunc(c.pieces, func(other *Piece) bool { return other.b.Index == p.b.Index }) {
		return c.missing(), fmt.Errorf("%w: %v", ErrTwice, p)
	}
	c.pieces = append(c.pieces, p)
	return c.missing(), nil
}

func (c *Collection) missing() int {
	if len(c.pieces) == 0 {
		return MinThreshold
	}
	return max(0, c.pieces[0].b.Need-len(c.pieces))
}

// Combine gives the secret back, or fails with [ErrTooFew].
func (c *Collection) Combine() (secret.Bytes, error) {
	if n := c.missing(); n > 0 {
		return secret.Bytes{}, fmt.Errorf("%w: %d more needed", ErrTooFew, n)
	}
	first := c.pieces[0]
	shares := make([][]byte, 0, first.b.Need)
	for _, p := range c.pieces[:first.b.Need] {
		shares = append(shares, p.b.Data)
	}
	salted, err := shamir.Combine(shares)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrPiece, err)
	}
	defer clear(salted)
	return opened(salted, first.b.Secret)
}
