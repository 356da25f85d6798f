package warifutest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

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

// Suffer plays one schedule of faults of these kinds, or of all, on a cluster
// under load, and judges what it left. Nothing of the cluster runs afterwards.
func (c *Cluster) Suffer(ctx context.Context, seed uint64, kinds ...schedule.Kind) (Verdict, error) {
	v := Verdict{Seed: seed}
	began := time.Now()
	load, done, err := c.Load(seed)
	if err != nil {
		return v, err
	}
	defer done()
	working, enough := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { load.Run(working) })
	outcomes, err := schedule.Play(ctx, schedule.NewGenerator(seed, c.IDs(), kinds...), c, Enough)
	v.Faults = schedule.NewTally(outcomes)
	if err == nil {
		err = c.Mend()
	}
	enough()
	work.Wait()
	if err != nil {
		return v, err
	}
	until, late := c.recover(ctx, load)
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
	for _, id := range c.IDs() {
		dirs[id] = c.Dir(id)
		if err := c.Stop(id); err != nil {
			return v, err
		}
	}
	h, found, err := ReadHistory(c.Genesis(), dirs, until)
	if err != nil {
		return v, err
	}
	v.Violations = append(v.Violations, found...)
	v.Violations = append(v.Violations, Judge(seen, h, Threshold)...)
	return v, nil
}

// recover waits until a healed cluster has converged, and makes it take a change
// and open an envelope. It says up to where all nodes have applied their logs.
func (c *Cluster) recover(ctx context.Context, load *Load) (until uint64, found []Violation) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	late := func(what string, err error) {
		if err != nil {
			c.trace.add("%s: %v", what, err)
			found = append(found, Violation{Progress, fmt.Sprintf("%v after everything healed: %s: %v", Patience, what, err)})
		}
	}
	asks, err := c.Custodian()
	if err == nil {
		_, err = Converged(ctx, asks, c.Runs)
	}
	late("not all nodes serve", err)
	_, err = load.Change(ctx)
	late("a change is not taken", err)
	for _, principal := range []string{AppB, AppA} {
		err = load.Unwrap(ctx, principal)
		for ctx.Err() == nil && err != nil && !(principal == AppA && load.deniesA()) {
			time.Sleep(statusEvery)
			err = load.Unwrap(ctx, principal)
		}
		if principal == AppA && load.deniesA() {
			if err == nil {
				err = errors.New("it was not refused")
			} else {
				err = nil
			}
		}
		late("an unwrap of "+principal, err)
	}
	at, err := Converged(ctx, asks, c.Runs)
	late("not all nodes have the same ledger", err)
	return at.Index, found
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
		Desk: c.Desk(), Custodian: custodian, A: a, B: b, Direct: direct, Key: key,
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
