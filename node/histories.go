package node

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"warifu.dev/audit"
	"warifu.dev/consensus"
)

// histories holds what other members sign about the chain against what this node
// has committed. Honest members have one history, so a signed (index, link) that
// differs from ours at that index shows a fork. Whose lie it is, one signature does
// not say: a single liar must not be able to stop honest nodes by signing false
// links. So one member that contradicts is named in status, log and audit, and no
// longer counts for freshness; t of them, one of whom is honest while f < t, stop
// this node.
//
// Nothing of it rests on disk: a fork that is real is signed again in the first
// round after a start.
type histories struct {
	enough int // contradictions that stop the node: the cluster's t

	mu    sync.Mutex
	ahead map[string]consensus.Position // by member: signed, and not committed here yet; guarded by mu
	other map[string]contradiction      // by member: the first one; guarded by mu
}

// actionMember marks the audit's fork record of one member that contradicts us:
// this node goes on.
const actionMember = "member"

// contradiction is what a member signed, and what this node has there.
type contradiction struct {
	member     string
	said, ours consensus.Position
}

func (c contradiction) String() string {
	return fmt.Sprintf("%s signs another history: at %d the link %s, here the last command at or below is %d with the link %s",
		c.member, c.said.Index, c.said.Link, c.ours.Index, c.ours.Link)
}

// hear takes one signed position. It returns a contradiction that is new, or nil.
// at is [consensus.Consensus.At]: what it does not know is not compared, and kept
// if it is still to come.
func (h *histories) hear(member string, said consensus.Position, at func(uint64) (consensus.Position, bool)) *contradiction {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ahead == nil {
		h.ahead, h.other = map[string]consensus.Position{}, map[string]contradiction{}
	}
	if _, known := h.other[member]; known {
		return nil
	}
	before, waits := h.ahead[member]
	for _, p := range []consensus.Position{before, said} {
		ours, known := at(p.Index)
		if known && ours != p && (waits || p == said) {
			c := contradiction{member, p, ours}
			h.other[member] = c
			delete(h.ahead, member)
			return &c
		}
	}
	if _, known := at(before.Index); !waits || known {
		delete(h.ahead, member)
		if _, known := at(said.Index); !known {
			h.ahead[member] = said // a position of long ago stays unknown, and is replaced by the next
		}
	}
	return nil
}

// contradicts says whether a member has shown another history.
func (h *histories) contradicts(member string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, known := h.other[member]
	return known
}

// found lists the contradictions by member, and says whether they stop the node.
func (h *histories) found() (list []contradiction, stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list = slices.SortedFunc(maps.Values(h.other), func(a, b contradiction) int { return cmp.Compare(a.member, b.member) })
	return list, len(list) >= h.enough && h.enough > 0
}

// hearHistory holds a signed position against this node's chain, and says what
// comes of it. It returns false for a member whose history is not ours.
func (n *Node) hearHistory(ctx context.Context, member string, said consensus.Position) bool {
	if c := n.histories.hear(member, said, n.consensus.At); c != nil {
		n.log.Error("fork: a member signs another history", "peer", member, "index", said.Index, "link", said.Link.String(), "here", c.ours.Link.String())
		n.note(ctx, audit.Record{
			Kind: audit.Fork, Action: actionMember, Why: c.String(), LedgerIndex: n.consensus.Committed().Position().Index,
		})
		if list, stop := n.histories.found(); stop {
			var members []string
			for _, c := range list {
				members = append(members, c.member)
			}
			n.consensus.Halt(fmt.Errorf("%w: signed by %s", consensus.ErrFork, strings.Join(members, ", ")))
		}
	}
	return !n.histories.contradicts(member)
}
