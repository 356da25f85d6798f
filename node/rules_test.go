package node

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus"
	"warifu.dev/consensus/ledger"
	"warifu.dev/hsm/soft"
	"warifu.dev/internal/wire"
	"warifu.dev/node/gate"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/node/seal"
	"warifu.dev/policy"
	"warifu.dev/sharing/group"
	"warifu.dev/transport"
)

func TestMain(m *testing.M) {
	syscall.Umask(0o077) // as warifud does
	code := m.Run()
	removeEstates()
	os.Exit(code)
}

var quiet = slog.New(slog.DiscardHandler)

// fakeReplica is a log that commits at once, on a cluster of [trial].
type fakeReplica struct {
	*trial.Cluster
	leader    string
	tail      *ledger.State // when it is ahead
	applied   uint64
	submitted int
	stopped   error
	links     map[uint64]consensus.Position
	kept      *consensus.Kept
}

func (f *fakeReplica) Kept() *consensus.Kept { return f.kept }
func (f *fakeReplica) HoldsDeny(id api.Digest) bool {
	return f.stopped == nil && (f.kept.Entries[id] != nil || standingOf(f.State(), id) == consensus.Taken)
}

func (f *fakeReplica) Deny(entry []byte) (api.Digest, error) {
	id, _, err := f.State().Denies(entry)
	switch {
	case err != nil:
		return api.Digest{}, consensus.ErrNoDeny
	case standingOf(f.State(), id) == consensus.Lifted:
		return api.Digest{}, consensus.ErrDenyLifted
	}
	f.kept = &consensus.Kept{Entries: map[api.Digest][]byte{id: entry}}
	return id, nil
}

func (f *fakeReplica) Members() []consensus.Member { return nil }
func (f *fakeReplica) Move(context.Context, []consensus.Member) (bool, error) {
	return false, nil
}
func (f *fakeReplica) Committed() *ledger.State { return f.State() }
func (f *fakeReplica) AppliedIndex() uint64     { return f.applied }
func (f *fakeReplica) Changed() <-chan struct{} { return nil }
func (f *fakeReplica) Leader() string           { return f.leader }
func (f *fakeReplica) Stopped() error           { return f.stopped }
func (f *fakeReplica) Halt(why error)           { f.stopped = cmp.Or(f.stopped, why) }
func (f *fakeReplica) Log() (oldest uint64, size int64, err error) {
	return 1, 0, nil
}
func (f *fakeReplica) Compact(context.Context, []byte) error { return nil }
func (f *fakeReplica) At(index uint64) (consensus.Position, bool) {
	p, ok := f.links[index]
	return p, ok
}

func (f *fakeReplica) Tail() consensus.Tail[*ledger.State] {
	s := f.tail
	if s == nil {
		s = f.State()
	}
	return consensus.Tail[*ledger.State]{State: s, End: s.Position().Index}
}

func (f *fakeReplica) Submit(_ context.Context, entry []byte) (ledger.Result, error) {
	f.submitted++
	return f.Apply(entry), nil
}

// fakeNode is n1 of a cluster of three, with nothing running.
func fakeNode(t *testing.T) (*Node, *fakeReplica) {
	t.Helper()
	return nodeOf(trial.New(t, 2, 3))
}

// nodeOf is n1 of c.
func nodeOf(c *trial.Cluster) (*Node, *fakeReplica) {
	r := &fakeReplica{Cluster: c, leader: "n1", kept: &consensus.Kept{}}
	n := &Node{
		cfg: Config{Node: "n1", Region: "jp-east"}, log: quiet, genesis: c.Genesis, signer: c.Node("n1"),
		consensus: r, cap: gate.NewRefusalCap(), secrets: newSecrets(keyring.Config{}), now: time.Now, boot: BootTime,
	}
	n.fresh.round(BootTime(), []uint64{0, 0}, 3)
	return n, r
}

