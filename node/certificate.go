package node

import (
	"warifu.dev/api"
	"warifu.dev/authority"
)

// maxProvenBytes bounds the values of one proof, which goes in one frame: one value more,
// at most 64 KiB, may stand in it.
const maxProvenBytes = 640 << 10

// provenErasure proves what the ledger has of a key that is destroyed. The link that it
// leads to each node signs for itself: this one's word shows nothing.
func (n *Node) provenErasure(q *api.ErasureRequest) (*api.ErasureAnswer, error) {
	s := n.consensus.Committed()
	k := s.Key(q.ID)
	if q.Name != "" {
		k = s.KeyNamed(q.Name)
	}
	if k == nil || k.Purpose == authority.PurposeRoot {
		return nil, api.Refuse(api.CodeUnknownKey, "no such key")
	}
	p, next := s.ProveDestroyed(k.ID, q.After, maxProvenBytes)
	switch {
	case p == nil:
		return nil, api.Refuse(api.CodeKeyState, "the key is not destroyed")
	case len(p.Values) == 0:
		return nil, api.Refuse(api.CodeMalformed, "nothing is proven behind %.80q", q.After)
	}
	at := p.Position()
	return &api.ErasureAnswer{Key: k.ID, Index: at.Index, Link: at.Link, Proof: p.Encode(), Next: next}, nil
}
