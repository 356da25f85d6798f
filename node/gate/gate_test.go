package gate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/disk"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

const (
	app      = "spiffe://demo/app"
	visitor  = "spiffe://demo/visitor"
	permit   = `@id("apps") permit (principal == Warifu::Principal::"spiffe://demo/app", action, resource == Warifu::Key::"demo");`
	entities = `[{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/app"},"parents":[],"attrs":{}}]`
)

// recorder is an audit log that remembers, and can fail or hang.
type recorder struct {
	mu      sync.Mutex
	records []audit.Record
	appends int
	fail    error
	during  func() // called before Append returns
}

func (r *recorder) Append(ctx context.Context, records ...audit.Record) (uint64, error) {
	if r.during != nil {
		r.during()
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.appends++
	if r.fail != nil {
		return 0, r.fail
	}
	r.records = append(r.records, records...)
	return uint64(len(r.records)), nil
}

func (r *recorder) kinds() []audit.Kind {
	var out []audit.Kind
	for _, record := range r.records {
		out = append(out, record.Kind)
	}
	return out
}

// world is one gate of node n1 in a cluster of three, with a key "demo".
type world struct {
	*trial.Cluster
	born, other     *trial.Born
	public          *tdh2.PublicKey
	committed, tail *ledger.State
	unsealed, fresh *api.Error
	share           *keyring.Share
	recorder        *recorder
	now             time.Time
	boot            time.Duration // since long before the gate was made: rates are full
	dir             string        // of the slots
	disk            disk.Hook
	standing        func(*ledger.State, time.Time) error
	gate            *Gate
}

// base is what every test begins with: births are slow, states are values.
var base = sync.OnceValue(func() *world {
	c := trial.New(theTest{}, 2, 3)
	c.BearRoot()
	w := &world{Cluster: c, born: c.BearKey("demo"), other: c.BearKey("other")}
	w.publish(theTest{})
	w.committed = w.policy(c.State(), permit)
	return w
})

// publish makes the public key of the key that is the world's.
func (w *world) publish(t testing.TB) {
	y, err := group.DecodePoint(w.born.Key.Record.Y)
	if err != nil {
		t.Fatal(err)
	}
	if w.public, err = tdh2.NewPublicKey(w.Genesis.Cluster, w.born.Key.ID, 1, 2, 3, y); err != nil {
		t.Fatal(err)
	}
}

// theTest fails by panicking: it serves what several tests share.
type theTest struct{ testing.TB }

func (theTest) Helper()           {}
func (theTest) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// policy is the state after a policy took effect.
func (w *world) policy(s *ledger.State, text string) *ledger.State { return w.limited(s, text, "") }

// limited is the state after a policy with limits took effect.
func (w *world) limited(s *ledger.State, text, limits string) *ledger.State {
	var before api.Digest
	if p := s.Policy(); p != nil {
		before = p.Change
	}
	next, r := s.Apply(s.Position().Index+1, w.Change(authority.KindPolicy, policy.Document{Text: text, Entities: entities, Limits: limits}.Encode(), before))
	if r.Err != nil {
		panic(r.Err)
	}
	return next
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := *base()
	w.tail = w.committed
	w.recorder = &recorder{}
	w.now = time.UnixMilli(trial.Created)
	w.standing = func(*ledger.State, time.Time) error { return nil }
	w.dir = t.TempDir()
	w.share = &keyring.Share{
		Key: w.born.Key.ID, Version: 1, Epoch: 1, Index: 1,
		Scalar: w.born.Shares[0], Endorsement: secret.New(bytes.Repeat([]byte{7}, keyring.SaltSize)),
	}
	w.open(t, true)
	return &w
}

// open makes the gate, as a node does when it starts.
func (w *world) open(t *testing.T, fresh bool) {
	t.Helper()
	slots, err := OpenSlots(func(op disk.Op, path string) error { return w.disk.Before(op, path) }, w.dir, fresh)
	if err != nil {
		t.Fatal(err)
	}
	w.boot = 0
	rates := NewRates(func() time.Duration { return w.boot })
	w.boot = 2 * policy.MaxRatePer
	var lent atomic.Int64
	t.Cleanup(func() {
		if n := lent.Load(); n != 0 {
			t.Errorf("%d shares were not given back: they would never be wiped", n)
		}
	})
	w.gate = New(Config{
		Node: "n1", Region: "jp-east", HSM: "pkcs11",
		States:   func() (*ledger.State, *ledger.State) { return w.committed, w.tail },
		Unsealed: func() *api.Error { return w.unsealed },
		Fresh:    func() *api.Error { return w.fresh },
		Share: func(key api.KeyID, version uint32, epoch uint64) (*keyring.Share, func(), bool) {
			if w.share == nil || w.share.Key != key || w.share.Version != version || w.share.Epoch != epoch {
				return nil, nil, false
			}
			lent.Add(1)
			return w.share, func() { lent.Add(-1) }, true
		},
		Policy: func(s *ledger.State) (*policy.Policy, error) {
			if s.Policy() == nil {
				return nil, errors.New("no policy")
			}
			d, err := policy.DecodeDocument(s.Policy().Document)
			if err != nil {
				return nil, err
			}
			return policy.Compile(d)
		},
		Audit: w.recorder, Now: func() time.Time { return w.now }, Rand: rand.Reader, Cap: NewRefusalCap(),
		Slots: slots, Rates: rates,
	})
}

var dek = secret.New([]byte("sixteen byte key"))

func (w *world) wrap(t *testing.T, c api.Context) []byte {
	t.Helper()
	e, err := tdh2.Wrap(rand.Reader, w.public, c.Canonical(), dek)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (w *world) ask(principal string, items ...api.UnwrapItem) (*api.UnwrapAnswer, error) {
	return w.askWith(context.Background(), principal, items...)
}

func (w *world) askWith(ctx context.Context, principal string, items ...api.UnwrapItem) (*api.UnwrapAnswer, error) {
	caller := &Caller{
		Principal: principal, Source: netip.MustParseAddr("10.1.2.3"),
		Standing: func(s *ledger.State, now time.Time) error { return w.standing(s, now) },
	}
	return w.gate.Unwrap(ctx, caller, &api.UnwrapRequest{RequestID: api.RequestID{9}, Reason: "a test", Items: items})
}

var fileA = api.Context{"file": "a"}

func (w *world) item(t *testing.T) api.UnwrapItem {
	return api.UnwrapItem{Envelope: w.wrap(t, fileA), Context: fileA}
}

// one asks for one item and returns its answer.
func (w *world) one(t *testing.T, principal string, item api.UnwrapItem) api.ItemAnswer {
	t.Helper()
	a, err := w.ask(principal, item)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Items) != 1 {
		t.Fatalf("%d answers", len(a.Items))
	}
	if r := a.Items[0].Refusal; (r == nil) == (len(a.Items[0].Partial) == 0) {
		t.Fatalf("neither or both of partial and refusal: %+v", a.Items[0])
	}
	return a.Items[0]
}

func TestAPermittedRequestIsReleasedAndAQuorumsPartialsOpenIt(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	envelope, err := tdh2.Parse(item.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	a := w.one(t, app, item)
	d1, err := group.DecodePoint(a.Partial)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.public.Verify(envelope, fileA.Canonical())
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.public.Open(v, map[sharing.Index]*group.Point{1: d1, 3: v.Partial(w.born.Shares[2])})
	if err != nil || !got.Equal(dek) {
		t.Fatalf("opened: %v", err)
	}
	r := w.recorder.records[0]
	if len(w.recorder.records) != 1 || r.Kind != audit.Release || r.Principal != app || r.KeyName != "demo" || r.Epoch != 1 ||
		r.Envelope != envelope.Hash() || r.RequestID != [16]byte{9} || r.Source != "10.1.2.3" || !slices.Equal(r.Rules, []string{"apps"}) {
		t.Fatalf("recorded: %+v", w.recorder.records)
	}
	if a.Proof != nil {
		t.Fatal("a proof nobody asked for")
	}
}

// spoiled breaks one thing each, in the order in which the gate must notice.
var spoiled = []struct {
	step  string
	spoil func(*world, *api.UnwrapItem, *string)
	code  api.Code
	retry bool
}{
	{"unsealed", func(w *world, _ *api.UnwrapItem, _ *string) { w.unsealed = api.Retry(api.CodeSealed, "sealed") }, api.CodeSealed, true},
	{"fresh", func(w *world, _ *api.UnwrapItem, _ *string) { w.fresh = api.Retry(api.CodeStale, "stale") }, api.CodeStale, true},
	{"epoch", func(_ *world, i *api.UnwrapItem, _ *string) { i.Epoch = 2 }, api.CodeEpoch, true},
	{"share", func(w *world, _ *api.UnwrapItem, _ *string) { w.share = nil }, api.CodeNoShare, true},
	{"principal", func(w *world, _ *api.UnwrapItem, _ *string) {
		w.standing = func(*ledger.State, time.Time) error { return errors.New("expired") }
	}, api.CodeDenied, false},
	{"policy", func(_ *world, _ *api.UnwrapItem, p *string) { *p = visitor }, api.CodeDenied, false},
	{"envelope", func(_ *world, i *api.UnwrapItem, _ *string) { i.Context = api.Context{"file": "b"} }, api.CodeEnvelope, false},
}

func TestEachStepRefusesByNameAndIsRecorded(t *testing.T) {
	for _, tt := range spoiled {
		t.Run(tt.step, func(t *testing.T) {
			w := newWorld(t)
			item, principal := w.item(t), app
			tt.spoil(w, &item, &principal)
			a := w.one(t, principal, item)
			if a.Refusal == nil || a.Refusal.Code != tt.code || a.Refusal.Retryable != tt.retry {
				t.Fatalf("got %+v", a.Refusal)
			}
			if r := w.recorder.records; len(r) != 1 || r[0].Kind != audit.Refusal || r[0].Code != string(tt.code) {
				t.Fatalf("recorded: %+v", r)
			}
		})
	}
}

// What the node knows and what the caller says reach the policy, each under its name.
func TestThePolicySeesEachPartOfTheRequest(t *testing.T) {
	for part, condition := range map[string]struct{ holds, fails string }{
		"source":        {`context.source.isInRange(ip("10.1.0.0/16"))`, `context.source.isInRange(ip("10.2.0.0/16"))`},
		"node region":   {`context.nodeRegion == "jp-east"`, `context.nodeRegion == "sg"`},
		"node HSM":      {`context.nodeHSM == "pkcs11"`, `context.nodeHSM == "soft"`},
		"caller region": {`context.callerRegion == "jp-west"`, `context.callerRegion == "jp-east"`},
		"reason":        {`context.reason == "a test"`, `context.reason == ""`},
		"envelope":      {`context.envelope.file == "a"`, `context.envelope.file == "b"`},
		"hour":          {`context.time.hour == ` + fmt.Sprint(time.UnixMilli(trial.Created).UTC().Hour()), `context.time.hour == 24`},
		"name":          {`resource.name == "demo"`, `resource.name == "other"`},
	} {
		for _, tt := range []struct {
			when    string
			allowed bool
		}{{condition.holds, true}, {condition.fails, false}} {
			w := newWorld(t)
			w.committed = w.policy(w.committed, strings.TrimSuffix(permit, ";")+" when { "+tt.when+" };")
			w.tail = w.committed
			item := w.item(t)
			a, err := w.gate.Unwrap(t.Context(), &Caller{
				Principal: app, Source: netip.MustParseAddr("10.1.2.3"), Standing: w.standing,
			}, &api.UnwrapRequest{RequestID: api.RequestID{9}, Reason: "a test", Region: "jp-west", Items: []api.UnwrapItem{item}})
			if err != nil {
				t.Fatal(err)
			}
			if allowed := a.Items[0].Refusal == nil; allowed != tt.allowed {
				t.Errorf("%s: %s: allowed %v: %v", part, tt.when, allowed, a.Items[0].Refusal)
			}
		}
	}
}

// Each rule with its fault planted: without the step, the spoiled request is released.
func TestWithoutItsStepTheSpoiledRequestIsReleased(t *testing.T) {
	for _, tt := range spoiled {
		if tt.step == "epoch" || tt.step == "share" || tt.step == "envelope" {
			continue // they find what the release is made of: without them there is nothing to release, or something else
		}
		t.Run(tt.step, func(t *testing.T) {
			w := newWorld(t)
			item, principal := w.item(t), app
			tt.spoil(w, &item, &principal)
			w.gate.steps = slices.DeleteFunc(w.gate.steps, func(s step) bool { return s.name == tt.step })
			if a := w.one(t, principal, item); a.Refusal != nil {
				t.Fatalf("something else refuses: %v", a.Refusal)
			}
		})
	}
}

// What is wrong first in the contract's order is what is said.
func TestTheStepsComeInTheOrderOfTheContract(t *testing.T) {
	w := newWorld(t)
	var names []string
	for _, s := range w.gate.steps {
		names = append(names, s.name)
	}
	if got := strings.Join(names, " "); got != "unsealed fresh key epoch share principal policy budgets interval envelope" {
		t.Fatal(got)
	}
	for i := range spoiled {
		w := newWorld(t)
		item, principal := w.item(t), app
		for _, tt := range spoiled[i:] {
			tt.spoil(w, &item, &principal)
		}
		want := spoiled[i].code
		if spoiled[i].step == "epoch" || spoiled[i].step == "share" {
			want = api.CodeDenied // a stranger to the key does not hear that it exists (R28)
		}
		if a := w.one(t, principal, item); a.Refusal.Code != want {
			t.Errorf("from %s on everything is wrong: got %v", spoiled[i].step, a.Refusal)
		}
	}
}

// R20, R30: a release needs a yes from both states.
func TestBothStatesMustSayYes(t *testing.T) {
	for _, tt := range []struct {
		sentence  string
		committed bool
		tail      bool
	}{
		{"committed yes, tail no: a deny acts as soon as it is stored", true, false},
		{"committed no, tail yes: a grant acts only when committed", false, true},
		{"both no", false, false},
		{"both yes", true, true},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			w := newWorld(t)
			yes, no := w.committed, w.policy(w.committed, `forbid (principal, action, resource);`)
			pick := func(b bool) *ledger.State {
				if b {
					return yes
				}
				return no
			}
			w.committed, w.tail = pick(tt.committed), pick(tt.tail)
			a := w.one(t, app, w.item(t))
			if released := a.Refusal == nil; released != (tt.committed && tt.tail) {
				t.Fatalf("got %+v", a.Refusal)
			}
		})
		t.Run(tt.sentence+", of the principal", func(t *testing.T) {
			w := newWorld(t)
			other := w.policy(w.committed, permit+"\n")
			says := map[*ledger.State]bool{w.committed: tt.committed, other: tt.tail}
			w.tail = other
			w.standing = func(s *ledger.State, _ time.Time) error {
				if !says[s] {
					return errors.New("its CA is gone")
				}
				return nil
			}
			a := w.one(t, app, w.item(t))
			if released := a.Refusal == nil; released != (tt.committed && tt.tail) {
				t.Fatalf("got %+v", a.Refusal)
			}
		})
	}
}

