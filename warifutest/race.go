package warifutest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	insecure "math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/policy"
	"warifu.dev/warifutest/schedule"
)

// RaceConfig says what races what; every field but Open, Kinds, Sleep,
// Installs and Installed is required.
type RaceConfig struct {
	Subject
	Sign   func(kind string, body []byte, base api.Digest) (*authority.Entry, error)
	Client func(tls.Certificate) (*client.Client, error)
	Open   client.OpenSocket // nil means UDP
	Key    *client.Key       // of the cluster; it is never revoked
	Base   api.Digest        // the policy change in force
	Seed   uint64

	// Lanes are subjects that are revoked and lifted, again and again, by kind.
	Lanes map[string]int
	// Revokes that are done and Unwraps that have ended, Faults that have fired, and
	// snapshots installed: the race goes on until there are as many of each.
	Revokes, Unwraps, Faults, Installs int
	Kinds                              []schedule.Kind // none means all
	Pause                              time.Duration   // of a lane, on the average, between a lift and the next revoke
	Calm                               time.Duration   // between one wave of faults and the next
	Sleep                              time.Duration   // how long a node is away now and then, to find that its log is gone; 0: none is
	Installed                          func() int      // how many snapshots took the place of a log so far; nil: none do
}

// Race is revokes against unwraps. Each lane does the same over and over:
//
//	unwrap │ revoke ──▶ done │ unwrap │ lift ──▶ taken │ ...
//	       │ unwraps         │        │ unwrap         │
//
// A revoke is done by the count of P4, of the receipts that the nodes sign; half of
// them are handed to the nodes directly as well. An unwrap goes through a client, or
// to every holder at once; the partials that these give are counted, whether or not
// anybody would combine them, and each is held against the receipt of its node too.
type race struct {
	RaceConfig
	lanes []*lane

	clock atomic.Int64 // never shows the same twice
	count atomic.Int64 // names attempts

	mu       sync.Mutex
	history  []Op             // guarded by mu
	attempts []raceAttempt    // guarded by mu
	report   RaceReport       // guarded by mu
	windows  map[string][]Op  // revokes that were begun, by lane; guarded by mu
	at       map[string][]lap // what is known of their places in the ledger, by lane; guarded by mu
}

// lap is where a revoke and its lift are in the ledger.
type lap struct {
	id             api.Digest
	revoked, until uint64 // 0: not known
}

// lane is a subject, somebody who unwraps while it is not revoked, and somebody who
// hands in what the custodians signed.
type lane struct {
	name     string
	subject  authority.Subject
	client   *client.Client
	direct   *Direct
	carrier  *Direct
	envelope []byte
	random   *insecure.Rand // owned by the lane's goroutine
}

// raceAttempt is an unwrap that has ended.
type raceAttempt struct {
	lane, reason string
	call, ret    int64
	outcome      raceOutcome
}

type raceOutcome int

const (
	opened      raceOutcome = iota
	refused                 // some node said that it is not permitted
	unavailable             // too few answered, in time, with a fresh ledger
)

// RaceReport counts.
type RaceReport struct {
	Done, Pending, Lifts int
	Unwraps              int
	Opened, Denied       int
	Unavailable          int // refused for overload, staleness, or because nobody answered
	Racing               int // unwraps that were in flight while their own subject's revoke was
	Withheld             int // records of a deny that came between record and partial
	Installs             int // snapshots that took the place of a log
	Faults               schedule.Tally
	Took                 time.Duration
	Violations           []Violation
}

func share(part, of int) float64 { return 100 * float64(part) / float64(max(of, 1)) }

func (r RaceReport) String() string {
	return fmt.Sprintf("%d revokes done (%d pending) and %d lifts against %d unwraps: %.0f %% in flight while their subject's revoke was, "+
		"%d opened, %d denied, %.1f %% refused for overload or staleness, %d withheld; %v; %d snapshots installed; %d violations",
		r.Done, r.Pending, r.Lifts, r.Unwraps, share(r.Racing, r.Unwraps), r.Opened, r.Denied, share(r.Unavailable, r.Unwraps), r.Withheld, r.Faults, r.Installs, len(r.Violations))
}

