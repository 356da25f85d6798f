package node

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/disk"
	"warifu.dev/node/gate"
	"warifu.dev/node/internal/trial"
	"warifu.dev/policy"
)

// approved is n1 of a cluster with a key, and two approvers whom its policy asks.
type approved struct {
	*Node
	*fakeReplica
	key     api.KeyID
	signers []*authority.Signer
	nonce   byte
	later   int64 // than trial.Created, ms: when grants begin
}

func newApproved(t *testing.T) *approved {
	t.Helper()
	n, r := fakeNode(t)
	a := &approved{Node: n, fakeReplica: r}
	var err error
	if n.slots, err = gate.OpenSlots(disk.Hook(nil), t.TempDir(), true); err != nil {
		t.Fatal(err)
	}
	r.BearRoot()
	a.key = r.BearKey("demo").Key.ID
	for range 3 {
		s, err := authority.NewSigner(r.NewKey())
		if err != nil {
			t.Fatal(err)
		}
		a.signers = append(a.signers, s)
	}
	a.asks(t, 2)
	return a
}

// asks puts a policy that asks for so many of the first two.
func (a *approved) asks(t *testing.T, count int) {
	t.Helper()
	var limits strings.Builder
	for i, s := range a.signers[:2] {
		fmt.Fprintf(&limits, "[[approver]]\nname = \"a%d\"\nkey = %q\n", i, base64.RawURLEncoding.EncodeToString(s.PublicKey()))
	}
	fmt.Fprintf(&limits, "[[approval]]\nname = \"both\"\ncount = %d\nof = [\"a0\", \"a1\"]\n", count)
	var base api.Digest
	if p := a.State().Policy(); p != nil {
		base = p.Change
	}
	if r := a.Apply(a.Change(authority.KindPolicy, policy.Document{Limits: limits.String()}.Encode(), base)); r.Err != nil {
		t.Fatal(r.Err)
	}
}

func (a *approved) grant(t *testing.T, principal string, signers ...int) (*authority.Entry, *api.SubmitRequest) {
	t.Helper()
	a.nonce++
	e := authority.NewGrant(authority.Grant{
		Cluster: a.Genesis.Cluster, Key: a.key, Principal: principal, Action: authority.ActionUnwrap, Reason: "why",
		NotBefore: trial.Created + a.later, NotAfter: trial.Created + a.later + 1000, Uses: 1, Nonce: [16]byte{a.nonce},
	})
	for _, i := range signers {
		if err := authority.SignGrant(rand.Reader, e, a.signers[i]); err != nil {
			t.Fatal(err)
		}
	}
	return e, &api.SubmitRequest{Entry: e.Encode()}
}

// A node puts only what the approvers of the policy have signed, in its own name, and
// once.
func TestANodePutsGrantsThatAreApproved(t *testing.T) {
	a := newApproved(t)
	for sentence, signers := range map[string][]int{"nobody's": nil, "one's": {0}, "one's, and a stranger's": {0, 2}} {
		if _, q := a.grant(t, "spiffe://demo/app", signers...); true {
			if _, err := a.submitChange(t.Context(), &session{}, q); codeOf(err) != api.CodeRefusedEntry || a.submitted != 0 {
				t.Errorf("%s: %v", sentence, err)
			}
		}
	}
	e, q := a.grant(t, "spiffe://demo/app", 0, 1)
	answer, err := a.submitChange(t.Context(), &session{}, q)
	if err != nil || !answer.Taken || answer.ID != e.ID() || a.submitted != 1 {
		t.Fatalf("both: %+v, %v", answer, err)
	}
	again, err := a.submitChange(t.Context(), &session{}, q)
	if err != nil || again.Taken || again.ID != e.ID() || again.Index != answer.Index || a.submitted != 1 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	// What the committed policy would take and the stored one does not is not put.
	before := a.State()
	_, one := a.grant(t, "spiffe://demo/app", 0)
	a.asks(t, 1)
	if a.tail = before; true {
		if _, err := a.submitChange(t.Context(), &session{}, one); codeOf(err) != api.CodeRefusedEntry {
			t.Errorf("by the committed policy alone: %v", err)
		}
	}
	if a.tail = nil; true {
		if _, err := a.submitChange(t.Context(), &session{}, one); err != nil {
			t.Errorf("by both: %v", err)
		}
	}
	a.fresh = freshness{}
	_, stale := a.grant(t, "spiffe://demo/app", 0, 1)
	if _, err := a.submitChange(t.Context(), &session{}, stale); codeOf(err) != api.CodeStale {
		t.Errorf("a node that may not know the policy: %v", err)
	}
}

