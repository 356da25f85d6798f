package client

import (
	"context"
	"log/slog"
	"sync"

	"warifu.dev/api"
)

// histories is what each node's last answer said about the chain. Honest nodes have
// one history: two links at one index are a fork, and one of the two nodes lies or
// was lied to. Which, a client cannot say; the data key is right or is none, either
// way.
type histories struct {
	mu   sync.Mutex
	said map[string]api.AnswerHeader // by node of the roster; guarded by mu
	told map[[2]string]bool          // pairs of nodes that were named; guarded by mu
}

// fork is two nodes that show different links at one index.
type fork struct {
	nodes [2]string // by name
	index uint64
	links [2]api.Digest
}

// hear takes what a node decided on, and returns the forks that are new.
func (h *histories) hear(node string, header api.AnswerHeader) (found []fork) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said == nil {
		h.said, h.told = map[string]api.AnswerHeader{}, map[[2]string]bool{}
	}
	h.said[node] = header
	for other := range h.said {
		f := fork{nodes: [2]string{node, other}}
		if other < node {
			f.nodes = [2]string{other, node}
		}
		if other == node || h.told[f.nodes] {
			continue
		}
		if f.between(h.said[f.nodes[0]], h.said[f.nodes[1]]) {
			h.told[f.nodes] = true
			found = append(found, f)
		}
	}
	return found
}

// between compares the positions that two headers have in common.
func (f *fork) between(a, b api.AnswerHeader) bool {
	type position struct {
		index uint64
		link  api.Digest
	}
	for _, p := range []position{{a.Index, a.Link}, {a.MilestoneIndex, a.MilestoneLink}} {
		for _, q := range []position{{b.Index, b.Link}, {b.MilestoneIndex, b.MilestoneLink}} {
			if p.index == q.index && p.link != q.link {
				f.index, f.links = p.index, [2]api.Digest{p.link, q.link}
				return true
			}
		}
	}
	return false
}

// hearHistory says by name which nodes show different histories, once for each two.
func (c *Client) hearHistory(ctx context.Context, node string, header api.AnswerHeader) {
	for _, f := range c.histories.hear(node, header) {
		c.conf.Log.LogAttrs(ctx, slog.LevelWarn, "fork: two nodes show different histories",
			slog.String("node", f.nodes[0]), slog.String("other", f.nodes[1]), slog.Uint64("index", f.index),
			slog.String("link", f.links[0].String()), slog.String("other_link", f.links[1].String()))
	}
}
