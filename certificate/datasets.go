package certificate

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// Dataset is what its owner has stated to be under the key. It is that statement, and no
// more: nobody else knows what was wrapped.
type Dataset struct {
	Name     string      `json:"name"`
	Owner    string      `json:"owner"` // SPIFFE ID, as its certificate says
	Note     string      `json:"note,omitempty"`
	Manifest *api.Digest `json:"manifest_sha256,omitempty"` // of a list that the owner has
	Size     uint64      `json:"manifest_bytes,omitempty"`
	Stated   int64       `json:"stated_ms"`            // by the owner's clock
	Since    int64       `json:"since_ledger_time_ms"` // when the ledger took it
	Index    uint64      `json:"ledger_index"`
	Node     string      `json:"admitted_by"` // which knew the owner by that certificate, and vouches alone for who issued it
}

// datasets verifies each owner's statement.
func (c *cluster) datasets(key api.KeyID, list []ledger.Registered) ([]Dataset, error) {
	var out []Dataset
	for i, r := range list {
		e, err := authority.ParseEntry(r.Entry)
		if err != nil {
			return nil, fmt.Errorf("data set %d: %w", i+1, err)
		}
		d, err := authority.VerifyDataset(e)
		if err != nil {
			return nil, fmt.Errorf("data set %d: %w", i+1, err)
		}
		if err := d.VerifyOwner(); err != nil {
			return nil, fmt.Errorf("data set %q: %w", d.Name, err)
		}
		if d.Cluster != c.genesis.Cluster || d.Key != key {
			return nil, errors.New("a data set is of another key")
		}
		said := Dataset{Name: d.Name, Owner: d.Owner, Note: d.Note, Size: d.Size, Stated: d.Time, Since: r.Time, Index: r.Index, Node: r.Node}
		if !d.Manifest.IsZero() {
			said.Manifest = &d.Manifest
		}
		out = append(out, said)
	}
	return out, nil
}