// A node whose list is full says so, and another may take the grant.
func TestANodePutsSoManyGrants(t *testing.T) {
	a := newApproved(t)
	for range ledger.MaxGrantsOfNode {
		e, _ := a.grant(t, "spiffe://demo/app", 0)
		if err := a.Say("n1", authority.KindGrant, authority.GrantPost{Entry: e.Encode()}); err != nil {
			t.Fatal(err)
		}
	}
	_, q := a.grant(t, "spiffe://demo/app", 0, 1)
	if _, err := a.submitChange(t.Context(), &session{}, q); codeOf(err) != api.CodeOverloaded || a.submitted != 0 {
		t.Fatalf("got %v", err)
	}
}

// An approver whose word is enough has their part of the room at a node, whatever
// stands beside their name on others' grants, and leaves the rest to the others.
func TestOneApproverHasTheirPartOfTheGrants(t *testing.T) {
	a := newApproved(t)
	a.asks(t, 1)
	part := partOf(2)
	put := func(e *authority.Entry) error {
		_, err := a.submitChange(t.Context(), &session{}, &api.SubmitRequest{Entry: e.Encode()})
		return err
	}
	// Grants of the second approver, with the first one's name under something else.
	for range 3 {
		e, _ := a.grant(t, "spiffe://demo/app", 1)
		other, _ := a.grant(t, "spiffe://demo/app", 0)
		e.Signatures = append(e.Signatures, other.Signatures...)
		slices.SortFunc(e.Signatures, func(x, y authority.Signature) int { return bytes.Compare(x.Signer[:], y.Signer[:]) })
		if err := put(e); err != nil {
			t.Fatal(err)
		}
	}
	var last *authority.Entry
	for i := range part {
		last, _ = a.grant(t, "spiffe://demo/app", 0)
		if err := put(last); err != nil {
			t.Fatalf("%d of %d: %v", i+1, part, err)
		}
	}
	e, _ := a.grant(t, "spiffe://demo/app", 0)
	if err := put(e); codeOf(err) != api.CodeOverloaded || !strings.Contains(err.Error(), "a0 has approved as many grants as one approver may") {
		t.Fatalf("one too many: %v", err)
	}
	if err := put(last); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	both, _ := a.grant(t, "spiffe://demo/app", 0, 1)
	if err := put(both); codeOf(err) != api.CodeOverloaded {
		t.Errorf("one too many, with another: %v", err)
	}
	others, _ := a.grant(t, "spiffe://demo/app", 1)
	if err := put(others); err != nil {
		t.Errorf("another's: %v", err)
	}
	if got := len(a.State().GrantsOf("n1")); got != part+4 {
		t.Errorf("%d grants stand in the ledger", got)
	}
	// When they have expired, there is room again.
	for _, id := range []string{"n1", "n2", "n3"} {
		if err := a.Say(id, authority.KindAnchor, authority.Anchor{Counter: 1, Time: trial.Created + 2000}); err != nil {
			t.Fatal(err)
		}
	}
	a.later = 2000
	e, _ = a.grant(t, "spiffe://demo/app", 0)
	if err := put(e); err != nil {
		t.Errorf("after the others have expired: %v", err)
	}
}

