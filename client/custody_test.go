package client_test

import (
	"crypto/rand"
	"errors"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

// change is an entry of c's cluster that these custodians have signed.
func (c *fakeCluster) change(t *testing.T, kind string, body any, base api.Digest, signers ...*authority.Signer) *authority.Entry {
	t.Helper()
	e := authority.NewChange(authority.Change{Cluster: c.Genesis.Cluster, Kind: kind, Body: wire.Encode(body), Base: base, NotAfter: 1 << 50})
	for _, s := range signers {
		if err := authority.SignChange(rand.Reader, e, s); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// Who the custodians are is the longest chain that nodes show and follow, each verified from
// genesis on: what is held back, or made up, counts for nothing.
func TestTheLongestSuccessionIsFound(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	by := authority.Custody{Custodians: c.Genesis.Custodians[:2], Required: c.Genesis.Required}
	first := c.change(t, authority.KindCustodians, by, api.Digest{}, c.Custodians[1], c.Custodians[2])
	second := c.change(t, authority.KindCustodians, by, first.ID(), c.Custodians[:2]...)
	forged := c.change(t, authority.KindCustodians, by, second.ID(), c.Custodians[2])
	shows := func(node string, entries ...*authority.Entry) {
		n := c.nodes[node]
		n.with(func() {
			n.custody = nil
			for _, e := range entries {
				n.custody = append(n.custody, e.Encode())
			}
		})
	}
	s, err := cl.Custody(t.Context())
	if err != nil || s.Len() != 0 || len(s.Genesis.Custodians) != 3 {
		t.Fatalf("as genesis has them: %+v, %v", s, err)
	}
	shows("n1", first)
	shows("n2", first, second)
	shows("n3", first, second, forged)
	shows("n4", second, first)
	if s, err = cl.Custody(t.Context()); err != nil || s.Len() != 2 || s.Last != second.ID() || len(s.Genesis.Custodians) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	// Those who were replaced sign on, and one node shows what they signed.
	back := authority.Custody{Custodians: c.Genesis.Custodians[1:], Required: c.Genesis.Required}
	fork := []*authority.Entry{c.change(t, authority.KindCustodians, back, api.Digest{}, c.Custodians[1:]...)}
	for range 3 {
		fork = append(fork, c.change(t, authority.KindCustodians, back, fork[len(fork)-1].ID(), c.Custodians[1:]...))
	}
	shows("n3", first)
	shows("n4", first, second)
	shows("n5", fork...)
	if s, err = cl.Custody(t.Context()); err != nil || s.Len() != 2 || s.Last != second.ID() {
		t.Errorf("against a longer chain of those who were replaced: %d changes, %v", s.Len(), err)
	}
	// Two show it, and one is behind: nobody can tell, and the longer is not taken for that.
	shows("n1", first, second)
	shows("n3")
	shows("n4", fork...)
	if s, err = cl.Custody(t.Context()); !errors.Is(err, client.ErrParted) {
		t.Errorf("two against two: %+v, %v", s, err)
	}
	shows("n3", first)
	if s, err = cl.Custody(t.Context()); err != nil || s.Last != second.ID() {
		t.Errorf("three against two: %+v, %v", s, err)
	}
	for id := range c.nodes {
		shows(id, forged)
	}
	if _, err := cl.Custody(t.Context()); err == nil {
		t.Error("a forged chain is followed")
	}
}

// The policy in force is not the word of the nearest node, which may be behind.
func TestThePolicyIsAskedOfAll(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	shows := func(text string, index uint64, nodes ...string) {
		for _, id := range nodes {
			n := c.nodes[id]
			n.with(func() {
				n.policy = &api.PolicyAnswer{Document: []byte(text), Digest: api.Digest{byte(len(text))}, Index: index}
			})
		}
	}
	var refused *client.NodesError
	if _, err := cl.Policy(t.Context()); !errors.As(err, &refused) || len(refused.Reasons) != 5 {
		t.Fatalf("all refuse: %v", err)
	}
	ids := []string{"n1", "n2", "n3", "n4", "n5"}
	for behind := range ids { // whichever is the nearest
		shows("newer", 9, ids...)
		shows("old", 7, ids[behind], ids[(behind+1)%5])
		if a, err := cl.Policy(t.Context()); err != nil || string(a.Document) != "newer" {
			t.Fatalf("%s is behind: %+v, %v", ids[behind], a, err)
		}
	}
	// Fewer than a majority: what they show is better than nothing.
	for _, id := range ids[:4] {
		c.nodes[id].with(func() { c.nodes[id].policy = nil })
	}
	shows("the last one's", 8, "n5")
	if a, err := cl.Policy(t.Context()); err != nil || string(a.Document) != "the last one's" {
		t.Errorf("one alone: %+v, %v", a, err)
	}
}

// A node cannot show one change in the place of another, nor hide one that others know.
func TestAProposalIsWhatItsIdSays(t *testing.T) {
	c := newFakeCluster(t)
	cl := c.client(t)
	asked := c.change(t, authority.KindPolicy, "a policy", api.Digest{}, c.Custodians[0])
	other := c.change(t, authority.KindPolicy, "another", api.Digest{})
	summary := func(e *authority.Entry) api.ProposalSummary {
		p := api.ProposalSummary{ID: e.ID(), Kind: e.Kind, Body: e.Body, State: "open"}
		for _, s := range e.Signatures {
			p.Approvals = append(p.Approvals, api.Ballot{Signer: api.Digest(s.Signer), Signature: s.ASN1})
		}
		return p
	}
	show := func(list ...api.ProposalSummary) {
		for _, n := range c.nodes {
			n.with(func() { n.puts = &api.ProposalsAnswer{Index: 7, Proposals: list} })
		}
	}
	if _, _, _, err := cl.Proposal(t.Context(), asked.ID()); !errors.Is(err, client.ErrDenied) {
		t.Errorf("everybody refuses: %v", err)
	}
	show(summary(asked))
	p, e, at, err := cl.Proposal(t.Context(), asked.ID())
	if err != nil || p.State != "open" || at != 7 || e.ID() != asked.ID() || len(e.Signatures) != 1 {
		t.Errorf("%+v, %+v, %d, %v", p, e, at, err)
	}
	posing := summary(other)
	posing.ID = asked.ID()
	renamed := summary(asked)
	renamed.Kind = authority.KindKey
	garbage := summary(asked)
	garbage.Body = []byte{1}
	for sentence, list := range map[string][]api.ProposalSummary{
		"another change":       {summary(other)},
		"another under its id": {posing},
		"under another kind":   {renamed},
		"garbage":              {garbage},
		"two of them":          {summary(asked), summary(other)},
	} {
		show(list...)
		if _, _, _, err := cl.Proposal(t.Context(), asked.ID()); !errors.Is(err, client.ErrAnswer) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	show()
	if _, _, _, err := cl.Proposal(t.Context(), asked.ID()); !errors.Is(err, client.ErrNoProposal) {
		t.Errorf("nobody knows it: %v", err)
	}
	n := c.nodes["n5"]
	n.with(func() { n.puts = &api.ProposalsAnswer{Proposals: []api.ProposalSummary{summary(asked)}} })
	if _, e, _, err := cl.Proposal(t.Context(), asked.ID()); err != nil || e.ID() != asked.ID() {
		t.Errorf("one node knows it: %v", err)
	}
	ended := summary(asked)
	ended.Body, ended.State = nil, "cancelled"
	show(ended)
	if p, e, _, err := cl.Proposal(t.Context(), asked.ID()); err != nil || e != nil || p.State != "cancelled" {
		t.Errorf("one that has ended: %v, %v", e, err)
	}
}
