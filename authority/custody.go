package authority

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
)

// MaxSuccession bounds how often the custodians of a cluster are replaced and its roster
// is changed, together: some 300 KiB, with three signatures each.
const MaxSuccession = 256

// MaxSuccessionBytes bounds all these changes as they are signed. Their chain goes with
// whatever later custodians and nodes signed, in one answer of at most 1 MiB.
const MaxSuccessionBytes = 768 << 10

// Errors of replacing custodians.
var (
	// ErrCustody is returned, wrapped, for custodians that could not hold authority.
	ErrCustody = errors.New("these custodians could not hold authority")
	// ErrStranded means that too few custodians are named to open the nodes' seals, or
	// that so many of them are asked for where none open any.
	ErrStranded = errors.New("the nodes' seals would be left without custodians who open them")
)

// Custody replaces who the custodians are, and how many of them must sign what. The
// present custodians sign it, as many as its kind requires; afterwards those it names
// hold authority, and nobody else.
type Custody struct {
	Custodians []Custodian     `cbor:"1,keyasint"`
	Required   []RequiredCount `cbor:"2,keyasint"` // sorted by kind
	// UnsealCount is how many of them open a seal, with [UnsealCustodians]; else 0.
	UnsealCount uint32 `cbor:"3,keyasint,omitempty"`
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
	next.Custodians, next.Required, next.UnsealCount = by.Custodians, by.Required, by.UnsealCount
	switch k := len(by.Custodians); {
	case g.Unseal != UnsealCustodians && by.UnsealCount != 0:
		return nil, fmt.Errorf("%w: %d custodians to open a seal in the unseal mode %s, which needs none", ErrStranded, by.UnsealCount, g.Unseal)
	case g.Unseal == UnsealCustodians && (by.UnsealCount < MinUnsealCount || int64(by.UnsealCount) > int64(k)):
		return nil, fmt.Errorf("%w: any %d of %d cannot open a seal; it is at least %d", ErrStranded, by.UnsealCount, k, MinUnsealCount)
	}
	if err := next.checkCustodians(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCustody, err)
	}
	return &next, nil
}

// SameKeepers says whether the pieces of a seal that were made for the custodians of g
// are those of other's, too, which may be nil: the same keys in the same order, and as
// many who open it.
func (g *Genesis) SameKeepers(other *Genesis) bool {
	if other == nil {
		return false
	}
	same := func(a, b Custodian) bool { return a.Open == b.Open && bytes.Equal(a.Sign, b.Sign) }
	return g.UnsealCount == other.UnsealCount && slices.EqualFunc(g.Custodians, other.Custodians, same)
}

// Succession is the changes that replaced custodians or changed the roster, each signed
// under the custodians before it, and what the genesis document reads like after them.
// Only [Follow] and [Succession.Next] make one. It is immutable.
//
// Who leaves by the last change is still on the roster here: when that node has left,
// only the ledger says, and the next change.
type Succession struct {
	Genesis *Genesis   // with the custodians, counts and roster in force
	Last    api.Digest // id of the last change that replaced custodians, or zero
	Roll    Roll       // of the roster
	entries [][]byte
	ids     []api.Digest
	rosters []uint64   // the roster's version after each of them
	size    int        // of the entries, in bytes
	before  []*Genesis // as it read before each of them
}

// At is the document as it read after the first n changes, or nil if there were fewer.
func (s *Succession) At(n uint64) *Genesis {
	switch all := uint64(len(s.before)); {
	case n < all:
		return s.before[n]
	case n == all:
		return s.Genesis
	}
	return nil
}

// EverHeld says whether the key was a custodian's in genesis, or has been since.
func (s *Succession) EverHeld(key Fingerprint) bool {
	for n := range uint64(len(s.before)) + 1 {
		if s.At(n).CustodianByKey(key) != nil {
			return true
		}
	}
	return false
}

// Extends says whether the changes of before are the first of s. Those who were
// replaced can sign another replacement in the place of their own: a chain that does
// not extend what is known is such a one, however long it is.
func (s *Succession) Extends(before *Succession) bool {
	return len(s.ids) >= len(before.ids) && slices.Equal(s.ids[:len(before.ids)], before.ids)
}

// Len is how many changes there were.
func (s *Succession) Len() int { return len(s.entries) }

// VersionAt is the version of the roster after the first n changes.
func (s *Succession) VersionAt(n int) uint64 {
	if n == 0 {
		return 1
	}
	return s.rosters[n-1]
}

// RosterMadeBy is the change that made a version of the roster, zero for that of genesis,
// and whether there was such a version.
func (s *Succession) RosterMadeBy(version uint64) (change api.Digest, is bool) {
	if version == 1 {
		return api.Digest{}, true
	}
	i, is := slices.BinarySearch(s.rosters, version)
	if !is {
		return api.Digest{}, false
	}
	return s.ids[i], true
}

