package authority

import (
	"errors"
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Kinds of what a custodian says about a change that is collected in the ledger.
const (
	KindPropose = "propose" // [Proposal]
	KindApprove = "approve" // [Vote]
	KindCancel  = "cancel"  // [Vote]
)

// ProposalKinds lists every kind of entry that collects a change, sorted.
func ProposalKinds() []string { return []string{KindApprove, KindCancel, KindPropose} }

// ErrProposal is returned, wrapped, for bytes that are neither a proposal nor a vote.
var ErrProposal = errors.New("not a usable proposal or vote")

// Proposal puts a change before the custodians. The entry that carries it has one or
// two signatures of its custodian: over the proposal, and, when the custodian
// approves at once, over the change, as [SignChange] makes it.
type Proposal struct {
	Cluster   api.ClusterID `cbor:"1,keyasint"`
	Kind      string        `cbor:"2,keyasint"`
	Custodian Fingerprint   `cbor:"3,keyasint"`
	Change    []byte        `cbor:"4,keyasint"` // the body that custodians sign
}

// Vote is a custodian's word about a change that is before the custodians. That of an
// approval is the signature over the change itself, as [SignChange] makes it, so that
// a change with enough approvals is a signed change; that of a cancellation is over
// the vote.
type Vote struct {
	Cluster   api.ClusterID `cbor:"1,keyasint"`
	Kind      string        `cbor:"2,keyasint"` // approve or cancel
	Custodian Fingerprint   `cbor:"3,keyasint"`
	Proposal  api.Digest    `cbor:"4,keyasint"` // id of the change
}

// VerifiedProposal is a proposal that a custodian signed. Only [VerifyProposal] makes one.
type VerifiedProposal struct {
	By     Fingerprint
	Entry  *Entry // the change, with its custodian's signature or none
	Change *Change
}

// SignProposal makes the entry that puts change before the custodians; signatures
// that change has are left out. With approve the proposer signs the change as well.
func SignProposal(rand io.Reader, change *Entry, signer *Signer, approve bool) (*Entry, error) {
	c, err := ParseChange(change)
	if err != nil {
		return nil, err
	}
	e := &Entry{Kind: KindPropose, Body: wire.Encode(Proposal{
		Cluster: c.Cluster, Kind: KindPropose, Custodian: FingerprintOf(signer.PublicKey()), Change: change.Body,
	})}
	sig, err := signer.Sign(rand, tag.ProposalSignature, e.Body)
	if err != nil {
		return nil, err
	}
	e.Signatures = []Signature{sig}
	if approve {
		if sig, err = signer.Sign(rand, tag.ChangeSignature, change.Body); err != nil {
			return nil, err
		}
		e.Signatures = append(e.Signatures, sig)
	}
	return e, nil
}

// VerifyProposal checks that a custodian of g signed the entry, for g's cluster, and
// that what it puts before the others is a change for it.
func VerifyProposal(g *Genesis, e *Entry) (*VerifiedProposal, error) {
	var p Proposal
	if err := decodeSaid(e, &p); err != nil {
		return nil, err
	}
	if p.Kind != KindPropose || e.Kind != p.Kind {
		return nil, fmt.Errorf("%w: of the kind %.32q in a frame of the kind %q", ErrProposal, p.Kind, e.Kind)
	}
	who, err := speaker(g, p.Cluster, p.Custodian)
	if err != nil {
		return nil, err
	}
	if len(e.Signatures) != 1 && len(e.Signatures) != 2 {
		return nil, fmt.Errorf("%w: %d signatures, a proposal has one or two", ErrSignature, len(e.Signatures))
	}
	if err := e.Signatures[0].Verify(who.Sign, tag.ProposalSignature, e.Body); err != nil {
		return nil, fmt.Errorf("proposal of %s: %w", who.Name, err)
	}
	v := &VerifiedProposal{By: p.Custodian}
	if v.Entry, v.Change, err = proposedChange(p.Change); err != nil {
		return nil, err
	}
	if v.Change.Cluster != g.Cluster {
		return nil, fmt.Errorf("%w: it is for the cluster %s", ErrChange, v.Change.Cluster)
	}
	if len(e.Signatures) == 2 {
		if err := e.Signatures[1].Verify(who.Sign, tag.ChangeSignature, p.Change); err != nil {
			return nil, fmt.Errorf("approval of %s: %w", who.Name, err)
		}
		v.Entry.Signatures = e.Signatures[1:]
	}
	return v, nil
}

// proposedChange frames the body of a change that no frame came with.
func proposedChange(body []byte) (*Entry, *Change, error) {
	var c Change
	if err := wire.Decode(body, &c); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrChange, err)
	}
	e := &Entry{Kind: c.Kind, Body: body}
	parsed, err := ParseChange(e)
	return e, parsed, err
}

// ProposedEntry frames the body of a change with the approvals that it has. Failures
// wrap [ErrChange].
func ProposedEntry(body []byte, approvals []Signature) (*Entry, error) {
	e, _, err := proposedChange(body)
	if err != nil {
		return nil, err
	}
	if len(approvals) > MaxSignatures {
		return nil, fmt.Errorf("%w: %d signatures", ErrChange, len(approvals))
	}
	for _, s := range approvals {
		e.Signatures = addSignature(e.Signatures, s)
	}
	return e, nil
}

