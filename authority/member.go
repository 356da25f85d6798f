package authority

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// ErrMembership is returned, wrapped, for a change that would leave a roster which
// could not be one.
var ErrMembership = errors.New("not a possible change of the roster")

// Membership is what a change of the kinds [KindNodeAdd], [KindNodeRemove] and
// [KindNodeReplace] says: who comes, and who leaves. Its base is the change of the
// roster before it.
type Membership struct {
	Newcomer *Node  `cbor:"1,keyasint,omitempty"`
	Leaver   string `cbor:"2,keyasint,omitempty"`
	// Undo takes back the change before, which is not finished. If that one brought the
	// leaver, whom it was to take off the roster stays; else the leaver itself does.
	Undo bool `cbor:"3,keyasint,omitempty"`
}

// IsMembershipKind says whether changes of this kind change the roster.
func IsMembershipKind(kind string) bool {
	return kind == KindNodeAdd || kind == KindNodeRemove || kind == KindNodeReplace
}

// ParseMembership reads what a change of the roster says, and verifies the newcomer's
// address claim. Failures wrap [ErrMembership].
func ParseMembership(c *Change) (*Membership, error) {
	var m Membership
	if !IsMembershipKind(c.Kind) {
		return nil, fmt.Errorf("%w: a change of the kind %q is none", ErrMembership, c.Kind)
	}
	if err := wire.Decode(c.Body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMembership, err)
	}
	if (m.Newcomer != nil) != (c.Kind != KindNodeRemove) || (m.Leaver != "") != (c.Kind != KindNodeAdd) || m.Undo && c.Kind != KindNodeRemove {
		return nil, fmt.Errorf("%w: who comes and who leaves does not fit the kind %s", ErrMembership, c.Kind)
	}
	if n := m.Newcomer; n != nil {
		if n.Claim.Node != n.ID {
			return nil, fmt.Errorf("%w: the address of %q is claimed by %q", ErrMembership, n.ID, n.Claim.Node)
		}
		for _, name := range []string{n.ID, n.Region} {
			if err := api.CheckName(name); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrMembership, err)
			}
		}
		if err := n.Claim.Verify(n.Key); err != nil {
			return nil, fmt.Errorf("%w: the address of %s: %w", ErrMembership, n.ID, err)
		}
	}
	return &m, nil
}

// Roll is what there is to know of a roster beside its lines.
type Roll struct {
	Version  uint64     // 1 at genesis, and 1 more with each change
	Change   api.Digest // that made it, or zero
	Newcomer string     // whom it brought
	Leaver   string     // who leaves by it, and is on the roster until no key has a share there
	Former   []Node     // who were on the roster, and never will be again
}

// Enrolled is the document as it reads with another roster, and what there is to know
// of that: g and r are unchanged. A change is taken when the one before is finished,
// so that who left by that one has left. An id and a key are on the roster once: a
// holder list of long ago names nobody else than it did. Failures wrap [ErrMembership].
func (g *Genesis) Enrolled(r Roll, m *Membership, by api.Digest) (*Genesis, Roll, error) {
	if m.Undo {
		next := g
		switch {
		case r.Newcomer != "" && m.Leaver == r.Newcomer:
			r.Leaver = m.Leaver
			next, r = g.Left(r)
		case r.Newcomer != "" || m.Leaver != r.Leaver:
			return nil, Roll{}, fmt.Errorf("%w: %q is not whom the change before is about", ErrMembership, m.Leaver)
		}
		r.Version, r.Change, r.Newcomer, r.Leaver = r.Version+1, by, "", ""
		return next, r, nil
	}
	next := g
	if r.Leaver != "" {
		next, r = g.Left(r)
	}
	changed := *next
	changed.Roster = slices.Clone(next.Roster)
	left := len(changed.Roster)
	if n := m.Newcomer; n != nil {
		for _, o := range slices.Concat(changed.Roster, r.Former) {
			if o.ID == n.ID || bytes.Equal(o.Key, n.Key) {
				return nil, Roll{}, fmt.Errorf("%w: %s, or its key, is on the roster, or was", ErrMembership, n.ID)
			}
		}
		changed.Roster = append(changed.Roster, *n)
		left++
	}
	if m.Leaver != "" {
		if next.NodeByID(m.Leaver) == nil {
			return nil, Roll{}, fmt.Errorf("%w: %q is not on the roster", ErrMembership, m.Leaver)
		}
		left--
	}
	switch {
	case len(changed.Roster) > MaxNodes:
		return nil, Roll{}, fmt.Errorf("%w: %d nodes at a time, at most %d are possible", ErrMembership, len(changed.Roster), MaxNodes)
	case left < int(g.Root.T):
		return nil, Roll{}, fmt.Errorf("%w: %d nodes would be left, and %d must sign for this cluster's history", ErrMembership, left, g.Root.T)
	}
	if err := changed.checkCustodians(); err != nil {
		return nil, Roll{}, fmt.Errorf("%w: %w", ErrMembership, err)
	}
	r.Version, r.Change, r.Newcomer, r.Leaver = r.Version+1, by, "", m.Leaver
	if m.Newcomer != nil {
		r.Newcomer = m.Newcomer.ID
	}
	return &changed, r, nil
}

// Left is the document without the leaver of r, who has left: g and r are unchanged.
func (g *Genesis) Left(r Roll) (*Genesis, Roll) {
	next := *g
	next.Roster = nil
	r.Former = slices.Clone(r.Former)
	for _, n := range g.Roster {
		if n.ID == r.Leaver {
			r.Former = append(r.Former, n)
		} else {
			next.Roster = append(next.Roster, n)
		}
	}
	r.Leaver = ""
	return &next, r
}
