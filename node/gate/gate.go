package gate

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/failpoint"
	"warifu.dev/internal/tag"
	"warifu.dev/node/keyring"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

// Caller is who asks, as the connection proved it.
type Caller struct {
	Principal string     // SPIFFE ID
	Source    netip.Addr // where the connection comes from
	// Standing says whether this caller is admitted under a state, at a time:
	// its CA in force, its certificate valid. It is asked of both states.
	Standing func(*ledger.State, time.Time) error
}

// Recorder is the audit log: Append returns when the records are durable.
type Recorder interface {
	Append(ctx context.Context, records ...audit.Record) (uint64, error)
}

// Config is what a [Gate] needs; all but Expect and Meter is required.
type Config struct {
	Node   string
	Region string
	HSM    string // the kind of device that seals this node's shares
	// States returns committed and tail; each call may return later ones.
	States func() (committed, tail *ledger.State)
	// Unsealed and Fresh say nil, or why nothing is released.
	Unsealed func() *api.Error
	Fresh    func() *api.Error
	// Share returns this node's share of a key in one epoch, and what gives it back:
	// it is of use until then, also when the node is sealed meanwhile.
	Share func(key api.KeyID, version uint32, epoch uint64) (s *keyring.Share, back func(), ok bool)
	// Policy compiles, or finds compiled, the policy of a state.
	Policy func(*ledger.State) (*policy.Policy, error)
	Audit  Recorder
	Now    func() time.Time
	Rand   io.Reader
	// Cap bounds the recorded refusals of one principal.
	Cap *RefusalCap
	// Slots are the uses of grants that this node has bound.
	Slots *Slots
	// Rates counts what the policy limits.
	Rates *Rates
	// Expect says that a request is being decided which will be recorded, until over is
	// called, once or more often; nil tells nobody.
	Expect func() (over func())
	// Meter is told what becomes of requests; nil is nobody.
	Meter Meter
}

// Gate decides and records. It is safe for concurrent use.
type Gate struct {
	cfg     Config
	steps   []step
	publics sync.Map // versionID → *tdh2.PublicKey; as many as the ledger has keys
	checked checked

	mu   sync.Mutex
	uses map[api.KeyID]usage // guarded by mu
}

type versionID struct {
	key     api.KeyID
	version uint32
}

// New makes a gate.
func New(cfg Config) *Gate {
	if cfg.Expect == nil {
		cfg.Expect = func() func() { return func() {} }
	}
	if cfg.Meter == nil {
		cfg.Meter = noMeter{}
	}
	g := &Gate{cfg: cfg, uses: map[api.KeyID]usage{}, checked: newChecked()}
	g.steps = g.contract()
	return g
}

// denied is what a caller hears for everything that must not be told apart (R28).
func denied() *api.Error { return api.Refuse(api.CodeDenied, "the request is not permitted") }

// item is one envelope on its way through the gate.
type item struct {
	request   api.UnwrapItem   // of an encryption: context, and the use of a grant
	canonical []byte           // of its context, once somebody has asked
	encrypt   *api.EncryptItem // or nil
	branch    *api.BranchItem  // or nil
	symmetric *symmetric       // of an item of a symmetric key, once it is read; or nil
	envelope  *tdh2.Envelope
	key       *ledger.Key
	epoch     *ledger.Epoch // of the key: the one that was asked for
	share     *keyring.Share
	public    *tdh2.PublicKey
	verified  *tdh2.VerifiedEnvelope
	endorsed  [tdh2.EndorsementSize]byte // goes out with a release, never without
	rules     []string
	grant     *authority.Grant // that it is asked by, and that meets an approval of both policies; or nil
	spent     bool             // its rates are charged
	nextSlot  uint32           // of a refusal by the code slot
	current   uint64           // of a refusal by the code epoch: the one to ask for
	why       string           // for the record: what the code leaves out, and the caller does not hear
	refusal   *api.Error
	withheld  bool // the refusal came while the record was being written
}

