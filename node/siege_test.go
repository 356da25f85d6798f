package node

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/transport"
)

const (
	siegeApp      = "spiffe://demo/app"
	siegePermit   = `@id("apps") permit (principal == Warifu::Principal::"spiffe://demo/app", action, resource == Warifu::Key::"payroll");`
	siegeEntities = `[{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/app"},"parents":[],"attrs":{}}]`
)

// estate is a cluster of five, 3 of 5 and f = 1, that has borne a key and runs
// nowhere: directories to copy, and every key of the people around it.
type estate struct {
	base       string
	genesis    *authority.VerifiedGenesis
	custodians []*ecdsa.PrivateKey // two of three sign
	app        tls.Certificate
	policy     api.Digest // the change that permits
	envelope   []byte
	context    api.Context
}

// ground is where one siege at a time takes place: an estate has its addresses. The
// tests here wait more than they work, so there are two grounds, and few estates
// otherwise: a birth takes seconds.
type ground struct {
	once sync.Once
	held *estate
	base string // set before the birth, which may fail
}

var (
	grounds = []*ground{{}, {}}
	free    = make(chan *ground, len(grounds))
)

func init() {
	for _, g := range grounds {
		free <- g
	}
}

var siegeNodes = []string{"n1", "n2", "n3", "n4", "n5"}

// estate is what the ground has, for as long as the test has the ground.
func (g *ground) estate(t *testing.T) *estate {
	t.Helper()
	g.once.Do(func() {
		e := &estate{context: api.Context{"app": "payroll"}}
		var err error
		if e.base, err = os.MkdirTemp("", "warifu-siege-"); err != nil {
			t.Fatal(err)
		}
		g.base = e.base
		e.found(t)
		s := &siege{T: t, estate: e, dirs: map[string]string{}, running: map[string]func() error{}}
		for _, id := range siegeNodes {
			s.dirs[id] = filepath.Join(e.base, id)
			s.start(id)
		}
		defer s.end()
		s.bear()
		g.held = e
	})
	if g.held == nil {
		t.Fatal("the cluster was not born")
	}
	return g.held
}

// removeEstates is for TestMain.
func removeEstates() {
	for _, g := range grounds {
		if g.base != "" {
			_ = os.RemoveAll(g.base)
		}
	}
}

