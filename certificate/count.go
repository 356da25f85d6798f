package certificate

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Count is what somebody has counted in the audits of the nodes: how often something was
// opened under the key. It is their word: the audits are not in the certificate.
type Count struct {
	Cluster api.ClusterID `cbor:"1,keyasint" json:"-"`
	Key     api.KeyID     `cbor:"2,keyasint" json:"-"`
	By      string        `cbor:"3,keyasint" json:"by"`                          // the name in their client certificate
	Opened  uint64        `cbor:"4,keyasint" json:"opened"`                      // envelopes of requests that any node has released
	Nodes   []NodeCount   `cbor:"5,keyasint" json:"nodes"`                       // by name: the audits that were there, whole or from some record on
	Lacking []string      `cbor:"6,keyasint,omitempty" json:"lacking,omitempty"` // nodes whose audit was not there
	Time    int64         `cbor:"7,keyasint" json:"time_ms"`                     // by their clock
	Public  []byte        `cbor:"8,keyasint" json:"-"`                           // their key, 65 bytes
	// Branches are those of what was opened that are branch keys: each opens more.
	Branches uint64 `cbor:"9,keyasint,omitempty" json:"branch_keys,omitempty"`
}

// NodeCount is the audit of one node as it was counted.
type NodeCount struct {
	Node    string `cbor:"1,keyasint" json:"node"`
	From    uint64 `cbor:"2,keyasint" json:"from"`    // the first record that was there
	Records uint64 `cbor:"3,keyasint" json:"records"` // of the log
}

// SignedCount is a [Count] with the signature of whoever counted.
type SignedCount struct {
	Body      []byte `cbor:"1,keyasint"`
	Signature []byte `cbor:"2,keyasint"` // ASN.1
}

// SignCount signs what was counted. It fills in the key.
func SignCount(rand io.Reader, s *authority.Signer, c Count) (*SignedCount, error) {
	c.Public = s.PublicKey()
	out := &SignedCount{Body: wire.Encode(c)}
	sig, err := s.Sign(rand, tag.CertificateCount, out.Body)
	if err != nil {
		return nil, err
	}
	out.Signature = sig.ASN1
	return out, nil
}

// count verifies what was counted of a key.
func (c *cluster) count(key api.KeyID, s *SignedCount) (*Count, error) {
	var n Count
	if err := wire.Decode(s.Body, &n); err != nil {
		return nil, err
	}
	sig := authority.Signature{Signer: authority.FingerprintOf(n.Public), ASN1: s.Signature}
	if err := sig.Verify(n.Public, tag.CertificateCount, s.Body); err != nil {
		return nil, err
	}
	switch {
	case n.Cluster != c.genesis.Cluster || n.Key != key:
		return nil, errors.New("it is of another key")
	case n.Branches > n.Opened:
		return nil, errors.New("it counts more branch keys than releases")
	case len(n.Nodes) == 0 || !slices.IsSortedFunc(n.Nodes, func(a, b NodeCount) int { return strings.Compare(a.Node, b.Node) }):
		return nil, errors.New("it names no audits, or not by name")
	}
	return &n, nil
}

// words say whose word it is.
func (n *Count) words() string {
	var nodes []string
	for _, of := range n.Nodes {
		nodes = append(nodes, of.Node)
	}
	opened := fmt.Sprintf("%d opened", n.Opened)
	if n.Branches > 0 {
		opened += fmt.Sprintf(", %d of them branch keys, each of which opens all that was made in its branch", n.Branches)
	}
	out := fmt.Sprintf("%s, as %s has counted in the audits of %s (key %s), and alone answers for", opened, n.By, strings.Join(nodes, ", "), authority.FingerprintOf(n.Public))
	if len(n.Lacking) > 0 {
		out += "; without the audits of " + strings.Join(n.Lacking, ", ")
	}
	for _, of := range n.Nodes {
		if of.From > 0 {
			out += fmt.Sprintf("; of %s from record %d on", of.Node, of.From)
		}
	}
	return out
}
