package authority

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// MaxSuccession bounds how often the custodians of a cluster are replaced. The chain
// of all replacements goes with whatever later custodians signed, and is one frame.
const MaxSuccession = 128

// Errors of replacing custodians.
var (
	// ErrCustody is returned, wrapped, for custodians that could not hold authority.
	ErrCustody = errors.New("these custodians could not hold authority")
	// ErrStranded means that the custodians named could not open the nodes' seals,
	// whose pieces the present ones have.
	ErrStranded = errors.New("the nodes' seals would be left without custodians who open them")
)

// Custody replaces who the custodians are, and how many of them must sign what. The
// present custodians sign it, as many as its kind requires; afterwards those it names
// hold authority, and nobody else.
type Custody struct {
	Custodians []Custodian     `cbor:"1,keyasint"`
	Required   []RequiredCount `cbor:"2,keyasint"` // sorted by kind
}

// ParseCustody reads what a change of the kind [KindCustodians] puts in force. Failures
// wrap [ErrCustody].
func ParseCustody(c *Change) (*Custody, error) {
	var out Custody
	if c.Kind != KindCustodians {
		return nil, fmt.Errorf("%w: a change of the kind %q names none", ErrCustody, c.Kind)
	}
	if err := wire.Decode(c.Body, &out); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCustody, err)
	}
	return &out, nil
}

// Succeeded is the document as it reads with other custodians, under the rules that
// held for the first ones: g is unchanged. Failures wrap [ErrCustody] or [ErrStranded].
func (g *Genesis) Succeeded(by *Custody) (*Genesis, error) {
	next := *g
	next.Custodians, next.Required = by.Custodians, by.Required
	if err := next.checkCustodians(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCustody, err)
	}
	same := func(a, b Custodian) bool { return a.Name == b.Name && a.Open == b.Open && bytes.Equal(a.Sign, b.Sign) }
	if g.Unseal == UnsealCustodians && !slices.EqualFunc(g.Custodians, next.Custodians, same) {
		return nil, fmt.Errorf("%w: in the unseal mode %s only the counts can be replaced", ErrStranded, g.Unseal)
	}
	return &next, nil
}

// Succession is the changes that replaced custodians, each signed under those before
// it, and what the genesis document reads like after them. Only [Follow] makes one.
type Succession struct {
	Genesis *Genesis   // with the custodians and counts in force
	Last    api.Digest // id of the last change, or zero
	entries [][]byte
	ids     []api.Digest
}

// Extends says whether the changes of before are the first of s. Those who were
// replaced can sign another replacement in the place of their own: a chain that does
// not extend what is known is such a one, however long it is.
func (s *Succession) Extends(before *Succession) bool {
	return len(s.ids) >= len(before.ids) && slices.Equal(s.ids[:len(before.ids)], before.ids)
}

// Len is how many changes there were.
func (s *Succession) Len() int { return len(s.entries) }

// Entries are the changes, oldest first.
func (s *Succession) Entries() [][]byte { return s.entries }

// successionFile is how a succession is kept, and carried.
type successionFile struct {
	Entries [][]byte `cbor:"1,keyasint,omitempty"`
}

// EncodeSuccession makes a file of the changes that replaced custodians.
func EncodeSuccession(entries [][]byte) []byte { return wire.Encode(successionFile{entries}) }

// ParseSuccession reads such a file; it believes nothing. Failures wrap [ErrCustody].
func ParseSuccession(b []byte) ([][]byte, error) {
	var f successionFile
	if err := wire.Decode(b, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCustody, err)
	}
	return f.Entries, nil
}

// Follow verifies encoded entries, oldest first, each under the custodians in force
// before it. Without entries it is genesis. Failures wrap what [ParseEntry],
// [VerifyChange], [ParseCustody] and [Genesis.Succeeded] say.
func Follow(g *VerifiedGenesis, entries [][]byte) (*Succession, error) {
	s := &Succession{Genesis: &g.Genesis}
	if len(entries) > MaxSuccession {
		return nil, fmt.Errorf("%w: %d replacements, at most %d are possible", ErrCustody, len(entries), MaxSuccession)
	}
	for i, b := range entries {
		e, err := ParseEntry(b)
		if err != nil {
			return nil, fmt.Errorf("replacement %d of the custodians: %w", i+1, err)
		}
		if err := s.take(e); err != nil {
			return nil, fmt.Errorf("replacement %d of the custodians: %w", i+1, err)
		}
		s.entries = append(s.entries, b)
	}
	return s, nil
}

func (s *Succession) take(e *Entry) error {
	c, err := VerifyChange(s.Genesis, e)
	if err != nil {
		return err
	}
	by, err := ParseCustody(c)
	if err != nil {
		return err
	}
	if c.Base != s.Last {
		return fmt.Errorf("%w: it replaces %s, in force is %s", ErrCustody, c.Base, s.Last)
	}
	next, err := s.Genesis.Succeeded(by)
	if err != nil {
		return err
	}
	s.Genesis, s.Last = next, e.ID()
	s.ids = append(s.ids, s.Last)
	return nil
}
