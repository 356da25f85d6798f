package cluster

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
)

// TurnoverConfig says what turns over under a load of unwraps, on a cluster of
// [DemoNodes] that [Cluster.Furnish] came to before.
type TurnoverConfig struct {
	Keys   []*client.Key  // all named keys of the cluster, two at least
	Client *client.Client // of an application that may unwrap with them; it knows the roster of genesis
	// Refreshes is how many refreshes of all keys there are, each until the old shares
	// are erased. Then two nodes come, the shares go from 3-of-5 to 4-of-7 and back, the
	// two nodes leave, a node is replaced, and the first key gets another version. With 0,
	// the first key is refreshed and the second goes to 4-of-5, and nobody waits for the
	// minute in which the old shares live beside the new ones.
	Refreshes int
	// Measure is how long the peak is measured, and then the load with nothing else.
	Measure time.Duration
	// Pace is how many unwraps there are a second; 0 means half of the peak.
	Pace float64
	// PhaseSeconds is when participants may close a phase of a ceremony without others.
	PhaseSeconds uint32
}

// TurnoverReport is what became of the load.
type TurnoverReport struct {
	Peak  float64 // unwraps a second, with 32 under way
	Pace  float64 // unwraps a second of the load: half of it, if nothing else was asked for
	Steps []TurnoverStep

	Unwraps, Failed, Unasked, Retries int // of the steps
	Opened                            int // envelopes of all epochs and versions that opened at the end, to the client of the load and to another
	Wrapped                           int // those that there were, twice
}

// TurnoverStep is one step of a turnover, and what became of the unwraps meanwhile.
type TurnoverStep struct {
	Name string
	Took time.Duration
	*Spell
}

// Table is the report for people, in Markdown.
func (r TurnoverReport) Table() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| Step\t| took\t| unwraps\t| failed\t| not asked\t| retries\t| p50\t| p99\t|")
	fmt.Fprintln(t, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, s := range r.Steps {
		fmt.Fprintf(t, "| %s\t| %v\t| %d\t| %d\t| %d\t| %d\t| %.1f ms\t| %.1f ms\t|\n", s.Name, s.Took.Round(100*time.Millisecond), s.Unwraps, s.Failed, s.Unasked, s.Retries, millis(s.Percentile(50)), millis(s.Percentile(99)))
	}
	_ = t.Flush()
	for _, s := range r.Steps {
		for _, f := range s.Failures {
			fmt.Fprintf(&b, "%s: %s\n", s.Name, f)
		}
	}
	return b.String()
}

func millis(d time.Duration) float64 { return float64(d) / 1e6 }

func (r TurnoverReport) String() string {
	return fmt.Sprintf("turnover: peak %.0f unwraps a second, load %.0f; %d unwraps through %d steps, %d failed, %d not asked for, %d retries inside the client; %d of %d old envelopes open",
		r.Peak, r.Pace, r.Unwraps, len(r.Steps), r.Failed, r.Unasked, r.Retries, r.Opened, r.Wrapped)
}

// turnover is one that goes on.
type turnover struct {
	TurnoverConfig
	c      *Cluster
	pace   *Pace
	report TurnoverReport
}

// Turnover has shares, members and versions turn over while a client unwraps at a steady
// pace, after its peak was measured. Of the error, failed unwraps are no part.
func (c *Cluster) Turnover(ctx context.Context, cfg TurnoverConfig) (TurnoverReport, error) {
	t := &turnover{TurnoverConfig: cfg, c: c, pace: NewPace(cfg.Client)}
	err := t.run(ctx)
	return t.report, err
}

func (t *turnover) run(ctx context.Context) error {
	for _, k := range t.Keys {
		if err := t.pace.Wrap(k); err != nil {
			return err
		}
	}
	t.pace.Peak(ctx, time.Second) // connections, distances, caches
	t.report.Peak = t.pace.Peak(ctx, t.Measure)
	if over := t.pace.Turn(); over.Failed > 0 {
		return fmt.Errorf("unwraps fail at the peak: %s", strings.Join(over.Failures, "; "))
	}
	if t.report.Pace = t.Pace; t.Pace == 0 {
		t.report.Pace = t.report.Peak / 2
	}
	loaded, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.pace.Run(loaded, t.report.Pace)
	}()
	err := t.steps(ctx)
	stop()
	<-ended
	rest := t.pace.Turn() // what was under way when the last step ended
	t.report.Unwraps, t.report.Failed = t.report.Unwraps+rest.Unwraps, t.report.Failed+rest.Failed
	t.report.Unasked, t.report.Retries = t.report.Unasked+rest.Unasked, t.report.Retries+rest.Retries
	if n := len(t.report.Steps); n > 0 {
		t.report.Steps[n-1].Failures = append(t.report.Steps[n-1].Failures, rest.Failures...)
	}
	if err != nil {
		return err
	}
	return t.opens(ctx)
}

