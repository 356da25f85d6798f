package node

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
)

// Times of freshness. They bound how long a node that is cut off goes on
// releasing; no promise rests on them.
const (
	freshPeriod  = 2 * time.Second
	freshTimeout = 1500 * time.Millisecond
	maxStaleness = 10 * time.Second
)

// freshness knows how long ago this node was last known to be up to date: the
// sending time of the latest round that a majority answered and of which it has
// since applied what the round calls for. Times are of [Options.Boot].
//
// A round calls for the median of the logs' ends, or for the end that f+1 of them
// reach if that is higher: of those one is honest, so that liars who lie ahead make
// nobody stale, and what a leader has replicated to a bare majority, itself
// included, and withholds from the rest, is called for as long as f+1 honest
// members have it. (The median alone is the withheld node's own, if one liar says
// the same.)
type freshness struct {
	liars int // the cluster's f

	mu        sync.Mutex
	confirmed time.Duration // guarded by mu; 0 means never
	pending   []freshRound  // answered by a majority, not yet applied; guarded by mu
}

type freshRound struct {
	sent  time.Duration
	calls uint64 // for this index to be applied
}

// maxPendingRounds bounds the rounds that wait for the log: older ones could not
// make the node fresh any more.
const maxPendingRounds = int(maxStaleness / freshPeriod)

// round takes the tail indices of one round, this node's own included, of so many
// members.
func (f *freshness) round(sent time.Duration, ends []uint64, members int) {
	if len(ends) < members/2+1 {
		return
	}
	slices.Sort(ends)
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := max(ends[len(ends)/2], ends[max(0, len(ends)-1-f.liars)])
	f.pending = append(f.pending, freshRound{sent: sent, calls: calls})
	if len(f.pending) > maxPendingRounds {
		f.pending = f.pending[1:]
	}
}

// left is how long the node stays fresh; zero or less means that it is stale.
func (f *freshness) left(now time.Duration, applied uint64) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.pending) - 1; i >= 0; i-- {
		if applied >= f.pending[i].calls {
			f.confirmed = f.pending[i].sent
			f.pending = f.pending[i+1:]
			break
		}
	}
	if f.confirmed == 0 {
		return 0
	}
	return f.confirmed + maxStaleness - now
}

// runFreshness asks every voter how far its log reaches, every period.
func (n *Node) runFreshness(ctx context.Context) {
	tick := time.NewTicker(freshPeriod)
	defer tick.Stop()
	var asked time.Duration
	for {
		n.freshRound(ctx)
		if now := n.boot(); n.freshEnough() != nil && (asked == 0 || now-asked >= maxStaleness) {
			asked = now
			n.learnChain(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *Node) freshRound(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	sent := n.boot()
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	body := wire.Encode(api.FreshRequest{Nonce: nonce})
	var mu sync.Mutex
	ends := []uint64{n.consensus.Tail().End} // guarded by mu
	var wg sync.WaitGroup
	roster := n.consensus.Committed().Roster()
	for _, peer := range roster {
		if peer.ID == n.cfg.Node {
			continue
		}
		wg.Go(func() {
			a, err := n.askFresh(ctx, &peer, nonce, body)
			if err != nil {
				n.log.Debug("a voter did not say how far its log reaches", "peer", peer.ID, "error", err)
				return
			}
			if !n.hearHistory(ctx, peer.ID, consensus.Position{Index: a.Committed, Link: a.CommittedLink}) {
				return // how far another history reaches says nothing about ours
			}
			n.progress.hear(peer.ID, a.Committed)
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, a.Index)
		})
	}
	wg.Wait()
	n.fresh.round(sent, ends, len(roster))
}

func (n *Node) askFresh(ctx context.Context, peer *authority.Node, nonce [16]byte, body []byte) (*api.FreshAnswer, error) {
	b, err := n.peers.Call(ctx, peer.ID, api.MethodPeerFresh, body)
	if err != nil {
		return nil, err
	}
	return verifyFresh(n.genesis.Cluster, peer, nonce, b)
}

// verifyFresh reads a peer's answer to this nonce.
func verifyFresh(cluster api.ClusterID, peer *authority.Node, nonce [16]byte, answer []byte) (*api.FreshAnswer, error) {
	var a api.FreshAnswer
	if err := wire.Decode(answer, &a); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", peer.ID, err)
	}
	sig := authority.Signature{Signer: authority.FingerprintOf(peer.Key), ASN1: a.Signature}
	if err := sig.Verify(peer.Key, tag.FreshAnswer, freshParts(cluster, peer.ID, nonce, &a)...); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", peer.ID, err)
	}
	return &a, nil
}

func freshParts(cluster api.ClusterID, node string, nonce [16]byte, a *api.FreshAnswer) [][]byte {
	return [][]byte{
		cluster[:], []byte(node), nonce[:],
		tag.Uint64(a.Index), a.Link[:], tag.Uint64(a.Committed), a.CommittedLink[:],
	}
}

// answerFresh says, signed, how far this node's stored log reaches, and what it
// has committed.
func (n *Node) answerFresh(body []byte) ([]byte, error) {
	var q api.FreshRequest
	if err := wire.Decode(body, &q); err != nil {
		return nil, malformed(err)
	}
	committed, tail := n.consensus.Committed().Position(), n.consensus.Tail()
	a := api.FreshAnswer{
		Index: tail.End, Link: tail.State.Position().Link,
		Committed: committed.Index, CommittedLink: committed.Link,
	}
	sig, err := n.signer.Sign(rand.Reader, tag.FreshAnswer, freshParts(n.genesis.Cluster, n.cfg.Node, q.Nonce, &a)...)
	if err != nil {
		return nil, err
	}
	a.Signature = sig.ASN1
	return wire.Encode(a), nil
}