func (e *estate) found(t *testing.T) {
	t.Helper()
	g := authority.Genesis{Format: authority.GenesisFormat, Created: time.Now().UnixMilli(), Unseal: authority.UnsealHSM}
	rand.Read(g.Cluster[:])
	for _, kind := range authority.ChangeKinds() {
		g.Required = append(g.Required, authority.RequiredCount{Kind: kind, Count: 2})
	}
	var signers []*authority.Signer
	for i := range 3 {
		key := newKey(t)
		signer, err := authority.NewSigner(key)
		if err != nil {
			t.Fatal(err)
		}
		e.custodians, signers = append(e.custodians, key), append(signers, signer)
		g.Custodians = append(g.Custodians, authority.Custodian{Name: fmt.Sprintf("c%d", i+1), Sign: signer.PublicKey(), Open: "age1test"})
	}
	g.Root = authority.Order{Cluster: g.Cluster, Purpose: authority.PurposeRoot, T: 3, F: 1, PhaseSeconds: 60, Holders: siegeNodes}
	for _, id := range siegeNodes {
		dir := filepath.Join(e.base, id)
		line, err := Init(rand.Reader, dir, Config{
			Node: id, Region: "jp-east", Client: "127.0.0.1:0", Peer: "127.0.0.1:0", HSM: HSMConfig{Kind: "soft"}, AuditReserve: 4096,
		}, openSoft(t, dir))
		if err != nil {
			t.Fatal(err)
		}
		g.Roster = append(g.Roster, line)
	}
	doc := &authority.SignedGenesis{Body: wire.Encode(g)}
	for _, s := range signers[:2] {
		if err := doc.Sign(rand.Reader, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range siegeNodes {
		if _, err := Join(filepath.Join(e.base, id), doc.Encode(), nil); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if e.genesis, err = doc.Verify(); err != nil {
		t.Fatal(err)
	}
}

// siege is honest nodes that run, and a member that lies. Everything is real:
// sockets, Raft, audit, disk, ceremonies.
type siege struct {
	*testing.T
	*estate
	dirs    map[string]string
	running map[string]func() error
	log     buffer
	liar    *liar
	honest  []string
}

// newSiege runs n1 to n4 and gives n5 to the liar. All four serve.
func newSiege(t *testing.T) *siege {
	t.Helper()
	t.Parallel()
	ground := <-free
	t.Cleanup(func() { free <- ground })
	s := &siege{T: t, estate: ground.estate(t), dirs: map[string]string{}, running: map[string]func() error{}, honest: siegeNodes[:4]}
	base := t.TempDir()
	for _, id := range siegeNodes {
		s.dirs[id] = filepath.Join(base, id)
		if err := os.CopyFS(s.dirs[id], os.DirFS(filepath.Join(s.base, id))); err != nil {
			t.Fatal(err)
		}
	}
	s.liar = newLiar(t, s.dirs["n5"])
	t.Cleanup(s.end)
	for _, id := range s.honest {
		s.start(id)
	}
	s.serve(s.honest...)
	return s
}

func (s *siege) start(id string) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	dir := s.dirs[id]
	o := options(dir, openSoft(s.T, dir), slog.New(slog.NewTextHandler(&s.log, nil)))
	o.KeepLog = true // the liar has all of it, also where a birth takes so long that it would be gone
	go func() { done <- Run(ctx, o) }()
	s.running[id] = func() error {
		stop()
		return <-done
	}
}

func (s *siege) stop(id string) {
	s.Helper()
	if err := s.running[id](); err != nil {
		s.Errorf("%s: %v", id, err)
	}
	delete(s.running, id)
}

func (s *siege) end() {
	if s.liar != nil {
		s.liar.stop()
	}
	var all sync.WaitGroup
	for id, stop := range s.running {
		all.Go(func() {
			if err := stop(); err != nil {
				s.Errorf("%s: %v", id, err)
			}
		})
	}
	all.Wait()
	if s.Failed() {
		s.Log(s.log.String())
	}
}

// call asks one node, as somebody with this certificate.
func (s *siege) call(id string, who tls.Certificate, method uint16, body []byte) ([]byte, error) {
	m := s.genesis.NodeByID(id)
	pub, err := authority.ParsePublicKey(m.Key)
	if err != nil {
		return nil, err
	}
	spki, err := transport.SPKIOf(pub)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := transport.Dial(ctx, transport.DialConfig{Certificate: who, ServerKey: spki, ALPN: api.ClientProtocol, Addr: m.Claim.Client})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.Call(ctx, method, body)
}

func ask[A any](s *siege, id string, who tls.Certificate, method uint16, body []byte) (*A, error) {
	b, err := s.call(id, who, method, body)
	if err != nil {
		return nil, err
	}
	var a A
	return &a, wire.Decode(b, &a)
}

func (s *siege) custodian() tls.Certificate {
	cert, err := transport.SelfSigned(s.custodians[0], "custodian", time.Now())
	if err != nil {
		s.Fatal(err)
	}
	return cert
}

// status is what a node says of itself, or nil while it says nothing.
func (s *siege) status(id string) *api.StatusAnswer {
	a, err := ask[api.StatusAnswer](s, id, s.custodian(), api.MethodStatus, nil)
	if err != nil {
		return nil
	}
	return a
}

// within waits until something is so.
func (s *siege) within(limit time.Duration, what string, so func() bool) time.Duration {
	s.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > limit {
			s.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(began)
}

// patience is for elections and rounds on a machine that others use too.
const patience = 60 * time.Second

func (s *siege) state(want string, nodes ...string) {
	s.Helper()
	for _, id := range nodes {
		s.within(patience, id+" is "+want, func() bool { a := s.status(id); return a != nil && a.State == want })
	}
}

func (s *siege) serve(nodes ...string) {
	s.Helper()
	s.state(serving, nodes...)
}

// agree waits until the nodes have committed one log to its end, and the liar, if
// it follows, has it too. It returns what they are at.
func (s *siege) agree(nodes ...string) *api.StatusAnswer {
	s.Helper()
	var first *api.StatusAnswer
	s.within(patience, "all have one log", func() bool {
		first = s.status(nodes[0])
		if first == nil || first.Index != first.TailIndex || first.Leader == "" || first.Leader == "n5" {
			return false
		}
		for _, id := range nodes[1:] {
			a := s.status(id)
			if a == nil || a.Index != first.Index || a.Link != first.Link || a.RaftIndex != first.RaftIndex {
				return false
			}
		}
		return s.liar == nil || s.liar.last().Index == first.RaftIndex
	})
	return first
}

// change is an entry that two custodians have signed.
func (s *siege) change(kind string, body []byte, base api.Digest) *authority.Entry {
	s.Helper()
	c := authority.Change{Cluster: s.genesis.Cluster, Kind: kind, Body: body, Base: base, NotAfter: time.Now().Add(time.Hour).UnixMilli()}
	rand.Read(c.Nonce[:])
	return s.signed(c, s.custodians[:2]...)
}

func (s *siege) signed(c authority.Change, by ...*ecdsa.PrivateKey) *authority.Entry {
	s.Helper()
	e := authority.NewChange(c)
	for _, key := range by {
		signer, err := authority.NewSigner(key)
		if err == nil {
			err = authority.SignChange(rand.Reader, e, signer)
		}
		if err != nil {
			s.Fatal(err)
		}
	}
	return e
}

// narrowing is a policy that permits nobody anything; the text makes two differ.
func (s *siege) narrowing(text string) *authority.Entry {
	return s.change(authority.KindPolicy, policy.Document{Text: "// " + text, Entities: siegeEntities}.Encode(), s.policy)
}

// submit hands an entry to some node, again while nobody leads.
func (s *siege) submit(e *authority.Entry, nodes ...string) *api.SubmitAnswer {
	s.Helper()
	var a *api.SubmitAnswer
	s.within(patience, "a change is taken", func() bool {
		for _, id := range nodes {
			var err error
			if a, err = ask[api.SubmitAnswer](s, id, s.custodian(), api.MethodSubmit, wire.Encode(api.SubmitRequest{Entry: e.Encode()})); err == nil {
				return true
			}
			var refusal *transport.Refusal
			if errors.As(err, &refusal) && refusal.Code == string(api.CodeRefusedEntry) {
				s.Fatalf("%s: %v", id, err)
			}
		}
		return false
	})
	return a
}

// asks one node for a partial: "" if it released one, or why not.
func (s *siege) asks(id string) (api.Code, api.AnswerHeader) {
	s.Helper()
	q := api.UnwrapRequest{Reason: "test", Items: []api.UnwrapItem{{Envelope: s.envelope, Context: s.context}}}
	rand.Read(q.RequestID[:])
	a, err := ask[api.UnwrapAnswer](s, id, s.app, api.MethodUnwrap, wire.Encode(q))
	var refusal *transport.Refusal
	switch {
	case errors.As(err, &refusal):
		return api.Code(refusal.Code), api.AnswerHeader{}
	case err != nil:
		return api.CodeUnreachable, api.AnswerHeader{}
	case a.Items[0].Refusal != nil:
		return a.Items[0].Refusal.Code, a.Header
	case len(a.Items[0].Partial) == 0:
		s.Fatalf("%s gives neither a partial nor a refusal", id)
	}
	return "", a.Header
}

// refuses holds that none of the nodes releases, and each says why. One that is stale is
// asked again until it is not: while nobody leads, as after a liar's higher term, nothing
// that is in the log is applied, and it may take until the next round after that.
func (s *siege) refuses(want api.Code, nodes ...string) {
	s.Helper()
	for _, id := range nodes {
		code, _ := s.asks(id)
		for end := time.Now().Add(patience); code == api.CodeStale && want != code && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			code, _ = s.asks(id)
		}
		if code != want {
			s.Errorf("%s answers %q, want %q", id, code, want)
		}
	}
}

// bear bears the root key and a key payroll, and puts a CA and a policy in.
func (s *siege) bear() {
	s.Helper()
	all := siegeNodes
	s.within(patience, "the root key is born", func() bool { return strings.Count(s.log.String(), "state=unsealed") >= len(all) })
	ca := newPKI(s.T)
	key := newKey(s.T)
	leaf := ca.leafFor(s.T, siegeApp, time.Now().Add(time.Hour), &key.PublicKey)
	s.app = tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}
	s.submit(s.change(authority.KindCA, wire.Encode(authority.CA{Name: "apps", Certificate: ca.cert.Raw}), api.Digest{}), all...)
	permit := s.change(authority.KindPolicy, policy.Document{Text: siegePermit, Entities: siegeEntities}.Encode(), api.Digest{})
	s.submit(permit, all...)
	s.policy = permit.ID()
	o := s.genesis.Root
	o.Purpose, o.Name = authority.PurposeUnwrap, "payroll"
	s.submit(s.change(authority.KindKey, wire.Encode(o), api.Digest{}), all...)
	s.within(patience, "the key is born", func() bool {
		list, err := ask[api.KeyListAnswer](s, "n1", s.custodian(), api.MethodKeyList, nil)
		return err == nil && len(list.Keys) == 1 && list.Keys[0].Signed >= s.genesis.Root.T
	})
	answer, err := ask[api.KeyRecordAnswer](s, "n1", s.custodian(), api.MethodKeyRecord, wire.Encode(api.KeyRecordRequest{Name: "payroll"}))
	if err != nil {
		s.Fatal(err)
	}
	signed, err := authority.ParseSignedRecord(answer.Record)
	if err != nil {
		s.Fatal(err)
	}
	r := signed.Record
	y, err := group.DecodePoint(r.Y)
	if err != nil {
		s.Fatal(err)
	}
	pk, err := tdh2.NewPublicKey(r.Cluster, r.Key, r.Version, int(o.T), len(o.Holders), y)
	if err != nil {
		s.Fatal(err)
	}
	if s.envelope, err = tdh2.Wrap(rand.Reader, pk, s.context.Canonical(), secret.New(make([]byte, 32))); err != nil {
		s.Fatal(err)
	}
	s.within(patience, "all release", func() bool {
		return !slices.ContainsFunc(all, func(id string) bool { code, _ := s.asks(id); return code != "" })
	})
}