func (t *turnover) steps(ctx context.Context) error {
	if err := t.step("nothing", func() error {
		select {
		case <-ctx.Done():
		case <-time.After(t.Measure):
		}
		return ctx.Err()
	}); err != nil {
		return err
	}
	five := t.c.IDs()
	renewed := func(name, kind string, by authority.Renewal) error {
		return t.step(name, func() error { return t.renew(ctx, kind, by) })
	}
	if t.Refreshes == 0 {
		if err := renewed("refresh", authority.KindRefresh, authority.Renewal{Keys: []api.KeyID{t.Keys[0].ID()}}); err != nil {
			return err
		}
		return renewed("reshare to 4-of-5", authority.KindReshare, authority.Renewal{Keys: []api.KeyID{t.Keys[1].ID()}, T: 4, F: 1, Holders: five})
	}
	for i := range t.Refreshes {
		if err := renewed(fmt.Sprintf("refresh %d", i+1), authority.KindRefresh, authority.Renewal{}); err != nil {
			return err
		}
	}
	more := []Node{{"jp-east-3", "jp-east"}, {"sg-2", "sg"}}
	for _, n := range more {
		if err := t.step("add "+n.ID, func() error { return t.c.Add(ctx, n) }); err != nil {
			return err
		}
	}
	if err := renewed("reshare to 4-of-7", authority.KindReshare, authority.Renewal{Root: true, T: 4, F: 1, Holders: t.c.IDs()}); err != nil {
		return err
	}
	if err := renewed("reshare to 3-of-5", authority.KindReshare, authority.Renewal{Root: true, T: 3, F: 1, Holders: five}); err != nil {
		return err
	}
	for _, n := range more {
		if err := t.step("remove "+n.ID, func() error { return t.c.Remove(ctx, n.ID) }); err != nil {
			return err
		}
	}
	leaver, newcomer := five[3], Node{"jp-west-3", "jp-west"}
	if err := t.step("replace "+leaver, func() error { return t.replace(ctx, leaver, newcomer) }); err != nil {
		return err
	}
	return t.step("version 2", func() error { return t.rotate(ctx) })
}