// Unwrap decides on each item of a request and answers with partials and
// refusals, in order. The error, if any, is an *[api.Error] about the whole
// request.
func (g *Gate) Unwrap(ctx context.Context, caller *Caller, req *api.UnwrapRequest) (*api.UnwrapAnswer, error) {
	q, items, err := unwrapping(req)
	if err != nil {
		return nil, err
	}
	return g.answer(ctx, caller, q, items)
}

// answer is the one path of every release.
func (g *Gate) answer(ctx context.Context, caller *Caller, req *question, items []*item) (_ *api.UnwrapAnswer, err error) {
	committed, tail := g.cfg.States()
	a := &asked{
		caller: caller, request: req, committed: committed, tail: tail, at: g.cfg.Now(),
		borrowed: &loans{}, passed: passed{alone: len(items) == 1},
	}
	recorded := g.cfg.Expect()
	defer func() {
		recorded()
		g.tell(items, err)
		a.borrowed.giveBack()
	}()
	watch := g.watch()
	for _, it := range items {
		g.decide(a, it)
	}
	watch.took(PartDecision)
	g.spend(ctx, a, items)
	if err := g.record(ctx, caller, req, items, committed); err != nil {
		return nil, err
	}
	recorded()
	watch.took(PartSync)
	defer watch.took(PartPartial)
	if err := g.denyAgain(ctx, a, items); err != nil {
		return nil, err
	}
	answer := &api.UnwrapAnswer{Header: Header(g.cfg.Node, committed), Items: make([]api.ItemAnswer, len(items))}
	return answer, failpoint.Step("gate/release", func() error {
		var with evaluating
		for i, it := range items {
			answer.Items[i] = g.release(it, &with)
		}
		return nil
	})
}

// question is what the items of a request have in common.
type question struct {
	RequestID api.RequestID
	Reason    string
	Region    string
	action    string
	sets      []tprf.Set // that are asked of this node, for items of symmetric keys
	each      bool       // of branch keys: the value of each set
}

// unwrapping reads a request, and holds it against its bounds.
func unwrapping(req *api.UnwrapRequest) (*question, []*item, error) {
	q := &question{RequestID: req.RequestID, Reason: req.Reason, Region: req.Region, action: policy.Unwrap}
	items := make([]*item, len(req.Items))
	for i, request := range req.Items {
		items[i] = &item{request: request}
	}
	return q, items, q.wellFormed(len(items), req.Sets)
}

// wellFormed holds a request against its bounds.
func (req *question) wellFormed(items int, sets []uint16) error {
	if items == 0 || items > api.MaxUnwrapItems || len(req.Reason) > api.MaxReason {
		return api.Refuse(api.CodeMalformed, "a request has 1 to %d items and a reason of at most %d bytes", api.MaxUnwrapItems, api.MaxReason)
	}
	if req.Region != "" && api.CheckName(req.Region) != nil {
		return api.Refuse(api.CodeMalformed, "the caller's region is not a name")
	}
	return req.name(sets)
}

// Refuse writes down that a request was refused before any of its items was looked at,
// such as of a caller whose class may not unwrap: a record for each item, up to the
// cap, as of any other principal. It returns the refusal, or why it could not be
// written down.
func (g *Gate) Refuse(ctx context.Context, caller *Caller, req *api.UnwrapRequest, refusal *api.Error, why string) error {
	q, items, err := unwrapping(req)
	if err != nil {
		return err
	}
	return g.refuse(ctx, caller, q, items, refusal, why)
}

func (g *Gate) refuse(ctx context.Context, caller *Caller, req *question, items []*item, refusal *api.Error, why string) error {
	committed, _ := g.cfg.States()
	for _, it := range items {
		if it.read(committed.Genesis().Cluster, caller, req) == nil {
			if it.key = committed.KeyVersion(it.names()); it.key != nil {
				it.epoch = &it.key.Epoch
			}
		}
		it.refusal, it.why = refusal, why
	}
	err := g.record(ctx, caller, req, items, committed)
	g.tell(items, err)
	if err != nil {
		return err
	}
	return refusal
}

