package node

import (
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/policy"
)

// leastPart is what an approver may have at one node however many there are.
const leastPart = 8

// partOf is how many grants that have not expired one of so many approvers may have put
// by one node: as many as leave everybody else their own. Above
// [ledger.MaxGrantsOfNode]/leastPart approvers, all of them together could fill it.
func partOf(approvers int) int { return max(ledger.MaxGrantsOfNode/max(approvers, 1), leastPart) }

// onItsWay is how long a grant that was put is counted before it stands in this node's
// own state: what was not committed by then was refused, or will be put again.
const onItsWay = 2 * submitTimeout

// putting are the grants that this node has put and that may not stand in its own state
// yet. They are as many as are submitted in that time, at most.
type putting struct {
	mu  sync.Mutex
	put map[api.Digest]put // by grant; guarded by mu
}

type put struct {
	entry *authority.Entry
	until time.Time
}

// putHere are the grants that this node has put, as they stand in a state.
func (n *Node) putHere(s *ledger.State) map[api.Digest]*authority.Entry {
	here := map[api.Digest]*authority.Entry{}
	for _, g := range s.GrantsOf(n.cfg.Node) {
		if e, err := authority.ParseEntry(g.Entry); err == nil { // the ledger took it
			here[g.ID] = e
		}
	}
	return here
}

// begin counts a grant for each approver who has signed it, unless one of them has their
// part already: then it names them, and how many that is. here are those that stand in
// the ledger.
func (p *putting) begin(e *authority.Entry, here map[api.Digest]*authority.Entry, approvers []policy.Approver, now time.Time) (name string, part int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, g := range p.put {
		if here[id] != nil || now.After(g.until) {
			delete(p.put, id)
			continue
		}
		here[id] = g.entry
	}
	id := e.ID()
	delete(here, id) // with other signatures it takes its own place
	part = partOf(len(approvers))
	for _, who := range approvers {
		if signed(e, who) && hasPart(here, who, part) {
			return who.Name, part
		}
	}
	if p.put == nil {
		p.put = map[api.Digest]put{}
	}
	p.put[id] = put{e, now.Add(onItsWay)}
	return "", 0
}

// signed says whether an approver has signed a grant: not whether somebody has put their
// name to it.
func signed(e *authority.Entry, who policy.Approver) bool {
	return len(authority.Approvers(e, [][]byte{who.Key})) > 0
}

// hasPart says whether an approver has signed so many of these grants. No signature is
// verified while fewer of them carry their name.
func hasPart(grants map[api.Digest]*authority.Entry, who policy.Approver, part int) bool {
	key := authority.FingerprintOf(who.Key)
	var named []*authority.Entry
	for _, e := range grants {
		if slices.ContainsFunc(e.Signatures, func(s authority.Signature) bool { return s.Signer == key }) {
			named = append(named, e)
		}
	}
	if len(named) < part {
		return false
	}
	n := 0
	for _, e := range named {
		if signed(e, who) {
			n++
		}
	}
	return n >= part
}
