package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

const (
	// atPeak is how many unwraps are under way at a time when the peak is measured.
	atPeak = 32
	// mostUnderWay bounds the unwraps of a steady load: what is due when so many are under
	// way is not asked for, and counted. A load that made up for it would be a greater one.
	mostUnderWay = 512
	// ofEach is how many envelopes are made of each epoch and version of a key. The load
	// opens them in turn, again and again.
	ofEach = 16
	// failuresKept bounds how many failures are told in their own words.
	failuresKept = 5
)

// Pace is a load of unwraps of one long-lived client. It opens envelopes in turn, of
// every epoch and version that it was given some of.
type Pace struct {
	client *client.Client

	mu        sync.Mutex
	envelopes []made // guarded by mu
	next      int    // guarded by mu
	now       *Spell // guarded by mu
}

// made is an envelope, and what is in it.
type made struct {
	of       string // "version 1, epoch 3"
	envelope []byte
	dek      secret.Bytes
}

// Spell is what became of the unwraps that ended within some time.
type Spell struct {
	Unwraps  int
	Failed   int
	Unasked  int // that were due and not asked for, since too many were under way
	Retries  int // questions to holders beyond the t of each, see [client.Result]
	Failures []string
	took     []time.Duration
}

// Percentile is the time in which p of 100 unwraps were done; 0 if there were none.
func (s *Spell) Percentile(p int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.took))
	return sorted[max((len(sorted)*p+99)/100, 1)-1]
}

// NewPace makes a load of unwraps, which has nothing to open yet.
func NewPace(cl *client.Client) *Pace { return &Pace{client: cl, now: &Spell{}} }

var paceContext = api.Context{"purpose": "turnover"}

// Wrap adds envelopes of a key to those that are opened.
func (p *Pace) Wrap(key *client.Key) error {
	var list []made
	for range ofEach {
		dek := make([]byte, 32)
		rand.Read(dek)
		m := made{of: fmt.Sprintf("%s, version %d, epoch %d", key.Name(), key.Version(), key.Epoch()), dek: secret.Clone(dek)}
		var err error
		if m.envelope, err = key.Wrap(rand.Reader, paceContext, secret.New(dek)); err != nil {
			return err
		}
		list = append(list, m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.envelopes = append(p.envelopes, list...)
	return nil
}

// Opens has a client open every envelope that there is.
func (p *Pace) Opens(ctx context.Context, cl *client.Client) (opened int, err error) {
	p.mu.Lock()
	all := slices.Clone(p.envelopes)
	p.mu.Unlock()
	for _, m := range all {
		if r := m.open(ctx, cl); r.Err != nil {
			return opened, fmt.Errorf("an envelope of %s: %w", m.of, r.Err)
		}
		opened++
	}
	return opened, nil
}

// open opens the envelope, and looks whether the right thing was in it.
func (m *made) open(ctx context.Context, cl *client.Client) client.Result {
	r := cl.UnwrapBatch(ctx, []client.Item{{Envelope: m.envelope, Context: paceContext}}, "turnover")[0]
	if r.Err == nil {
		if !r.DEK.Equal(m.dek) {
			r.Err = fmt.Errorf("another data key came out of an envelope of %s", m.of)
		}
		r.DEK.Wipe()
	}
	return r
}

// one opens the next envelope. Its time counts from when it was due.
func (p *Pace) one(ctx context.Context, due time.Time) {
	p.mu.Lock()
	m := p.envelopes[p.next%len(p.envelopes)]
	p.next++
	p.mu.Unlock()
	r := m.open(context.WithoutCancel(ctx), p.client) // it has a timeout of its own
	took := time.Since(due)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.Unwraps++
	p.now.Retries += r.Retries
	p.now.took = append(p.now.took, took)
	if r.Err == nil {
		return
	}
	if p.now.Failed++; len(p.now.Failures) < failuresKept {
		p.now.Failures = append(p.now.Failures, fmt.Sprintf("an envelope of %s, after %v: %v", m.of, took.Round(time.Millisecond), r.Err))
	}
}

// Turn begins another spell, and returns the one that is over.
func (p *Pace) Turn() *Spell {
	p.mu.Lock()
	defer p.mu.Unlock()
	over := p.now
	p.now = &Spell{}
	return over
}

// Peak unwraps for a while as fast as it goes, and says how many a second that is.
func (p *Pace) Peak(ctx context.Context, long time.Duration) float64 {
	ctx, cancel := context.WithTimeout(ctx, long)
	defer cancel()
	began := time.Now()
	p.Turn()
	var all sync.WaitGroup
	for range atPeak {
		all.Go(func() {
			for ctx.Err() == nil {
				p.one(ctx, time.Now())
			}
		})
	}
	all.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.now.Unwraps-p.now.Failed) / time.Since(began).Seconds()
}

// Run unwraps at so many a second, each when it is due whether or not those before it
// are done, until ctx ends. It returns when all have ended.
func (p *Pace) Run(ctx context.Context, perSecond float64) {
	underWay := make(chan struct{}, mostUnderWay)
	var all sync.WaitGroup
	defer all.Wait()
	began := time.Now()
	for n := 0; ; n++ {
		due := began.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(due)):
		}
		select {
		case underWay <- struct{}{}:
		default:
			p.mu.Lock()
			p.now.Unasked++
			p.mu.Unlock()
			continue
		}
		all.Go(func() {
			defer func() { <-underWay }()
			p.one(ctx, due)
		})
	}
}
