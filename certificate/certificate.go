package certificate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// Format names what this program writes, and reads.
const Format = "warifu erasure certificate 2"

// MaxFile bounds a certificate, in bytes: [ledger.MaxProofs] proofs of at most 1 MiB, in
// base64, and as much again for the words.
const MaxFile = 192 << 20

// ErrCertificate is returned, wrapped, for a certificate that must not be believed.
var ErrCertificate = errors.New("not a believable certificate")

// Certificate is the file: words for machines, and what they rest on.
type Certificate struct {
	Format   string `json:"format"`
	Says     Says   `json:"says"`
	Evidence []byte `json:"evidence"` // encoded [Evidence]
}

// Evidence is what was signed.
type Evidence struct {
	Genesis    []byte       `cbor:"1,keyasint"`           // encoded authority.SignedGenesis
	Succession [][]byte     `cbor:"2,keyasint,omitempty"` // every change of custodians and roster, oldest first
	Key        api.KeyID    `cbor:"3,keyasint"`
	Shown      []Shown      `cbor:"4,keyasint"`           // the proofs together show what the ledger has of the key
	Counted    *SignedCount `cbor:"5,keyasint,omitempty"` // in the nodes' audits; nil: nobody has
}

// Shown is one proof, and who vouches for its position in the chain.
type Shown struct {
	Proof   []byte  `cbor:"1,keyasint"` // encoded ledger.Proof
	Vouched []Vouch `cbor:"2,keyasint"` // by node id, none twice
}

// Vouch is a node's signature over the proof's position: see authority.VerifyLink.
type Vouch struct {
	Node      string `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"`
}

// Make works out what the evidence says. Failures wrap [ErrCertificate].
func Make(e *Evidence) (*Certificate, error) {
	says, err := read(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return &Certificate{Format: Format, Says: *says, Evidence: wire.Encode(e)}, nil
}

// Encode returns the file.
func (c *Certificate) Encode() []byte {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("certificate: %v", err)) // there is nothing in it that does not encode
	}
	return append(b, '\n')
}

// Verify believes a certificate of the cluster that began with the genesis document of
// this hash, or says why not. It asks nobody. What it returns may say that the key is not
// gone. Failures wrap [ErrCertificate].
//
// The words have to be, byte for byte, those that the evidence gives.
func Verify(file []byte, genesis api.Digest) (*Certificate, error) {
	bad := func(format string, args ...any) (*Certificate, error) {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, fmt.Errorf(format, args...))
	}
	if len(file) > MaxFile {
		return bad("%d bytes, at most %d", len(file), MaxFile)
	}
	var c struct {
		Format   string `json:"format"`
		Evidence []byte `json:"evidence"`
	}
	if err := json.Unmarshal(file, &c); err != nil {
		return bad("%w", err)
	}
	if c.Format != Format {
		return bad("it is of the format %.64q", c.Format)
	}
	var e Evidence
	if err := wire.Decode(c.Evidence, &e); err != nil {
		return bad("its evidence: %w", err)
	}
	again, err := Make(&e)
	if err != nil {
		return nil, err
	}
	if again.Says.Genesis != genesis {
		return bad("it is of another cluster: its genesis document has the hash %s", again.Says.Genesis)
	}
	if !bytes.Equal(again.Encode(), file) {
		return bad("its words are not what its evidence says")
	}
	return again, nil
}

// cluster is what a certificate is read under: the genesis document, and all that
// custodians have signed since.
type cluster struct {
	genesis *authority.VerifiedGenesis
	chain   *authority.Succession
}

func readCluster(e *Evidence) (*cluster, error) {
	signed, _, err := authority.ParseSignedGenesis(e.Genesis)
	if err != nil {
		return nil, err
	}
	g, err := signed.Verify()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(signed.Encode(), e.Genesis) {
		return nil, errors.New("its genesis document is not encoded as it should be")
	}
	chain, err := authority.Follow(g, e.Succession)
	if err != nil {
		return nil, err
	}
	return &cluster{g, chain}, nil
}

// vouched is where a proof stands in the chain, if enough nodes of the roster say so.
func (c *cluster) vouched(p *ledger.Proof, by []Vouch) (Position, error) {
	at, need := p.Position(), int(c.genesis.Root.T)
	out := Position{Index: at.Index, Link: at.Link, Root: p.Root, Need: need}
	last := ""
	for _, v := range by {
		if v.Node <= last {
			return out, fmt.Errorf("the signatures over entry %d are not sorted by node", at.Index)
		}
		last = v.Node
		if err := authority.VerifyLink(c.chain.Genesis, v.Node, v.Signature, at.Index, at.Link); err != nil {
			return out, fmt.Errorf("%.64q does not vouch for entry %d: %w", v.Node, at.Index, err)
		}
		out.By = append(out.By, v.Node)
	}
	if len(by) < need {
		return out, fmt.Errorf("%d nodes vouch for entry %d, %d must", len(by), at.Index, need)
	}
	return out, nil
}
