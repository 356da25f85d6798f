package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/wire"
)

// A node's first addresses stand in the line that it signed at init. Where node.toml says
// others since, it signs a claim with the next number: the newest wins. A claim carries no
// authority, and a wrong one can only fail the pin of the node's key.
//
// The ledger takes claims, and every node and client goes by what is there. But who has
// moved is led by nobody: its leader calls where it was. So each node that is not led, or
// whose claim is not in the ledger, tells all members that it reaches which claims it
// knows, and is told theirs. One that stayed where it was is enough for a majority that
// moved at once to find each other.

const (
	// addressTick is how often node.toml is held against what is claimed, and how often
	// claims are exchanged while they have to be.
	addressTick = 3 * time.Second
	// addressRest bounds how long a node rests after a claim: twice as long after each of a
	// run, from [addressTick] on. Only one that was copied makes more than two.
	addressRest = 10 * time.Minute
	// claimsPerSecond bounds how often one member may tell its claims: who is not led does
	// so every [addressTick], and again after it was started.
	claimsPerSecond = 4
	// maxClaims bounds the claims of one message: those of a roster, and of a longer chain
	// of changes beside it.
	maxClaims = 2 * authority.MaxNodes
)

// addresses are the claims that a node has heard beside the ledger, its own among them.
type addresses struct {
	mu    sync.Mutex
	heard map[string]authority.AddressClaim // by node; only of nodes that are pinned; guarded by mu

	told uint64        // number of the claim that the ledger was last known to have taken; owned by runAddress
	rest time.Duration // since the machine was started: nothing is claimed before; owned by runAddress
	last time.Duration // how long it rested after the last claim; owned by runAddress
}

// keep puts a claim in the place of the one that is there.
func (a *addresses) keep(c authority.AddressClaim, pinned map[string]*authority.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.heard == nil {
		a.heard = map[string]authority.AddressClaim{}
	}
	a.heard[c.Node] = c
	maps.DeleteFunc(a.heard, func(id string, _ authority.AddressClaim) bool { return pinned[id] == nil })
}

// storedClaim is the newest claim of a node in its line and in the log as it is stored: it
// need not be committed, for it is believed for its signature. A node that was started a
// moment ago has committed nothing yet.
func (n *Node) storedClaim(m *authority.Node) authority.AddressClaim {
	if n.joined.Load() {
		if c := n.consensus.Tail().State.Claim(m.ID); c != nil && c.Counter > m.Claim.Counter {
			return *c
		}
	}
	return m.Claim
}

// claimOf is the newest claim of a node that is known here.
func (n *Node) claimOf(m *authority.Node) authority.AddressClaim {
	newest := n.storedClaim(m)
	n.addresses.mu.Lock()
	defer n.addresses.mu.Unlock()
	if c, ok := n.addresses.heard[m.ID]; ok && c.Counter > newest.Counter {
		return c
	}
	return newest
}

// newerClaims are the claims of these nodes that are newer than their lines, by id.
func (n *Node) newerClaims(nodes []*authority.Node) (claims [][]byte) {
	for _, m := range nodes {
		if c := n.claimOf(m); c.Counter > m.Claim.Counter {
			claims = append(claims, wire.Encode(c))
		}
	}
	return claims
}

// lines are those of all nodes that are pinned, by id.
func (p *pinned) lines() (all []*authority.Node) {
	for _, id := range slices.Sorted(maps.Keys(p.nodes)) {
		all = append(all, p.nodes[id])
	}
	return all
}

// hearClaim takes over one encoded [authority.AddressClaim], from whomever, if it is newer
// than what is known and signed by the node that it is about. One of this node's own may
// be as new: it signed that before it was stopped, and has not read it.
func (n *Node) hearClaim(b []byte) error {
	var c authority.AddressClaim
	if err := wire.Decode(b, &c); err != nil {
		return err
	}
	at := n.pinned()
	m := at.nodes[c.Node]
	if m == nil {
		return fmt.Errorf("%w: a claim of a node that is not on the roster", authority.ErrStatement)
	}
	have := n.claimOf(m)
	again := c.Node == n.cfg.Node && c.Counter == have.Counter && (c.Client != have.Client || c.Peer != have.Peer)
	if c.Counter <= have.Counter && !again {
		return nil
	}
	if err := c.Verify(m.Key); err != nil {
		return fmt.Errorf("a claim of %s: %w", m.ID, err)
	}
	n.addresses.keep(c, at.nodes)
	return nil
}