// Add takes in what another race counted.
func (r *RaceReport) Add(o RaceReport) {
	r.Done, r.Pending, r.Lifts = r.Done+o.Done, r.Pending+o.Pending, r.Lifts+o.Lifts
	r.Unwraps, r.Opened, r.Denied = r.Unwraps+o.Unwraps, r.Opened+o.Opened, r.Denied+o.Denied
	r.Unavailable, r.Racing, r.Withheld = r.Unavailable+o.Unavailable, r.Racing+o.Racing, r.Withheld+o.Withheld
	r.Installs, r.Took = r.Installs+o.Installs, r.Took+o.Took
	r.Violations = append(r.Violations, o.Violations...)
	r.Faults.Add(o.Faults)
}

// How a race goes on.
const (
	racing       = 6                      // unwraps beside each revoke
	raceSpread   = 20 * time.Millisecond  // over which they begin: a revoke in one country takes as long
	receiptEvery = 500 * time.Millisecond // that nodes are asked again for their receipts
	submitEvery  = 300 * time.Millisecond
	raceGivesUp  = 45 * time.Second // a revoke that is not done by then is pending, and lifted
	wave         = 4                // faults that come one upon the other
	furnishTime  = 5 * time.Minute
)

// Run runs the race and judges it. No node runs afterwards.
func (cfg RaceConfig) Run(ctx context.Context) (RaceReport, error) {
	r := &race{RaceConfig: cfg, windows: map[string][]Op{}, at: map[string][]lap{}}
	r.report.Faults = schedule.NewTally(nil)
	began := time.Now()
	done, err := r.furnish(ctx)
	defer done()
	if err != nil {
		return r.report, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	var lanes, hands sync.WaitGroup
	for _, l := range r.lanes {
		lanes.Go(func() {
			for running.Err() == nil && !r.enough() {
				r.lap(running, l)
			}
		})
	}
	var failed error // owned by the hand until hands.Wait
	suffering, heal := context.WithCancel(ctx)
	defer heal()
	hands.Go(func() {
		if failed = r.suffer(suffering); failed != nil {
			stop()
		}
	})
	if r.Sleep > 0 {
		hands.Go(func() { r.sleep(suffering) })
	}
	lanes.Wait()
	heal()
	hands.Wait()
	if err := errors.Join(failed, ctx.Err(), r.Mend()); err != nil {
		return r.report, err
	}
	if err := r.finish(ctx); err != nil {
		return r.report, err
	}
	r.report.Took, r.report.Installs = time.Since(began), r.installed()
	return r.report, r.judge()
}

func (r *race) now() int64 { return r.clock.Add(1) }

// enough says whether the race is over.
func (r *race) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.report.Done >= r.Revokes && r.report.Unwraps >= r.Unwraps && r.report.Faults.AllFired() >= r.Faults && r.installed() >= r.Installs
}

// installed is how many snapshots took the place of a log so far.
func (r *race) installed() int {
	if r.Installed == nil {
		return 0
	}
	return r.Installed()
}

// laneKinds is the order in which lanes are made.
var laneKinds = []string{authority.SubjectPrincipal, authority.SubjectCertificate, authority.SubjectKey, authority.SubjectCA}

