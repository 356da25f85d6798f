package authority

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Kinds of what a node signs. They carry no authority over keys.
const (
	KindOpen     = "open"     // [Open]
	KindPost     = "post"     // [Post]
	KindDeadline = "deadline" // [Deadline]
	KindAbandon  = "abandon"  // [Abandon]
	KindActivate = "activate" // [Activate]
	KindRecord   = "record"   // [RecordSignatures]
	KindAnchor   = "anchor"   // [Anchor]
	KindAddress  = "address"  // [AddressClaim]
	KindLock     = "lock"     // [Lock]
	KindDrill    = "drill"    // [Drill]
	KindGrant    = "grant"    // [GrantPost]
	KindRetire   = "retire"   // [Retire]
	KindErased   = "erased"   // [ErasureReceipt]
	KindRepair   = "repair"   // [Repair]
	KindStanding = "standing" // [Standing]
	KindDestroy  = "destroy"  // [Destroy]
	KindDataset  = "dataset"  // [DatasetPost]; as a frame of its own, [Dataset]

	KindNextVersion = "next-version" // [NextVersion]
	KindEscrowed    = "escrowed"     // [Escrowed]
)

var statementKinds = []string{KindOpen, KindPost, KindDeadline, KindAbandon, KindActivate, KindRecord, KindAnchor, KindAddress, KindLock, KindDrill, KindGrant, KindRetire, KindErased, KindRepair, KindStanding, KindDestroy, KindDataset, KindNextVersion, KindEscrowed}

// IsStatementKind says whether nodes sign this kind.
func IsStatementKind(kind string) bool { return slices.Contains(statementKinds, kind) }

// ErrStatement is returned, wrapped, for bytes that are not a node's statement.
var ErrStatement = errors.New("not a usable statement of a node")

// Statement is what a node signs for the ledger.
type Statement struct {
	Cluster api.ClusterID `cbor:"1,keyasint"`
	Node    string        `cbor:"2,keyasint"`
	Kind    string        `cbor:"3,keyasint"`
	Body    []byte        `cbor:"4,keyasint"`
}

// Open starts a run of the ceremony that an order commands.
type Open struct {
	Order   api.Digest `cbor:"1,keyasint"`
	Attempt uint64     `cbor:"2,keyasint"` // 1, 2, ...
}

// Post is one holder's post on the board of a session.
type Post struct {
	Session api.Digest `cbor:"1,keyasint"`
	Kind    uint32     `cbor:"2,keyasint"` // a post kind of sharing/dkg
	Body    []byte     `cbor:"3,keyasint"`
}

// Deadline says "past the deadline of this phase by my clock".
type Deadline struct {
	Session api.Digest `cbor:"1,keyasint"`
	Phase   uint32     `cbor:"2,keyasint"`
}

// Abandon says that its author cannot go on in this session; t of them end it.
type Abandon struct {
	Session api.Digest `cbor:"1,keyasint"`
}

// Activate makes the outcome of a session the key's epoch.
type Activate struct {
	Session api.Digest `cbor:"1,keyasint"`
}

// MaxRecordSignatures bounds how many records one statement signs: to take it costs every
// node 65 µs for each, in one piece.
const MaxRecordSignatures = 25

// RecordSignatures are a holder's signatures over the records of keys.
type RecordSignatures struct {
	List []RecordSignature `cbor:"1,keyasint"` // by key and version, at most [MaxRecordSignatures]
}

// Check says whether the list is one: sorted, none twice, within its bound, not empty
// (R3). Failures wrap [ErrStatement].
func (r *RecordSignatures) Check() error {
	if len(r.List) == 0 || len(r.List) > MaxRecordSignatures {
		return fmt.Errorf("%w: %d signatures of records, from 1 to %d are possible", ErrStatement, len(r.List), MaxRecordSignatures)
	}
	for i := 1; i < len(r.List); i++ {
		a, b := &r.List[i-1], &r.List[i]
		if cmp.Or(bytes.Compare(a.Key[:], b.Key[:]), cmp.Compare(a.Version, b.Version)) >= 0 {
			return fmt.Errorf("%w: its signatures of records are not sorted", ErrStatement)
		}
	}
	return nil
}

// RecordSignature is a holder's signature over a key record.
type RecordSignature struct {
	Key       api.KeyID `cbor:"1,keyasint"`
	Version   uint32    `cbor:"2,keyasint"`
	Epoch     uint64    `cbor:"3,keyasint"`
	Signature Signature `cbor:"4,keyasint"`
}

// Anchor puts a node's clock, its view of the chain and its audit's head into the ledger.
type Anchor struct {
	Counter   uint64     `cbor:"1,keyasint"` // grows with each anchor of a node
	Time      int64      `cbor:"2,keyasint"` // Unix milliseconds of this node's clock
	Index     uint64     `cbor:"3,keyasint"`
	Link      api.Digest `cbor:"4,keyasint"`
	AuditSize uint64     `cbor:"5,keyasint"`
	AuditRoot api.Digest `cbor:"6,keyasint"`
	// Members is the step of the membership that Raft has come to at this node, by a
	// committed configuration; 0 is that of genesis, or none that the ledger leads to.
	Members uint64 `cbor:"7,keyasint,omitempty"`
}

// Lock says what opens the next seal of its author, before that seal is written. With
// the live one alone it says that all older ones are destroyed.
type Lock struct {
	Generation uint64 `cbor:"1,keyasint"`           // of the seal to be written
	Live       uint64 `cbor:"2,keyasint"`           // of the seal that is on disk now, or 0; its lock is kept
	Lock       []byte `cbor:"3,keyasint"`           // an encoded lock of sharing/unseal
	Custody    uint64 `cbor:"4,keyasint,omitempty"` // for which custodians it is made: those after so many changes of them or the roster
}

// SignStatement makes the entry that says body, of the given kind, in the name of node.
func SignStatement(rand io.Reader, s *Signer, cluster api.ClusterID, node, kind string, body any) (*Entry, error) {
	b := wire.Encode(Statement{Cluster: cluster, Node: node, Kind: kind, Body: wire.Encode(body)})
	sig, err := s.Sign(rand, tag.NodeSignature, b)
	if err != nil {
		return nil, err
	}
	return &Entry{Author: node, Kind: kind, Signatures: []Signature{sig}, Body: b}, nil
}

// VerifyStatement checks that a node of g's roster signed the entry, for g's cluster.
func VerifyStatement(g *Genesis, e *Entry) (*Statement, error) {
	var s Statement
	if err := wire.Decode(e.Body, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if s.Kind != e.Kind || s.Node != e.Author || !IsStatementKind(s.Kind) {
		return nil, fmt.Errorf("%w: %q of %q in a frame that says %q of %q", ErrStatement, s.Kind, s.Node, e.Kind, e.Author)
	}
	if s.Cluster != g.Cluster {
		return nil, fmt.Errorf("%w: it is for the cluster %s", ErrStatement, s.Cluster)
	}
	n := g.NodeByID(s.Node)
	if n == nil {
		return nil, fmt.Errorf("%w: %s is not on the roster", ErrStatement, s.Node)
	}
	if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("%w: %d signatures, a node signs once", ErrSignature, len(e.Signatures))
	}
	if err := e.Signatures[0].Verify(n.Key, tag.NodeSignature, e.Body); err != nil {
		return nil, fmt.Errorf("node %s: %w", s.Node, err)
	}
	return &s, nil
}
