package node

import (
	"context"
	"fmt"
	"sync"
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
	known atomic.Pointer[authority.Succession] // what join was given, or members follow: see [Node.chain]; or nil
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
	if known := n.chain(); known.Len() > custody {
		return n.pins.of(committed, known.Genesis)
	}
	return n.pins.of(committed, nil)
}

// chain is the changes of custodians and roster that this node goes by: those that it has
// committed, or more, which go on from them. What parts from them is known no longer.
func (n *Node) chain() *authority.Succession {
	known := n.pins.known.Load()
	if known == nil {
		known = authority.Begin(n.genesis)
	}
	if !n.joined.Load() {
		return known
	}
	if committed := n.consensus.Committed().Known(); !known.Extends(committed) {
		return committed
	}
	return known
}

// rosterPins gives transport the roster: keys from it, addresses from the newest claims.
func (n *Node) rosterPins() (lookup func(string) (string, transport.SPKI, bool), identify func(transport.SPKI) (string, bool)) {
	lookup = func(id string) (string, transport.SPKI, bool) {
		at := n.pinned()
		m := at.nodes[id]
		if m == nil {
			return "", transport.SPKI{}, false
		}
		return n.claimOf(m).Peer, at.keys[id], true
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
//
// Those who were custodians when this node was heard last can sign other changes than
// the true ones, as many as they like, and one member shows them. So a change is
// taken when t of those who were on the roster before it follow it: one of them is honest.
func (n *Node) learnChain(ctx context.Context) {
	at := n.chain()
	var mu sync.Mutex
	shown := map[string]*authority.Succession{} // guarded by mu
	var wg sync.WaitGroup
	for id := range n.pinned().nodes {
		if id == n.cfg.Node {
			continue
		}
		wg.Go(func() {
			chain, err := n.askChain(ctx, id)
			if err != nil {
				n.log.Debug("a member did not say how the roster has changed", "peer", id, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			shown[id] = chain
		})
	}
	wg.Wait()
	if next := followed(at, shown, int(n.genesis.Root.T)); next.Len() > at.Len() {
		n.pins.known.Store(next)
	}
}

// askChain asks one node for all changes that it has committed.
func (n *Node) askChain(ctx context.Context, peer string) (*authority.Succession, error) {
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	b, err := n.peers.Call(ctx, peer, api.MethodPeerChain, nil)
	if err != nil {
		return nil, err
	}
	var a api.ChainAnswer
	if err := wire.Decode(b, &a); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", peer, err)
	}
	return authority.Follow(n.genesis, a.Entries)
}

// followed goes on from a chain for as long as t of the nodes on the roster before each
// change follow it. Where it parts, and t follow either side, nobody is believed.
func followed(at *authority.Succession, shown map[string]*authority.Succession, t int) *authority.Succession {
	for {
		var next *authority.Succession
		for _, c := range shown {
			if c.Len() <= at.Len() || !c.Extends(at) || next != nil && c.Extends(next) {
				continue
			}
			step, err := at.Next(c.Entries()[at.Len()])
			if err != nil {
				continue // not possible: it has been followed before
			}
			followers := 0
			for id, o := range shown {
				if at.Genesis.NodeByID(id) != nil && o.Extends(step) {
					followers++
				}
			}
			switch {
			case followers >= t && next != nil:
				return at
			case followers >= t:
				next = step
			}
		}
		if next == nil {
			return at
		}
		at = next
	}
}
