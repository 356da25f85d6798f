package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"warifu.dev/client"
	"warifu.dev/internal/secret"
)

// Subject is a cluster under measurement.
type Subject struct {
	Clients []*client.Client // each has connections of its own, one to each node
	Key     *client.Key
	// More are other keys of its kind, which take turns with it; none: it is alone.
	More []*client.Key
	// Symmetric is another key, which is symmetric; nil: none.
	Symmetric *client.Key
	PIDs      map[string]int // the nodes' processes by name, where they are on this machine
	// Numbers is where nodes show their metrics, host and port, by name.
	Numbers map[string]string
	Dir     string   // on the disk of their audits; empty: the system's temporary directory
	Noticed *Noticed // what the clients log to
}

func (s *Subject) check() error {
	if len(s.Clients) == 0 || s.Key == nil || s.Noticed == nil {
		return errors.New("bench: a client, a key and an ear for warnings are required")
	}
	return nil
}

// Shape is one way of asking.
type Shape struct {
	Name string `json:"name"`
	Load
	Batch     int `json:"batch"`               // envelopes in one request
	Clients   int `json:"clients"`             // that take turns, each with its own connections
	Envelopes int `json:"envelopes,omitempty"` // asked for again and again; 0: each once
	// Encrypts says that envelopes are not opened but made, by the holders of a symmetric
	// key, and opened when the clocks have stopped.
	Encrypts bool `json:"encrypts,omitempty"`
}

const (
	maxBatch   = 256 // of one request; a larger one is cut into several
	maxClients = 1024
)

// Check holds the numbers against their bounds.
func (s Shape) Check() error {
	switch err := s.Load.Check(); {
	case err != nil:
		return err
	case s.Batch < 1 || s.Batch > maxBatch:
		return fmt.Errorf("bench: batches of 1 to %d", maxBatch)
	case s.Clients < 1 || s.Clients > maxClients:
		return fmt.Errorf("bench: 1 to %d clients", maxClients)
	case s.Envelopes < 0 || s.Envelopes > maxOperations || s.Envelopes == 0 && s.N*s.Batch > maxOperations:
		return fmt.Errorf("bench: at most %d envelopes", maxOperations)
	case s.Encrypts && s.Envelopes > 0:
		return errors.New("bench: what is encrypted is a new envelope each time")
	}
	return nil
}

// Measured is a shape, and what it took. An item is one envelope.
type Measured struct {
	Shape Shape   `json:"shape"`
	Taken Taken   `json:"taken"`
	Items float64 `json:"items_per_second"` // that were opened
	CPU   []CPU   `json:"cpu"`              // for each item; the client first, then nodes by name
	// Used is the CPU of all these for each item, without what they use when idle.
	Used time.Duration `json:"used_ns"`
	// Counts is what else each item took, of the client and of nodes that show it.
	Counts []Count `json:"counts,omitempty"`
	// Sent is the bytes on the wire for each item, by all of these.
	Sent float64 `json:"sent_bytes,omitempty"`
}

// wrapped is an envelope with what is in it.
type wrapped struct {
	item client.Item
	dek  string
}

// keys are those that take turns.
func (s *Subject) keys() []*client.Key { return append([]*client.Key{s.Key}, s.More...) }

// wrap makes envelopes, under each key in its turn: offline, or, of a symmetric key, by
// asking its holders.
func (s *Subject) wrap(ctx context.Context, n int) ([]wrapped, error) {
	out, keys := dataKeys(n), s.keys()
	if s.Key.Symmetric() {
		return out, s.wrapSymmetric(ctx, out)
	}
	for i := range out {
		envelope, err := keys[i%len(keys)].Wrap(rand.Reader, benchContext, secret.New([]byte(out[i].dek)))
		if err != nil {
			return nil, err
		}
		out[i].item = client.Item{Envelope: envelope, Context: benchContext}
	}
	return out, nil
}

// dataKeys are in no envelope yet.
func dataKeys(n int) []wrapped {
	out := make([]wrapped, n)
	for i := range out {
		dek := make([]byte, 32)
		rand.Read(dek)
		out[i].dek = string(dek)
	}
	return out
}

