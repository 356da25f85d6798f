package client

import (
	"context"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// RegisteredDataset is what an owner has stated to be under a key, and where the ledger
// has it, as a node says.
type RegisteredDataset struct {
	authority.Dataset
	Node  string // which knew the owner by the certificate in it
	Index uint64
	Since int64 // ledger time, Unix milliseconds
}

// Datasets lists what owners have stated to be under a key, as the nearest node that
// answers has it; each statement is verified.
func (c *Client) Datasets(ctx context.Context, nameOrID string) ([]RegisteredDataset, error) {
	q := api.DatasetsRequest{Name: nameOrID}
	if id, err := api.ParseDigest(nameOrID); err == nil {
		q = api.DatasetsRequest{ID: api.KeyID(id)}
	} else if err := api.CheckName(nameOrID); err != nil {
		return nil, fmt.Errorf("list the data sets: %w", err)
	}
	body := wire.Encode(q)
	list, err := firstOf(ctx, c, "list the data sets", func(ctx context.Context, l *link) (*[]RegisteredDataset, error) {
		a, err := ask[api.DatasetsAnswer](ctx, l, api.MethodDatasets, body)
		if err != nil {
			return nil, err
		}
		var out []RegisteredDataset
		for _, r := range a.Datasets {
			e, err := authority.ParseEntry(r.Entry)
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			d, err := authority.VerifyDataset(e)
			if err == nil {
				err = d.VerifyOwner()
			}
			if err == nil && d.Key != a.Key {
				err = fmt.Errorf("%w: it is of another key", authority.ErrDataset)
			}
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			out = append(out, RegisteredDataset{*d, r.Node, r.Index, r.Time})
		}
		return &out, nil
	})
	if err != nil {
		return nil, err
	}
	return *list, nil
}
