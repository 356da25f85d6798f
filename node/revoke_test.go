package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
)

// R20, R21: a connection that stays open through a revoke is worth nothing after
// it, in whichever of the two states it stands, and is of use again after the lift.
func TestARevokeIsAskedAtEveryRequestOnAnOpenConnection(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		subject  func(s *session) authority.Subject
	}{
		{"the principal", func(*session) authority.Subject {
			return authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/app"}
		}},
		{"the certificate's key", func(s *session) authority.Subject { return ledger.CertificateSubject(s.leaf) }},
		{"the authority", func(*session) authority.Subject {
			return authority.Subject{Kind: authority.SubjectCA, Name: "apps"}
		}},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			n, r := fakeNode(t)
			ca := newPKI(t)
			if res := r.Apply(caChange(r, "apps", ca.cert, api.Digest{})); res.Err != nil {
				t.Fatal(res.Err)
			}
			open := func() *session {
				t.Helper()
				c := calls(ca.leaf(t, "spiffe://demo/app", time.Now().Add(time.Hour)))
				if err := n.admit(c); err != nil {
					t.Fatal(err)
				}
				return c.Identity.(*session)
			}
			s := open()
			stands := func() bool {
				who, err := n.classOf(s)
				admitted := err == nil && who == classApplication
				now := time.Now()
				committed, tail := n.states()
				if both := s.standing(committed, now) == nil && s.standing(tail, now) == nil; both != admitted {
					t.Errorf("the gate would say %v, admission %v: %v", both, admitted, err)
				}
				return admitted
			}
			for range 2 { // the second time the chain is remembered
				if !stands() {
					t.Fatal("refused before")
				}
			}
			without := r.State()
			res := r.Apply(r.Revoke(tt.subject(s)))
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			if stands() {
				t.Error("committed: it is admitted")
			}
			n.consensus = &stuck{fakeReplica: &fakeReplica{Cluster: r.Cluster, tail: r.State(), kept: r.kept}, committed: without}
			if stands() { // R30
				t.Error("stored and not committed: it is admitted")
			}
			n.consensus = r
			if err := n.admit(calls(s.leaf)); tt.sentence == "the authority" && err == nil {
				t.Error("a new connection under a revoked authority is let in")
			}
			if res := r.Apply(r.Lift(res.ID)); res.Err != nil {
				t.Fatal(res.Err)
			}
			if !stands() {
				t.Error("lifted, and refused")
			}
		})
	}
}