// R45: an epoch is used when its Activate is committed, not when it is stored.
func TestAKeyThatOnlyTheTailHasIsUnknown(t *testing.T) {
	w := newWorld(t)
	w.tail, w.committed = w.committed, ledger.New(w.Genesis)
	if a := w.one(t, app, w.item(t)); a.Refusal.Code != api.CodeDenied {
		t.Fatal(a.Refusal)
	}
	w.tail, w.committed = w.committed, w.tail
	w.committed = base().committed
	if a := w.one(t, app, w.item(t)); a.Refusal == nil {
		t.Fatal("released though the tail has lost the key")
	}
}

// R26
func TestNoPartialLeavesWithoutItsRecord(t *testing.T) {
	for _, fault := range []error{audit.ErrFull, audit.ErrBroken, audit.ErrMissing, audit.ErrClosed} {
		w := newWorld(t)
		w.recorder.fail = fault
		a, err := w.ask(app, w.item(t))
		var e *api.Error
		if a != nil || !errors.As(err, &e) || e.Code != api.CodeAudit || !e.Retryable {
			t.Errorf("%v: got %+v, %v", fault, a, err)
		}
	}
}

// R26: a disk that hangs ends with the request, not with a release.
func TestAHangingAuditReleasesNothing(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	w.recorder.during = cancel
	a, err := w.askWith(ctx, app, w.item(t))
	var e *api.Error
	if a != nil || !errors.As(err, &e) || e.Code != api.CodeOverloaded {
		t.Fatalf("got %+v, %v", a, err)
	}
}

