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
// sending time of the latest round that a majority answered and whose median it
// has since applied. Times are of [Options.Boot].
type freshness struct {
	majority int // of the voters, this node included

	mu        sync.Mutex
	confirmed time.Duration // guarded by mu; 0 means never
	pending   []freshRound  // answered by a majority, not yet applied; guarded by mu
}

type freshRound struct {
	sent   time.Duration
	median uint64
}

// maxPendingRounds bounds the rounds that wait for the log: older ones could not
// make the node fresh any more.
const maxPendingRounds = int(maxStaleness / freshPeriod)

// round takes the tail indices of one round, this node's own included.
func (f *freshness) round(sent time.Duration, ends []uint64) {
	if len(ends) < f.majority {
		return
	}
	slices.Sort(ends)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, freshRound{sent: sent, median: ends[len(ends)/2]})
	if len(f.pending) > maxPendingRounds {
		f.pending = f.pending[1:]
	}
}

// left is how long the node stays fresh; zero or less means that it is stale.
func (f *freshness) left(now time.Duration, applied uint64) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.pending) - 1; i >= 0; i-- {
		if applied >= f.pending[i].median {
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
	for {
		n.freshRound(ctx)
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
	for _, peer := range n.genesis.Roster {
		if peer.ID == n.cfg.Node {
			continue
		}
		wg.Go(func() {
			end, err := n.askFresh(ctx, &peer, nonce, body)
			if err != nil {
				n.log.Debug("a voter did not say how far its log reaches", "peer", peer.ID, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ends = append(ends, end)
		})
	}
	wg.Wait()
	n.fresh.round(sent, ends)
}

func (n *Node) askFresh(ctx context.Context, peer *authority.Node, nonce [16]byte, body []byte) (uint64, error) {
	b, err := n.peers.Call(ctx, peer.ID, api.MethodPeerFresh, body)
	if err != nil {
		return 0, err
	}
	return verifyFresh(n.genesis.Cluster, peer, nonce, b)
}

// verifyFresh reads how far a peer's log reaches out of its answer to this nonce.
func verifyFresh(cluster api.ClusterID, peer *authority.Node, nonce [16]byte, answer []byte) (uint64, error) {
	var a api.FreshAnswer
	if err := wire.Decode(answer, &a); err != nil {
		return 0, fmt.Errorf("answer of %s: %w", peer.ID, err)
	}
	sig := authority.Signature{Signer: authority.FingerprintOf(peer.Key), ASN1: a.Signature}
	if err := sig.Verify(peer.Key, tag.FreshAnswer, freshParts(cluster, peer.ID, nonce, a.Index, a.Link)...); err != nil {
		return 0, fmt.Errorf("answer of %s: %w", peer.ID, err)
	}
	return a.Index, nil
}

func freshParts(cluster api.ClusterID, node string, nonce [16]byte, index uint64, link api.Digest) [][]byte {
	return [][]byte{cluster[:], []byte(node), nonce[:], tag.Uint64(index), link[:]}
}

// answerFresh says, signed, how far this node's stored log reaches.
func (n *Node) answerFresh(body []byte) ([]byte, error) {
	var q api.FreshRequest
	if err := wire.Decode(body, &q); err != nil {
		return nil, malformed(err)
	}
	tail := n.consensus.Tail()
	link := tail.State.Position().Link
	sig, err := n.signer.Sign(rand.Reader, tag.FreshAnswer, freshParts(n.genesis.Cluster, n.cfg.Node, q.Nonce, tail.End, link)...)
	if err != nil {
		return nil, err
	}
	return wire.Encode(api.FreshAnswer{Index: tail.End, Link: link, Signature: sig.ASN1}), nil
}
