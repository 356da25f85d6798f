package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"warifu.dev/api"
	"warifu.dev/client"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/group"
)

// Floor is what no program that does the same work can do without, measured in the same
// run as what it is compared with. Times are CPU, but where they say otherwise.
type Floor struct {
	Multiplication time.Duration `json:"multiplication_ns"` // of a point that varies, by a scalar
	FixedBase      time.Duration `json:"fixed_base_ns"`     // of a point that never does: the mean of both generators
	Client         time.Duration `json:"client_ns"`         // t partials decoded and combined, the envelope opened
	Decision       time.Duration `json:"decision_ns"`       // one of a compiled policy with two rules
	SyncCPU        time.Duration `json:"sync_cpu_ns"`       // a record of the audit, written and synced
	Sync           time.Duration `json:"sync_wall_ns"`      // likewise: the median of how long it takes
	Echo           time.Duration `json:"echo_ns"`           // of all processes, many in flight
	EchoInFlight   int           `json:"echo_in_flight"`
	RoundTrip      time.Duration `json:"round_trip_wall_ns"` // the median of one echo at a time
	Cores          int           `json:"cores"`

	// Of a symmetric key; zero without one.
	SymmetricEcho time.Duration `json:"symmetric_echo_ns,omitempty"`       // as Echo: the envelopes are others
	BatchEcho     time.Duration `json:"symmetric_batch_echo_ns,omitempty"` // of a frame with 100 items, for each
	PRF           time.Duration `json:"symmetric_prf_ns,omitempty"`        // the key of each set evaluated once, at all nodes together
	Opened        time.Duration `json:"symmetric_opened_ns,omitempty"`     // t sums combined, the envelope opened
}

const (
	recordSize = 512 // bytes: a record of one release has about as many
	syncs      = 200
)

// crypto measures what needs no cluster.
func (f *Floor) crypto(dir string, t, h int) error {
	b, err := newBench(dir, t, h)
	if err != nil {
		return err
	}
	defer b.close()
	for _, m := range []struct {
		into *time.Duration
		do   func() error
	}{
		{&f.Multiplication, func() error { b.parsed.U().Mul(b.share); return nil }},
		{&f.FixedBase, func() error { group.BaseMul(b.share); group.MulSecondPublic(b.share); return nil }},
		{&f.Client, func() error { return b.clientFloor() }},
		{&f.Decision, b.decideAnew},
	} {
		if *m.into, _, err = repeat(m.do); err != nil {
			return fmt.Errorf("measure the floor: %w", err)
		}
	}
	f.FixedBase /= 2
	return f.sync(b.tmp)
}

// clientFloor is what a client must do with the answers that it has.
func (b *workbench) clientFloor() error {
	for _, encoded := range b.encoded {
		if _, err := group.DecodePoint(encoded); err != nil {
			return err
		}
	}
	_, err := b.pk.Open(b.verified, b.partials)
	return err
}

// sync appends records to a file and syncs each, as one who waits for nobody else does.
func (f *Floor) sync(dir string) error {
	file, err := os.Create(filepath.Join(dir, "synced"))
	if err != nil {
		return err
	}
	defer file.Close()
	record := make([]byte, recordSize)
	rand.Read(record)
	took, used := newLatencies(), ownCPU()
	for range syncs {
		began := time.Now()
		if _, err := file.Write(record); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
		took.record(time.Since(began))
	}
	f.SyncCPU, f.Sync = (ownCPU()-used)/syncs, took.latency().P50
	return nil
}

// transport measures an echo of a body.
func (f *Floor) transport(ctx context.Context, e *Echo, body []byte, n, inFlight int) (err error) {
	if _, _, err = e.measure(ctx, body, Load{N: warmUp, InFlight: 1}); err != nil {
		return err
	}
	if _, f.RoundTrip, err = e.measure(ctx, body, Load{N: n, InFlight: 1}); err != nil {
		return err
	}
	f.Echo, _, err = e.measure(ctx, body, Load{N: n, InFlight: inFlight})
	f.EchoInFlight = inFlight
	return err
}

// measure has all processes answer a body so often, and returns the CPU of all, the
// caller's included, for one, and the median of how long it takes.
func (e *Echo) measure(ctx context.Context, body []byte, l Load) (each, p50 time.Duration, err error) {
	m, err := newMeter(e.PIDs())
	if err != nil {
		return 0, 0, err
	}
	t, err := l.Run(ctx, func(ctx context.Context, _ int) error { return e.Call(ctx, body) })
	if err != nil {
		return 0, 0, err
	}
	if t.Failures() > 0 {
		return 0, 0, fmt.Errorf("measure the echo: %d of %d failed: %s", t.Failures(), l.N, t.First)
	}
	used, err := m.stop(l.N)
	return sum(used), t.Latency.P50, err
}

// sum is the CPU of all processes, for one operation.
func sum(list []CPU) (all time.Duration) {
	for _, c := range list {
		all += c.Each
	}
	return all
}

// requestFor is the body of a request as the client sends it.
func requestFor(key *client.Key, envelopes ...[]byte) []byte {
	r := api.UnwrapRequest{Reason: reason, Sets: setsOf(key)}
	rand.Read(r.RequestID[:])
	for _, e := range envelopes {
		r.Items = append(r.Items, api.UnwrapItem{Envelope: e, Context: benchContext, Epoch: key.Epoch()})
	}
	return wire.Encode(r)
}
