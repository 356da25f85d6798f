package node

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing/custodian"
)

// drillPatience is how long a challenge can be answered: somebody types a passphrase.
const drillPatience = 5 * time.Minute

// drills are the challenges that custodians have not answered yet, one each.
type drills struct {
	mu   sync.Mutex
	open map[authority.Fingerprint]openDrill // guarded by mu
}

type openDrill struct {
	drill  custodian.Drill
	answer [32]byte
	until  time.Time
}

// challenge makes a fresh one for a custodian, in the place of the last.
func (n *Node) challenge(who authority.Fingerprint) (*api.DrillChallenge, error) {
	s := n.consensus.Committed()
	c := s.Custody().CustodianByKey(who)
	if c == nil {
		return nil, api.Refuse(api.CodeDenied, "only custodians drill")
	}
	at := s.Position()
	d := custodian.Drill{Cluster: n.genesis.Cluster, Node: n.cfg.Node, Signer: who, Index: at.Index, Link: at.Link}
	box, answer, err := custodian.NewChallenge(rand.Reader, d, c.Open)
	if err != nil {
		return nil, err
	}
	n.drills.mu.Lock()
	defer n.drills.mu.Unlock()
	if len(n.drills.open) >= authority.MaxCustodians || n.drills.open == nil {
		n.drills.open = map[authority.Fingerprint]openDrill{} // those who were replaced make room
	}
	n.drills.open[who] = openDrill{d, answer, n.now().Add(drillPatience)}
	return &api.DrillChallenge{Node: n.cfg.Node, Index: at.Index, Link: at.Link, Box: box}, nil
}

// takeAnswer holds a custodian's answer against its challenge, and puts it into the
// ledger when it is right, counted in of. A challenge is answered once, right or wrong.
func (n *Node) takeAnswer(ctx context.Context, who authority.Fingerprint, of *rate, q *api.DrillAnswer) (*api.SubmitAnswer, error) {
	n.drills.mu.Lock()
	open, is := n.drills.open[who]
	delete(n.drills.open, who)
	n.drills.mu.Unlock()
	d := authority.Drill{
		Custodian: who, Index: open.drill.Index, Link: open.drill.Link, Answer: q.Answer,
		Signature: authority.Signature{Signer: who, ASN1: q.Signature},
	}
	switch {
	case !is || n.now().After(open.until):
		return nil, api.Retry(api.CodePiece, "no challenge waits for this custodian: ask for another one")
	case subtle.ConstantTimeCompare(open.answer[:], q.Answer[:]) != 1:
		return nil, api.Refuse(api.CodePiece, "the answer is not what the challenge holds: it was not opened")
	}
	if err := d.Verify(n.consensus.Committed().Custody(), n.cfg.Node); err != nil {
		return nil, api.Refuse(api.CodePiece, "%v", err)
	}
	e, err := authority.SignStatement(rand.Reader, n.signer, n.genesis.Cluster, n.cfg.Node, authority.KindDrill, d)
	if err != nil {
		return nil, err
	}
	return n.submit(ctx, e.Encode(), of)
}

// drillsAnswer is when each custodian drilled last.
func drillsAnswer(s *ledger.State) *api.DrillsAnswer {
	a := &api.DrillsAnswer{}
	for _, v := range s.Drills() {
		if s.Custody().CustodianByKey(v.Custodian) != nil {
			a.Drills = append(a.Drills, api.DrillSummary{Custodian: api.Digest(v.Custodian), Node: v.Node, Index: v.Index, Time: v.Time})
		}
	}
	return a
}