// Header says what was decided on.
func Header(node string, s *ledger.State) api.AnswerHeader {
	at, milestone := s.Position(), s.LastMilestone()
	h := api.AnswerHeader{
		Node: node, Index: at.Index, Link: at.Link,
		MilestoneIndex: milestone.Index, MilestoneLink: milestone.Link,
	}
	if p := s.Policy(); p != nil {
		h.PolicyDigest = p.Digest
	}
	return h
}

// asked is what the items of one request have in common, and the two states
// that it is held against.
type asked struct {
	caller          *Caller
	request         *question
	committed, tail *ledger.State
	at              time.Time // when it was decided for the first time
	approved        map[approving][]string
	borrowed        *loans
	passed          passed
}

// loans gives back the shares that are borrowed for the items of a request.
type loans []func()

func (l *loans) giveBack() {
	for _, back := range *l {
		back()
	}
}

// states are the two to be asked, or the one that both are when the log holds
// nothing that is not committed.
func (a *asked) states() []*ledger.State {
	if a.committed == a.tail {
		return []*ledger.State{a.committed}
	}
	return []*ledger.State{a.committed, a.tail}
}

// step is one question of the gate: nil, or why not.
type step struct {
	name  string
	ask   func(*asked, *item) *api.Error
	again again
}

// again says when an answer can turn into a no while the record is written.
type again int

const (
	always  again = iota // it depends on this node, or on the time
	ifLater              // it depends on the states, and on the minute or the end of a grant
	ifMoved              // it depends on the states
	never                // it depends on the request
)

// contract lists the steps before the record, in their order.
func (g *Gate) contract() []step {
	return []step{
		{"unsealed", func(*asked, *item) *api.Error { return g.cfg.Unsealed() }, always},
		{"fresh", func(*asked, *item) *api.Error { return g.cfg.Fresh() }, always},
		{"key", g.findKey, ifMoved},
		{"epoch", g.findEpoch, always},
		{"share", g.findShare, ifMoved},
		{"principal", g.checkPrincipal, always},
		{"policy", g.checkPolicy, ifLater},
		{"budgets", g.checkBudgets, ifMoved},
		{"interval", g.checkInterval, always},
		{"envelope", g.checkEnvelope, never},
	}
}

// decide is every step before the record.
func (g *Gate) decide(a *asked, it *item) {
	it.refusal = g.pass(a, it, func(again) bool { return true })
}

// read reads the head of what is asked for: an envelope of either kind of key, what is
// to be encrypted, or a branch.
func (it *item) read(cluster api.ClusterID, caller *Caller, req *question) *api.Error {
	if err := it.request.Context.Check(); err != nil {
		return api.Refuse(api.CodeMalformed, "%v", err)
	}
	if it.branch != nil {
		return it.readBranch(cluster, caller, req.each)
	}
	if it.encrypt != nil {
		it.symmetric = encrypting(cluster, it.encrypt, it.context(), caller)
		return nil
	}
	if c, err := tprf.Parse(it.request.Envelope); err == nil {
		it.symmetric = opening(c, it.context(), it.request.Prove)
		return nil
	}
	e, err := tdh2.Parse(it.request.Envelope)
	if err != nil {
		return api.Refuse(api.CodeEnvelope, "the bytes are not an envelope")
	}
	it.envelope = e
	return nil
}

// names is the key that an item names, once it is read.
func (it *item) names() (api.KeyID, uint32) {
	if it.symmetric != nil {
		return it.symmetric.key.ID, it.symmetric.key.Version
	}
	return it.envelope.KeyID(), it.envelope.Version()
}

// context is the canonical encoding of the item's context.
func (it *item) context() []byte {
	if it.canonical == nil {
		it.canonical = it.request.Context.Canonical()
	}
	return it.canonical
}

// purpose is what the key must be for.
func (it *item) purpose() string {
	if it.symmetric != nil {
		return authority.PurposeEncrypt
	}
	return authority.PurposeUnwrap
}

// hash names what is asked for, in the audit and in the uses of a grant.
func (it *item) hash() [32]byte {
	if it.symmetric != nil {
		return it.symmetric.input.Hash()
	}
	return it.envelope.Hash()
}

