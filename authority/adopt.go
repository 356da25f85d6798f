package authority

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// MaxAdopted bounds the genesis document and the record in an adoption, in bytes each:
// beside its signatures both fit in an entry, and the record of an adopted key, which
// embeds it, in a frame.
const MaxAdopted = 64 << 10

// ErrAdopt is returned, wrapped, for a change that adopts nothing that may be adopted.
var ErrAdopt = errors.New("not a usable adoption")

// Adopt says that one version of a key of a cluster that is lost is this cluster's from
// now on: its public key, its id and its version stay, and envelopes under it go on
// naming the lost cluster. It opens nothing before its first reshare here.
type Adopt struct {
	Lost   []byte `cbor:"1,keyasint"` // the lost cluster's genesis document, signed
	Record []byte `cbor:"2,keyasint"` // the key's record there, signed by its holders
	// Takers are, by index there, the nodes here that take the shares; empty where a
	// share is lost. The indices stay: renumbering loses the key.
	Takers []string `cbor:"3,keyasint"`
}

// Adoption is an [Adopt] with what was verified of it. Only [ParseAdopt] makes one.
type Adoption struct {
	Adopt
	Lost   *VerifiedGenesis
	Record *VerifiedRecord
	last   *Genesis      // of the lost cluster, as the record's chain has it last
	keys   []Fingerprint // of its custodians
	need   int           // how many of them it took there to replace them all
}

// ParseAdopt verifies what a change of the kind [KindAdopt] says: that the genesis document
// is one, and of another cluster; that the holders there have signed the record, as a
// client there believes it, of a key that is not symmetric; and that t of them have a taker, and none has two. Whose
// signatures the change bears it does not ask: see [Adoption.AllowedBy]. Failures wrap
// [ErrAdopt].
func ParseAdopt(c *Change) (*Adoption, error) {
	if c.Kind != KindAdopt || !c.Base.IsZero() {
		return nil, fmt.Errorf("%w: a change of the kind %q, or one that replaces something, is none", ErrAdopt, c.Kind)
	}
	a := &Adoption{}
	if err := wire.Decode(c.Body, &a.Adopt); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAdopt, err)
	}
	if len(a.Adopt.Lost) > MaxAdopted || len(a.Adopt.Record) > MaxAdopted {
		return nil, fmt.Errorf("%w: a genesis document of %d bytes and a record of %d, at most %d are possible", ErrAdopt, len(a.Adopt.Lost), len(a.Adopt.Record), MaxAdopted)
	}
	document, _, err := ParseSignedGenesis(a.Adopt.Lost)
	if err != nil {
		return nil, fmt.Errorf("%w: the lost cluster: %w", ErrAdopt, err)
	}
	if a.Lost, err = document.Verify(); err != nil {
		return nil, fmt.Errorf("%w: the lost cluster: %w", ErrAdopt, err)
	}
	if a.Lost.Cluster == c.Cluster {
		return nil, fmt.Errorf("%w: the key is of this cluster", ErrAdopt)
	}
	signed, err := ParseSignedRecord(a.Adopt.Record)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAdopt, err)
	}
	if err := signed.firstHand(); err != nil {
		return nil, err
	}
	if a.Record, err = signed.Verify(a.Lost); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAdopt, err)
	}
	if a.Record.Order().Symmetric() {
		return nil, fmt.Errorf("%w: %s is a symmetric key, whose shares no reshare moves", ErrAdopt, a.Record.Order().Name)
	}
	last, err := Follow(a.Lost, signed.Succession)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAdopt, err)
	}
	a.last = last.Genesis
	for _, k := range last.Genesis.Custodians {
		a.keys = append(a.keys, FingerprintOf(k.Sign))
	}
	a.need = last.Genesis.RequiredFor(KindCustodians)
	return a, a.checkTakers()
}

// firstHand refuses the record of a key that was adopted itself: there is one origin, and
// no record holds records in records without end.
func (s *SignedRecord) firstHand() error {
	if e, err := ParseEntry(s.Record.Order); err == nil && e.Kind == KindAdopt {
		return fmt.Errorf("%w: the key was adopted once already", ErrAdopt)
	}
	return nil
}

func (a *Adoption) checkTakers() error {
	o := a.Record.Order()
	if len(a.Takers) != len(o.Holders) {
		return fmt.Errorf("%w: it says of %d shares who takes them, the key has %d", ErrAdopt, len(a.Takers), len(o.Holders))
	}
	seen := map[string]bool{}
	for _, n := range a.Takers {
		if n == "" {
			continue
		}
		if err := api.CheckName(n); err != nil {
			return fmt.Errorf("%w: %w", ErrAdopt, err)
		}
		if seen[n] {
			return fmt.Errorf("%w: %s takes two shares", ErrAdopt, n)
		}
		seen[n] = true
	}
	if len(seen) < int(o.T) {
		return fmt.Errorf("%w: %d shares are taken, it takes %d to open anything", ErrAdopt, len(seen), o.T)
	}
	return nil
}