// R41: what counts is what was asked for and applied, and when it was asked.
func TestFreshness(t *testing.T) {
	const s = time.Second
	type round struct {
		sent time.Duration
		ends []uint64
	}
	for _, tt := range []struct {
		sentence string
		rounds   []round
		now      time.Duration
		applied  uint64
		left     time.Duration
	}{
		{"a node that never asked is stale", nil, 5 * s, 9, 0},
		{"a round without a majority does not count", []round{{100 * s, []uint64{9, 9}}}, 101 * s, 9, 0},
		{"a round that a majority answered counts from its sending", []round{{100 * s, []uint64{9, 9, 9}}}, 103 * s, 9, 7 * s},
		{"it ends after max_staleness", []round{{100 * s, []uint64{9, 9, 9}}}, 110 * s, 9, 0},
		{"and is past after that", []round{{100 * s, []uint64{9, 9, 9}}}, 111 * s, 9, -1 * s},
		{"what is not applied yet does not count (R41)", []round{{100 * s, []uint64{7, 9, 9}}}, 101 * s, 8, 0},
		{"one that lies ahead does not make the others stale", []round{{100 * s, []uint64{9, 9, 1 << 60}}}, 101 * s, 9, 9 * s},
		{"one that lags does not make a stale node fresh", []round{{100 * s, []uint64{0, 9, 9}}}, 101 * s, 5, 0},
		{"two of five that lie ahead do not matter", []round{{100 * s, []uint64{9, 9, 9, 1 << 60, 1 << 60}}}, 101 * s, 9, 9 * s},
		{"the latest round that is applied counts", []round{{100 * s, []uint64{9, 9, 9}}, {102 * s, []uint64{9, 9, 9}}, {104 * s, []uint64{20, 20, 20}}}, 105 * s, 9, 7 * s},
		{"a later round without a majority takes nothing away", []round{{100 * s, []uint64{9, 9, 9}}, {102 * s, []uint64{9}}}, 105 * s, 9, 5 * s},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			f := &freshness{liars: 2}
			for _, r := range tt.rounds {
				f.round(r.sent, r.ends, 5)
			}
			if got := f.left(tt.now, tt.applied); got != tt.left {
				t.Fatalf("%v left, not %v", got, tt.left)
			}
		})
	}
	t.Run("what f+1 members have is called for, though a bare majority lacks it", func(t *testing.T) {
		f := &freshness{liars: 1}
		f.round(100*s, []uint64{5, 5, 5, 9, 9}, 5) // one of the fives is a liar's, who leads and withholds
		if f.left(101*s, 5) > 0 || f.left(101*s, 9) != 9*s {
			t.Fatal("the withheld node is fresh")
		}
	})
	t.Run("f members who lie ahead make nobody stale", func(t *testing.T) {
		f := &freshness{liars: 1}
		f.round(100*s, []uint64{9, 9, 9, 9, 1 << 60}, 5)
		if f.left(101*s, 9) != 9*s {
			t.Fatal("one liar made the node stale")
		}
		f = &freshness{liars: 2}
		f.round(100*s, []uint64{9, 9, 9, 1 << 60, 1 << 60}, 5)
		if f.left(101*s, 9) != 9*s {
			t.Fatal("two liars made the node stale")
		}
	})
	t.Run("more liars than members is no index out of range", func(t *testing.T) {
		f := &freshness{liars: 3}
		f.round(100*s, []uint64{9}, 1)
		if f.left(101*s, 9) != 9*s {
			t.Fatal("stale")
		}
	})
	t.Run("a round counts once its median is applied later", func(t *testing.T) {
		f := &freshness{liars: 2}
		f.round(100*s, []uint64{20, 20, 20}, 5)
		if f.left(101*s, 19) > 0 || f.left(102*s, 20) != 8*s || f.left(103*s, 20) != 7*s {
			t.Fatal("it did not")
		}
	})
	t.Run("the rounds that wait are bounded", func(t *testing.T) {
		f := &freshness{liars: 2}
		for i := range 1000 {
			f.round(time.Duration(i)*s, []uint64{20, 20, 20}, 5)
		}
		if len(f.pending) > maxPendingRounds {
			t.Fatal(len(f.pending))
		}
	})
	if a, b := BootTime(), BootTime(); a <= 0 || b < a {
		t.Fatalf("boot time: %v, %v", a, b)
	}
}

