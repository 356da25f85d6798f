package client

import (
	"hash/maphash"
	"slices"
	"sync"

	"warifu.dev/api"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tdh2"
)

// maxEndorsed is how many envelopes' endorsements are kept at least, once so many were
// opened: twice that many take some 6 MB.
const maxEndorsed = 1 << 14

// endorsed keeps, of each envelope and context that opened, the endorsements that came
// with the partials. Each goes back to the holder that gave it, in the same epoch, which
// then need not verify the proof again. Nothing is decided on them here.
//
// It forgets as a node does: in two halves, when the newer is full. Items are told apart by
// a hash that nobody outside can choose, and two that are not told apart cost a holder the
// check that it makes of every envelope which it does not know.
type endorsed struct {
	seed maphash.Seed

	mu           sync.Mutex
	newer, older map[uint64]*endorsements // guarded by mu
}

// endorsements are what holders gave for one envelope and context, in one epoch of its
// key. They never change.
type endorsements struct {
	Epoch uint64        `cbor:"1,keyasint"`
	Given []endorsement `cbor:"2,keyasint"` // one of a node
}

type endorsement struct {
	Node string                     `cbor:"1,keyasint"`
	MAC  [tdh2.EndorsementSize]byte `cbor:"2,keyasint"`
}

// maxCarried bounds endorsements that come from outside, in bytes: those of
// [sharing.MaxHolders] holders with long names take less.
const maxCarried = 4 << 10

// parseEndorsements reads what [Client.Endorsements] gave, or is nil: what cannot be read
// is as good as none.
func parseEndorsements(b []byte) *endorsements {
	var e endorsements
	if len(b) == 0 || len(b) > maxCarried || wire.Decode(b, &e) != nil || len(e.Given) > sharing.MaxHolders {
		return nil
	}
	return &e
}

// of is what a node gave in an epoch, or nothing.
func (e *endorsements) of(node string, epoch uint64) []byte {
	if e == nil || e.Epoch != epoch {
		return nil
	}
	for i := range e.Given {
		if e.Given[i].Node == node {
			return e.Given[i].MAC[:]
		}
	}
	return nil
}

// with is e and what came with these partials of an epoch; e itself if that is nothing new.
func (e *endorsements) with(epoch uint64, partials map[string]partial) *endorsements {
	next := &endorsements{Epoch: epoch}
	changed := e == nil || e.Epoch != epoch
	if !changed {
		next.Given = slices.Clone(e.Given)
	}
	for node, p := range partials {
		if len(p.endorsement) != tdh2.EndorsementSize || string(next.of(node, epoch)) == string(p.endorsement) {
			continue
		}
		changed = true
		next.Given = slices.DeleteFunc(next.Given, func(g endorsement) bool { return g.Node == node })
		next.Given = append(next.Given, endorsement{node, [tdh2.EndorsementSize]byte(p.endorsement)})
	}
	if !changed || len(next.Given) == 0 {
		return e
	}
	next.Given = next.Given[max(0, len(next.Given)-sharing.MaxHolders):] // what was carried may be of anybody
	return next
}

// id tells items apart. The label is of the key, its version and the context.
func (m *endorsed) id(a *tdh2.AddressedEnvelope, envelope []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(m.seed)
	label := a.Label()
	_, _ = h.Write(label[:])
	_, _ = h.Write(envelope)
	return h.Sum64()
}

// find is what is kept for an item, or nil.
func (m *endorsed) find(id uint64) *endorsements {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.newer[id]; e != nil {
		return e
	}
	e := m.older[id]
	if e != nil {
		m.put(id, e)
	}
	return e
}

// keep adds what came with the partials that have opened an item.
func (m *endorsed) keep(p *pending, epoch uint64) {
	next := p.endorsed.with(epoch, p.partials)
	if next == nil || next == p.endorsed && !p.carried {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(p.id, next)
}

func (m *endorsed) put(id uint64, e *endorsements) {
	if m.newer == nil || len(m.newer) >= maxEndorsed && m.newer[id] == nil {
		m.newer, m.older = map[uint64]*endorsements{}, m.newer
	}
	m.newer[id] = e
}

// Endorsements returns what nodes have endorsed of an item that this client opened, to be
// stored beside the envelope and given back in [Item.Endorsements], also by another client:
// it spares nodes the proof of an envelope that they have forgotten, such as after a
// restart. It is nil when nothing is kept, as of every envelope of a symmetric key, which
// has no proof. It is no secret and permits nothing: whoever shows it is held against the
// policy, and it counts for this envelope under this context, at the nodes that gave it,
// until the shares of the key turn over.
func (c *Client) Endorsements(it Item) []byte {
	e, err := tdh2.Parse(it.Envelope)
	if err != nil {
		return nil
	}
	c.mu.Lock()
	key := c.keys[keyVersion{api.KeyID(e.KeyID()), e.Version()}]
	c.mu.Unlock()
	if key == nil {
		return nil
	}
	a, err := key.address(e, it.Context)
	if err != nil {
		return nil
	}
	if kept := c.endorsed.find(c.endorsed.id(a, it.Envelope)); kept != nil {
		return wire.Encode(kept)
	}
	return nil
}