// findKey reads the envelope's head and finds the key, not revoked in either state.
// That a key exists is not said to one who may not use it (R28).
func (g *Gate) findKey(a *asked, it *item) *api.Error {
	if it.envelope == nil && it.symmetric == nil { // else it was read, and is what every step has seen
		if err := it.read(a.committed.Genesis().Cluster, a.caller, a.request); err != nil {
			return err
		}
	}
	id, version := it.names()
	k := a.committed.KeyVersion(id, version)
	if k == nil || k.Purpose != it.purpose() {
		it.why = "unknown key"
		return denied()
	}
	it.key, it.epoch = k, &k.Epoch
	for _, s := range a.states() {
		if by, is := s.Revoked(authority.Subject{Kind: authority.SubjectKey, Name: id.String()}); is {
			it.why = "key: revoked by " + by.String()
			return denied()
		}
	}
	return nil
}

// findEpoch takes the epoch that the client asks for, if both states have it live, and
// asks whether the key may release where it stands in its life. With none asked for it
// is the current one. Both depend on the time: this node's clock ends an overlap and
// begins a key's life as well as the ledger's.
func (g *Gate) findEpoch(a *asked, it *item) *api.Error {
	k := it.key
	number := it.request.Epoch
	if number == 0 {
		number = k.Number
	}
	now := g.cfg.Now().UnixMilli()
	e, t := a.committed.Releases(k, number, now), a.tail.KeyVersion(k.ID, k.Version)
	if e != nil {
		it.epoch = e
	}
	if e == nil || t == nil || a.tail.Releases(t, number, now) == nil {
		refusal := g.toPermitted(a, it, api.Retry(api.CodeEpoch, "epoch %d of the key does not release here, its current one is %d", number, k.Number))
		if refusal.Code == api.CodeEpoch {
			it.current = k.Number
		}
		return refusal
	}
	return g.checkState(a, it)
}

// findShare takes this node's share in the epoch.
func (g *Gate) findShare(a *asked, it *item) *api.Error {
	k, number := it.key, it.epoch.Number
	share, back, ok := g.cfg.Share(k.ID, k.Version, number)
	if it.share = share; ok {
		*a.borrowed = append(*a.borrowed, back)
	}
	index := it.epoch.IndexOf(g.cfg.Node)
	if !ok || index == 0 || share.Index != index || k.Symmetric() != (share.Sets != nil) {
		return g.toPermitted(a, it, api.Retry(api.CodeNoShare, "this node holds no share of epoch %d of the key", number))
	}
	return nil
}

// toPermitted refuses with e, or as denied if the caller may not use the key.
func (g *Gate) toPermitted(a *asked, it *item, e *api.Error) *api.Error {
	if err := g.checkPrincipal(a, it); err != nil {
		return err
	}
	if err := g.checkPolicy(a, it); err != nil {
		return err
	}
	return e
}

// checkPrincipal asks both states whether the caller is still admitted.
func (g *Gate) checkPrincipal(a *asked, it *item) *api.Error {
	now := g.cfg.Now()
	for _, s := range a.states() {
		if err := a.caller.Standing(s, now); err != nil {
			it.why = "principal: " + err.Error()
			return denied()
		}
	}
	return nil
}