// AllowedBy says whether enough of the signers of a change were custodians of the lost
// cluster: as many as it took there to replace them all. The signatures themselves are
// [VerifyChange]'s to check. So who has backups and tokens alone adopts nothing.
func (a *Adoption) AllowedBy(sigs []Signature) error {
	of := map[Fingerprint]bool{}
	for _, s := range sigs {
		if slices.Contains(a.keys, s.Signer) {
			of[s.Signer] = true
		}
	}
	if len(of) < a.need {
		return fmt.Errorf("%w: %w: %d of the lost cluster's custodians, %d must", ErrAdopt, ErrTooFewSignatures, len(of), a.need)
	}
	return nil
}

// NeedOfLost is how many custodians of the lost cluster must sign.
func (a *Adoption) NeedOfLost() int { return a.need }

// IsOfLost says whether a key is a custodian's of the lost cluster.
func (a *Adoption) IsOfLost(key []byte) bool { return slices.Contains(a.keys, FingerprintOf(key)) }

// NodeOfLost is a node of the lost cluster, as the record's chain has it last, or nil.
func (a *Adoption) NodeOfLost(id string) *Node { return a.last.NodeByID(id) }

// Order is the order of the key's birth there, without what custodians said of it: that
// they say again. Its holders are nodes of the lost cluster.
func (a *Adoption) Order() Order {
	o := *a.Record.Birth()
	o.Owner, o.Labels, o.NotBefore, o.NotAfter, o.RotateEvery, o.Regions = "", nil, 0, 0, 0, nil
	return o
}

// lostPrefix begins what stands in the place of a holder whose share is lost. No node has
// such a name.
const lostPrefix = "lost:"

// Holders are the holders of the adopted epoch by index, and which of them stand for a
// share that is lost.
func (a *Adoption) Holders() (all, lost []string) {
	for i, n := range a.Takers {
		if n == "" {
			n = lostPrefix + a.Record.Order().Holders[i]
			lost = append(lost, n)
		}
		all = append(all, n)
	}
	return all, lost
}

// Session stands for the ceremony that made a share of the adopted epoch: the same for
// every adoption of it in this cluster.
func (a *Adoption) Session(cluster api.ClusterID) api.Digest {
	hash := a.Lost.Hash()
	return tag.Hash(tag.Adopted, cluster[:], hash[:], a.Record.Key[:], tag.Uint64(uint64(a.Record.Version)), tag.Uint64(a.Record.Epoch))
}

// VerifyAdopt verifies the entry of an adoption: that enough custodians of g signed it,
// and enough of those of the lost cluster among them, and that who takes a share is on g's
// roster.
func VerifyAdopt(g *Genesis, e *Entry) (*Adoption, error) {
	c, err := VerifyChange(g, e)
	if err != nil {
		return nil, err
	}
	return g.Adopts(c, e.Signatures)
}

// Adopts is [VerifyAdopt] for a change whose signatures the caller has verified.
func (g *Genesis) Adopts(c *Change, sigs []Signature) (*Adoption, error) {
	a, err := ParseAdopt(c)
	if err != nil {
		return nil, err
	}
	if err := a.AllowedBy(sigs); err != nil {
		return nil, err
	}
	for _, n := range a.Takers {
		if n != "" && g.NodeByID(n) == nil {
			return nil, fmt.Errorf("%w: %s, who is to take a share, is not on the roster", ErrAdopt, n)
		}
	}
	if a.Record.Birth().T < g.Root.T || a.Record.Order().T < g.Root.T {
		return nil, fmt.Errorf("%w: its threshold is %d, this cluster's keys have at least %d", ErrAdopt, a.Record.Order().T, g.Root.T)
	}
	return a, nil
}

// continues holds a record of this cluster against the adoption that it embeds: the same
// key, in a later epoch, by a reshare that custodians of this cluster ordered.
func (a *Adoption) continues(r *KeyRecord) error {
	switch {
	case r.Key != a.Record.Key || r.Version != a.Record.Version || !bytes.Equal(r.Y, a.Record.Y) || !bytes.Equal(r.W, a.Record.W):
		return fmt.Errorf("%w: it is not of the key that was adopted", ErrRecord)
	case r.Epoch <= a.Record.Epoch || len(r.Reshared) == 0:
		return fmt.Errorf("%w: the key was adopted in epoch %d, and opens nothing here before it is reshared", ErrRecord, a.Record.Epoch)
	case r.Attempt != 0 || !r.LinkBefore.IsZero() || r.First != nil || r.Pool != nil:
		return fmt.Errorf("%w: it tells of a birth, and the key was adopted", ErrRecord)
	}
	return nil
}
