package authority

import (
	"bytes"
	"fmt"

	"warifu.dev/internal/wire"
)

// VerifiedAnchor is an anchor with the signature of the node whose it is; only
// [VerifyAnchor] makes one.
type VerifiedAnchor struct {
	node   string
	anchor Anchor
	entry  []byte
}

// VerifyAnchor reads an anchor's entry, as it stands in the ledger, and verifies it
// under the key that g's roster has for its author. Failures wrap [ErrEntry],
// [ErrStatement] or [ErrSignature].
func VerifyAnchor(g *Genesis, entry []byte) (*VerifiedAnchor, error) {
	e, err := ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	s, err := VerifyStatement(g, e)
	if err != nil {
		return nil, err
	}
	if s.Kind != KindAnchor {
		return nil, fmt.Errorf("%w: it is of the kind %q, not an anchor", ErrStatement, s.Kind)
	}
	a := &VerifiedAnchor{node: s.Node, entry: bytes.Clone(entry)}
	if err := wire.Decode(s.Body, &a.anchor); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrStatement, s.Kind, err)
	}
	return a, nil
}

// Node is whose anchor it is.
func (a *VerifiedAnchor) Node() string { return a.node }

// Anchor is what the node said.
func (a *VerifiedAnchor) Anchor() Anchor { return a.anchor }

// Entry is the entry, as it was given.
func (a *VerifiedAnchor) Entry() []byte { return bytes.Clone(a.entry) }
