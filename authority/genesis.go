package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// GenesisFormat is the version of the genesis document that this program reads.
const GenesisFormat = 1

// Unseal modes: what it takes to open a node's root share.
const (
	// UnsealHSM: the node's token alone.
	UnsealHSM = "hsm"
	// UnsealCustodians: the node's token, and [Genesis.UnsealCount] custodians.
	UnsealCustodians = "hsm+custodians"
)

// MinUnsealCount is the least number of custodians who open a seal: one who suffices
// could be lost, and hold all nodes shut, or be robbed.
const MinUnsealCount = 2

// Bounds of a genesis document.
const (
	MaxCustodians = 16
	MaxNodes      = 16
	MaxAddress    = 255 // bytes of host:port
)

// ErrGenesis is returned, wrapped, for a genesis document that breaks a rule.
var ErrGenesis = errors.New("not a usable genesis document")

// Genesis pins everything that must be agreed before there is a ledger. Its
// hash is link 0 of the chain, and all that a client has to be given.
type Genesis struct {
	Format     uint32          `cbor:"1,keyasint"`
	Cluster    api.ClusterID   `cbor:"2,keyasint"`
	Created    int64           `cbor:"3,keyasint"` // Unix milliseconds: ledger time until t anchors exist
	Custodians []Custodian     `cbor:"4,keyasint"`
	Required   []RequiredCount `cbor:"5,keyasint"` // sorted by kind
	Unseal     string          `cbor:"6,keyasint"`
	Roster     []Node          `cbor:"7,keyasint"`
	Root       Order           `cbor:"8,keyasint"` // its t is the cluster's t
	// UnsealCount is how many custodians open a seal, with [UnsealCustodians]; else 0.
	UnsealCount uint32 `cbor:"9,keyasint,omitempty"`
}

// Custodian is one holder of authority.
type Custodian struct {
	Name string `cbor:"1,keyasint"`
	Sign []byte `cbor:"2,keyasint"` // P-256, 65 bytes
	Open string `cbor:"3,keyasint"` // age recipient that pieces are encrypted to
}

// RequiredCount is how many custodians must sign a change of this kind.
type RequiredCount struct {
	Kind  string `cbor:"1,keyasint"`
	Count uint32 `cbor:"2,keyasint"`
}

// Node is one line of the roster.
type Node struct {
	ID     string       `cbor:"1,keyasint"`
	Region string       `cbor:"2,keyasint"`
	Key    []byte       `cbor:"3,keyasint"` // identity key: P-256, 65 bytes
	Claim  AddressClaim `cbor:"4,keyasint"`
}

// AddressClaim is where a node says it listens. A wrong one can only fail the
// pin of the node's key.
type AddressClaim struct {
	Node      string    `cbor:"1,keyasint"`
	Counter   uint64    `cbor:"2,keyasint"` // the newest wins
	Client    string    `cbor:"3,keyasint"` // host:port, UDP, for clients
	Peer      string    `cbor:"4,keyasint"` // host:port, UDP, for other nodes
	Signature Signature `cbor:"5,keyasint"`
}

// SignClaim fills in the signature.
func SignClaim(rand io.Reader, s *Signer, c AddressClaim) (AddressClaim, error) {
	sig, err := s.Sign(rand, tag.AddressClaim, c.signed()...)
	if err != nil {
		return AddressClaim{}, fmt.Errorf("sign the address claim of %s: %w", c.Node, err)
	}
	c.Signature = sig
	return c, nil
}

// Verify checks the claim under the node's identity key.
func (c *AddressClaim) Verify(key []byte) error {
	if len(c.Client) == 0 || len(c.Client) > MaxAddress || len(c.Peer) == 0 || len(c.Peer) > MaxAddress {
		return fmt.Errorf("%w: an address has 1 to %d bytes", ErrGenesis, MaxAddress)
	}
	return c.Signature.Verify(key, tag.AddressClaim, c.signed()...)
}

func (c *AddressClaim) signed() [][]byte {
	return [][]byte{[]byte(c.Node), tag.Uint64(c.Counter), []byte(c.Client), []byte(c.Peer)}
}

// SignedGenesis is the document as it is kept and handed out: the exact bytes
// that were signed, and the signatures of all custodians.
type SignedGenesis struct {
	Body       []byte      `cbor:"1,keyasint"`
	Signatures []Signature `cbor:"2,keyasint,omitempty"`
}

// Encode returns the canonical encoding.
func (s *SignedGenesis) Encode() []byte { return wire.Encode(s) }

// Hash identifies the document: link 0 of the chain.
func (s *SignedGenesis) Hash() api.Digest { return tag.Hash(tag.Genesis, s.Body) }

// ParseSignedGenesis reads the document without looking at signatures.
func ParseSignedGenesis(b []byte) (*SignedGenesis, *Genesis, error) {
	var s SignedGenesis
	if err := wire.Decode(b, &s); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	var g Genesis
	if err := wire.Decode(s.Body, &g); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	if err := g.Check(); err != nil {
		return nil, nil, err
	}
	return &s, &g, nil
}

