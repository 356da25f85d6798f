package node

import (
	"crypto/rand"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// keyAt signs what this node has of a key, as its ledger has it committed.
func (n *Node) keyAt(q *api.KeyAtRequest) (*api.KeyAtAnswer, error) {
	s := n.consensus.Committed()
	k := s.Key(q.ID)
	if q.Name != "" {
		k = s.KeyNamed(q.Name)
	}
	if k == nil || k.Purpose == authority.PurposeRoot {
		return nil, api.Refuse(api.CodeUnknownKey, "no such key")
	}
	if q.Version != 0 {
		if k = s.KeyVersion(k.ID, q.Version); k == nil {
			return nil, api.Refuse(api.CodeUnknownKey, "no such version of the key")
		}
	}
	now := n.now().UnixMilli()
	said := authority.KeyAt{
		Cluster: n.genesis.Cluster, Node: n.cfg.Node, Nonce: q.Nonce, Key: k.ID, Version: k.Version, Epoch: k.Number,
		Holder: k.IndexOf(n.cfg.Node), State: s.KeyState(k.ID, now), HSM: n.device.Kind(), Serial: n.device.Serial(),
		Serving: n.servingState(), Index: s.Position().Index, Time: now, Since: n.started,
	}
	if share, back, ok := n.share(k.ID, k.Version, k.Number); ok {
		said.Share = share.Index == said.Holder
		back()
	}
	said.Uses, said.LastUse = n.gate.Uses(k.ID)
	for _, e := range s.Escrows(k.ID) {
		for _, by := range e.Sealed {
			if by.Node == n.cfg.Node {
				said.Escrowed = append(said.Escrowed, authority.EscrowedAt{Order: e.By.Change, Version: e.Version, Epoch: e.Epoch, Since: by.Time})
			}
		}
	}
	signed, err := authority.SignKeyAt(rand.Reader, n.signer, said)
	if err != nil {
		return nil, err
	}
	return &api.KeyAtAnswer{Signed: signed.Encode()}, nil
}

// sayLife adds to a line of the list of keys where a born key stands, when the clock
// says now, and what custodians say of it.
func sayLife(s *ledger.State, k *api.KeySummary, now int64) {
	l := s.Life(k.ID)
	k.State = string(s.KeyState(k.ID, now))
	k.Owner, k.Labels, k.NotBefore, k.NotAfter = l.Owner, l.Labels, l.NotBefore, l.NotAfter
	k.Put, k.Said = l.State.Change, l.Said.Change
	if l.Destroy != nil {
		k.Ends, k.EndsAfter = l.Destroy.By.Change, l.Destroy.After
	}
}
