package warifutest

import (
	"context"
	"crypto/tls"
	"errors"
	insecure "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
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

// race is revokes against unwraps. Each lane does the same over and over:
//
//	unwrap │ revoke ──▶ done │ unwrap twice │ lift ──▶ taken │ ...
//	       │ unwraps         │              │ unwrap         │
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
	leader   string           // guarded by mu; empty until it is known
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

// How a race goes on.
const (
	racing       = 6                      // unwraps beside each revoke
	raceSpread   = 20 * time.Millisecond  // over which they begin: a revoke in one country takes as long
	receiptEvery = 500 * time.Millisecond // that nodes are asked again for their receipts
	submitEvery  = 300 * time.Millisecond
	raceGivesUp  = 45 * time.Second // a revoke that is not done by then is pending, and lifted
	wave         = 4                // faults that come one upon the other
	deposed      = 9 * time.Second  // for which a leader is out: its followers notice within six
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
	hands.Go(func() { r.watch(suffering) })
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

// suffer plays waves of faults, with calm between them. Each wave begins with the
// leader.
func (r *race) suffer(ctx context.Context) error {
	g := schedule.NewGenerator(r.Seed, r.IDs(), r.Kinds...)
	for n := 0; ctx.Err() == nil; n++ {
		r.depose(ctx, n)
		outcomes, err := schedule.Play(ctx, g, r, wave)
		r.took(outcomes)
		if err != nil && !errors.Is(err, schedule.ErrTooFew) && ctx.Err() == nil {
			return err
		}
		wait(ctx, r.Calm)
	}
	return nil
}

// depose does to the leader what makes another lead, in one of three ways in turn.
func (r *race) depose(ctx context.Context, n int) {
	r.mu.Lock()
	leader := r.leader
	r.mu.Unlock()
	kinds := []schedule.Kind{schedule.CutBoth, schedule.Pause, schedule.Crash}
	if len(r.Kinds) > 0 {
		kinds = r.Kinds
	}
	if leader == "" {
		return
	}
	f := schedule.Fault{Kind: kinds[n%len(kinds)], Nodes: []string{leader}, For: deposed}
	f.To = slices.DeleteFunc(slices.Clone(r.IDs()), func(id string) bool { return id == leader })
	in, err := r.Inflict(f)
	if err != nil {
		return // it is down already
	}
	wait(ctx, f.For)
	err = in.Heal()
	r.took([]schedule.Outcome{{Fault: f, Met: in.Fired(), Err: err}})
}

func (r *race) took(outcomes []schedule.Outcome) {
	t := schedule.NewTally(outcomes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Faults.Add(t)
}

// watch counts how often another node leads: one that a majority takes for the
// leader.
func (r *race) watch(ctx context.Context) {
	asks, err := r.Custodian()
	if err != nil {
		return
	}
	defer asks.Close()
	for ; ctx.Err() == nil; wait(ctx, statusPause) {
		count := map[string]int{}
		for _, s := range asks.Status(ctx) {
			if s.Err == nil {
				count[s.Answer.Leader]++
			}
		}
		for id, n := range count {
			if id != "" && n > len(r.IDs())/2 {
				r.leads(id)
			}
		}
	}
}

func (r *race) leads(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leader != "" && r.leader != id {
		r.report.Leaders++
	}
	r.leader = id
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

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
