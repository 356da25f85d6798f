package authority

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Bounds of what goes between a restore and custodians, in bytes.
const (
	// MaxRestoreOffer is what is decoded at most: the adoptions of some hundred keys.
	MaxRestoreOffer = wire.MaxSize
	// MaxRestorePieces is for one custodian's pieces of two seals, of 1.2 KB each.
	MaxRestorePieces = 8 << 10

	attemptSize    = 16
	maxRestoreSeal = 2 // the seal of the backup, and that of the node which takes the shares
)

// ErrRestoreOffer is returned, wrapped, for what is no offer of a restore that a custodian
// may believe, or no hand-over of pieces.
var ErrRestoreOffer = errors.New("not a believable offer of a restore")

// Keeper is a custodian who has a piece of a seal.
type Keeper struct {
	Name string      `cbor:"1,keyasint"`
	Key  Fingerprint `cbor:"2,keyasint"` // of its signing key
}

// KeptLock is what a node keeps beside a seal that custodians open, for whoever has to
// open it when no ledger can be asked: it is public, and stands in the ledger, too.
type KeptLock struct {
	Lock    []byte   `cbor:"1,keyasint"` // encoded unseal.Lock of sharing/unseal
	Keepers []Keeper `cbor:"2,keyasint"` // whose pieces, by place
}

// KeepLock encodes the lock of a seal that the custodians of g open, for [ParseKeptLock].
func KeepLock(g *Genesis, lock []byte) []byte {
	k := KeptLock{Lock: lock}
	for _, c := range g.Custodians {
		k.Keepers = append(k.Keepers, Keeper{c.Name, FingerprintOf(c.Sign)})
	}
	return wire.Encode(k)
}

// ParseKeptLock reads what [KeepLock] has written. Failures wrap [ErrRestoreOffer].
func ParseKeptLock(b []byte) (*KeptLock, error) {
	var k KeptLock
	if err := wire.Decode(b, &k); err != nil {
		return nil, fmt.Errorf("%w: a lock: %w", ErrRestoreOffer, err)
	}
	return &k, k.check()
}

func (k *KeptLock) check() error {
	if len(k.Keepers) == 0 || len(k.Keepers) > MaxCustodians {
		return fmt.Errorf("%w: a lock for %d custodians", ErrRestoreOffer, len(k.Keepers))
	}
	for _, c := range k.Keepers {
		if err := api.CheckName(c.Name); err != nil {
			return fmt.Errorf("%w: a custodian: %w", ErrRestoreOffer, err)
		}
	}
	return nil
}

// RestoreOffer is what a node of a new cluster asks custodians to open, so that it can move
// the shares of a node of a lost cluster into its own keyring: which shares, by which
// adoptions, from which token, and the doors that take their pieces. Both nodes sign it,
// that of the lost cluster because its token is in the machine.
type RestoreOffer struct {
	Genesis   []byte        `cbor:"1,keyasint"`           // of the cluster that takes the shares, signed
	Lost      api.Digest    `cbor:"2,keyasint"`           // hash of the lost cluster's genesis document
	From      string        `cbor:"3,keyasint"`           // the node there whose backup it is
	Token     string        `cbor:"4,keyasint"`           // serial of its token
	To        string        `cbor:"5,keyasint"`           // the node that takes the shares
	Adoptions [][]byte      `cbor:"6,keyasint"`           // entries, as custodians signed them
	Leave     bool          `cbor:"7,keyasint,omitempty"` // shares that no adoption names are lost
	Nonce     []byte        `cbor:"8,keyasint"`           // 16 bytes, drawn for this attempt
	Seals     []RestoreSeal `cbor:"9,keyasint"`
}

// RestoreSeal is a seal that custodians have to open for a restore.
type RestoreSeal struct {
	Cluster    api.ClusterID `cbor:"1,keyasint"`
	Node       string        `cbor:"2,keyasint"`
	Generation uint64        `cbor:"3,keyasint"`
	Kept       KeptLock      `cbor:"4,keyasint"`
	Door       []byte        `cbor:"5,keyasint,omitempty"` // of sharing/unseal
}

// Attempt is the id of the attempt that an offer is for: a hash of all that it says but its
// doors, so that a piece which is handed over for it is of use for nothing else.
func (o *RestoreOffer) Attempt() (a [attemptSize]byte) {
	said := *o
	said.Seals = slices.Clone(o.Seals)
	for i := range said.Seals {
		said.Seals[i].Door = nil
	}
	hash := tag.Hash(tag.RestoreAttempt, wire.Encode(said))
	copy(a[:], hash[:])
	return a
}

type signedRestoreOffer struct {
	Body []byte    `cbor:"1,keyasint"`
	From Signature `cbor:"2,keyasint"`
	To   Signature `cbor:"3,keyasint"`
}

// SignRestoreOffer encodes an offer, signed by the node of the lost cluster and by the one
// that takes its shares.
func SignRestoreOffer(rand io.Reader, o *RestoreOffer, from, to *Signer) ([]byte, error) {
	s := signedRestoreOffer{Body: wire.Encode(o)}
	var err error
	if s.From, err = from.Sign(rand, tag.RestoreOffer, s.Body); err != nil {
		return nil, err
	}
	if s.To, err = to.Sign(rand, tag.RestoreOffer, s.Body); err != nil {
		return nil, err
	}
	return wire.Encode(s), nil
}

// VerifiedRestoreOffer is an offer that both its nodes signed, for what custodians of both
// clusters have ordered. Only [ParseRestoreOffer] makes one.
type VerifiedRestoreOffer struct {
	RestoreOffer
	ID     api.Digest       // of what was signed
	Takes  *VerifiedGenesis // the cluster that takes the shares
	Gone   *VerifiedGenesis // the lost one
	Node   *Node            // that takes them, as its roster has it
	Shares []OfferedShare
}