// hearClaims takes over those of a message. What is wrong with one says nothing about the
// others.
func (n *Node) hearClaims(m *api.ClaimsMessage) (err error) {
	if len(m.Claims) > maxClaims {
		return fmt.Errorf("%w: %d claims", authority.ErrStatement, len(m.Claims))
	}
	for _, b := range m.Claims {
		err = errors.Join(err, n.hearClaim(b))
	}
	return err
}

// answerClaims takes over what a member knows, and says what this node knows.
func (n *Node) answerClaims(from string, told *api.ClaimsMessage) (*api.ClaimsMessage, error) {
	if err := n.hearClaims(told); err != nil {
		n.log.Info("a member tells a claim that is not taken", "peer", from, "error", err)
	}
	return &api.ClaimsMessage{Claims: n.newerClaims(n.pinned().lines())}, nil
}

// runAddress sees to it that others know where this node is.
func (n *Node) runAddress(ctx context.Context) {
	tick := time.NewTicker(addressTick)
	defer tick.Stop()
	for {
		if err := n.lookAddress(ctx, n.swapClaims); err != nil && ctx.Err() == nil {
			n.log.Info("the ledger has not taken this node's addresses yet", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// lookAddress claims the addresses of node.toml, unless they are claimed, and tells others
// while it has to. What is told in turn counts from the next look on.
func (n *Node) lookAddress(ctx context.Context, swap func(context.Context)) error {
	at := n.pinned()
	m := at.nodes[n.cfg.Node]
	if m == nil {
		return nil // it has left, or has not read yet that it has come
	}
	have := n.claimOf(m)
	if have.Client != n.cfg.Client || have.Peer != n.cfg.Peer {
		if n.boot() < n.addresses.rest {
			return nil
		}
		n.addresses.last = min(max(addressTick, 2*n.addresses.last), addressRest)
		n.addresses.rest = n.boot() + n.addresses.last
		claim, err := authority.SignClaim(rand.Reader, n.signer, authority.AddressClaim{
			Node: n.cfg.Node, Counter: have.Counter + 1, Client: n.cfg.Client, Peer: n.cfg.Peer,
		})
		if err != nil {
			return err
		}
		n.log.Info("node.toml says other addresses: they are claimed", "clients", claim.Client, "peers", claim.Peer, "counter", claim.Counter)
		n.addresses.keep(claim, at.nodes)
		have = claim
	}
	led, taken := n.consensus.Leader() != "", n.storedClaim(m).Counter >= have.Counter
	if !led || !taken {
		swap(ctx)
	}
	if !led || taken || n.claimOf(m).Counter != have.Counter {
		return nil
	}
	if err := failpoint.Step("node/claim-address", func() error { return n.say(ctx, authority.KindAddress, have) }); err != nil {
		return err
	}
	if n.addresses.told != have.Counter {
		n.addresses.told = have.Counter
		n.log.Info("the ledger has this node's addresses", "counter", have.Counter)
	}
	return nil
}

// swapClaims tells all members which claims are known here, and is told theirs.
func (n *Node) swapClaims(ctx context.Context) {
	nodes := n.pinned().lines()
	body := wire.Encode(api.ClaimsMessage{Claims: n.newerClaims(nodes)})
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, m := range nodes {
		if m.ID == n.cfg.Node {
			continue
		}
		all.Go(func() {
			var told api.ClaimsMessage
			b, err := n.peers.Call(ctx, m.ID, api.MethodPeerClaims, body)
			if err == nil {
				err = wire.Decode(b, &told)
			}
			if err == nil {
				err = n.hearClaims(&told)
			}
			if err != nil {
				n.log.Debug("claims were not exchanged with a member", "peer", m.ID, "error", err)
			}
		})
	}
	all.Wait()
}