// R28: who is revoked hears of everything what others hear of what is not
// permitted, and may ask the gate alone, which records it.
func TestTheRevokedAreToldNothing(t *testing.T) {
	n, r := fakeNode(t)
	ca := newPKI(t)
	r.Apply(caChange(r, "apps", ca.cert, api.Digest{}))
	c := calls(ca.leaf(t, "spiffe://demo/app", time.Now().Add(time.Hour)))
	if err := n.admit(c); err != nil {
		t.Fatal(err)
	}
	r.Apply(r.Revoke(authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/app"}))
	for method := range mayAsk {
		if method == api.MethodUnwrap || method == api.MethodEncrypt || method == api.MethodBranch { // the gate's
			continue
		}
		_, err := clientServer{n}.Serve(t.Context(), c, method, wire.Encode(api.SubmitRequest{}))
		if err == nil || err.Error() != refusal(api.Refuse(api.CodeDenied, "the request is not permitted")).Error() {
			t.Errorf("method %d: %v", method, err)
		}
	}
	if who, err := n.classOf(c.Identity.(*session)); who != classRevoked || err != nil {
		t.Errorf("the class is %s, %v", who, err)
	}
}

// A custodian's key that is revoked as a certificate opens no connection's door;
// what it signed counts as before.
func TestACustodiansCertificateCanBeRevoked(t *testing.T) {
	n, r := fakeNode(t)
	c := calls(selfSigned(t, r.CustodianKeys[0]))
	if err := n.admit(c); err != nil {
		t.Fatal(err)
	}
	s := c.Identity.(*session)
	r.Apply(r.Revoke(ledger.CertificateSubject(s.leaf)))
	if who, err := n.classOf(s); who != classRevoked || err != nil {
		t.Errorf("the class is %s, %v", who, err)
	}
	if res := r.Apply(r.Order("demo")); res.Err != nil {
		t.Error(res.Err)
	}
}

// One who was replaced is refused on the connection that is open, and at the door; the
// new one is let in, and was a stranger before.
func TestAReplacedCustodianIsServedNoMore(t *testing.T) {
	n, r := fakeNode(t)
	dora, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	doraSigns, err := authority.NewSigner(dora)
	if err != nil {
		t.Fatal(err)
	}
	open := calls(selfSigned(t, r.CustodianKeys[2]))
	if err := n.admit(open); err != nil {
		t.Fatal(err)
	}
	if err := n.admit(calls(selfSigned(t, dora))); err == nil {
		t.Error("a stranger is let in")
	}
	by := authority.Custody{Custodians: slices.Clone(r.Genesis.Custodians), Required: r.Genesis.Required}
	by.Custodians[2] = authority.Custodian{Name: "dora", Sign: doraSigns.PublicKey(), Open: "age1test"}
	if res := r.Apply(r.Change(authority.KindCustodians, wire.Encode(by), api.Digest{})); res.Err != nil {
		t.Fatal(res.Err)
	}
	if who, err := n.classOf(open.Identity.(*session)); codeOf(err) != api.CodeUnauthenticated {
		t.Errorf("on the open connection the class is %q, %v", who, err)
	}
	if err := n.admit(calls(selfSigned(t, r.CustodianKeys[2]))); err == nil {
		t.Error("it is let in again")
	}
	for _, key := range []*ecdsa.PrivateKey{dora, r.CustodianKeys[0]} {
		c := calls(selfSigned(t, key))
		if err := n.admit(c); err != nil {
			t.Fatal(err)
		}
		if who, err := n.classOf(c.Identity.(*session)); who != classCustodian || err != nil {
			t.Errorf("the class is %q, %v", who, err)
		}
	}
}

func TestASealedNodeSaysSo(t *testing.T) {
	n, r := fakeNode(t)
	n.secrets.state = "serving"
	for _, sub := range []authority.Subject{{Kind: authority.SubjectNode, Name: "n1"}, {Kind: authority.SubjectCluster}} {
		before := r.State()
		res := r.Apply(r.Seal(sub))
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		if e := n.unsealed(); e == nil || e.Code != api.CodeSealed {
			t.Errorf("%v: %v", sub, e)
		}
		n.consensus = &stuck{fakeReplica: &fakeReplica{Cluster: r.Cluster, tail: r.State(), kept: r.kept}, committed: before}
		if _, is := n.sealedBy(); !is {
			t.Errorf("%v, stored: not sealed", sub)
		}
		n.consensus = r
		r.Apply(r.Lift(res.ID))
		if _, is := n.sealedBy(); is {
			t.Errorf("%v: lifted, and sealed", sub)
		}
	}
	r.Apply(r.Seal(authority.Subject{Kind: authority.SubjectNode, Name: "n2"}))
	if _, is := n.sealedBy(); is {
		t.Error("another node's seal")
	}
}

// An emergency seal takes everything that is open out of the process's memory, and
// a lift lets the token open it again.
func TestASealWipesWhatIsOpen(t *testing.T) {
	n, r := fakeNode(t)
	withAudit(t, n)
	n.device = openSoft(t, t.TempDir())
	n.secrets.cfg = keyring.Config{Dir: t.TempDir(), Cluster: r.Genesis.Cluster, Node: "n1", Device: n.device, Rand: rand.Reader}
	confirm := func(b *trial.Born) {
		t.Helper()
		ses := r.State().Session(b.Key.Session)
		if err := n.secrets.confirm(t.Context(), r.State(), ses, 1, b.Shares[:1]); err != nil {
			t.Fatal(err)
		}
		n.secrets.look(r.State(), "n1")
	}
	confirm(r.BearRoot())
	named := r.BearKey("demo")
	confirm(named)
	if n.lookSeal(t.Context(), false) || n.servingState() != serving {
		t.Fatalf("before: %s", n.servingState())
	}
	_, ring := n.secrets.current()
	root := ring.Root().Share
	share, back, ok := n.share(named.Key.ID, 1, 1)
	if !ok {
		t.Fatal("no share")
	}
	back()

	res := r.Apply(r.Seal(authority.Subject{Kind: authority.SubjectCluster}))
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	for range 2 { // the second look changes nothing
		if !n.lookSeal(t.Context(), true) {
			t.Fatal("it is not shut")
		}
		n.secrets.look(r.State(), "n1")
	}
	if !root.IsZero() || !share.Scalar.IsZero() || share.Endorsement.Len() != keyring.SaltSize || !share.Endorsement.Equal(secret.New(make([]byte, keyring.SaltSize))) {
		t.Error("the root share, the share, or its endorsement key is in memory")
	}
	if state, ring := n.secrets.current(); state != seal.Sealed || ring != nil || n.servingState() != sealedByCustodians {
		t.Errorf("%s, open: %v, %s", state, ring != nil, n.servingState())
	}
	if s := n.status(); len(s.Warnings) < 1 || !strings.Contains(s.Warnings[0], res.ID.String()) {
		t.Errorf("status names no seal: %v", s.Warnings)
	}
	if records, err := n.audit.Tail(9); err != nil || len(records) != 1 || records[0].Kind != audit.Sealed || records[0].EntryID != res.ID {
		t.Errorf("recorded: %+v, %v", records, err)
	}

	if res := r.Apply(r.Lift(res.ID)); res.Err != nil {
		t.Fatal(res.Err)
	}
	if n.lookSeal(t.Context(), true) {
		t.Error("lifted, and shut")
	}
	if state, moved := n.secrets.look(r.State(), "n1"); state != seal.Unsealed || !moved || n.servingState() != serving {
		t.Fatalf("lifted: %s, %s", state, n.servingState())
	}
	again, back, ok := n.share(named.Key.ID, 1, 1)
	if !ok || !again.Scalar.Equal(named.Shares[0]) {
		t.Fatal("the share is not there again")
	}
	back()
}

// withAudit gives a node an audit log.
func withAudit(t *testing.T, n *Node) *Node {
	t.Helper()
	log, err := audit.Open(audit.Config{Dir: t.TempDir(), Origin: "warifu/test/n1", Public: &journalKey().PublicKey, Signer: signMessage(journalKey()), ReserveBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	n.audit = log
	return n
}

// A revoke that is handed to one node acts there, before anything is ordered, and
// the node signs for it; nothing else is taken that way.
func TestARevokeHandedOverDirectlyActsAtOnce(t *testing.T) {
	n, r := fakeNode(t)
	withAudit(t, n)
	ca := newPKI(t)
	r.Apply(caChange(r, "apps", ca.cert, api.Digest{}))
	c := calls(ca.leaf(t, "spiffe://demo/app", time.Now().Add(time.Hour)))
	if err := n.admit(c); err != nil {
		t.Fatal(err)
	}
	s := c.Identity.(*session)
	if who, err := n.classOf(s); who != classApplication || err != nil {
		t.Fatal(who, err)
	}
	sub := authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/app"}
	entry := r.Revoke(sub)
	n.fresh = freshness{} // a node that nobody talks to takes it as well
	a, err := n.denyDirectly(t.Context(), &api.SubmitRequest{Entry: entry})
	if err != nil || a.State != denyInForce {
		t.Fatal(a, err)
	}
	id, _, err := r.State().Denies(entry)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := authority.ParseSignedReceipt(a.Receipt)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Verify(authority.Begin(r.Genesis), id); err != nil || receipt.Receipt.Index != 0 || receipt.Receipt.Subject != sub || receipt.Receipt.Node != "n1" {
		t.Errorf("%+v, %v", receipt.Receipt, err)
	}
	if who, err := n.classOf(s); who != classRevoked || err != nil {
		t.Errorf("admitted: %s, %v", who, err)
	}
	committed, tail := n.states()
	if _, is := committed.Revoked(sub); is {
		t.Error("it is in the ledger")
	}
	if s.standing(tail, time.Now()) == nil {
		t.Error("the gate lets it pass")
	}
	if _, again := n.states(); again != tail {
		t.Error("a state that has not moved is another pointer: the gate would ask everything again")
	}
	if records, err := n.audit.Tail(9); err != nil || len(records) != 1 || records[0].Kind != audit.Revocation || records[0].EntryID != id {
		t.Errorf("recorded: %+v, %v", records, err)
	}
	// R35: a lift that is stored ends nothing before it is committed.
	next, res := r.State().Apply(r.State().Position().Index+1, r.Lift(id))
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	n.consensus = &stuck{fakeReplica: &fakeReplica{Cluster: r.Cluster, tail: next, kept: r.kept}, committed: r.State()}
	if who, err := n.classOf(s); who != classRevoked || err != nil {
		t.Errorf("by a lift that is not committed: %s, %v", who, err)
	}
	n.consensus = r
	// Ordered later: the receipt then says where.
	if res := r.Apply(entry); res.Err != nil {
		t.Fatal(res.Err)
	}
	if a, err := n.receipt(id); err != nil || a.State != denyInForce {
		t.Error(a, err)
	} else if receipt, err := authority.ParseSignedReceipt(a.Receipt); err != nil || receipt.Receipt.Index != r.State().DenialBy(id).Index {
		t.Error(receipt, err)
	}
	r.Apply(r.Lift(id))
	r.kept = &consensus.Kept{}
	if a, err := n.receipt(id); err != nil || a.State != denyLifted || a.Receipt != nil {
		t.Error(a, err)
	}
	if _, err := n.denyDirectly(t.Context(), &api.SubmitRequest{Entry: entry}); codeOf(err) != api.CodeRefusedEntry {
		t.Errorf("a lifted one: %v", err)
	}
	if who, err := n.classOf(s); who == classRevoked {
		t.Errorf("lifted, and %s, %v", who, err)
	}
}

func TestOnlyWhatDeniesIsTakenOutsideTheLog(t *testing.T) {
	n, r := fakeNode(t)
	for sentence, entry := range map[string][]byte{
		"a policy": r.Change(authority.KindPolicy, []byte("p"), api.Digest{}),
		"a lift":   r.Lift(api.Digest{1}),
		"an order": r.Order("demo"),
		"junk":     []byte("junk"),
		"a revoke that one custodian signed": func() []byte {
			e, err := authority.ParseEntry(r.Revoke(authority.Subject{Kind: authority.SubjectCA, Name: "apps"}))
			if err != nil {
				t.Fatal(err)
			}
			e.Signatures = e.Signatures[:1]
			return e.Encode()
		}(),
	} {
		if _, err := n.denyDirectly(t.Context(), &api.SubmitRequest{Entry: entry}); codeOf(err) != api.CodeRefusedEntry {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if len(r.kept.Entries) != 0 {
		t.Error("something is kept")
	}
}

// full is a log that keeps no more denies of one subject.
type full struct{ *fakeReplica }

func (full) Deny([]byte) (api.Digest, error) { return api.Digest{}, consensus.ErrDenyEnough }

func TestOneDenyTooManyIsRefusedByName(t *testing.T) {
	n, r := fakeNode(t)
	n.consensus = full{r}
	_, err := n.denyDirectly(t.Context(), &api.SubmitRequest{Entry: r.Revoke(authority.Subject{Kind: authority.SubjectCA, Name: "apps"})})
	if codeOf(err) != api.CodeRefusedEntry || !strings.Contains(err.Error(), ledger.ErrTooMany.Error()) {
		t.Error(err)
	}
}

// A node signs for nothing that it does not hold, or that it would not enforce.
func TestAReceiptIsGivenForWhatIsInForceOnly(t *testing.T) {
	n, r := fakeNode(t)
	entry := r.Revoke(authority.Subject{Kind: authority.SubjectCA, Name: "apps"})
	id, _, err := r.State().Denies(entry)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := n.receipt(id); err != nil || a.State != denyUnknown || a.Receipt != nil {
		t.Error(a, err)
	}
	r.Apply(entry)
	r.stopped = consensus.ErrDenies
	if a, err := n.receipt(id); err != nil || a.State != denyNotDurable || a.Receipt != nil {
		t.Error(a, err)
	}
	r.stopped = nil
	if a, err := n.receipt(id); err != nil || a.State != denyInForce {
		t.Error(a, err)
	}
}