// OfferedShare is a share that is to be moved.
type OfferedShare struct {
	Record *VerifiedRecord
	Index  uint32
}

// ParseRestoreOffer verifies an offer from the hash of the genesis document of the cluster
// that takes the shares on: the custodians who must have signed each adoption, the lost
// cluster's among them; that these give the shares of the one node to the other; and that
// both have signed all of it. Failures wrap [ErrRestoreOffer].
func ParseRestoreOffer(b []byte, genesis api.Digest) (*VerifiedRestoreOffer, error) {
	bad := func(err error) (*VerifiedRestoreOffer, error) {
		return nil, fmt.Errorf("%w: %w", ErrRestoreOffer, err)
	}
	var s signedRestoreOffer
	if err := wire.Decode(b, &s); err != nil {
		return bad(err)
	}
	v := &VerifiedRestoreOffer{ID: tag.Hash(tag.RestoreOffer, s.Body)}
	o := &v.RestoreOffer
	if err := wire.Decode(s.Body, o); err != nil {
		return bad(err)
	}
	document, _, err := ParseSignedGenesis(o.Genesis)
	if err != nil {
		return bad(err)
	}
	if document.Hash() != genesis {
		return bad(fmt.Errorf("it is for the cluster with the genesis document %s, expected is %s", document.Hash(), genesis))
	}
	if v.Takes, err = document.Verify(); err != nil {
		return bad(err)
	}
	if v.Node = v.Takes.NodeByID(o.To); v.Node == nil {
		return bad(fmt.Errorf("%.64q, which asks, is not on the roster", o.To))
	}
	if err := s.To.Verify(v.Node.Key, tag.RestoreOffer, s.Body); err != nil {
		return bad(fmt.Errorf("as %s, which takes the shares: %w", o.To, err))
	}
	if len(o.Adoptions) == 0 || len(o.Nonce) != attemptSize {
		return bad(errors.New("it names no adoption, or no attempt"))
	}
	for _, b := range o.Adoptions {
		if err := v.offers(b, &s); err != nil {
			return bad(err)
		}
	}
	if err := v.checkSeals(); err != nil {
		return bad(err)
	}
	return v, nil
}

// offers verifies one adoption, and that it gives a share of the one node to the other.
func (v *VerifiedRestoreOffer) offers(adoption []byte, s *signedRestoreOffer) error {
	e, err := ParseEntry(adoption)
	if err != nil {
		return err
	}
	a, err := VerifyAdopt(&v.Takes.Genesis, e)
	if err != nil {
		return err
	}
	v.Gone = a.Lost
	if a.Lost.Hash() != v.Lost {
		return fmt.Errorf("an adoption is of the cluster %s, and the offer of another one", a.Lost.Cluster)
	}
	index := a.Record.Order().IndexOf(v.From)
	if index == 0 || a.Takers[index-1] != v.To {
		return fmt.Errorf("the adoption of %s does not give a share of %.64q to %s", a.Record.Order().Name, v.From, v.To)
	}
	from := a.NodeOfLost(v.From)
	if from == nil {
		return fmt.Errorf("%.64q is not on the lost cluster's roster", v.From)
	}
	if err := s.From.Verify(from.Key, tag.RestoreOffer, s.Body); err != nil {
		return fmt.Errorf("as %s of the lost cluster: %w", v.From, err)
	}
	v.Shares = append(v.Shares, OfferedShare{a.Record, index})
	return nil
}

// checkSeals: they are those of the two nodes, and none is there twice.
func (v *VerifiedRestoreOffer) checkSeals() error {
	if len(v.Seals) == 0 || len(v.Seals) > maxRestoreSeal {
		return fmt.Errorf("%d seals to open", len(v.Seals))
	}
	for i, s := range v.Seals {
		if err := s.Kept.check(); err != nil {
			return err
		}
		lost := s.Cluster == v.Gone.Cluster && s.Node == v.From
		if here := s.Cluster == v.Takes.Cluster && s.Node == v.To; !lost && !here {
			return fmt.Errorf("a seal of %.64q, which is neither of the two nodes", s.Node)
		}
		if i > 0 && s.Cluster == v.Seals[0].Cluster {
			return errors.New("a seal is there twice")
		}
	}
	return nil
}

// RestorePieces are what one custodian hands over for an offer.
type RestorePieces struct {
	Offer  api.Digest     `cbor:"1,keyasint"` // id of the offer
	Pieces []RestorePiece `cbor:"2,keyasint"`
}

// RestorePiece is a custodian's piece of one seal, encrypted to its door.
type RestorePiece struct {
	Seal   uint32 `cbor:"1,keyasint"` // its place in the offer, from 0
	Place  uint32 `cbor:"2,keyasint"` // the custodian's, among those of the lock, from 0
	Handed []byte `cbor:"3,keyasint"`
}

// Encode is read by [ParseRestorePieces].
func (p *RestorePieces) Encode() []byte { return wire.Encode(p) }

// ParseRestorePieces reads what a custodian handed over. Failures wrap [ErrRestoreOffer].
func ParseRestorePieces(b []byte) (*RestorePieces, error) {
	if len(b) > MaxRestorePieces {
		return nil, fmt.Errorf("%w: pieces of %d bytes", ErrRestoreOffer, len(b))
	}
	var p RestorePieces
	if err := wire.Decode(b, &p); err != nil {
		return nil, fmt.Errorf("%w: pieces: %w", ErrRestoreOffer, err)
	}
	if len(p.Pieces) == 0 || len(p.Pieces) > maxRestoreSeal {
		return nil, fmt.Errorf("%w: %d pieces", ErrRestoreOffer, len(p.Pieces))
	}
	return &p, nil
}
