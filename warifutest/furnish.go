package warifutest

import (
	"context"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// furnish gives the cluster an authority for applications, a policy and a key.
func (b *birth) furnish(ctx context.Context, c *Cluster) error {
	asks, err := c.Custodian()
	if err != nil {
		return err
	}
	put := func(kind string, body []byte) (api.Digest, error) {
		e, err := b.desk.Sign(kind, body, api.Digest{})
		if err != nil {
			return api.Digest{}, err
		}
		if _, err := asks.Submit(ctx, e.Encode()); err != nil {
			return api.Digest{}, fmt.Errorf("submit a change of the kind %s: %w", kind, err)
		}
		return e.ID(), nil
	}
	if _, err := put(authority.KindCA, wire.Encode(authority.CA{Name: "test", Certificate: b.desk.ca.Raw})); err != nil {
		return err
	}
	if b.policy, err = put(authority.KindPolicy, Policy(0, true).Encode()); err != nil {
		return err
	}
	if _, err := put(authority.KindKey, wire.Encode(authority.Order{
		Cluster: b.genesis.Cluster, Purpose: authority.PurposeUnwrap, Name: KeyName, T: Threshold, F: faulty,
		Holders: c.IDs(), PhaseSeconds: 30,
	})); err != nil {
		return err
	}
	key, err := asks.WaitKey(ctx, KeyName)
	if err != nil {
		return err
	}
	b.key = key.Encode()
	return nil
}