// furnish puts two authorities, a policy and the keys of the lanes in place, and
// makes the lanes. done closes what was opened.
func (r *race) furnish(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, furnishTime)
	defer cancel()
	var closers []func()
	done = func() {
		for _, end := range closers {
			end()
		}
	}
	asks, err := r.Custodian()
	if err != nil {
		return done, err
	}
	closers = append(closers, asks.Close)
	put := func(kind string, body []byte, base api.Digest) error {
		e, err := r.Sign(kind, body, base)
		if err == nil {
			_, err = asks.Submit(ctx, e.Encode())
		}
		return err
	}
	authorityOf := func(name string) (*issuer, error) {
		ca, err := newIssuer(name)
		if err != nil {
			return nil, err
		}
		return ca, put(authority.KindCA, wire.Encode(authority.CA{Name: name, Certificate: ca.cert.Raw}), api.Digest{})
	}
	stays, err := authorityOf("stays")
	if err != nil {
		return done, err
	}
	var members []string
	for _, kind := range laneKinds {
		for i := range r.Lanes[kind] {
			l := &lane{name: fmt.Sprintf("%s-%d", kind, i)}
			l.random = insecure.New(insecure.NewPCG(r.Seed, uint64(len(r.lanes))))
			r.lanes = append(r.lanes, l)
			uri := "spiffe://race/" + l.name
			members = append(members, fmt.Sprintf(`{"uid": {"type": "Warifu::Principal", "id": %q}, "parents": [{"type": "Warifu::Group", "id": "racers"}], "attrs": {}}`, uri))
			key, ca := r.Key, stays
			l.subject = authority.Subject{Kind: kind}
			switch kind {
			case authority.SubjectPrincipal:
				l.subject.Name = uri
			case authority.SubjectKey:
				if key, err = r.bear(ctx, asks, l.name); err != nil {
					return done, err
				}
				l.subject.Name = key.ID().String()
			case authority.SubjectCA:
				if ca, err = authorityOf(l.name); err != nil {
					return done, err
				}
				l.subject.Name = l.name
			}
			cert, err := ca.issue(uri)
			if err != nil {
				return done, err
			}
			if kind == authority.SubjectCertificate {
				leaf, err := x509.ParseCertificate(cert.Certificate[0])
				if err != nil {
					return done, err
				}
				l.subject.Name = authority.SPKIHash(leaf.RawSubjectPublicKeyInfo).String()
			}
			carries, err := stays.issue("spiffe://race/carrier-of-" + l.name)
			if err != nil {
				return done, err
			}
			l.direct, l.carrier = NewDirect(r.Genesis(), cert, r.Open), NewDirect(r.Genesis(), carries, r.Open)
			closers = append(closers, l.direct.Close, l.carrier.Close)
			if l.client, err = r.Client(cert); err != nil {
				return done, err
			}
			closers = append(closers, l.client.Close)
			l.client.Use(key)
			var dek [32]byte
			rand.Read(dek[:])
			if l.envelope, err = key.Wrap(rand.Reader, nil, secret.New(dek[:])); err != nil {
				return done, err
			}
		}
	}
	return done, put(authority.KindPolicy, policy.Document{
		Format:   policy.Format,
		Text:     `@id("racers") permit (principal in Warifu::Group::"racers", action == Warifu::Action::"unwrap", resource);`,
		Entities: "[" + strings.Join(members, ",") + "]",
	}.Encode(), r.Base)
}

// bear has a key born that may be revoked.
func (r *race) bear(ctx context.Context, asks *client.Client, name string) (*client.Key, error) {
	e, err := r.Sign(authority.KindKey, wire.Encode(authority.Order{
		Cluster: r.Genesis().Cluster, Purpose: authority.PurposeUnwrap, Name: name, T: Threshold, F: faulty,
		Holders: r.IDs(), PhaseSeconds: 30,
	}), api.Digest{})
	if err != nil {
		return nil, err
	}
	if _, err := asks.Submit(ctx, e.Encode()); err != nil {
		return nil, err
	}
	return asks.WaitKey(ctx, name)
}

