package authority

import (
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
)

// A node vouches for a point of the chain by its signature over (cluster, node, index,
// link): it has applied the entry of that index, and that is the link after the last
// command at or below it.
func linkParts(cluster api.ClusterID, node string, index uint64, link api.Digest) [][]byte {
	return [][]byte{cluster[:], []byte(node), tag.Uint64(index), link[:]}
}

// SignLink vouches for a point of the chain in the name of node, whose signer s is. It
// returns the signature in ASN.1.
func SignLink(rand io.Reader, s *Signer, cluster api.ClusterID, node string, index uint64, link api.Digest) ([]byte, error) {
	sig, err := s.Sign(rand, tag.LinkSignature, linkParts(cluster, node, index, link)...)
	if err != nil {
		return nil, err
	}
	return sig.ASN1, nil
}

// VerifyLink checks that a node of g's roster vouches for a point of the chain. Failures
// wrap [ErrSignature].
func VerifyLink(g *Genesis, node string, asn1 []byte, index uint64, link api.Digest) error {
	m := g.NodeByID(node)
	if m == nil {
		return fmt.Errorf("%w: %.64q is not on the roster", ErrSignature, node)
	}
	sig := Signature{Signer: FingerprintOf(m.Key), ASN1: asn1}
	return sig.Verify(m.Key, tag.LinkSignature, linkParts(g.Cluster, node, index, link)...)
}