// checkPolicy asks the policies of both states, each about the grant that the item
// names as that state has it. A grant that is named has to fit, also where the policy
// would do without.
func (g *Gate) checkPolicy(a *asked, it *item) *api.Error {
	for _, s := range a.states() {
		p, err := g.cfg.Policy(s)
		if err != nil {
			it.why = "policy: " + err.Error()
			return denied()
		}
		var of granted
		if it.request.Use != nil {
			of = g.grantOf(a, it, s, p)
		}
		r := policy.Request{
			Principal:    a.caller.Principal,
			Action:       a.request.action,
			KeyID:        it.key.ID,
			KeyName:      it.key.Name,
			Labels:       s.Life(it.key.ID).Labels,
			Context:      it.request.Context,
			SourceIP:     a.caller.Source,
			NodeRegion:   g.cfg.Region,
			NodeHSM:      g.cfg.HSM,
			CallerRegion: a.request.Region,
			Reason:       a.request.Reason,
			Grants:       of.meets,
			Now:          g.cfg.Now(),
		}
		if it.branch != nil {
			r.Branch = time.Duration(it.branch.Seconds) * time.Second
		}
		d := p.Decide(r)
		it.rules = d.Rules
		if !d.Allowed && len(d.Needs) > 0 {
			it.why = "policy: it needs a grant"
			return needsGrant(d.Needs, of.why)
		}
		if !d.Allowed {
			it.why = "policy"
			if len(d.Errors) > 0 {
				it.why = "policy: " + d.Errors[0]
			}
			return denied()
		}
		if of.why != nil {
			it.why = "grant: " + of.why.Sentence
			return of.why
		}
		it.grant = of.grant
		if it.branch != nil && it.makes() {
			r.Action, r.Branch, r.Grants = policy.Encrypt, 0, nil
			if !p.Decide(r).Allowed {
				it.why = "policy: it may hold branch keys, and not encrypt"
				return denied()
			}
		}
	}
	return nil
}

// checkEnvelope accepts an endorsement of this node, given or remembered, or verifies
// the proof. What a symmetric key encrypted has none: another context, or an altered byte
// of its head, asks for values that open nothing.
func (g *Gate) checkEnvelope(a *asked, it *item) *api.Error {
	if it.symmetric != nil {
		return it.checkSets(a)
	}
	pk, err := g.publicKey(a.committed, it.key)
	if err != nil {
		return api.Refuse(api.CodeInternal, "the key's record is not usable")
	}
	it.public = pk
	canonical := it.context()
	own := tdh2.Endorse(it.share.Endorsement, g.cfg.Node, pk, canonical, it.envelope)
	it.endorsed = own.MAC()
	given := it.request.Endorsement
	if g.checked.has(it.endorsed) {
		given = it.endorsed[:]
	}
	if v, ok := own.Accept(given); ok {
		it.verified = v
		return nil
	}
	v, err := pk.Verify(it.envelope, canonical)
	if err != nil {
		return api.Refuse(api.CodeEnvelope, "the envelope's proof fails: it was altered, or its context is another")
	}
	it.verified = v
	return nil
}

// publicKey makes the key's public half, once for each key and version: it never
// changes after that.
func (g *Gate) publicKey(s *ledger.State, k *ledger.Key) (*tdh2.PublicKey, error) {
	id := versionID{k.ID, k.Version}
	if pk, ok := g.publics.Load(id); ok {
		return pk.(*tdh2.PublicKey), nil
	}
	y, err := group.DecodePoint(k.Record.Y)
	if err != nil {
		return nil, err
	}
	pk, err := tdh2.NewPublicKey(s.Origin(k), k.ID, k.Version, int(k.BornT), int(k.BornH), y)
	if err != nil {
		return nil, err
	}
	g.publics.Store(id, pk)
	return pk, nil
}

// record appends one record for each item, and returns when they are durable.
func (g *Gate) record(ctx context.Context, caller *Caller, req *question, items []*item, s *ledger.State) error {
	records := make([]audit.Record, 0, len(items))
	common := g.describeAll(caller, req, s)
	for _, it := range items {
		if it.refusal != nil && !g.cfg.Cap.Allow(caller.Principal, g.cfg.Now()) {
			continue
		}
		records = append(records, it.describe(common))
	}
	return g.append(ctx, records)
}

func (g *Gate) append(ctx context.Context, records []audit.Record) error {
	if len(records) == 0 {
		return nil
	}
	err := failpoint.Step("gate/record", func() error { _, err := g.cfg.Audit.Append(ctx, records...); return err })
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return api.Retry(api.CodeOverloaded, "the record was not durable in time")
		}
		return api.Retry(api.CodeAudit, "this node cannot record decisions")
	}
	return nil
}

// describeAll is what the records of a request's items have in common.
func (g *Gate) describeAll(caller *Caller, req *question, s *ledger.State) audit.Record {
	r := audit.Record{
		Time: g.cfg.Now().UnixMilli(), Kind: audit.Release, Node: g.cfg.Node,
		RequestID: req.RequestID, Principal: caller.Principal, Action: req.action,
		Reason: req.Reason, Region: req.Region, LedgerIndex: s.Position().Index,
	}
	if caller.Source.IsValid() {
		r.Source = caller.Source.String()
	}
	if p := s.Policy(); p != nil {
		r.PolicyDigest = p.Digest
	}
	return r
}

