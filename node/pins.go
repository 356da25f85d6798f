package node

import (
	"context"
	"fmt"
	"sync/atomic"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/wire"
	"warifu.dev/transport"
)

// pinned is the roster as transport wants it.
type pinned struct {
	committed, known *authority.Genesis // of which it was made
	nodes            map[string]*authority.Node
	keys             map[string]transport.SPKI
	ids              map[transport.SPKI]string
}

// pins says who the other nodes are: those of the committed roster, and those of a
// longer chain of changes that custodians signed, when this node knows one. A node that
// was away, or is new, has to hear from nodes that its own log does not know yet.
type pins struct {
	now   atomic.Pointer[pinned]
	known atomic.Pointer[authority.Succession] // the longest chain that was shown; or nil
}

// of makes the pins of two rosters, once.
func (p *pins) of(committed, known *authority.Genesis) *pinned {
	if at := p.now.Load(); at != nil && at.committed == committed && at.known == known {
		return at
	}
	next := &pinned{committed: committed, known: known, nodes: map[string]*authority.Node{}, keys: map[string]transport.SPKI{}, ids: map[transport.SPKI]string{}}
	for _, g := range []*authority.Genesis{committed, known} {
		if g == nil {
			continue
		}
		for i := range g.Roster {
			m := &g.Roster[i]
			pub, err := authority.ParsePublicKey(m.Key)
			if err != nil {
				continue // the roster was checked when it was signed
			}
			spki, err := transport.SPKIOf(pub)
			if err != nil {
				continue
			}
			next.nodes[m.ID], next.keys[m.ID], next.ids[spki] = m, spki, m.ID
		}
	}
	p.now.Store(next)
	return next
}

// pinned is who the other nodes are now.
func (n *Node) pinned() *pinned {
	committed, custody := &n.genesis.Genesis, 0
	if n.joined.Load() {
		s := n.consensus.Committed()
		committed, custody = s.Custody(), s.Changes()
	}
	if known := n.pins.known.Load(); known != nil && known.Len() > custody {
		return n.pins.of(committed, known.Genesis)
	}
	return n.pins.of(committed, nil)
}

// rosterPins gives transport the roster: keys from it, addresses from the newest claims.
func (n *Node) rosterPins() (lookup func(string) (string, transport.SPKI, bool), identify func(transport.SPKI) (string, bool)) {
	lookup = func(id string) (string, transport.SPKI, bool) {
		at := n.pinned()
		m := at.nodes[id]
		if m == nil {
			return "", transport.SPKI{}, false
		}
		address := m.Claim.Peer
		if n.joined.Load() {
			if claim := n.consensus.Committed().Claim(id); claim != nil && claim.Counter > m.Claim.Counter {
				address = claim.Peer
			}
		}
		return address, at.keys[id], true
	}
	identify = func(s transport.SPKI) (string, bool) {
		id, ok := n.pinned().ids[s]
		return id, ok
	}
	return lookup, identify
}

// isMember says whether a node's calls through Raft are heard.
func (n *Node) isMember(id string) bool { return n.pinned().nodes[id] != nil }

// learnChain asks the nodes that are known here how the roster has changed. A node that
// was away may have to be led by one that came meanwhile, whose calls it does not take
// yet.
func (n *Node) learnChain(ctx context.Context) {
	for id := range n.pinned().nodes {
		if id == n.cfg.Node {
			continue
		}
		if err := n.askChain(ctx, id); err != nil {
			n.log.Debug("a member did not say how the roster has changed", "peer", id, "error", err)
		}
	}
}

// askChain takes over a longer chain, which must go on from what is known here.
func (n *Node) askChain(ctx context.Context, peer string) error {
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	b, err := n.peers.Call(ctx, peer, api.MethodPeerChain, nil)
	if err != nil {
		return err
	}
	var a api.ChainAnswer
	if err := wire.Decode(b, &a); err != nil {
		return fmt.Errorf("answer of %s: %w", peer, err)
	}
	return n.takeChain(a.Entries)
}

func (n *Node) takeChain(entries [][]byte) error {
	before, known := n.consensus.Committed().Known(), n.pins.known.Load()
	if known == nil || known.Len() < before.Len() {
		known = before
	}
	if len(entries) <= known.Len() {
		return nil
	}
	next, err := authority.Follow(n.genesis, entries)
	if err != nil {
		return err
	}
	if !next.Extends(known) || !next.Extends(before) {
		return fmt.Errorf("%w: it does not go on from the chain that is known here", authority.ErrMembership)
	}
	n.pins.known.Store(next)
	return nil
}