// lap is one round of a lane.
func (r *race) lap(ctx context.Context, l *lane) {
	wait(ctx, time.Duration(l.random.Int64N(int64(2*r.Pause))))
	if ctx.Err() != nil {
		return
	}
	r.unwrap(ctx, l, l.random.IntN(2) == 0)
	var beside sync.WaitGroup
	for range racing {
		after, all := time.Duration(l.random.Int64N(int64(raceSpread))), l.random.IntN(2) == 0
		beside.Go(func() {
			wait(ctx, after)
			r.unwrap(ctx, l, all)
		})
	}
	wait(ctx, raceSpread/4)
	id, done := r.revoke(ctx, l)
	if done { // what begins now is refused, whatever still runs beside it
		r.unwrap(ctx, l, true)
		r.unwrap(ctx, l, false)
	}
	beside.Wait()
	all := l.random.IntN(2) == 0
	beside.Go(func() { r.unwrap(ctx, l, all) })
	r.lift(ctx, l, id)
	beside.Wait()
}

// receipt is what one node signed, or nil.
type receipt struct {
	node   string
	signed *authority.SignedReceipt
	at     int64
}

// revoke hands in a revoke of a lane's subject, and asks for receipts until it is
// done. No node lies here, so the count is the smallest, with f = 0.
func (r *race) revoke(ctx context.Context, l *lane) (id api.Digest, done bool) {
	e, err := r.Sign(authority.KindRevoke, wire.Encode(authority.Revoke{Subject: l.subject}), api.Digest{})
	if err != nil {
		panic(fmt.Sprintf("warifutest: sign a revoke: %v", err)) // the desk's own keys
	}
	id = e.ID()
	entry, directly := e.Encode(), l.random.IntN(2) == 0
	ctx, cancel := context.WithTimeout(ctx, raceGivesUp)
	var asked sync.WaitGroup
	defer asked.Wait()
	defer cancel()
	op := Op{l.name, OpRevoke, id.String(), r.now(), Never}
	r.begun(l, op)
	ordered, arrived := make(chan uint64, 1), make(chan receipt)
	asked.Go(func() {
		if index, err := r.submit(ctx, l, entry); err == nil {
			ordered <- index
		}
	})
	ask := func(node string, method uint16, body []byte) {
		asked.Go(func() {
			s := r.receiptOf(ctx, l, id, node, method, body)
			select {
			case arrived <- receipt{node, s, r.now()}:
			case <-ctx.Done():
			}
		})
	}
	if directly {
		for _, node := range r.IDs() {
			ask(node, api.MethodDeny, wire.Encode(api.SubmitRequest{Entry: entry}))
		}
	}
	body := wire.Encode(api.ReceiptRequest{ID: id})
	got := map[string]*authority.SignedReceipt{}
	again := time.NewTicker(receiptEvery)
	defer again.Stop()
	askAll := func() {
		for _, node := range r.IDs() {
			if s := got[node]; s == nil || s.Receipt.Index == 0 {
				ask(node, api.MethodReceipt, body)
			}
		}
	}
	for {
		select {
		case <-ctx.Done():
			r.ended(l, op, false)
			return id, false
		case index := <-ordered:
			r.placed(l, id, func(p *lap) { p.revoked = index })
			askAll()
		case <-again.C:
			askAll()
		case a := <-arrived:
			s := got[a.node]
			if a.signed == nil || s != nil && s.Receipt.Index != 0 {
				continue
			}
			if s == nil {
				r.add(Op{l.name + " at " + a.node, OpRevoke, op.ID, op.Call, a.at})
			}
			got[a.node] = a.signed
			var list []*authority.SignedReceipt
			for _, s := range got {
				list = append(list, s)
			}
			count, err := authority.CountReceipts(r.Genesis(), id, 0, list)
			if err != nil {
				r.say(Violation{Revoked, fmt.Sprintf("%s: receipts that do not belong together: %v", l.name, err)})
				continue
			}
			if count.Done() {
				op.Return = r.now()
				r.placed(l, id, func(p *lap) { p.revoked = count.Index })
				r.ended(l, op, true)
				return id, true
			}
		}
	}
}

