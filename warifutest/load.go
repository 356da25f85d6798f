package warifutest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	insecure "math/rand/v2"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// LoadConfig says whom a [Load] works for; every field is required.
type LoadConfig struct {
	// Sign makes a change that enough custodians have signed.
	Sign      func(kind string, body []byte, base api.Digest) (*authority.Entry, error)
	Custodian *client.Client // hands changes in
	A, B      *client.Client // unwrap as AppA and AppB
	Direct    *Direct        // asks single nodes as AppA
	Key       *client.Key
	Base      api.Digest // the policy change in force
	Seed      uint64
	Trace     func(format string, args ...any)
}

// Load is what happens while a cluster suffers: the custodians permit and deny
// AppA in turn, each change made against the one before, so that a lost one shows;
// both applications unwrap; everybody is asked where its ledger is.
type Load struct {
	cfg      LoadConfig
	envelope []byte
	denied   chan struct{} // of room 1: a deny was acknowledged

	mu        sync.Mutex
	submitted int        // number of the last change that was handed in; guarded by mu
	base      api.Digest // of the next change; guarded by mu
	handed    *handed    // not acknowledged yet; guarded by mu
	acked     []Ack      // guarded by mu
	attempts  []Attempt  // guarded by mu
	sights    []Sight    // guarded by mu
	refused   int        // changes that were refused and taken later; guarded by mu
}

// Ack is a change that was acknowledged as committed.
type Ack struct {
	Number  int // from 1
	ID      api.Digest
	Index   uint64
	PermitA bool
}

// Attempt is one unwrap that has ended, with the changes that it ran beside.
type Attempt struct {
	Principal string
	Reason    string // its own; it stands in every record of it
	Node      string // the only one asked, or empty for a quorum
	OK        bool   // a data key, or a partial
	After     int    // the last change acknowledged when it began
	Before    int    // the last change handed in when it ended
	Err       error
}

// Sight is a position that a node said it has.
type Sight struct {
	Node  string
	Index uint64
	Link  api.Digest
}

// NewLoad makes a load that has not begun.
func NewLoad(cfg LoadConfig) (*Load, error) {
	var dek [32]byte
	rand.Read(dek[:])
	envelope, err := cfg.Key.Wrap(rand.Reader, nil, secret.New(dek[:]))
	if err != nil {
		return nil, err
	}
	return &Load{cfg: cfg, envelope: envelope, base: cfg.Base, denied: make(chan struct{}, 1)}, nil
}

// Pauses between what one of the load's hands does, drawn evenly up to twice.
const (
	changePause = 400 * time.Millisecond
	unwrapPause = 300 * time.Millisecond
	statusPause = 2 * time.Second
)

// Run goes on until ctx ends, and returns when all is quiet. What is under way
// then is finished with: its outcome is unknown.
func (l *Load) Run(ctx context.Context) {
	var hands sync.WaitGroup
	for i, hand := range []func(context.Context, func(time.Duration)){l.change, l.unwrapA, l.unwrapB, l.look} {
		random := insecure.New(insecure.NewPCG(l.cfg.Seed, uint64(i)))
		pause := func(mean time.Duration) {
			timer := time.NewTimer(time.Duration(random.Int64N(int64(2 * mean))))
			defer timer.Stop()
			wake := l.denied
			if i != 1 {
				wake = nil
			}
			select {
			case <-timer.C:
			case <-wake:
			case <-ctx.Done():
			}
		}
		hands.Go(func() {
			for ctx.Err() == nil {
				hand(ctx, pause)
			}
		})
	}
	hands.Wait()
}

// change hands in the next change until it is acknowledged.
func (l *Load) change(ctx context.Context, pause func(time.Duration)) {
	pause(changePause)
	if ctx.Err() == nil {
		_, _ = l.Change(ctx)
	}
}

// Change hands in the next change, or the last one if it was not acknowledged yet,
// again and again until it is or ctx ends. It is not called while [Load.Run] is at
// work.
func (l *Load) Change(ctx context.Context) (Ack, error) {
	n, err := l.next()
	if err != nil {
		return Ack{}, err
	}
	refused := false
	for {
		a, err := l.cfg.Custodian.Submit(ctx, n.entry)
		if err == nil {
			ack := Ack{Number: n.number, ID: a.ID, Index: a.Index, PermitA: n.permitA}
			l.take(ack, refused)
			return ack, nil
		}
		if ctx.Err() != nil {
			return Ack{}, err
		}
		refused = refused || errors.Is(err, client.ErrRefusedEntry)
		l.cfg.Trace("change %d is not taken yet: %v", n.number, err)
		select {
		case <-ctx.Done():
			return Ack{}, err
		case <-time.After(changePause):
		}
	}
}