// R26: Unwrap does not answer before Append has returned.
func TestNothingIsReleasedBeforeTheRecordIsDurable(t *testing.T) {
	w := newWorld(t)
	writing, write := make(chan struct{}), make(chan struct{})
	w.recorder.during = func() { close(writing); <-write }
	item := w.item(t)
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = w.ask(app, item)
	}()
	<-writing
	select {
	case <-answered:
		t.Error("answered while the record was being written")
	case <-time.After(50 * time.Millisecond):
	}
	close(write)
	<-answered
}

// R20: whatever turns into a no while the record is written is heeded.
func TestADenyBetweenRecordAndReleaseLeavesWithheld(t *testing.T) {
	for sentence, deny := range map[string]func(*world){
		"the tail forbids":          func(w *world) { w.tail = w.policy(w.committed, `forbid (principal, action, resource);`) },
		"committed forbids":         func(w *world) { w.committed = w.policy(w.committed, `forbid (principal, action, resource);`) },
		"the tail revokes the key":  func(w *world) { w.tail = w.revoked(w.committed) },
		"committed revokes the key": func(w *world) { w.committed = w.revoked(w.committed) },
		"the tail loses the key":    func(w *world) { w.tail = ledger.New(w.Genesis) },
		"the share is gone":         func(w *world) { w.share = nil; w.tail = w.policy(w.committed, permit+"\n") },
		"the node is sealed":        func(w *world) { w.unsealed = api.Retry(api.CodeSealed, "sealed") },
		"the node is stale":         func(w *world) { w.fresh = api.Retry(api.CodeStale, "stale") },
		"the certificate expires":   func(w *world) { w.standing = func(*ledger.State, time.Time) error { return errors.New("expired") } },
	} {
		t.Run(sentence, func(t *testing.T) {
			w := newWorld(t)
			item := w.item(t)
			w.recorder.during = func() { w.recorder.during = nil; deny(w) }
			a := w.one(t, app, item)
			if a.Refusal == nil {
				t.Fatal("released")
			}
			if k := w.recorder.kinds(); !slices.Equal(k, []audit.Kind{audit.Release, audit.Withheld}) {
				t.Fatalf("recorded: %v", k)
			}
			if r := w.recorder.records[1]; r.Code != string(a.Refusal.Code) {
				t.Fatalf("withheld with %q, said %v", r.Code, a.Refusal)
			}
		})
	}
}