// receiptOf asks one node, and believes what it signed.
func (r *race) receiptOf(ctx context.Context, l *lane, id api.Digest, node string, method uint16, body []byte) *authority.SignedReceipt {
	b, err := l.carrier.Call(ctx, node, method, body)
	if err != nil {
		return nil
	}
	var a api.ReceiptAnswer
	if wire.Decode(b, &a) != nil || len(a.Receipt) == 0 {
		return nil
	}
	s, err := authority.ParseSignedReceipt(a.Receipt)
	if err != nil || s.Verify(&r.Genesis().Genesis, id) != nil || s.Receipt.Node != node || s.Receipt.Subject != l.subject {
		r.say(Violation{Revoked, fmt.Sprintf("%s: the receipt of %s is not believable", l.name, node)})
		return nil
	}
	return s
}

// submit hands an entry to one node after another until it is in the ledger.
func (r *race) submit(ctx context.Context, l *lane, entry []byte) (uint64, error) {
	ids := r.IDs()
	for i := int(r.now()); ; i++ {
		a, err := l.carrier.Submit(ctx, ids[i%len(ids)], entry)
		if err == nil {
			return a.Index, nil
		}
		wait(ctx, submitEvery)
		if ctx.Err() != nil {
			return 0, err
		}
	}
}

