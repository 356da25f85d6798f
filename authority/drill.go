package authority

import (
	"fmt"
	"io"

	"warifu.dev/api"
	"warifu.dev/internal/tag"
)

// Drill is a node's word that a custodian has opened a fresh challenge, with the
// custodian's signature over what it answered. It carries no authority: a node that
// lies can say so of a custodian who signs for it, and of nobody else.
type Drill struct {
	Custodian Fingerprint `cbor:"1,keyasint"`
	Index     uint64      `cbor:"2,keyasint"` // the last command that the node had applied when it made the challenge
	Link      api.Digest  `cbor:"3,keyasint"` // the chain after it
	Answer    api.Digest  `cbor:"4,keyasint"` // hash of what was in the challenge
	Signature Signature   `cbor:"5,keyasint"` // the custodian's, over the rest, cluster and node
}

func (d *Drill) signed(cluster api.ClusterID, node string) [][]byte {
	return [][]byte{cluster[:], []byte(node), d.Custodian[:], tag.Uint64(d.Index), d.Link[:], d.Answer[:]}
}

// SignDrill fills in custodian and signature of an answer to a challenge of this node.
func SignDrill(rand io.Reader, s *Signer, cluster api.ClusterID, node string, d Drill) (Drill, error) {
	d.Custodian = FingerprintOf(s.PublicKey())
	sig, err := s.Sign(rand, tag.DrillSignature, d.signed(cluster, node)...)
	d.Signature = sig
	return d, err
}

// Verify checks that a custodian of g gave this answer to a challenge of this node.
// Failures wrap [ErrSignature].
func (d *Drill) Verify(g *Genesis, node string) error {
	who := g.CustodianByKey(d.Custodian)
	if who == nil {
		return fmt.Errorf("%w: %w: %s", ErrSignature, ErrNotCustodian, d.Custodian)
	}
	if err := d.Signature.Verify(who.Sign, tag.DrillSignature, d.signed(g.Cluster, node)...); err != nil {
		return fmt.Errorf("drill of %s: %w", who.Name, err)
	}
	return nil
}