// unwrap opens some by one client, and compares each data key with the one that was wrapped.
func unwrap(ctx context.Context, c *client.Client, some []wrapped) error {
	items := make([]client.Item, len(some))
	for i := range some {
		items[i] = some[i].item
	}
	for i, r := range c.UnwrapBatch(ctx, items, reason) {
		switch {
		case r.Err != nil:
			return r.Err
		case string(r.DEK.Reveal()) != some[i].dek:
			return ErrWrong
		}
	}
	return nil
}

// Idle is what the processes use when nobody asks.
func (s *Subject) Idle(ctx context.Context) ([]CPU, error) { return idleOf(ctx, s.PIDs) }

func idleOf(ctx context.Context, pids map[string]int) ([]CPU, error) {
	m, err := newMeter(pids)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(idleFor):
	}
	return m.stop(0)
}

// warmEach is what each client unwraps before any is counted: connections, distances.
const warmEach = 4

// Measure asks in one way.
func (s *Subject) Measure(ctx context.Context, shape Shape, idle []CPU) (*Measured, error) {
	if err := shape.Check(); err != nil {
		return nil, err
	}
	if shape.Clients > len(s.Clients) {
		return nil, fmt.Errorf("bench: %s wants %d clients, and there are %d", shape.Name, shape.Clients, len(s.Clients))
	}
	if shape.Encrypts {
		return s.measureEncryption(ctx, shape, idle)
	}
	n := shape.Envelopes
	if n == 0 {
		n = shape.N * shape.Batch
	}
	pool, err := s.wrap(ctx, n)
	if err != nil {
		return nil, before(shape, err)
	}
	if err := s.warm(ctx, shape, pool); err != nil {
		return nil, before(shape, err)
	}
	return measure(ctx, shape, s.PIDs, s.Numbers, idle, func(ctx context.Context, i int) error {
		some := make([]wrapped, shape.Batch)
		for k := range some {
			some[k] = pool[(i*shape.Batch+k)%len(pool)]
		}
		return unwrap(ctx, s.Clients[i%shape.Clients], some)
	})
}

func before(shape Shape, err error) error {
	return fmt.Errorf("%s, before anything is counted: %w", shape.Name, err)
}

// measure does something in the way of a shape, and reads the clocks of this process
// and some others before and after.
func measure(ctx context.Context, shape Shape, pids map[string]int, numbers map[string]string, idle []CPU, do func(ctx context.Context, i int) error) (*Measured, error) {
	tally, err := newTally(ctx, numbers)
	if err != nil {
		return nil, err
	}
	m, err := newMeter(pids)
	if err != nil {
		return nil, err
	}
	t, err := shape.Run(ctx, do)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", shape.Name, err)
	}
	shape.N = t.N
	items := max(1, shape.N*shape.Batch)
	out := &Measured{Shape: shape, Taken: *t, Items: float64((shape.N-t.Failures())*shape.Batch) / t.Elapsed.Seconds()}
	if out.CPU, err = m.stop(items); err != nil {
		return nil, err
	}
	if out.Counts, err = tally.since(ctx, items, slices.Sorted(maps.Keys(numbers))); err != nil {
		return nil, err
	}
	for _, c := range out.Counts {
		out.Sent += c.Sent
	}
	each := t.Elapsed.Seconds() / float64(items)
	for i, c := range out.CPU {
		out.Used += c.Each
		if i < len(idle) {
			out.Used -= time.Duration(idle[i].Share * each * float64(time.Second))
		}
	}
	return out, nil
}

// warm has each client know its way, one after the other, and every envelope that is
// asked for again seen by the nodes, which remember those of a key that is not symmetric.
func (s *Subject) warm(ctx context.Context, shape Shape, pool []wrapped) error {
	few := max(warmEach, 1+len(s.More)) // each client gets each key's record
	some, err := s.wrap(ctx, few)
	if err != nil {
		return err
	}
	if shape.Envelopes > 0 && !s.Key.Symmetric() {
		some = append(some, pool...)
	}
	for i, c := range s.Clients[:shape.Clients] {
		if i > 0 {
			some = some[:few]
		}
		for k := range some {
			if err := unwrap(ctx, c, some[k:k+1]); err != nil {
				return err
			}
		}
	}
	return nil
}
