package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// submitDataset carries an owner's statement about a data set into the ledger, if the
// owner is this very caller: nobody else can say by whose certificate it came.
func (n *Node) submitDataset(ctx context.Context, s *session, e *authority.Entry, raw []byte) (*api.SubmitAnswer, error) {
	d, err := authority.VerifyDataset(e)
	if err == nil {
		err = d.VerifyOwner()
	}
	if err != nil {
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", err)
	}
	if s.principal == "" || s.unproven || d.Owner != s.principal || s.leaf == nil || !bytes.Equal(s.leaf.Raw, d.Certificate) {
		return nil, api.Refuse(api.CodeRefusedEntry, "a data set is registered by its owner alone, who signs with the certificate it calls with")
	}
	if stale := n.freshEnough(); stale != nil {
		return nil, stale // the certificate may be revoked
	}
	statement, err := authority.SignStatement(rand.Reader, n.signer, n.genesis.Cluster, n.cfg.Node, authority.KindDataset, authority.DatasetPost{Entry: raw})
	if err != nil {
		return nil, err
	}
	state := n.consensus.Committed()
	for _, r := range state.Datasets(d.Key) {
		if bytes.Equal(r.Entry, raw) {
			return &api.SubmitAnswer{ID: e.ID(), Index: r.Index}, nil
		}
	}
	if _, foreseen := state.Apply(state.Position().Index+1, statement.Encode()); errors.Is(foreseen.Err, ledger.ErrManyDatasets) || errors.Is(foreseen.Err, ledger.ErrDatasetNamed) {
		return nil, api.Refuse(api.CodeRefusedEntry, "%v", foreseen.Err)
	}
	a, err := n.submit(ctx, statement.Encode(), n.handed.by(s))
	if err != nil {
		return nil, err
	}
	a.ID = e.ID()
	return a, nil
}

// datasets lists what owners have stated to be under a key.
func (n *Node) datasets(q *api.DatasetsRequest) (*api.DatasetsAnswer, error) {
	s := n.consensus.Committed()
	k := s.Key(q.ID)
	if q.Name != "" {
		k = s.KeyNamed(q.Name)
	}
	if k == nil || k.Purpose == authority.PurposeRoot {
		return nil, api.Refuse(api.CodeUnknownKey, "no such key")
	}
	a := &api.DatasetsAnswer{Key: k.ID}
	for _, r := range s.Datasets(k.ID) {
		a.Datasets = append(a.Datasets, api.DatasetState(r))
	}
	return a, nil
}