func TestAnAnswerAboutFreshnessIsSignedForThisNonceByThisNode(t *testing.T) {
	n, r := fakeNode(t)
	nonce := [16]byte{1}
	answer, err := n.answerFresh(wire.Encode(api.FreshRequest{Nonce: nonce}))
	if err != nil {
		t.Fatal(err)
	}
	peer := func(id string) *authority.Node { return r.Genesis.NodeByID(id) }
	if a, err := verifyFresh(r.Genesis.Cluster, peer("n1"), nonce, answer); err != nil || a.Index != 0 || a.CommittedLink != r.State().Position().Link {
		t.Fatal(a, err)
	}
	var a api.FreshAnswer
	if err := wire.Decode(answer, &a); err != nil {
		t.Fatal(err)
	}
	ahead, forked, committed, claimed := a, a, a, a
	ahead.Index++
	forked.Link[0] ^= 1
	committed.Committed++
	claimed.CommittedLink[0] ^= 1
	for sentence, try := range map[string]func() error{
		"another node's": func() error { _, err := verifyFresh(r.Genesis.Cluster, peer("n2"), nonce, answer); return err },
		"of another nonce": func() error {
			_, err := verifyFresh(r.Genesis.Cluster, peer("n1"), [16]byte{2}, answer)
			return err
		},
		"of another cluster": func() error { _, err := verifyFresh(api.ClusterID{1}, peer("n1"), nonce, answer); return err },
		"of another index": func() error {
			_, err := verifyFresh(r.Genesis.Cluster, peer("n1"), nonce, wire.Encode(ahead))
			return err
		},
		"of another link": func() error {
			_, err := verifyFresh(r.Genesis.Cluster, peer("n1"), nonce, wire.Encode(forked))
			return err
		},
		"of another committed index": func() error {
			_, err := verifyFresh(r.Genesis.Cluster, peer("n1"), nonce, wire.Encode(committed))
			return err
		},
		"of another committed link": func() error {
			_, err := verifyFresh(r.Genesis.Cluster, peer("n1"), nonce, wire.Encode(claimed))
			return err
		},
	} {
		if err := try(); !errors.Is(err, authority.ErrSignature) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if _, err := verifyFresh(r.Genesis.Cluster, peer("n1"), nonce, []byte("junk")); err == nil {
		t.Error("junk was taken")
	}
	if _, err := n.answerFresh([]byte("junk")); err == nil {
		t.Error("junk was answered")
	}
}

// pki is a client CA.
type pki struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t *testing.T, template *x509.Certificate, parent *x509.Certificate, pub *ecdsa.PublicKey, signer *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newPKI(t *testing.T) *pki {
	key := newKey(t)
	return &pki{key: key, cert: issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "a CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, &key.PublicKey, key)}
}

func (p *pki) leaf(t *testing.T, uri string, notAfter time.Time) *x509.Certificate {
	return p.leafFor(t, uri, notAfter, &newKey(t).PublicKey)
}

func (p *pki) leafFor(t *testing.T, uri string, notAfter time.Time, pub *ecdsa.PublicKey) *x509.Certificate {
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	return issue(t, &x509.Certificate{
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter, URIs: []*url.URL{u},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, p.cert, pub, p.key)
}

func caChange(r *fakeReplica, name string, cert *x509.Certificate, base api.Digest) []byte {
	return r.Change(authority.KindCA, wire.Encode(authority.CA{Name: name, Certificate: cert.Raw}), base)
}

func calls(chain ...*x509.Certificate) *transport.Caller {
	return &transport.Caller{Chain: chain, Remote: &net.UDPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 9}}
}

func selfSigned(t *testing.T, key *ecdsa.PrivateKey) *x509.Certificate {
	return issue(t, &x509.Certificate{}, nil, &key.PublicKey, key)
}

// R21
func TestAdmission(t *testing.T) {
	n, r := fakeNode(t)
	ca, other := newPKI(t), newPKI(t)
	hour := time.Now().Add(time.Hour)
	leaf := ca.leaf(t, "spiffe://demo/app", hour)
	if err := n.admit(calls(leaf)); err == nil {
		t.Fatal("admitted before any CA is in force")
	}
	if res := r.Apply(caChange(r, "apps", ca.cert, api.Digest{})); res.Err != nil {
		t.Fatal(res.Err)
	}
	custodian := newKey(t)
	for _, tt := range []struct {
		sentence string
		chain    []*x509.Certificate
		err      error
	}{
		{"an application under the CA", []*x509.Certificate{leaf}, nil},
		{"an application of another CA", []*x509.Certificate{other.leaf(t, "spiffe://demo/app", hour)}, transport.ErrUnknownCA},
		{"an expired certificate", []*x509.Certificate{ca.leaf(t, "spiffe://demo/app", time.Now().Add(-time.Minute))}, transport.ErrExpired},
		{"a name that is no SPIFFE ID", []*x509.Certificate{ca.leaf(t, "https://demo/app", hour)}, transport.ErrNoURI},
		{"a self-signed stranger", []*x509.Certificate{selfSigned(t, custodian)}, transport.ErrUnknownCA},
	} {
		before := n.strangers.Load()
		c := calls(tt.chain...)
		err := n.admit(c)
		if !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: %v", tt.sentence, err)
		}
		if counted := n.strangers.Load() - before; counted != map[bool]uint64{true: 0, false: 1}[tt.err == nil] {
			t.Errorf("%s: %d strangers counted", tt.sentence, counted)
		}
		if tt.err == nil && c.Identity.(*session).principal != "spiffe://demo/app" {
			t.Errorf("%s: %+v", tt.sentence, c.Identity)
		}
	}
	// A custodian is known by its key, whatever its certificate says.
	key := r.CustodianKeys[0]
	c := calls(selfSigned(t, key))
	if err := n.admit(c); err != nil || c.Identity.(*session).custodian != "custodian1" {
		t.Errorf("a custodian: %v, %+v", err, c.Identity)
	}
	if who, err := n.classOf(c.Identity.(*session)); who != classCustodian || err != nil {
		t.Errorf("a custodian is of the class %s, %v", who, err)
	}
}

func TestStandingIsAskedOnAnOpenConnection(t *testing.T) {
	n, r := fakeNode(t)
	ca, other := newPKI(t), newPKI(t)
	first := caChange(r, "apps", ca.cert, api.Digest{})
	taken := r.Apply(first)
	soon := time.Now().Add(10 * time.Minute)
	c := calls(ca.leaf(t, "spiffe://demo/app", soon))
	if err := n.admit(c); err != nil {
		t.Fatal(err)
	}
	s := c.Identity.(*session)
	now := time.Now()
	for range 3 { // the first verifies, the others remember
		if err := s.standing(r.State(), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.standing(r.State(), soon.Add(time.Second)); !errors.Is(err, transport.ErrExpired) {
		t.Errorf("an expired certificate: %v", err)
	}
	with := r.State()
	// The CA is replaced by another: stored first, then committed.
	if res := r.Apply(caChange(r, "apps", other.cert, taken.ID)); res.Err != nil {
		t.Fatal(res.Err)
	}
	if err := s.standing(r.State(), now); !errors.Is(err, transport.ErrUnknownCA) {
		t.Errorf("a CA that was replaced: %v", err)
	}
	if err := s.standing(with, now); err != nil {
		t.Errorf("the state before: %v", err)
	}
	if _, err := n.classOf(s); codeOf(err) != api.CodeUnauthenticated {
		t.Errorf("committed has lost the CA: %v", err)
	}
	lost := r.State()
	behind := &fakeReplica{Cluster: r.Cluster, tail: lost, kept: r.kept}
	n.consensus = &stuck{fakeReplica: behind, committed: with}
	if _, err := n.classOf(s); codeOf(err) != api.CodeUnauthenticated { // R20, R30
		t.Errorf("the tail has lost the CA: %v", err)
	}
	n.fresh = freshness{}
	if _, err := n.classOf(s); codeOf(err) != api.CodeStale {
		t.Errorf("a stale node: %v", err)
	}
}

// A node that is stale lets in whoever shows a certificate of a CA that it has not read
// of. What such a certificate says is not proven: neither is it told whether what it
// names is revoked, nor written down as having asked (R28).
func TestWhatAStaleNodeLetInIsNotBelieved(t *testing.T) {
	n, r := fakeNode(t)
	ca, stranger := newPKI(t), newPKI(t)
	r.Apply(caChange(r, "apps", ca.cert, api.Digest{}))
	r.Apply(r.Revoke(authority.Subject{Kind: authority.SubjectPrincipal, Name: "spiffe://demo/app"}))
	hour := time.Now().Add(time.Hour)
	n.fresh = freshness{}
	c := calls(stranger.leaf(t, "spiffe://demo/app", hour))
	if err := n.admit(c); err != nil {
		t.Fatal(err)
	}
	if who, err := n.classOf(c.Identity.(*session)); codeOf(err) != api.CodeStale {
		t.Errorf("a stranger in the name of one who is revoked, stale: %q, %v", who, err)
	}
	own := calls(ca.leaf(t, "spiffe://demo/app", hour))
	if err := n.admit(own); err != nil {
		t.Fatal(err)
	}
	n.fresh.round(BootTime(), []uint64{0, 0}, 3)
	if who, err := n.classOf(c.Identity.(*session)); codeOf(err) != api.CodeUnauthenticated {
		t.Errorf("a stranger in the name of one who is revoked, fresh: %q, %v", who, err)
	}
	if who, err := n.classOf(own.Identity.(*session)); who != classRevoked || err != nil {
		t.Errorf("the one who is revoked: %q, %v", who, err)
	}
	// One whose CA the node reads of later is what its certificate says.
	r.Apply(caChange(r, "others", stranger.cert, api.Digest{}))
	if who, err := n.classOf(c.Identity.(*session)); who != classRevoked || err != nil {
		t.Errorf("once its CA is in force: %q, %v", who, err)
	}
}

// stuck has a committed state of its own.
type stuck struct {
	*fakeReplica
	committed *ledger.State
}

func (s *stuck) Committed() *ledger.State { return s.committed }

func codeOf(err error) api.Code {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestWhoMayAskForWhat(t *testing.T) {
	yes := map[uint16]string{
		api.MethodCluster: "custodian application operator auditor", api.MethodKeyRecord: "custodian application operator auditor",
		api.MethodKeyList: "custodian application operator auditor", api.MethodSubmit: "custodian application operator auditor",
		api.MethodAnchors: "custodian operator auditor", api.MethodProposals: "custodian operator auditor", api.MethodDeny: "custodian application operator auditor", api.MethodReceipt: "custodian application operator auditor",
		api.MethodUnwrap: "application", api.MethodEncrypt: "application", api.MethodBranch: "application", api.MethodStatus: "custodian operator auditor", api.MethodHealth: "custodian operator auditor",
		api.MethodPolicy: "custodian operator auditor", api.MethodAuditTail: "operator auditor",
		api.MethodUnsealOffer: "custodian", api.MethodUnsealPiece: "custodian",
		api.MethodDrill: "custodian", api.MethodDrillAnswer: "custodian", api.MethodDrills: "custodian operator auditor",
		api.MethodKeyAt:     "custodian operator auditor",
		api.MethodErasure:   "custodian operator auditor",
		api.MethodLink:      "custodian operator auditor",
		api.MethodDatasets:  "custodian application operator auditor",
		api.MethodEscrows:   "custodian operator auditor",
		api.MethodEscrow:    "custodian operator auditor",
		api.MethodRenewals:  "custodian application operator auditor",
		api.MethodHere:      "custodian application operator auditor",
		api.MethodImport:    "custodian application operator auditor",
		api.MethodGrants:    "custodian application operator auditor",
		api.MethodAuditHead: "auditor", api.MethodAuditPage: "auditor", api.MethodAuditHashes: "auditor",
	}
	for method := range uint16(200) {
		// One who was replaced hands over pieces where they are needed, and learns who the
		// custodians are now.
		mayFormer := slices.Contains([]uint16{api.MethodCluster, api.MethodUnsealOffer, api.MethodUnsealPiece}, method)
		if got := permitted(method, classFormer) == nil; got != mayFormer {
			t.Errorf("method %d for the class %q: %v", method, classFormer, got)
		}
		for _, who := range []class{classCustodian, classApplication, classOperator, classAuditor, ""} {
			want := api.CodeMalformed
			if list, known := yes[method]; known {
				want = api.CodeDenied
				if who != "" && slices.Contains(strings.Fields(list), string(who)) {
					want = ""
				}
			}
			if got := codeOf(permitted(method, who)); got != want {
				t.Errorf("method %d for the class %q: %q, not %q", method, who, got, want)
			}
		}
	}
}

// An unwrap that a class may not ask for leaves a record, as any principal's refusal does.
func TestAnUnwrapByAClassThatMayNotIsRecorded(t *testing.T) {
	n, _ := fakeNode(t)
	_, log, stop := newTestJournal(t, filepath.Join(t.TempDir(), "audit"))
	defer stop()
	n.gate = gate.New(gate.Config{Node: "n1", States: n.states, Audit: log, Now: n.now, Cap: gate.NewRefusalCap()})
	unwrap := wire.Encode(api.UnwrapRequest{RequestID: api.RequestID{7}, Reason: "a look", Region: "sg", Items: make([]api.UnwrapItem, 1)})
	encrypt := wire.Encode(api.EncryptRequest{RequestID: api.RequestID{7}, Reason: "a look", Region: "sg", Items: make([]api.EncryptItem, 1)})
	branch := wire.Encode(api.BranchRequest{RequestID: api.RequestID{7}, Reason: "a look", Region: "sg", Items: make([]api.BranchItem, 1)})
	for _, row := range []struct {
		who  class
		s    *session
		name string
	}{
		{classOperator, &session{principal: "spiffe://demo/op"}, "spiffe://demo/op"},
		{classAuditor, &session{principal: "spiffe://demo/audrey"}, "spiffe://demo/audrey"},
		{classCustodian, &session{custodian: "alice"}, "alice"},
	} {
		for method, q := range map[uint16][]byte{api.MethodUnwrap: unwrap, api.MethodEncrypt: encrypt, api.MethodBranch: branch} {
			action := map[uint16]string{api.MethodUnwrap: policy.Unwrap, api.MethodEncrypt: policy.Encrypt, api.MethodBranch: policy.UnwrapBranch}[method]
			_, err := clientServer{n}.answer(t.Context(), row.s, row.who, method, q)
			if codeOf(err) != api.CodeDenied || !strings.Contains(err.Error(), "the class "+string(row.who)) {
				t.Errorf("%s: %v", row.who, err)
			}
			records, err := log.Tail(1)
			if err != nil || len(records) != 1 {
				t.Fatal(records, err)
			}
			if r := records[0]; r.Kind != audit.Refusal || r.Principal != row.name || r.RequestID != [16]byte{7} || r.Region != "sg" ||
				r.Action != action || r.Reason != "a look" || r.Code != string(api.CodeDenied) || r.Why != "the class "+string(row.who) {
				t.Errorf("%s: recorded %+v, not for %s", row.who, records, action)
			}
			if _, err := (clientServer{n}).answer(t.Context(), row.s, row.who, method, []byte("noise")); codeOf(err) != api.CodeMalformed {
				t.Errorf("%s, noise: %v", row.who, err)
			}
		}
	}
}

func TestClassesComeFromTheSignedPolicy(t *testing.T) {
	n, r := fakeNode(t)
	ca := newPKI(t)
	r.Apply(caChange(r, "apps", ca.cert, api.Digest{}))
	entities := `[
		{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/op"},"parents":[{"type":"Warifu::Group","id":"operators"}],"attrs":{}},
		{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/audrey"},"parents":[{"type":"Warifu::Group","id":"auditors"}],"attrs":{}}]`
	classFor := func(uri string) class {
		c := calls(ca.leaf(t, uri, time.Now().Add(time.Hour)))
		if err := n.admit(c); err != nil {
			t.Fatal(err)
		}
		who, err := n.classOf(c.Identity.(*session))
		if err != nil {
			t.Fatal(err)
		}
		return who
	}
	if got := classFor("spiffe://demo/op"); got != classApplication {
		t.Errorf("without a policy: %s", got)
	}
	if res := r.Apply(r.Change(authority.KindPolicy, policy.Document{Entities: entities}.Encode(), api.Digest{})); res.Err != nil {
		t.Fatal(res.Err)
	}
	for uri, want := range map[string]class{"spiffe://demo/op": classOperator, "spiffe://demo/audrey": classAuditor, "spiffe://demo/app": classApplication} {
		if got := classFor(uri); got != want {
			t.Errorf("%s is of the class %s", uri, got)
		}
	}
}

func TestSubmissionsAreLimitedPerConnection(t *testing.T) {
	var r rate
	now := time.Unix(5, 0)
	for i := range submissionsPerSecond + 3 {
		if r.allow(now, 1, submissionsPerSecond) != (i < submissionsPerSecond) {
			t.Fatalf("submission %d", i+1)
		}
	}
	if !r.allow(now.Add(time.Second), 1, submissionsPerSecond) {
		t.Fatal("the next second")
	}
}

func TestWhatAMemberSubmitsIsLimited(t *testing.T) {
	r := &peerRates{}
	now := time.Unix(5, 0)
	const units = 1 + authority.MaxEntrySize/peerUnit
	for i := range 2 * peerUnitsPerSecond / units {
		if got := r.allow("n1", authority.MaxEntrySize, now); got != ((i+1)*units <= peerUnitsPerSecond) {
			t.Fatalf("entry %d of the largest size: %v", i+1, got)
		}
	}
	if r.allow("n1", 0, now) || !r.allow("n2", 0, now) || !r.allow("n1", 0, now.Add(time.Second)) {
		t.Error("one member's rate is another's, or lasts")
	}
}

// R23: however many clients hand in changes, custodians are taken, and what is left of
// what the leader takes from a node is the node's own.
func TestClientsLeaveRoomForTheNodesOwnPosts(t *testing.T) {
	n, r := fakeNode(t)
	now := time.Now()
	n.now = func() time.Time { return now }
	hand := func(s *session, i int) api.Code {
		_, err := n.submitChange(t.Context(), s, &api.SubmitRequest{Entry: r.Revoke(authority.Subject{Kind: authority.SubjectCA, Name: fmt.Sprintf("ca-%d", i)})})
		return codeOf(err)
	}
	for i := range clientUnitsPerSecond + 5 { // each on a connection of its own
		want := api.Code("")
		if i >= clientUnitsPerSecond {
			want = api.CodeOverloaded
		}
		if got := hand(&session{principal: "spiffe://demo/app"}, i); got != want {
			t.Fatalf("change %d: %q, want %q", i+1, got, want)
		}
	}
	for who, c := range map[bool]*transport.Caller{true: calls(selfSigned(t, r.CustodianKeys[0])), false: calls(selfSigned(t, newKey(t)))} {
		if _ = n.admit(c); c.Few != who {
			t.Errorf("a custodian (%v) is one of the few: %v", who, c.Few)
		}
	}
	if got := hand(&session{custodian: "c1"}, 1000); got != "" {
		t.Errorf("a custodian's change waits behind applications': %s", got)
	}
	if err := n.say(t.Context(), authority.KindAnchor, authority.Anchor{Counter: 1}); err != nil {
		t.Errorf("the node's own post waits behind clients': %v", err)
	}
	if 2*clientUnitsPerSecond >= peerUnitsPerSecond || clientUnitsPerSecond < unitsOf(authority.MaxEntrySize) {
		t.Errorf("%d units of each class leave nothing of %d for the node, or hold no entry of the largest size", clientUnitsPerSecond, peerUnitsPerSecond)
	}
	now = now.Add(time.Second)
	if got := hand(&session{principal: "spiffe://demo/app"}, 1001); got != "" {
		t.Errorf("the next second: %s", got)
	}
}

// A share proof costs a node more than a partial: one connection gets so many.
func TestShareProofsAreLimitedPerConnection(t *testing.T) {
	s := &session{principal: "spiffe://example.org/app"}
	q := api.UnwrapRequest{Items: make([]api.UnwrapItem, proofsPerSecond+1)}
	for i := range q.Items {
		q.Items[i].Prove = true
	}
	_, err := clientServer{&Node{now: time.Now}}.answer(t.Context(), s, classApplication, api.MethodUnwrap, wire.Encode(q))
	if codeOf(err) != api.CodeOverloaded {
		t.Errorf("%d proofs at once: %v", len(q.Items), err)
	}
}

func TestJunkIsNotAppended(t *testing.T) {
	n, r := fakeNode(t)
	ctx := context.Background()
	good := r.Order("demo")
	e, err := authority.ParseEntry(good)
	if err != nil {
		t.Fatal(err)
	}
	e.Signatures = e.Signatures[:1]
	foreign := trial.New(t, 2, 3)
	statement, err := authority.SignStatement(rand.Reader, r.Node("n2"), r.Genesis.Cluster, "n2", authority.KindAnchor, authority.Anchor{Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	for sentence, tt := range map[string]struct {
		entry []byte
		code  api.Code
	}{
		"junk":                              {[]byte("junk"), api.CodeMalformed},
		"too few signatures":                {e.Encode(), api.CodeRefusedEntry},
		"another cluster's":                 {foreign.Order("demo"), api.CodeRefusedEntry},
		"a node's statement, from a client": {statement.Encode(), api.CodeRefusedEntry},
	} {
		for _, leader := range []string{"n1", "n2"} {
			r.leader = leader
			if _, err := n.submitChange(ctx, &session{}, &api.SubmitRequest{Entry: tt.entry}); codeOf(err) != tt.code {
				t.Errorf("%s, led by %s: %v", sentence, leader, err)
			}
		}
	}
	if r.submitted != 0 {
		t.Fatalf("%d entries were appended", r.submitted)
	}
	r.leader = "n1"
	a, err := n.submitChange(ctx, &session{}, &api.SubmitRequest{Entry: good})
	if err != nil || !a.Taken || r.submitted != 1 {
		t.Fatalf("a good one: %+v, %v", a, err)
	}
	again, err := n.submitChange(ctx, &session{}, &api.SubmitRequest{Entry: good})
	if err != nil || again.Taken || again.Index != a.Index || again.ID != a.ID || r.submitted != 1 {
		t.Fatalf("again: %+v, %v", again, err)
	}
	if _, err := n.submitChange(ctx, &session{}, &api.SubmitRequest{Entry: r.Order("demo")}); codeOf(err) != api.CodeRefusedEntry || r.submitted != 1 {
		t.Fatalf("a name that is taken: %v", err)
	}
}

// What this node cannot take yet is for the leader to judge; what the leader's
// tail takes is not refused either.
func TestANodeThatIsBehindRefusesNothingThatMayBeTaken(t *testing.T) {
	_, r := fakeNode(t)
	before := r.State()
	first := r.Change(authority.KindPolicy, []byte("one"), api.Digest{})
	taken := r.Apply(first)
	second := r.Change(authority.KindPolicy, []byte("two"), taken.ID)
	for _, tt := range []struct {
		sentence        string
		committed, tail *ledger.State
		leads           bool
		refused         bool
	}{
		{"behind, and not the leader", before, before, false, false},
		{"the leader, with it in its tail", before, r.State(), true, false},
		{"the leader, without it", before, before, true, true},
	} {
		a, err := foresee(tt.committed, tt.tail, second, tt.leads)
		if a != nil || (err != nil) != tt.refused {
			t.Errorf("%s: %+v, %v", tt.sentence, a, err)
		}
	}
}

func newTestJournal(t *testing.T, dir string) (*journal, *audit.Log, func()) {
	t.Helper()
	key := journalKey()
	log, err := audit.Open(audit.Config{Dir: dir, Origin: "warifu/test/n1", Public: &key.PublicKey, Signer: signMessage(key), ReserveBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	j := newJournal("n1", log, time.Now)
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { j.run(ctx, func(err error) { t.Log(err) }) })
	return j, log, func() { stop(); done.Wait(); _ = log.Close() }
}

var journalKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
})

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 1000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("it never came to this: " + what)
}

// Each change stands once in the audit, also when Raft replays its log at a
// restart; posts never do (R42).
func TestEachChangeIsJournaledOnceAcrossRestarts(t *testing.T) {
	c := trial.New(t, 2, 3)
	c.BearRoot()
	c.BearKey("demo")
	dir := filepath.Join(t.TempDir(), "audit")
	times := map[uint64]int64{} // ledger time after each entry
	replay := func(j *journal, upTo int) {
		s := ledger.New(c.Genesis)
		for i, entry := range c.Log()[:upTo] {
			var r ledger.Result
			s, r = s.Apply(uint64(i+1), entry)
			times[uint64(i+1)] = s.Time()
			j.take(uint64(i+1), entry, r)
		}
	}
	all := len(c.Log())
	for i, upTo := range []int{all / 2, all, all} {
		j, log, stop := newTestJournal(t, dir)
		replay(j, upTo)
		want := map[int]uint64{0: 2, 1: 5, 2: 5}[i]
		eventually(t, "the entries are written", func() bool { return log.Size() >= want })
		stop()
	}
	_, log, stop := newTestJournal(t, dir)
	defer stop()
	records, err := log.Tail(100)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []audit.Kind
	for _, r := range records {
		kinds = append(kinds, r.Kind)
		if r.LedgerTime == 0 || r.LedgerTime != times[r.LedgerIndex] {
			t.Errorf("%s of entry %d is of ledger time %d, not %d", r.Kind, r.LedgerIndex, r.LedgerTime, times[r.LedgerIndex])
		}
		if (r.Kind == audit.Change) != (len(r.Entry) > 0 && r.Kind != audit.Activate) {
			t.Errorf("%s has an entry of %d bytes", r.Kind, len(r.Entry))
		}
	}
	if want := []audit.Kind{audit.Ceremony, audit.Activate, audit.Change, audit.Ceremony, audit.Activate}; !slices.Equal(kinds, want) {
		t.Fatalf("journaled %v", kinds)
	}
}

// Of a change that was collected in the ledger the audit has the whole change, signed by
// those who approved it, beside a record of each vote.
func TestAVoteThatCompletesAChangeIsJournaledAsTheChange(t *testing.T) {
	c := trial.New(t, 2, 3)
	j, log, stop := newTestJournal(t, filepath.Join(t.TempDir(), "audit"))
	defer stop()
	change, err := authority.ParseEntry(c.Order("demo"))
	if err != nil {
		t.Fatal(err)
	}
	propose, err := authority.SignProposal(rand.Reader, change, c.Custodians[0], true)
	if err != nil {
		t.Fatal(err)
	}
	approve, err := authority.SignApproval(rand.Reader, change, c.Custodians[2])
	if err != nil {
		t.Fatal(err)
	}
	s := c.State()
	for i, e := range []*authority.Entry{propose, approve, approve} {
		var r ledger.Result
		index := s.Position().Index + 1
		s, r = s.Apply(index, e.Encode())
		if (r.Err == nil) != (i < 2) {
			t.Fatalf("%s: %v", e.Kind, r.Err)
		}
		j.take(index, e.Encode(), r)
	}
	eventually(t, "both are written", func() bool { return log.Size() == 2 })
	records, err := log.Tail(2)
	if err != nil {
		t.Fatal(err)
	}
	first, last := records[0].Record, records[1].Record
	if first.Kind != audit.Ceremony || first.Action != authority.KindPropose || len(first.Entry) != 0 {
		t.Errorf("of the proposal there is %+v", first)
	}
	passed, err := authority.ParseEntry(last.Entry)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := authority.VerifyChange(&c.Genesis.Genesis, passed); err != nil || last.Kind != audit.Change || last.EntryID != change.ID() || last.Action != authority.KindKey {
		t.Errorf("of the change there is %+v, %v", last, err)
	}
}

// A journal whose audit takes no more collects no more, in bounded memory.
func TestABrokenAuditEndsTheJournal(t *testing.T) {
	c := trial.New(t, 2, 3)
	j, log, stop := newTestJournal(t, filepath.Join(t.TempDir(), "audit"))
	defer stop()
	_ = log.Close()
	entry := c.Order("demo")
	_, r := c.State().Apply(1, entry)
	j.take(1, entry, r)
	eventually(t, "the journal is broken", func() bool { j.mu.Lock(); defer j.mu.Unlock(); return j.broken })
	for i := range 100 {
		j.take(uint64(i+2), entry, r)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) != 0 {
		t.Fatalf("%d records wait for ever", len(j.waiting))
	}
}

// waiting is a token that waits.
type waiting struct {
	*soft.Device
	asked, goOn chan struct{}
}

func (w *waiting) CreateKey(label string) error {
	close(w.asked)
	<-w.goOn
	return w.Device.CreateKey(label)
}

// The gate reads secrets while a share is made durable: it never waits for a token.
func TestReadersOfSecretsDoNotWaitForTheToken(t *testing.T) {
	c := trial.New(t, 2, 3)
	born := c.BearRoot()
	ses := c.State().Session(born.Key.Session)
	dev, err := soft.Open(soft.Config{Dir: filepath.Join(t.TempDir(), "hsm"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	w := &waiting{Device: dev, asked: make(chan struct{}), goOn: make(chan struct{})}
	s := newSecrets(keyring.Config{Dir: t.TempDir(), Cluster: c.Genesis.Cluster, Node: "n1", Device: w, Rand: rand.Reader})
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.confirm(t.Context(), c.State(), ses, 1, born.Shares[:1]); err != nil {
			t.Error(err)
		}
	})
	<-w.asked
	read := make(chan struct{})
	go func() { s.current(); close(read) }()
	select {
	case <-read:
	case <-time.After(5 * time.Second):
		t.Error("a reader waits for the token")
	}
	close(w.goOn)
	done.Wait()

	if state, moved := s.look(c.State(), "n1"); state != seal.Unsealed || !moved {
		t.Fatal(state, moved)
	}
	if _, moved := s.look(c.State(), "n1"); moved {
		t.Fatal("moved again")
	}
	if err := s.confirm(t.Context(), c.State(), ses, 1, born.Shares[:1]); err != nil {
		t.Fatalf("the same again: %v", err)
	}
	other := *ses
	other.ID[0] ^= 1
	if err := s.confirm(t.Context(), c.State(), &other, 1, born.Shares[:1]); !errors.Is(err, errBornAlready) { // R9
		t.Fatalf("another birth of the root key: %v", err)
	}
	named := c.BearKey("demo")
	ses = c.State().Session(named.Key.Session)
	share := named.Shares[0].Add(group.SmallScalar(0))
	if err := s.confirm(t.Context(), c.State(), ses, 1, []*group.Scalar{share}); err != nil {
		t.Fatal(err)
	}
	share.Wipe() // the driver's copy
	n := &Node{secrets: s, consensus: &fakeReplica{Cluster: c, kept: &consensus.Kept{}}}
	got, back, ok := n.share(named.Key.ID, 1, 1)
	if !ok || !got.Scalar.Equal(named.Shares[0]) {
		t.Fatal("the share is gone, or wiped with the driver's")
	}
	back()
	if !s.wipe() || s.wipe() {
		t.Fatal("wiped twice, or never")
	}
	if _, _, ok := n.share(named.Key.ID, 1, 1); ok || codeOf(n.unsealed()) != api.CodeSealed {
		t.Fatal("a wiped node gives out shares")
	}
	if err := s.confirm(t.Context(), c.State(), ses, 1, named.Shares[:1]); !errors.Is(err, errNotUnsealed) {
		t.Fatalf("a sealed node takes a share: %v", err)
	}
}

func TestAnAnchorCountsUp(t *testing.T) {
	n, r := fakeNode(t)
	key := journalKey()
	log, err := audit.Open(audit.Config{Dir: t.TempDir(), Origin: "warifu/test/n1", Public: &key.PublicKey, Signer: signMessage(key), ReserveBytes: 4096})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	n.audit = log
	for i := uint64(1); i < 4; i++ {
		a := n.anchor(r.State())
		if a.Counter != i {
			t.Fatalf("anchor %d says %d", i, a.Counter)
		}
		if err := n.say(context.Background(), authority.KindAnchor, a); err != nil {
			t.Fatal(err)
		}
	}
}