// Entries are the changes, oldest first.
func (s *Succession) Entries() [][]byte { return s.entries }

// successionFile is how a succession is kept, and carried.
type successionFile struct {
	Entries [][]byte `cbor:"1,keyasint,omitempty"`
}

// EncodeSuccession makes a file of the changes that replaced custodians or changed the
// roster.
func EncodeSuccession(entries [][]byte) []byte { return wire.Encode(successionFile{entries}) }

// ParseSuccession reads such a file; it believes nothing. Failures wrap [ErrCustody].
func ParseSuccession(b []byte) ([][]byte, error) {
	var f successionFile
	if err := wire.Decode(b, &f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCustody, err)
	}
	return f.Entries, nil
}

// Begin is the succession without a change: genesis.
func Begin(g *VerifiedGenesis) *Succession {
	return &Succession{Genesis: &g.Genesis, Roll: Roll{Version: 1}}
}

// Follow verifies encoded entries, oldest first, each under the custodians in force
// before it. Without entries it is genesis. Failures wrap what [Succession.Next] says.
func Follow(g *VerifiedGenesis, entries [][]byte) (*Succession, error) {
	s := Begin(g)
	if len(entries) > MaxSuccession {
		return nil, fmt.Errorf("%w: %d changes, at most %d are possible", ErrCustody, len(entries), MaxSuccession)
	}
	size := 0 // before any signature is verified
	for _, b := range entries {
		if size += len(b); size > MaxSuccessionBytes {
			return nil, fmt.Errorf("%w: they are more than %d bytes", ErrCustody, MaxSuccessionBytes)
		}
	}
	for i, b := range entries {
		next, err := s.Next(b)
		if err != nil {
			return nil, fmt.Errorf("change %d of the custodians and the roster: %w", i+1, err)
		}
		s = next
	}
	return s, nil
}

// Continue is the longer of a chain that is known and one that was shown, when either goes
// on from the other. Failures wrap what [Follow] says, or [ErrCustody].
func Continue(g *VerifiedGenesis, known *Succession, entries [][]byte) (*Succession, error) {
	shown, err := Follow(g, entries)
	switch {
	case err != nil:
		return nil, err
	case shown.Extends(known):
		return shown, nil
	case known.Extends(shown):
		return known, nil
	}
	return nil, fmt.Errorf("%w: the chain of changes that is shown parts from the one that is known", ErrCustody)
}

// Next is the succession with one more entry. Failures wrap what [ParseEntry],
// [VerifyChange], [ParseCustody], [Genesis.Succeeded], [ParseMembership] and
// [Genesis.Enrolled] say.
func (s *Succession) Next(entry []byte) (*Succession, error) {
	e, err := ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	c, err := VerifyChange(s.Genesis, e)
	if err != nil {
		return nil, err
	}
	return s.With(c, e.ID(), entry)
}

// With is [Succession.Next] for a change whose signatures the caller has verified.
func (s *Succession) With(c *Change, id api.Digest, entry []byte) (*Succession, error) {
	next := *s
	if next.size += len(entry); next.size > MaxSuccessionBytes {
		return nil, fmt.Errorf("%w: all changes of custodians and roster would be %d bytes, at most %d are possible", ErrCustody, next.size, MaxSuccessionBytes)
	}
	var err error
	if IsMembershipKind(c.Kind) {
		err = next.enroll(c, id)
	} else {
		err = next.succeed(c, id)
	}
	if err != nil {
		return nil, err
	}
	next.entries = append(slices.Clip(s.entries), bytes.Clone(entry))
	next.ids = append(slices.Clip(s.ids), id)
	next.rosters = append(slices.Clip(s.rosters), next.Roll.Version)
	next.before = append(slices.Clip(s.before), s.Genesis)
	return &next, nil
}

func (s *Succession) succeed(c *Change, id api.Digest) error {
	by, err := ParseCustody(c)
	if err != nil {
		return err
	}
	if c.Base != s.Last {
		return fmt.Errorf("%w: it replaces %s, in force is %s", ErrCustody, c.Base, s.Last)
	}
	s.Genesis, err = s.Genesis.Succeeded(by)
	s.Last = id
	return err
}

func (s *Succession) enroll(c *Change, id api.Digest) error {
	m, err := ParseMembership(c)
	if err != nil {
		return err
	}
	if c.Base != s.Roll.Change {
		return fmt.Errorf("%w: it changes the roster that %s made, in force is that of %s", ErrMembership, c.Base, s.Roll.Change)
	}
	s.Genesis, s.Roll, err = s.Genesis.Enrolled(s.Roll, m, id)
	return err
}