// handed is a change on its way.
type handed struct {
	number  int
	permitA bool
	entry   []byte
}

// next is the change on its way, or a new one.
func (l *Load) next() (*handed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handed == nil {
		n := &handed{number: l.submitted + 1}
		n.permitA = n.number%2 == 0
		e, err := l.cfg.Sign(authority.KindPolicy, Policy(n.number, n.permitA).Encode(), l.base)
		if err != nil {
			return nil, err
		}
		n.entry = e.Encode()
		l.handed, l.submitted = n, n.number
	}
	return l.handed, nil
}

func (l *Load) take(ack Ack, refused bool) {
	l.mu.Lock()
	l.acked = append(l.acked, ack)
	l.base, l.handed = ack.ID, nil
	if refused {
		l.refused++
	}
	l.mu.Unlock()
	l.cfg.Trace("change %d is acknowledged at %d: A %s", ack.Number, ack.Index, map[bool]string{true: "may", false: "may not"}[ack.PermitA])
	if !ack.PermitA {
		select {
		case l.denied <- struct{}{}:
		default:
		}
	}
}

// begin notes where the changes are before an attempt.
func (l *Load) begin(principal, node string) *Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &Attempt{Principal: principal, Node: node}
	if n := len(l.acked); n > 0 {
		a.After = l.acked[n-1].Number
	}
	var id [8]byte
	rand.Read(id[:])
	a.Reason = fmt.Sprintf("attempt %x", id)
	return a
}

func (l *Load) end(a *Attempt, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.OK, a.Err, a.Before = err == nil, err, l.submitted
	l.attempts = append(l.attempts, *a)
}

// Unwrap makes one attempt with a quorum.
func (l *Load) Unwrap(ctx context.Context, principal string) error {
	cl := l.cfg.A
	if principal == AppB {
		cl = l.cfg.B
	}
	a := l.begin(principal, "")
	dek, err := cl.Unwrap(ctx, l.envelope, nil, a.Reason)
	dek.Wipe()
	l.end(a, err)
	return err
}

// ask asks one node for its partial, as AppA.
func (l *Load) ask(ctx context.Context, node string) {
	a := l.begin(AppA, node)
	answer, err := l.cfg.Direct.Unwrap(ctx, node, l.envelope, a.Reason)
	l.end(a, err)
	if answer != nil {
		h := answer.Header
		l.see(Sight{node, h.Index, h.Link})
		if h.MilestoneIndex > 0 {
			l.see(Sight{node, h.MilestoneIndex, h.MilestoneLink})
		}
	}
}

func (l *Load) unwrapA(ctx context.Context, pause func(time.Duration)) {
	pause(unwrapPause)
	var all sync.WaitGroup
	defer all.Wait()
	for _, n := range l.cfg.Key.Holders() {
		all.Go(func() { l.ask(ctx, n) })
	}
	_ = l.Unwrap(ctx, AppA)
}

func (l *Load) unwrapB(ctx context.Context, pause func(time.Duration)) {
	pause(unwrapPause)
	_ = l.Unwrap(ctx, AppB)
}

func (l *Load) look(ctx context.Context, pause func(time.Duration)) {
	for _, s := range l.cfg.Custodian.Status(ctx) {
		if s.Err == nil {
			l.see(Sight{s.Node, s.Answer.Index, s.Answer.Link})
		}
	}
	pause(statusPause)
}

func (l *Load) see(s Sight) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sights = append(l.sights, s)
}

// Seen is what a load has come to know.
type Seen struct {
	Acked    []Ack
	Attempts []Attempt
	Sights   []Sight
	Refused  int // changes that one node refused and the ledger took later
}

// Seen returns it; the load goes on.
func (l *Load) Seen() Seen {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Seen{
		Acked: append([]Ack(nil), l.acked...), Attempts: append([]Attempt(nil), l.attempts...),
		Sights: append([]Sight(nil), l.sights...), Refused: l.refused,
	}
}
