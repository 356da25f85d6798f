package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/wire"
)

// Times of vouching for a point of the chain.
const (
	signWait   = 2 * time.Second // how long a member that is behind waits before it says so
	signPause  = time.Second     // before those are asked again who have not signed
	signLook   = 50 * time.Millisecond
	signMethod = signWait + time.Second // of one call
)

// endorsement is how this cluster vouches for a snapshot.
func (n *Node) endorsement() consensus.Endorsement[*ledger.State] {
	return consensus.Endorsement[*ledger.State]{
		Threshold: int(n.genesis.Root.T),
		Gather:    n.gatherSignatures,
		Verify: func(of *ledger.State, s consensus.Signature, index uint64, link api.Digest) error {
			if n.joined.Load() { // what is read at start is this node's own
				if err := n.vouches(of.Known(), s.Node); err != nil {
					return err
				}
			}
			return verifyLink(of.Custody(), s, index, link)
		},
	}
}

// vouches says whether a node counts among those who vouch for a snapshot with this chain
// of changes: only if it is on the roster that is known here. When the snapshot was taken
// before the changes that are known, it may have left since; when it holds more, whoever
// signed those could have put their own nodes on its roster.
func (n *Node) vouches(of *authority.Succession, node string) error {
	known := n.chain()
	switch {
	case !of.Extends(known) && !known.Extends(of):
		return fmt.Errorf("%w: its roster is not of the chain that is known here", authority.ErrMembership)
	case known.Genesis.NodeByID(node) == nil:
		return fmt.Errorf("%w: %s is not on the roster that is known here", consensus.ErrUncounted, node)
	}
	return nil
}

func verifyLink(g *authority.Genesis, s consensus.Signature, index uint64, link api.Digest) error {
	return authority.VerifyLink(g, s.Node, s.Bytes, index, link)
}

// gatherSignatures asks every member until t have signed. Nothing is asked for
// before the audit holds all that the snapshot would take out of the log, and the
// snapshot is recorded before it is made.
func (n *Node) gatherSignatures(ctx context.Context, index uint64, link api.Digest) ([]consensus.Signature, error) {
	if err := n.journal.through(ctx, index); err != nil {
		return nil, err
	}
	own, err := n.signLink(index, link)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	signed := map[string]consensus.Signature{n.cfg.Node: own} // guarded by mu
	body := wire.Encode(api.LinkRequest{Index: index, Link: link})
	for {
		var wg sync.WaitGroup
		for _, peer := range n.consensus.Committed().Roster() {
			mu.Lock()
			_, has := signed[peer.ID]
			mu.Unlock()
			if has {
				continue
			}
			wg.Go(func() {
				s, err := n.askLink(ctx, peer.ID, index, link, body)
				if err != nil {
					n.log.Debug("a member does not vouch for the chain", "peer", peer.ID, "index", index, "error", err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				signed[peer.ID] = s
			})
		}
		wg.Wait()
		if len(signed) >= int(n.genesis.Root.T) {
			break
		}
		select {
		case <-ctx.Done():
			return list(signed), nil
		case <-time.After(signPause):
		}
	}
	if err := n.journal.through(ctx, n.journal.snapshot(consensus.Position{Index: index, Link: link})); err != nil {
		return nil, err
	}
	return list(signed), nil
}

func list(signed map[string]consensus.Signature) []consensus.Signature {
	var out []consensus.Signature
	for _, s := range signed {
		out = append(out, s)
	}
	return out
}

func (n *Node) askLink(ctx context.Context, peer string, index uint64, link api.Digest, body []byte) (consensus.Signature, error) {
	ctx, cancel := context.WithTimeout(ctx, signMethod)
	defer cancel()
	b, err := n.peers.Call(ctx, peer, api.MethodPeerLink, body)
	if err != nil {
		return consensus.Signature{}, err
	}
	var a api.LinkAnswer
	if err := wire.Decode(b, &a); err != nil {
		return consensus.Signature{}, fmt.Errorf("answer of %s: %w", peer, err)
	}
	s := consensus.Signature{Node: peer, Bytes: a.Signature}
	return s, verifyLink(n.consensus.Committed().Custody(), s, index, link)
}

// signLink vouches for a point of the chain, if it is this node's own.
func (n *Node) signLink(index uint64, link api.Digest) (consensus.Signature, error) {
	if e := n.stopped(); e != nil {
		return consensus.Signature{}, e
	}
	ours, known := n.consensus.At(index)
	if m := n.consensus.Committed().LastMilestone(); !known && index == m.Index {
		ours, known = consensus.Position(m), true
	}
	switch {
	case !known && index > n.consensus.AppliedIndex():
		return consensus.Signature{}, errNotYet
	case !known:
		return consensus.Signature{}, api.Refuse(api.CodeStale, "this node no longer remembers entry %d", index)
	case ours.Link != link:
		return consensus.Signature{}, api.Refuse(api.CodeFork, "at entry %d this node has another history", index)
	}
	sig, err := authority.SignLink(rand.Reader, n.signer, n.genesis.Cluster, n.cfg.Node, index, link)
	if err != nil {
		return consensus.Signature{}, err
	}
	return consensus.Signature{Node: n.cfg.Node, Bytes: sig}, nil
}

var errNotYet = api.Retry(api.CodeStale, "this node has not applied the entry yet")

// answerLink vouches for a point of the chain on a member's request, or on that of
// whoever gathers a certificate, and waits a little for the entry.
func (n *Node) answerLink(ctx context.Context, q *api.LinkRequest) (*api.LinkAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, signWait)
	defer cancel()
	for {
		s, err := n.signLink(q.Index, q.Link)
		if err == nil {
			return &api.LinkAnswer{Signature: s.Bytes}, nil
		}
		if !errors.Is(err, errNotYet) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(signLook):
		}
	}
}

// through waits until the audit holds everything up to an index that belongs
// there. It does not come to that when the audit takes no more.
func (j *journal) through(ctx context.Context, index uint64) error {
	for {
		behind, broken := j.behind(index)
		switch {
		case broken:
			return fmt.Errorf("have entries to %d in the audit: %w", index, errJournal)
		case !behind:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("have entries to %d in the audit: %w", index, ctx.Err())
		case <-time.After(signLook):
		}
	}
}

var errJournal = errors.New("the audit takes no ledger entries")

// snapshot records that a snapshot of this node is about to stand for all entries
// up to a position. It returns the index of the record, which may be later.
func (j *journal) snapshot(at consensus.Position) (record uint64) {
	return j.put(audit.Record{Kind: audit.Snapshot, LedgerFrom: at.Index, LedgerIndex: at.Index, EntryID: at.Link})
}

// install is told of a snapshot that stands for entries which this node may never
// have seen, and records where they would be.
func (j *journal) install(at consensus.Position) {
	j.mu.Lock()
	from := max(j.after, j.seen)
	j.seen = max(j.seen, at.Index)
	j.mu.Unlock()
	if from < at.Index {
		j.put(audit.Record{
			Kind: audit.Gap, LedgerFrom: from, LedgerIndex: at.Index, EntryID: at.Link,
			Why: fmt.Sprintf("what the ledger took after %d and up to %d came in a snapshot, and is not in this log", from, at.Index),
		})
	}
}
