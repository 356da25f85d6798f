package warifutest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/warifutest/schedule"
)

// Verdict is what became of one schedule.
type Verdict struct {
	Seed       uint64
	Faults     schedule.Tally
	Acked      int // changes
	Unwraps    int // of a quorum, with a data key
	Refusals   int // of a quorum, without
	Took       time.Duration
	Violations []Violation
}

// Enough is how many faults of a schedule must fire.
const Enough = 20

// Subject is a cluster that suffers: of this package, or of real processes.
type Subject interface {
	schedule.Target
	IDs() []string
	Genesis() *authority.VerifiedGenesis
	Custodian() (*client.Client, error)
	Load(seed uint64) (load *Load, done func(), err error)
	Mend() error          // starts every node that does not run, once all faults are healed
	Stop(id string) error // in good order
	Dir(id string) string // of a node
	Trace(format string, args ...any)
}

var _ Subject = (*Cluster)(nil)

// Suffer plays one schedule of faults of these kinds, or of all, until enough have
// fired, on a cluster under load, and judges what it left. No node runs afterwards.
func Suffer(ctx context.Context, s Subject, seed uint64, enough int, kinds ...schedule.Kind) (Verdict, error) {
	v := Verdict{Seed: seed}
	began := time.Now()
	load, done, err := s.Load(seed)
	if err != nil {
		return v, err
	}
	defer done()
	working, stop := context.WithCancel(ctx)
	defer stop()
	var work sync.WaitGroup
	work.Go(func() { load.Run(working) })
	outcomes, err := schedule.Play(ctx, schedule.NewGenerator(seed, s.IDs(), kinds...), s, enough)
	v.Faults = schedule.NewTally(outcomes)
	if err == nil {
		err = s.Mend()
	}
	stop()
	work.Wait()
	if err != nil {
		return v, err
	}
	until, late := recovered(ctx, s, load)
	v.Violations = append(v.Violations, late...)
	v.Took = time.Since(began)
	seen := load.Seen()
	v.Acked = len(seen.Acked)
	for _, a := range seen.Attempts {
		switch {
		case a.Node != "":
		case a.OK:
			v.Unwraps++
		default:
			v.Refusals++
		}
	}
	dirs := map[string]string{}
	for _, id := range s.IDs() {
		dirs[id] = s.Dir(id)
		if err := s.Stop(id); err != nil {
			return v, err
		}
	}
	if until == 0 {
		return v, nil // they never had the same ledger, which is said already
	}
	h, found, err := ReadHistory(s.Genesis(), dirs, until)
	if err != nil {
		return v, err
	}
	v.Violations = append(v.Violations, found...)
	v.Violations = append(v.Violations, Judge(seen, h, Threshold)...)
	return v, nil
}

// recovered waits until a healed cluster has converged, and makes it take a change
// and open an envelope. It says up to where all nodes have applied their logs.
func recovered(ctx context.Context, s Subject, load *Load) (until uint64, found []Violation) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	late := func(what string, err error) {
		if err != nil {
			s.Trace("%s: %v", what, err)
			found = append(found, Violation{Progress, fmt.Sprintf("%v after everything healed: %s: %v", Patience, what, err)})
		}
	}
	asks, err := s.Custodian()
	if err != nil {
		late("nobody can ask", err)
		return 0, found
	}
	defer asks.Close()
	all := func(string) bool { return true }
	_, err = Converged(ctx, asks, all)
	late("not all nodes serve", err)
	_, err = load.Change(ctx)
	late("a change is not taken", err)
	for _, principal := range []string{AppB, AppA} {
		late("an unwrap of "+principal, load.settle(ctx, principal))
	}
	at, err := Converged(ctx, asks, all)
	late("not all nodes have the same ledger", err)
	return at.Index, found
}

// settle unwraps until the outcome is the one that the last change wants.
func (l *Load) settle(ctx context.Context, principal string) error {
	for {
		err := l.Unwrap(ctx, principal)
		switch denied := principal == AppA && l.deniesA(); {
		case denied && err == nil:
			return errors.New("it was not refused")
		case denied || err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		}
		time.Sleep(statusEvery)
	}
}

func (l *Load) deniesA() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.acked)
	return n > 0 && !l.acked[n-1].PermitA
}

// Load makes the load of this cluster; done ends what it opened.
func (c *Cluster) Load(seed uint64) (load *Load, done func(), err error) {
	custodian, err := c.Custodian()
	if err != nil {
		return nil, nil, err
	}
	a, key, err := c.Application(AppA)
	if err != nil {
		return nil, nil, err
	}
	b, _, err := c.Application(AppB)
	if err != nil {
		return nil, nil, err
	}
	cert, err := c.Desk().Application(AppA)
	if err != nil {
		return nil, nil, err
	}
	direct := NewDirect(c.Genesis(), cert, c.Open)
	load, err = NewLoad(LoadConfig{
		Sign: c.Desk().Sign, Custodian: custodian, A: a, B: b, Direct: direct, Key: key,
		Base: c.PolicyChange(), Seed: seed, Trace: c.trace.add,
	})
	return load, direct.Close, err
}

// Report prints violations as failures of a test.
func (v Verdict) Report(t testing.TB) {
	t.Helper()
	for i, broken := range v.Violations {
		if i == 20 {
			t.Errorf("seed %d: and %d more", v.Seed, len(v.Violations)-i)
			return
		}
		t.Errorf("seed %d: %v", v.Seed, broken)
	}
}