// step takes one step under the load.
func (t *turnover) step(name string, do func() error) error {
	t.pace.Turn()
	began := time.Now()
	err := do()
	s := TurnoverStep{Name: name, Took: time.Since(began), Spell: t.pace.Turn()}
	t.report.Steps = append(t.report.Steps, s)
	t.report.Unwraps += s.Unwraps
	t.report.Failed += s.Failed
	t.report.Unasked += s.Unasked
	t.report.Retries += s.Retries
	t.c.Trace("turnover: %s took %v, %d unwraps, %d failed", name, s.Took, s.Unwraps, s.Failed)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// renew orders new shares, and waits until they are there, and their records; from then
// on envelopes are opened that were made with those, too.
func (t *turnover) renew(ctx context.Context, kind string, by authority.Renewal) error {
	asks, err := t.c.Custodian()
	if err != nil {
		return err
	}
	defer asks.Close()
	before, err := summaries(ctx, asks)
	if err != nil {
		return err
	}
	by.PhaseSeconds = t.PhaseSeconds
	if _, err := t.c.Submit(ctx, kind, wire.Encode(by), api.Digest{}); err != nil {
		return err
	}
	for _, first := range t.Keys {
		if !by.Concerns(first.ID()) {
			continue
		}
		epoch := before[first.ID()].Epoch + 1
		if err := waitKey(ctx, asks, first.ID(), func(k api.KeySummary) bool {
			return k.Epoch == epoch && k.Signed >= k.T && (t.Refreshes == 0 || erased(k))
		}); err != nil {
			return err
		}
		key, err := asks.RecordByID(ctx, first.ID()) // a client that has not asked before
		if err != nil {
			return err
		}
		if key.Epoch() != epoch || key.Version() != first.Version() {
			return fmt.Errorf("the record is of version %d, epoch %d", key.Version(), key.Epoch())
		}
		if !bytes.Equal(key.Record().Y, first.Record().Y) {
			return fmt.Errorf("the public key of %s has changed", key.Name())
		}
		if err := t.pace.Wrap(key); err != nil {
			return err
		}
	}
	return nil
}

// Reshare has the roster's nodes hold a key in new shares, of which t open, and returns
// when t of them have signed the record. The old ones answer beside them for a minute.
func (c *Cluster) Reshare(ctx context.Context, key *client.Key, t int) error {
	asks, err := c.Custodian()
	if err != nil {
		return err
	}
	defer asks.Close()
	before, err := summaries(ctx, asks)
	if err != nil {
		return err
	}
	by := authority.Renewal{Keys: []api.KeyID{key.ID()}, T: uint32(t), F: uint32(c.cfg.F), Holders: c.IDs(), PhaseSeconds: uint32(c.cfg.PhaseSeconds)}
	if _, err := c.Submit(ctx, authority.KindReshare, wire.Encode(by), api.Digest{}); err != nil {
		return err
	}
	epoch := before[key.ID()].Epoch + 1
	return waitKey(ctx, asks, key.ID(), func(k api.KeySummary) bool { return k.Epoch == epoch && k.Signed >= k.T })
}

// erased says that no epoch is left but the current one.
func erased(k api.KeySummary) bool {
	if len(k.Live) != 1 || len(k.Gone) == 0 {
		return false
	}
	last := k.Gone[len(k.Gone)-1]
	return last.Epoch == k.Epoch-1 && last.Erased >= last.Need
}

// replace puts a node in the place of another, and gives its shares to it.
func (t *turnover) replace(ctx context.Context, leaver string, newcomer Node) error {
	if err := t.c.Replace(ctx, newcomer, leaver); err != nil {
		return err
	}
	holders := slices.DeleteFunc(t.c.IDs(), func(id string) bool { return id == leaver })
	if err := t.renew(ctx, authority.KindReshare, authority.Renewal{Root: true, T: 3, F: 1, Holders: holders}); err != nil {
		return err
	}
	t.c.leaves(leaver)
	if err := t.c.WaitRoster(ctx); err != nil {
		return err
	}
	return t.c.Stop(leaver)
}

// rotate has the key get another version.
func (t *turnover) rotate(ctx context.Context) error {
	asks, err := t.c.Custodian()
	if err != nil {
		return err
	}
	defer asks.Close()
	now, err := asks.RecordByID(ctx, t.Keys[0].ID())
	if err != nil {
		return err
	}
	id := now.ID()
	next := *now.Record().Order()
	next.Key, next.Version, next.NotBefore, next.PhaseSeconds = &id, now.Version()+1, 0, t.PhaseSeconds
	if _, err := t.c.Submit(ctx, authority.KindKey, wire.Encode(next), api.Digest{}); err != nil {
		return err
	}
	key, err := asks.WaitVersion(ctx, id, next.Version)
	if err != nil {
		return err
	}
	return t.pace.Wrap(key)
}

func summaries(ctx context.Context, asks *client.Client) (map[api.KeyID]api.KeySummary, error) {
	keys, err := asks.Keys(ctx)
	list := map[api.KeyID]api.KeySummary{}
	for _, k := range keys {
		list[k.ID] = k
	}
	return list, err
}

// waitKey asks how a key stands until that is so.
func waitKey(ctx context.Context, asks *client.Client, id api.KeyID, so func(api.KeySummary) bool) error {
	for {
		keys, err := summaries(ctx, asks)
		k := keys[id]
		if err == nil && so(k) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for new shares: %w: the key is %+v, %v", ctx.Err(), k, err)
		case <-time.After(statusEvery):
		}
	}
}

// opens has the client of the load, and one that begins with the roster of now, open
// everything that was ever wrapped.
func (t *turnover) opens(ctx context.Context) error {
	cert, err := t.c.NewIdentity(AppURI)
	if err != nil {
		return err
	}
	fresh, err := t.c.Client(cert)
	if err != nil {
		return err
	}
	defer fresh.Close()
	for _, cl := range []*client.Client{t.Client, fresh} {
		opened, err := t.pace.Opens(ctx, cl)
		t.report.Opened += opened
		t.report.Wrapped += len(t.pace.envelopes)
		if err != nil {
			return err
		}
	}
	return nil
}