// SignApproval makes the entry by which a custodian approves change.
func SignApproval(rand io.Reader, change *Entry, signer *Signer) (*Entry, error) {
	c, err := ParseChange(change)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(rand, tag.ChangeSignature, change.Body)
	if err != nil {
		return nil, err
	}
	return &Entry{Kind: KindApprove, Signatures: []Signature{sig}, Body: voteOf(c.Cluster, KindApprove, change.ID(), signer)}, nil
}

// SignCancel makes the entry by which a custodian votes that a proposal be cancelled.
func SignCancel(rand io.Reader, cluster api.ClusterID, proposal api.Digest, signer *Signer) (*Entry, error) {
	e := &Entry{Kind: KindCancel, Body: voteOf(cluster, KindCancel, proposal, signer)}
	sig, err := signer.Sign(rand, tag.CancelSignature, e.Body)
	e.Signatures = []Signature{sig}
	return e, err
}

func voteOf(cluster api.ClusterID, kind string, proposal api.Digest, signer *Signer) []byte {
	return wire.Encode(Vote{Cluster: cluster, Kind: kind, Custodian: FingerprintOf(signer.PublicKey()), Proposal: proposal})
}

// ParseVote reads a vote of a custodian of g, for g's cluster. Its one signature is
// verified by [VerifyApproval] or [VerifyCancel].
func ParseVote(g *Genesis, e *Entry) (*Vote, error) {
	var v Vote
	if err := decodeSaid(e, &v); err != nil {
		return nil, err
	}
	if v.Kind != e.Kind || v.Kind != KindApprove && v.Kind != KindCancel {
		return nil, fmt.Errorf("%w: of the kind %.32q in a frame of the kind %q", ErrProposal, v.Kind, e.Kind)
	}
	if _, err := speaker(g, v.Cluster, v.Custodian); err != nil {
		return nil, err
	}
	if len(e.Signatures) != 1 {
		return nil, fmt.Errorf("%w: %d signatures, a vote has one", ErrSignature, len(e.Signatures))
	}
	return &v, nil
}

// VerifyApproval checks that v's custodian signed the change with this body, whose id
// v names.
func VerifyApproval(g *Genesis, e *Entry, v *Vote, change []byte) (Signature, error) {
	if v.Proposal != tag.Hash(tag.Change, change) {
		return Signature{}, fmt.Errorf("%w: it names another change", ErrProposal)
	}
	return verifyVote(g, e, v, KindApprove, tag.ChangeSignature, change)
}

// VerifyCancel checks that v's custodian signed the vote.
func VerifyCancel(g *Genesis, e *Entry, v *Vote) (Signature, error) {
	return verifyVote(g, e, v, KindCancel, tag.CancelSignature, e.Body)
}

func verifyVote(g *Genesis, e *Entry, v *Vote, kind string, t tag.Tag, signed []byte) (Signature, error) {
	who := g.CustodianByKey(v.Custodian)
	if v.Kind != kind || who == nil || len(e.Signatures) != 1 {
		return Signature{}, fmt.Errorf("%w: a vote of the kind %q", ErrProposal, v.Kind)
	}
	if err := e.Signatures[0].Verify(who.Sign, t, signed); err != nil {
		return Signature{}, fmt.Errorf("vote of %s: %w", who.Name, err)
	}
	return e.Signatures[0], nil
}

// AboutChange is the id of the change that a proposal, or a vote, is about. It looks at
// no signature. Failures wrap [ErrProposal] or [ErrChange].
func AboutChange(e *Entry) (api.Digest, error) {
	if e.Kind == KindPropose {
		var p Proposal
		if err := decodeSaid(e, &p); err != nil {
			return api.Digest{}, err
		}
		change, _, err := proposedChange(p.Change)
		if err != nil {
			return api.Digest{}, err
		}
		return change.ID(), nil
	}
	var v Vote
	err := decodeSaid(e, &v)
	return v.Proposal, err
}

// decodeSaid reads what a custodian says about a change out of its frame.
func decodeSaid(e *Entry, into any) error {
	if e.Author != "" {
		return fmt.Errorf("%w: its author is the node %s", ErrProposal, e.Author)
	}
	if err := wire.Decode(e.Body, into); err != nil {
		return fmt.Errorf("%w: %w", ErrProposal, err)
	}
	return nil
}

// speaker is the custodian who says something in g's cluster.
func speaker(g *Genesis, cluster api.ClusterID, f Fingerprint) (*Custodian, error) {
	if cluster != g.Cluster {
		return nil, fmt.Errorf("%w: it is for the cluster %s", ErrProposal, cluster)
	}
	who := g.CustodianByKey(f)
	if who == nil {
		return nil, fmt.Errorf("%w: %w: %s", ErrSignature, ErrNotCustodian, f)
	}
	return who, nil
}