// What is on its way counts, and not for ever.
func TestAGrantOnItsWayIsCounted(t *testing.T) {
	a := newApproved(t)
	p, err := a.policies.of(a.State())
	if err != nil {
		t.Fatal(err)
	}
	var way putting
	now := time.Unix(100, 0)
	part := partOf(len(p.Approvers()))
	for range part {
		e, _ := a.grant(t, "spiffe://demo/app", 0)
		if name, _ := way.begin(e, map[api.Digest]*authority.Entry{}, p.Approvers(), now); name != "" {
			t.Fatalf("%s has their part", name)
		}
	}
	e, _ := a.grant(t, "spiffe://demo/app", 0)
	if name, most := way.begin(e, map[api.Digest]*authority.Entry{}, p.Approvers(), now); name != "a0" || most != part {
		t.Errorf("one too many: %q, %d", name, most)
	}
	if name, _ := way.begin(e, map[api.Digest]*authority.Entry{}, p.Approvers(), now.Add(onItsWay+1)); name != "" || len(way.put) != 1 {
		t.Errorf("later: %q, %d on their way", name, len(way.put))
	}
}

func TestThePartOfAnApprover(t *testing.T) {
	for approvers, want := range map[int]int{0: 128, 1: 128, 2: 64, 3: 42, 16: 8, 17: 8, 64: 8} {
		if got := partOf(approvers); got != want {
			t.Errorf("of %d: %d", approvers, got)
		}
	}
}

// An application sees its own grants, and no trace of others'.
func TestWhoSeesWhichGrants(t *testing.T) {
	a := newApproved(t)
	var ids []api.Digest
	for _, who := range []string{"spiffe://demo/app", "spiffe://demo/other"} {
		e, _ := a.grant(t, who, 0, 1)
		if err := a.Say("n2", authority.KindGrant, authority.GrantPost{Entry: e.Encode()}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID())
	}
	app := &session{principal: "spiffe://demo/app"}
	for _, tt := range []struct {
		sentence string
		who      class
		id       api.Digest
		want     []api.Digest
	}{
		{"an auditor, all", classAuditor, api.Digest{}, []api.Digest{ids[1], ids[0]}},
		{"a custodian, one", classCustodian, ids[0], ids[:1]},
		{"an application, all", classApplication, api.Digest{}, ids[:1]},
		{"an application, its own", classApplication, ids[0], ids[:1]},
		{"an application, another's", classApplication, ids[1], nil},
		{"one that is not", classAuditor, api.Digest{9}, nil},
	} {
		answer, err := a.grants(app, tt.who, &api.GrantsRequest{ID: tt.id})
		if err != nil {
			t.Fatal(err)
		}
		var got []api.Digest
		for _, g := range answer.Grants {
			got = append(got, g.ID)
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) || answer.More != 0 {
			t.Errorf("%s: %v", tt.sentence, got)
		}
	}
}

// A grant that was put stands in the audit with its signatures, under its id.
func TestAGrantIsJournaled(t *testing.T) {
	a := newApproved(t)
	j, log, stop := newTestJournal(t, filepath.Join(t.TempDir(), "audit"))
	defer stop()
	e, _ := a.grant(t, "spiffe://demo/app", 0, 1)
	put, err := authority.SignStatement(rand.Reader, a.fakeReplica.Node("n2"), a.Genesis.Cluster, "n2", authority.KindGrant, authority.GrantPost{Entry: e.Encode()})
	if err != nil {
		t.Fatal(err)
	}
	index := a.State().Position().Index + 1
	j.take(index, put.Encode(), a.Apply(put.Encode()))
	eventually(t, "it is written", func() bool { return log.Size() == 1 })
	records, err := log.Tail(1)
	if err != nil {
		t.Fatal(err)
	}
	if r := records[0].Record; r.Kind != audit.Grant || r.Grant != e.ID() || string(r.Entry) != string(put.Encode()) || r.LedgerIndex != index {
		t.Fatalf("recorded: %+v", r)
	}
}
