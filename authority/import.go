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

// Kinds of what the owner of a key signs while it is shared among its holders. They say
// nothing that the order of its import does not allow.
const (
	KindImportOpen = "import-open" // [Open]
	KindImportPost = "import-post" // [Post]
)

// ImportKinds lists what owners sign, sorted.
func ImportKinds() []string { return []string{KindImportOpen, KindImportPost} }

// ErrImport is returned, wrapped, for bytes that are not an owner's part in an import.
var ErrImport = errors.New("not a usable part of an import")

// Import is what an order says of a key that was whole before: a copy is outside, with
// its owner.
type Import struct {
	Y      []byte `cbor:"1,keyasint,omitempty"` // the public key, 65 bytes; a symmetric key has none
	Dealer []byte `cbor:"2,keyasint"`           // the public key, 65 bytes, under which its owner signs what it posts
	Seed   []byte `cbor:"3,keyasint,omitempty"` // of a symmetric key: the hash by which it is seen that what is dealt follows from the ordered seed, 32 bytes
}

// check refuses what no owner can deal: each is a key, and they are two (R16); of a
// symmetric key a hash stands in the place of one.
func (i *Import) check(symmetric bool) error {
	keys := [][]byte{i.Y, i.Dealer}
	if symmetric {
		if len(i.Seed) != len(api.Digest{}) || len(i.Y) != 0 || api.Digest(i.Seed).IsZero() {
			return fmt.Errorf("%w: of the import of a symmetric key a hash of 32 bytes stands in the place of a public key", ErrOrder)
		}
		keys = keys[1:]
	} else if len(i.Seed) != 0 {
		return fmt.Errorf("%w: a key that unwraps does not follow from a seed", ErrOrder)
	}
	for _, k := range keys {
		if _, err := ParsePublicKey(k); err != nil {
			return fmt.Errorf("%w: of an import: %w", ErrOrder, err)
		}
	}
	if bytes.Equal(i.Y, i.Dealer) {
		return fmt.Errorf("%w: the key that is imported signs nothing", ErrOrder)
	}
	return nil
}

// ImportPart is what the owner of a key signs for the ledger.
type ImportPart struct {
	Cluster api.ClusterID `cbor:"1,keyasint"`
	Order   api.Digest    `cbor:"2,keyasint"` // of the import
	Kind    string        `cbor:"3,keyasint"`
	Body    []byte        `cbor:"4,keyasint"`
}

// SignImport makes the entry that says body, of the given kind, in the name of the owner
// whose dealing key s is.
func SignImport(rand io.Reader, s *Signer, cluster api.ClusterID, order api.Digest, kind string, body any) (*Entry, error) {
	b := wire.Encode(ImportPart{Cluster: cluster, Order: order, Kind: kind, Body: wire.Encode(body)})
	sig, err := s.Sign(rand, tag.ImportSignature, b)
	if err != nil {
		return nil, err
	}
	return &Entry{Kind: kind, Signatures: []Signature{sig}, Body: b}, nil
}

// ParseImport reads an owner's part out of its frame. Its signature is verified by
// [VerifyImport], with the order that it names. Failures wrap [ErrImport].
func ParseImport(e *Entry) (*ImportPart, error) {
	var p ImportPart
	if err := wire.Decode(e.Body, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImport, err)
	}
	switch {
	case e.Author != "" || p.Kind != e.Kind || !slices.Contains(ImportKinds(), p.Kind):
		return nil, fmt.Errorf("%w: of the kind %.32q in a frame of the kind %q", ErrImport, p.Kind, e.Kind)
	case len(e.Signatures) != 1:
		return nil, fmt.Errorf("%w: %d signatures, an owner signs once", ErrSignature, len(e.Signatures))
	}
	return &p, nil
}

// VerifyImport checks that the owner whom o, the order that the part names, says has
// signed it, for this cluster.
func VerifyImport(cluster api.ClusterID, o *Order, e *Entry, p *ImportPart) error {
	switch {
	case p.Cluster != cluster:
		return fmt.Errorf("%w: it is for the cluster %s", ErrImport, p.Cluster)
	case o.Import == nil:
		return fmt.Errorf("%w: the order is that of a birth", ErrImport)
	}
	if err := e.Signatures[0].Verify(o.Import.Dealer, tag.ImportSignature, e.Body); err != nil {
		return fmt.Errorf("the owner of %s: %w", o.Name, err)
	}
	return nil
}