// Sign adds a custodian's signature, in the order of the custodians. Signing
// twice changes nothing.
func (s *SignedGenesis) Sign(rand io.Reader, signer *Signer) error {
	var g Genesis
	if err := wire.Decode(s.Body, &g); err != nil {
		return fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	if g.CustodianByKey(FingerprintOf(signer.PublicKey())) == nil {
		return fmt.Errorf("%w: this custodian is not named in the document", ErrSignature)
	}
	sig, err := signer.Sign(rand, tag.GenesisSignature, s.Body)
	if err != nil {
		return err
	}
	s.Signatures = addSignature(s.Signatures, sig)
	return nil
}

// Verify checks that enough custodians signed the birth, and returns a
// [VerifiedGenesis].
func (s *SignedGenesis) Verify() (*VerifiedGenesis, error) {
	var g Genesis
	if err := wire.Decode(s.Body, &g); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGenesis, err)
	}
	if err := g.Check(); err != nil {
		return nil, err
	}
	need := g.RequiredFor(KindGenesis)
	if err := countSignatures(&g, s.Signatures, need, tag.GenesisSignature, s.Body); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return &VerifiedGenesis{Genesis: g, hash: s.Hash(), signed: s}, nil
}

// VerifiedGenesis is a document that enough of its custodians signed. Only
// [SignedGenesis.Verify] makes one.
type VerifiedGenesis struct {
	Genesis
	hash   api.Digest
	signed *SignedGenesis
}

// Hash identifies the document.
func (g *VerifiedGenesis) Hash() api.Digest { return g.hash }

// Signed returns the document as handed out.
func (g *VerifiedGenesis) Signed() *SignedGenesis { return g.signed }

// Check holds the document against every rule that needs no signature but
// those of its address claims.
func (g *Genesis) Check() error {
	switch {
	case g.Format != GenesisFormat:
		return fmt.Errorf("%w: format %d, this program reads %d", ErrGenesis, g.Format, GenesisFormat)
	case g.Cluster == api.ClusterID{}:
		return fmt.Errorf("%w: no cluster id", ErrGenesis)
	case g.Created <= 0:
		return fmt.Errorf("%w: no creation time", ErrGenesis)
	case g.Unseal != UnsealHSM && g.Unseal != UnsealCustodians:
		return fmt.Errorf("%w: unknown unseal mode %q", ErrGenesis, g.Unseal)
	case g.Unseal == UnsealHSM && g.UnsealCount != 0:
		return fmt.Errorf("%w: %d custodians for the unseal mode %s, which needs none", ErrGenesis, g.UnsealCount, g.Unseal)
	case len(g.Roster) < MinT || len(g.Roster) > MaxNodes:
		return fmt.Errorf("%w: %d nodes, from %d to %d are possible", ErrGenesis, len(g.Roster), MinT, MaxNodes)
	}
	if err := g.checkCustodians(); err != nil {
		return err
	}
	for _, n := range g.Roster {
		if err := api.CheckName(n.Region); err != nil {
			return fmt.Errorf("%w: region of %s: %w", ErrGenesis, n.ID, err)
		}
		if n.Claim.Node != n.ID {
			return fmt.Errorf("%w: the address of %s is claimed by %q", ErrGenesis, n.ID, n.Claim.Node)
		}
		if err := n.Claim.Verify(n.Key); err != nil {
			return fmt.Errorf("%w: the address of %s: %w", ErrGenesis, n.ID, err)
		}
	}
	if g.Root.Purpose != PurposeRoot || g.Root.Cluster != g.Cluster {
		return fmt.Errorf("%w: its order is not for this cluster's root key", ErrGenesis)
	}
	if err := g.Root.Check(); err != nil {
		return fmt.Errorf("%w: root key: %w", ErrGenesis, err)
	}
	for _, h := range g.Root.Holders {
		if g.NodeByID(h) == nil {
			return fmt.Errorf("%w: holder %s of the root key is not on the roster", ErrGenesis, h)
		}
	}
	return nil
}

