package auditor

import (
	"fmt"
	"slices"

	"warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// hasLeft is why there is no log of a node that was a member once, or not all of it:
// nobody can ask it any more.
const hasLeft = "it has left the cluster, and no export took its log before"

// Everyone is the genesis document with all nodes that have ever been on the roster, by a
// chain of changes: each has signed its own log, and no id comes back.
func Everyone(g *authority.VerifiedGenesis, chain *authority.Succession) *authority.Genesis {
	all := g.Genesis
	all.Roster = slices.Clone(g.Roster)
	for n := range chain.Len() + 1 {
		for _, node := range chain.At(uint64(n)).Roster {
			if all.NodeByID(node.ID) == nil {
				all.Roster = append(all.Roster, node)
			}
		}
	}
	return &all
}

// unknown names the nodes that came to the cluster by changes which enough logs hold, and
// which the export's chain of changes leaves out.
func (h *History) unknown(everyone *authority.Genesis) (ids []string) {
	for _, e := range h.Entries {
		var m authority.Membership
		if !e.sure || !authority.IsMembershipKind(e.Kind) || wire.Decode(e.Change.Body, &m) != nil || m.Newcomer == nil {
			continue
		}
		if id := m.Newcomer.ID; everyone.NodeByID(id) == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// readChain reads the changes of custodians and roster that stand in an export.
func readChain(dir string, g *authority.VerifiedGenesis) (*authority.Succession, error) {
	list, err := readLines(dir, chainFile)
	if err != nil {
		return nil, err
	}
	chain, err := authority.Follow(g, list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chainFile, err)
	}
	return chain, nil
}