// The deny is kept even when the withheld record cannot be written.
func TestAWithheldThatCannotBeWrittenReleasesNothing(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	w.recorder.during = func() {
		if w.recorder.appends == 0 {
			w.unsealed = api.Retry(api.CodeSealed, "sealed")
		} else {
			w.recorder.fail = audit.ErrFull
		}
	}
	if a, err := w.ask(app, item); a != nil || err == nil {
		t.Fatalf("got %+v, %v", a, err)
	}
}

// R16, R28: the root key, too, is a key that nobody can ask for.
func TestUnknownKeyDeniedAndRevokedLookAlike(t *testing.T) {
	answers := map[string][]byte{}
	see := func(sentence string, w *world, principal string, item api.UnwrapItem) {
		a, err := w.ask(principal, item)
		if err != nil {
			t.Fatal(err)
		}
		answers[sentence] = wire.Encode(a.Items)
	}
	w := newWorld(t)
	unknown, err := tdh2.NewPublicKey(w.Genesis.Cluster, [32]byte{1}, 1, 2, 3, w.public.Y)
	if err != nil {
		t.Fatal(err)
	}
	e, err := tdh2.Wrap(rand.Reader, unknown, fileA.Canonical(), dek)
	if err != nil {
		t.Fatal(err)
	}
	see("an unknown key", w, visitor, api.UnwrapItem{Envelope: e, Context: fileA})
	w = newWorld(t)
	root := w.committed.RootKey()
	ry, err := group.DecodePoint(root.Record.Y)
	if err != nil {
		t.Fatal(err)
	}
	rootKey, err := tdh2.NewPublicKey(w.Genesis.Cluster, root.ID, 1, 2, 3, ry)
	if err != nil {
		t.Fatal(err)
	}
	if e, err = tdh2.Wrap(rand.Reader, rootKey, fileA.Canonical(), dek); err != nil {
		t.Fatal(err)
	}
	see("the root key (R16)", w, app, api.UnwrapItem{Envelope: e, Context: fileA})
	w = newWorld(t)
	see("policy says no", w, visitor, w.item(t))
	w = newWorld(t)
	w.share = nil
	see("policy says no, and there is no share", w, visitor, w.item(t))
	w = newWorld(t)
	w.tail = ledger.New(w.Genesis)
	see("policy says no, and the key is changing", w, visitor, w.item(t))
	w = newWorld(t)
	w.standing = func(*ledger.State, time.Time) error { return errors.New("its CA is gone") }
	see("a principal that is no longer admitted", w, app, w.item(t))
	want := answers["policy says no"]
	for sentence, got := range answers {
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %x, not %x", sentence, got, want)
		}
	}
}