// describe is the record of an item, of which r has what is common.
func (it *item) describe(r audit.Record) audit.Record {
	r.Rules, r.Context = it.rules, tag.Hash(tag.AuditContext, it.context())
	if it.envelope != nil || it.symmetric != nil {
		r.Envelope = it.hash()
		r.Key, r.Version = it.names()
	}
	if it.key != nil {
		r.KeyName, r.Epoch = it.key.Name, it.epoch.Number
	}
	if it.branch != nil {
		r.BranchFrom, r.Branch = it.branch.From, it.branch.Seconds
		r.Writer = it.writer(r.Principal)
	}
	if u := it.request.Use; u != nil {
		r.Grant, r.Slot = u.Grant, u.Slot
	}
	if it.refusal != nil {
		r.Kind, r.Code, r.Why = audit.Refusal, string(it.refusal.Code), it.why
	}
	return r
}

// denyAgain asks once more, of the states and at the time as they are now, what could
// have been denied while the record was being written, or is past after a slow sync.
func (g *Gate) denyAgain(ctx context.Context, was *asked, items []*item) error {
	committed, tail := g.cfg.States()
	a := &asked{
		caller: was.caller, request: was.request, committed: committed, tail: tail, at: was.at,
		borrowed: was.borrowed, passed: passed{alone: len(items) == 1},
	}
	moved := committed != was.committed || tail != was.tail
	var withheld []audit.Record
	for _, it := range items {
		if it.refusal != nil {
			continue
		}
		if it.refusal = g.decideAgain(a, it, moved); it.refusal != nil {
			it.withheld = true
			r := it.describe(g.describeAll(a.caller, a.request, committed))
			r.Kind = audit.Withheld
			withheld = append(withheld, r)
		}
	}
	return g.append(ctx, withheld)
}

// decideAgain repeats the steps whose answer can have turned into a no.
func (g *Gate) decideAgain(a *asked, it *item, moved bool) *api.Error {
	epoch, session := it.epoch.Number, it.epoch.Session
	// A policy tells the time by the minute; a grant has an end of its own.
	later := moved || it.grant != nil || g.cfg.Now().Unix()/60 != a.at.Unix()/60
	if err := g.pass(a, it, func(when again) bool {
		return when == always || when == ifMoved && moved || when == ifLater && later
	}); err != nil {
		return err
	}
	if it.epoch.Number != epoch || it.epoch.Session != session {
		return api.Retry(api.CodeEpoch, "the key's epoch has changed")
	}
	return nil
}

// release makes the partial of an item that passed every step, and nothing for
// any other.
func (g *Gate) release(it *item, with *evaluating) api.ItemAnswer {
	if it.refusal != nil {
		return api.ItemAnswer{Refusal: it.refusal, NextSlot: it.nextSlot, Current: it.current}
	}
	g.used(it.key.ID)
	if it.symmetric != nil {
		return with.evaluate(it)
	}
	partial := it.verified.Partial(it.share.Scalar)
	g.checked.remember(it.endorsed)
	a := api.ItemAnswer{
		Epoch: it.epoch.Number, Index: it.share.Index,
		Partial: partial.Bytes(), Endorsement: it.endorsed[:],
	}
	if it.request.Prove {
		id := tdh2.ShareID{
			Cluster: it.public.Cluster, KeyID: it.key.ID, Version: it.key.Version,
			Epoch: it.epoch.Number, Index: sharing.Index(it.share.Index),
		}
		proof, err := tdh2.ProveShare(g.cfg.Rand, it.share.Scalar, id, group.BaseMul(it.share.Scalar), partial, it.envelope)
		if err != nil {
			return api.ItemAnswer{Refusal: api.Retry(api.CodeInternal, "the share proof failed")}
		}
		a.Proof = proof
	}
	return a
}