// lift ends a revoke, done or pending, and returns when that is in the ledger.
func (r *race) lift(ctx context.Context, l *lane, id api.Digest) {
	e, err := r.Sign(authority.KindLift, wire.Encode(authority.Lift{Lifts: id}), api.Digest{})
	if err != nil {
		panic(fmt.Sprintf("warifutest: sign a lift: %v", err)) // the desk's own keys
	}
	op := Op{l.name, OpLift, id.String(), r.now(), Never}
	index, err := r.submit(ctx, l, e.Encode())
	if err == nil {
		op.Return = r.now()
		r.placed(l, id, func(p *lap) { p.until = index })
	}
	r.add(op)
	for _, node := range r.IDs() {
		at := op
		at.Subject = l.name + " at " + node
		r.add(at)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Lifts++
}

// unwrap makes one attempt, through the lane's client or of all holders at once.
func (r *race) unwrap(ctx context.Context, l *lane, all bool) {
	if ctx.Err() != nil {
		return
	}
	a := raceAttempt{lane: l.name, reason: fmt.Sprintf("race %s %d", l.name, r.count.Add(1)), call: r.now()}
	if all {
		a.outcome, a.ret = r.ask(ctx, l, &a)
	} else {
		dek, err := l.client.Unwrap(ctx, l.envelope, nil, a.reason)
		dek.Wipe()
		a.ret = r.now()
		switch {
		case err == nil:
			a.outcome = opened
		case errors.Is(err, client.ErrDenied), errors.Is(err, client.ErrUnauthenticated):
			a.outcome = refused
		default:
			a.outcome = unavailable
		}
	}
	if a.outcome == opened {
		r.add(Op{l.name, OpRelease, a.reason, a.call, a.ret})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
	r.report.Unwraps++
	switch a.outcome {
	case opened:
		r.report.Opened++
	case refused:
		r.report.Denied++
	default:
		r.report.Unavailable++
	}
}

// ask asks every holder for its partial. It is open when t of them have given one,
// of one epoch.
func (r *race) ask(ctx context.Context, l *lane, a *raceAttempt) (raceOutcome, int64) {
	var all sync.WaitGroup
	var mu sync.Mutex
	gave, outcome, ret := map[uint64]int{}, unavailable, int64(0) // guarded by mu
	for _, node := range r.IDs() {
		all.Go(func() {
			answer, err := l.direct.Unwrap(ctx, node, l.envelope, a.reason)
			at := r.now()
			mu.Lock()
			defer mu.Unlock()
			var e *api.Error
			switch {
			case err == nil:
				r.add(Op{l.name + " at " + node, OpRelease, a.reason, a.call, at})
				epoch := answer.Items[0].Epoch
				if gave[epoch]++; gave[epoch] == Threshold {
					outcome, ret = opened, at
				}
			case errors.As(err, &e) && e.Code == api.CodeDenied && outcome != opened:
				outcome = refused
			}
		})
	}
	all.Wait()
	if ret == 0 {
		ret = r.now()
	}
	return outcome, ret
}

func (r *race) add(op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, op)
}

func (r *race) say(v Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Violations = append(r.report.Violations, v)
}

// begun and ended note when a revoke is in flight.
func (r *race) begun(l *lane, op Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.windows[l.name] = append(r.windows[l.name], op)
}

func (r *race) ended(l *lane, op Op, done bool) {
	until := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.windows[l.name]
	w[len(w)-1].Return = until
	r.history = append(r.history, op)
	if done {
		r.report.Done++
	} else {
		r.report.Pending++
	}
}

func (r *race) placed(l *lane, id api.Digest, note func(*lap)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.at[l.name]
	if n := len(of); n == 0 || of[n-1].id != id {
		of = append(of, lap{id: id})
		r.at[l.name] = of
	}
	note(&of[len(of)-1])
}

// suffer plays waves of faults, with calm between them.
func (r *race) suffer(ctx context.Context) error {
	g := schedule.NewGenerator(r.Seed, r.IDs(), r.Kinds...)
	for ctx.Err() == nil {
		outcomes, err := schedule.Play(ctx, g, r, wave)
		r.took(outcomes)
		if err != nil && !errors.Is(err, schedule.ErrTooFew) && ctx.Err() == nil {
			return err
		}
		wait(ctx, r.Calm)
	}
	return nil
}

func (r *race) took(outcomes []schedule.Outcome) {
	t := schedule.NewTally(outcomes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Faults.Add(t)
}

// sleep sends one node after another away until the others have taken its place in
// their logs out of them.
func (r *race) sleep(ctx context.Context) {
	ids := slices.Clone(r.IDs())
	random := insecure.New(insecure.NewPCG(r.Seed, 0x736c656570))
	for {
		wait(ctx, r.Sleep)
		if ctx.Err() != nil {
			return
		}
		f := schedule.Fault{Kind: schedule.Crash, Nodes: []string{ids[random.IntN(len(ids))]}, For: r.Sleep}
		in, err := r.Inflict(f)
		if err != nil {
			continue // it is down already
		}
		wait(ctx, r.Sleep)
		err = in.Heal()
		r.took([]schedule.Outcome{{Fault: f, Met: in.Fired(), Err: err}})
	}
}

// finish waits until the healed cluster has one ledger, revokes every lane once
// more, for good, and lets all try.
func (r *race) finish(ctx context.Context) error {
	if err := r.converge(ctx); err != nil {
		return err
	}
	for range 2 { // the second time after every node has been started anew
		var all sync.WaitGroup
		for _, l := range r.lanes {
			all.Go(func() {
				r.unwrap(ctx, l, true)
				if _, done := r.revoke(ctx, l); !done {
					r.say(Violation{Progress, l.name + ": in a healed cluster a revoke is not done"})
				}
				r.unwrap(ctx, l, true)
				r.unwrap(ctx, l, false)
			})
		}
		all.Wait()
		for _, id := range r.IDs() {
			in, err := r.Inflict(schedule.Fault{Kind: schedule.Crash, Nodes: []string{id}})
			if err == nil {
				err = in.Heal()
			}
			if err != nil {
				return err
			}
		}
		if err := r.converge(ctx); err != nil {
			return err
		}
	}
	for _, l := range r.lanes {
		r.unwrap(ctx, l, true)
	}
	return nil
}

func (r *race) converge(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	asks, err := r.Custodian()
	if err != nil {
		return err
	}
	defer asks.Close()
	_, err = Converged(ctx, asks, func(string) bool { return true })
	return err
}

// issuer is an authority for applications.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(name string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(certificateLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &issuer{cert, key}, err
}

func (i *issuer) issue(uri string) (tls.Certificate, error) {
	name, err := url.Parse(uri)
	if err != nil {
		return tls.Certificate{}, err
	}
	return certify(&x509.Certificate{URIs: []*url.URL{name}}, nil, i.cert, i.key)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