func TestAProofIsGivenOnRequestOnlyAndVerifies(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	item.Prove = true
	a := w.one(t, app, item)
	e, _ := tdh2.Parse(item.Envelope)
	d, err := group.DecodePoint(a.Partial)
	if err != nil {
		t.Fatal(err)
	}
	id := tdh2.ShareID{Cluster: w.Genesis.Cluster, KeyID: w.born.Key.ID, Version: 1, Epoch: 1, Index: 1}
	y1, err := group.DecodePoint(w.born.Key.Record.YI[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tdh2.VerifyShare(id, y1, d, e, a.Proof); err != nil {
		t.Fatal(err)
	}
	id.Index = 2
	if _, err := tdh2.VerifyShare(id, y1, d, e, a.Proof); err == nil {
		t.Fatal("the proof holds for another holder")
	}
}

func TestAnEndorsementCountsForItsOwnContextOnly(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	first := w.one(t, app, item)
	item.Endorsement = first.Endorsement
	if a := w.one(t, app, item); !bytes.Equal(a.Partial, first.Partial) || !bytes.Equal(a.Endorsement, first.Endorsement) {
		t.Fatal("another partial with the endorsement")
	}
	// A principal allowed context B does not open a stolen envelope of context A.
	stolen := item
	stolen.Context = api.Context{"file": "b"}
	if a := w.one(t, app, stolen); a.Refusal == nil || a.Refusal.Code != api.CodeEnvelope {
		t.Fatalf("got %+v", a)
	}
	// A miss means a full check, never an error.
	item.Endorsement = bytes.Repeat([]byte{1}, tdh2.EndorsementSize)
	if a := w.one(t, app, item); a.Refusal != nil {
		t.Fatal(a.Refusal)
	}
	// Another node's or epoch's key does not make it either.
	altered := item
	altered.Envelope = bytes.Clone(item.Envelope)
	altered.Envelope[len(altered.Envelope)-1] ^= 1
	altered.Endorsement = first.Endorsement
	if a := w.one(t, app, altered); a.Refusal == nil || a.Refusal.Code != api.CodeEnvelope {
		t.Fatalf("an altered envelope with the endorsement of the whole one: %+v", a)
	}
}

// What was released once is not verified again, whoever asks; what was refused is; and
// a memory of context A opens nothing under context B.
func TestAReleasedEnvelopeIsRemembered(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	stranger := item
	stranger.Context = api.Context{"file": "b"}
	for range 2 {
		if a := w.one(t, app, stranger); a.Refusal == nil || a.Refusal.Code != api.CodeEnvelope {
			t.Fatalf("another context: %+v", a)
		}
		if n := w.remembered(); n != 0 {
			t.Fatalf("%d remembered of what was refused", n)
		}
	}
	for range 2 {
		if a := w.one(t, app, item); a.Refusal != nil || !w.gate.checked.has([tdh2.EndorsementSize]byte(a.Endorsement)) {
			t.Fatalf("released and not remembered: %+v", a)
		}
		if n := w.remembered(); n != 1 {
			t.Fatalf("%d remembered of one envelope", n)
		}
	}
	if a := w.one(t, app, stranger); a.Refusal == nil || a.Refusal.Code != api.CodeEnvelope {
		t.Fatalf("another context, once the envelope is remembered: %+v", a)
	}
	// The endorsement's key is of the epoch: another one forgets all.
	w.share.Endorsement = secret.New(bytes.Repeat([]byte{8}, keyring.SaltSize))
	altered := item
	altered.Envelope = bytes.Clone(item.Envelope)
	altered.Envelope[len(altered.Envelope)-1] ^= 1
	if a := w.one(t, app, altered); a.Refusal == nil {
		t.Fatal("an altered envelope was released")
	}
	if a := w.one(t, app, item); a.Refusal != nil || w.remembered() != 2 {
		t.Fatalf("in another epoch: %+v, %d remembered", a, w.remembered())
	}
	// What is remembered is believed: the same altered envelope, once it is in the memory.
	e, err := tdh2.Parse(altered.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	w.gate.checked.remember(tdh2.Endorse(w.share.Endorsement, w.gate.cfg.Node, w.public, altered.Context.Canonical(), e).MAC())
	if a := w.one(t, app, altered); a.Refusal != nil {
		t.Fatalf("what is remembered is verified again: %+v", a)
	}
}

func TestABatchIsAnsweredItemByItemAndRecordedOnce(t *testing.T) {
	w := newWorld(t)
	good, wrong, junk := w.item(t), w.item(t), api.UnwrapItem{Envelope: []byte("junk")}
	wrong.Context = nil
	bad := w.item(t)
	bad.Context = api.Context{"": "empty"}
	a, err := w.ask(app, good, wrong, junk, bad, good)
	if err != nil {
		t.Fatal(err)
	}
	var codes []api.Code
	for _, i := range a.Items {
		if i.Refusal != nil {
			codes = append(codes, i.Refusal.Code)
		} else {
			codes = append(codes, "released")
		}
	}
	if want := []api.Code{"released", api.CodeEnvelope, api.CodeEnvelope, api.CodeMalformed, "released"}; !slices.Equal(codes, want) {
		t.Fatalf("got %v", codes)
	}
	if w.recorder.appends != 1 || len(w.recorder.records) != 5 {
		t.Fatalf("%d appends, %d records", w.recorder.appends, len(w.recorder.records))
	}
	if a.Header.Node != "n1" || a.Header.Link != w.committed.Position().Link || a.Header.PolicyDigest != w.committed.Policy().Digest {
		t.Fatalf("header: %+v", a.Header)
	}
}

func TestARequestOutsideItsBoundsIsMalformed(t *testing.T) {
	w := newWorld(t)
	for sentence, req := range map[string]*api.UnwrapRequest{
		"no item":        {},
		"too many items": {Items: make([]api.UnwrapItem, api.MaxUnwrapItems+1)},
		"a false region": {Items: make([]api.UnwrapItem, 1), Region: "jp east"},
		"a long reason":  {Items: make([]api.UnwrapItem, 1), Reason: strings.Repeat("x", api.MaxReason+1)},
	} {
		_, err := w.gate.Unwrap(context.Background(), &Caller{}, req)
		var e *api.Error
		if !errors.As(err, &e) || e.Code != api.CodeMalformed {
			t.Errorf("%s: got %v", sentence, err)
		}
	}
}

func TestWhatOneCallerIsRefusedTooOftenIsCounted(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	for range refusalsPerSecond + 5 {
		if a := w.one(t, visitor, item); a.Refusal.Code != api.CodeDenied {
			t.Fatal(a.Refusal)
		}
	}
	if a := w.one(t, app, item); a.Refusal != nil {
		t.Fatal("another's refusals stand in the way")
	}
	if n := len(w.recorder.records); n != refusalsPerSecond+1 {
		t.Fatalf("%d records", n)
	}
	if over := w.gate.cfg.Cap.TakeOver(); len(over) != 1 || over[visitor] != 5 {
		t.Fatalf("counted %v", over)
	}
	if over := w.gate.cfg.Cap.TakeOver(); len(over) != 0 {
		t.Fatalf("counted twice: %v", over)
	}
	w.now = w.now.Add(time.Second)
	w.one(t, visitor, item)
	if n := len(w.recorder.records); n != refusalsPerSecond+2 {
		t.Fatalf("%d records in the next second", n)
	}
}

func TestTheCapCountsEverybodyInBoundedMemory(t *testing.T) {
	c := NewRefusalCap()
	now := time.Unix(1, 0)
	var unwritten uint64
	for i := range 3 * maxPrincipals {
		for range refusalsPerSecond + 1 {
			if !c.Allow(fmt.Sprint(i), now) {
				unwritten++
			}
		}
	}
	if len(c.seen) > maxPrincipals+1 || len(c.over) > maxPrincipals+1 {
		t.Fatalf("%d seen, %d counted", len(c.seen), len(c.over))
	}
	var sum uint64
	for _, n := range c.TakeOver() {
		sum += n
	}
	if sum != unwritten || sum < 2*maxPrincipals {
		t.Fatalf("counted %d of %d", sum, unwritten)
	}
}

// R25: nothing that is recorded holds the share, the partial or the DEK.
func TestNoSecretIsRecorded(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	item.Prove = true
	a := w.one(t, app, item)
	for _, r := range w.recorder.records {
		b, err := audit.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		for name, canary := range map[string][]byte{
			"share": w.share.Scalar.Bytes(), "partial": a.Partial, "dek": dek.Reveal(), "endorsement": a.Endorsement,
			"context": []byte(fileA["file"] + "\x00"),
		} {
			if bytes.Contains(b, canary) {
				t.Errorf("the record holds the %s", name)
			}
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	item := w.item(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if a, err := w.ask(app, item); err != nil || a.Items[0].Refusal != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