// checkCustodians holds the custodians, their keys beside those of the nodes, and what
// is required of them against every rule.
func (g *Genesis) checkCustodians() error {
	if len(g.Custodians) < 1 || len(g.Custodians) > MaxCustodians {
		return fmt.Errorf("%w: %d custodians, from 1 to %d are possible", ErrGenesis, len(g.Custodians), MaxCustodians)
	}
	if g.Unseal == UnsealCustodians && (g.UnsealCount < MinUnsealCount || int64(g.UnsealCount) > int64(len(g.Custodians))) {
		return fmt.Errorf("%w: any %d of %d custodians cannot open a seal; it is at least %d", ErrGenesis, g.UnsealCount, len(g.Custodians), MinUnsealCount)
	}
	names, keys := map[string]bool{}, map[Fingerprint]bool{}
	once := func(what, name string, key []byte) error {
		if err := api.CheckName(name); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrGenesis, what, err)
		}
		if _, err := ParsePublicKey(key); err != nil {
			return fmt.Errorf("%w: %s %s: %w", ErrGenesis, what, name, err)
		}
		if names[what+name] || keys[FingerprintOf(key)] {
			return fmt.Errorf("%w: %s %s, or its key, stands twice", ErrGenesis, what, name)
		}
		names[what+name], keys[FingerprintOf(key)] = true, true
		return nil
	}
	for _, c := range g.Custodians {
		if err := once("custodian", c.Name, c.Sign); err != nil {
			return err
		}
		if c.Open == "" || len(c.Open) > MaxAddress*16 {
			return fmt.Errorf("%w: custodian %s has no opening key", ErrGenesis, c.Name)
		}
	}
	for _, n := range g.Roster {
		if err := once("node", n.ID, n.Key); err != nil {
			return err
		}
	}
	if !slices.IsSortedFunc(g.Required, func(a, b RequiredCount) int { return bytes.Compare([]byte(a.Kind), []byte(b.Kind)) }) {
		return fmt.Errorf("%w: the required counts are not sorted", ErrGenesis)
	}
	for i, r := range g.Required {
		if !IsChangeKind(r.Kind) || i > 0 && g.Required[i-1].Kind == r.Kind {
			return fmt.Errorf("%w: required count of the kind %q: unknown, or given twice", ErrGenesis, r.Kind)
		}
		if r.Count < 1 || int(r.Count) > len(g.Custodians) {
			return fmt.Errorf("%w: %d of %d custodians cannot be required for %s", ErrGenesis, r.Count, len(g.Custodians), r.Kind)
		}
		if int(r.Count) > g.RequiredFor(KindCustodians) {
			return fmt.Errorf("%w: %d custodians are required for %s, and %d, who are fewer, could replace them all", ErrGenesis, r.Count, r.Kind, g.RequiredFor(KindCustodians))
		}
	}
	for _, k := range ChangeKinds() {
		if g.RequiredFor(k) == 0 {
			return fmt.Errorf("%w: no required count for the kind %s", ErrGenesis, k)
		}
	}
	return nil
}

// NodeByID returns the roster line of a node, or nil.
func (g *Genesis) NodeByID(id string) *Node {
	for i := range g.Roster {
		if g.Roster[i].ID == id {
			return &g.Roster[i]
		}
	}
	return nil
}

// CustodianByKey returns the custodian with this signing key, or nil.
func (g *Genesis) CustodianByKey(f Fingerprint) *Custodian {
	for i := range g.Custodians {
		if FingerprintOf(g.Custodians[i].Sign) == f {
			return &g.Custodians[i]
		}
	}
	return nil
}

// RequiredFor returns how many custodians must sign this kind, or 0 when the
// document does not say. To replace custodians it takes, unless the document says, as
// many as any other kind does: who could replace them could sign everything. So it does
// to change the roster, to adopt a key, and to escrow one. For a key's state and labels, to destroy or to
// keep it, and for a pool of keys, it takes as many as for a key's order; see also
// [Genesis.RequiredForChange].
func (g *Genesis) RequiredFor(kind string) int {
	most := 0
	for _, r := range g.Required {
		if r.Kind == kind {
			return int(r.Count)
		}
		most = max(most, int(r.Count))
	}
	switch {
	case kind == KindCustodians, kind == KindAdopt, kind == KindEscrow, IsMembershipKind(kind):
		return most
	case kind == KindKeyState, kind == KindKeyLabels, kind == KindKeyDestroy, kind == KindKeyKeep, kind == KindPool:
		return g.RequiredFor(KindKey)
	}
	return 0
}

// countSignatures verifies every signature; a signer counts once, a bad or a
// strange one spoils the whole, so that nobody can pad a change.
func countSignatures(g *Genesis, sigs []Signature, need int, t tag.Tag, body []byte) error {
	if need < 1 {
		return fmt.Errorf("%w: no count is set for this kind", ErrTooFewSignatures)
	}
	if len(sigs) > MaxSignatures {
		return fmt.Errorf("%w: %d signatures", ErrSignature, len(sigs))
	}
	seen := map[Fingerprint]bool{}
	for _, s := range sigs {
		c := g.CustodianByKey(s.Signer)
		if c == nil {
			return fmt.Errorf("%w: %w: %s", ErrSignature, ErrNotCustodian, s.Signer)
		}
		if seen[s.Signer] {
			return fmt.Errorf("%w: %s signed twice", ErrSignature, c.Name)
		}
		if err := s.Verify(c.Sign, t, body); err != nil {
			return fmt.Errorf("custodian %s: %w", c.Name, err)
		}
		seen[s.Signer] = true
	}
	if len(seen) < need {
		return fmt.Errorf("%w: %d of the %d custodians that must sign", ErrTooFewSignatures, len(seen), need)
	}
	return nil
}

// addSignature inserts by signer, replacing one that is there.
func addSignature(list []Signature, s Signature) []Signature {
	list = slices.DeleteFunc(slices.Clone(list), func(o Signature) bool { return o.Signer == s.Signer })
	list = append(list, s)
	slices.SortFunc(list, func(a, b Signature) int { return bytes.Compare(a.Signer[:], b.Signer[:]) })
	return list
}
