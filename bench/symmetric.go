package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"warifu.dev/client"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

// with is the subject with another of its cluster's keys.
func (s *Subject) with(key *client.Key) *Subject {
	other := *s
	other.Key, other.More = key, nil
	return &other
}

// checkKeys says whether the goals can be held against both of a subject's keys.
func (s *Subject) checkKeys() error {
	switch {
	case s.Key == nil || s.Key.Symmetric():
		return errors.New("bench: the goals are about a key that is not symmetric, and about a symmetric one beside it")
	case s.Symmetric == nil:
		return nil
	case !s.Symmetric.Symmetric():
		return fmt.Errorf("bench: %s: %w", s.Symmetric.Name(), client.ErrAsymmetric)
	case s.Symmetric.Threshold() != s.Key.Threshold():
		return fmt.Errorf("bench: %d holders open what is under %s, and %d what is under %s", s.Symmetric.Threshold(), s.Symmetric.Name(), s.Key.Threshold(), s.Key.Name())
	}
	return nil
}

// encrypt has the holders of the subject's key encrypt by one client, and keeps the
// envelopes.
func (s *Subject) encrypt(ctx context.Context, c *client.Client, some []wrapped) error {
	secrets := make([]client.Secret, len(some))
	for i := range some {
		secrets[i] = client.Secret{DEK: secret.New([]byte(some[i].dek)), Context: benchContext}
	}
	var failed error
	for i, e := range c.EncryptBatch(ctx, s.Key, secrets, reason) {
		if e.Err != nil && failed == nil {
			failed = e.Err
		}
		some[i].item = client.Item{Envelope: e.Envelope, Context: benchContext}
	}
	return failed
}

// wrapSymmetric has each key's holders encrypt what falls to it.
func (s *Subject) wrapSymmetric(ctx context.Context, all []wrapped) error {
	keys := s.keys()
	for k, key := range keys {
		var mine []wrapped
		for i := k; i < len(all); i += len(keys) {
			mine = append(mine, all[i])
		}
		for i := 0; i < len(mine); i += maxBatch {
			if err := s.with(key).encrypt(ctx, s.Clients[0], mine[i:min(i+maxBatch, len(mine))]); err != nil {
				return err
			}
		}
		for i := range mine {
			all[k+i*len(keys)] = mine[i]
		}
	}
	return nil
}

// measureEncryption is [Subject.Measure] for a shape that encrypts.
func (s *Subject) measureEncryption(ctx context.Context, shape Shape, idle []CPU) (*Measured, error) {
	if !s.Key.Symmetric() {
		return nil, fmt.Errorf("bench: %s: %w", shape.Name, client.ErrAsymmetric)
	}
	if err := s.warm(ctx, shape, nil); err != nil {
		return nil, before(shape, err)
	}
	made, keys := dataKeys(shape.N*shape.Batch), s.keys()
	out, err := measure(ctx, shape, s.PIDs, s.Numbers, idle, func(ctx context.Context, i int) error {
		return s.with(keys[i%len(keys)]).encrypt(ctx, s.Clients[i%shape.Clients], made[i*shape.Batch:(i+1)*shape.Batch])
	})
	if err != nil {
		return nil, err
	}
	if err := s.opens(ctx, made); err != nil {
		out.Taken.failed(err)
	}
	return out, nil
}

// opens opens what was encrypted when the clocks have stopped. What failed when it was to
// be encrypted, and was counted then, is passed over.
func (s *Subject) opens(ctx context.Context, made []wrapped) error {
	var all []wrapped
	for _, w := range made {
		if w.item.Envelope != nil {
			all = append(all, w)
		}
	}
	for i := 0; i < len(all); i += maxBatch {
		if err := unwrap(ctx, s.Clients[0], all[i:min(i+maxBatch, len(all))]); err != nil {
			return fmt.Errorf("open what was encrypted: %w", err)
		}
	}
	return nil
}

// setsOf are the sets that one of the first t holders is asked for.
func setsOf(key *client.Key) (sets []uint16) {
	if !key.Symmetric() {
		return nil
	}
	p := sharing.Params{T: key.Threshold(), H: len(key.Holders())}
	assigned, err := tprf.Assign(p, tprf.Set(1<<p.T-1), 1)
	if err != nil {
		panic("bench: share out the sets: " + err.Error()) // t are asked
	}
	for _, s := range assigned[1] {
		sets = append(sets, uint16(s))
	}
	return sets
}

// symmetricBench is what the floor of a symmetric key is measured with: the shares of the
// holders that are asked, and a ciphertext.
type symmetricBench struct {
	params     sharing.Params
	shares     map[sharing.Index]*tprf.Share
	assigned   map[sharing.Index][]tprf.Set
	ciphertext *tprf.Ciphertext
	sums       map[sharing.Index]tprf.Value
}

// newSymmetricBench deals a key of h holders, t of which open, as no cluster does.
func newSymmetricBench(t, h int) (*symmetricBench, error) {
	b := &symmetricBench{params: sharing.Params{T: t, H: h}, shares: map[sharing.Index]*tprf.Share{}}
	if err := tprf.CheckShape(b.params); err != nil {
		return nil, err
	}
	keys := map[tprf.Set][]byte{}
	for _, s := range tprf.Sets(b.params) {
		keys[s] = make([]byte, tprf.SetKeySize)
		rand.Read(keys[s])
	}
	var err error
	if b.assigned, err = tprf.Assign(b.params, tprf.Set(1<<t-1), 1); err != nil {
		return nil, err
	}
	for i := range b.assigned {
		var held []byte
		for _, s := range tprf.Held(b.params, i) {
			held = append(held, keys[s]...)
		}
		if b.shares[i], err = tprf.NewShare(b.params, i, secret.New(held)); err != nil {
			return nil, err
		}
	}
	named := tprf.Key{Version: 1}
	rand.Read(named.Cluster[:])
	rand.Read(named.ID[:])
	sealing, err := tprf.Begin(rand.Reader, named, "spiffe://trial/app", benchContext.Canonical(), secret.New(make([]byte, 32)))
	if err != nil {
		return nil, err
	}
	defer sealing.Wipe()
	if err := b.evaluate(tprf.ItemInput(named, benchContext.Canonical(), "spiffe://trial/app", sealing.Commitment())); err != nil {
		return nil, err
	}
	f, err := tprf.Combine(b.params, b.sums)
	if err != nil {
		return nil, err
	}
	b.ciphertext, err = tprf.Parse(sealing.Finish(f))
	return b, err
}

// evaluate is what all holders that are asked must do for one item: each set's key, once.
func (b *symmetricBench) evaluate(x tprf.Input) (err error) {
	b.sums = make(map[sharing.Index]tprf.Value, len(b.assigned))
	for i, sets := range b.assigned {
		if b.sums[i], err = b.shares[i].Sum(sets, x); err != nil {
			return err
		}
	}
	return nil
}

func (b *symmetricBench) atNodes() error {
	return b.evaluate(b.ciphertext.Input(benchContext.Canonical()))
}

// atClient is what a client must do with the answers that it has.
func (b *symmetricBench) atClient() error {
	f, err := tprf.Combine(b.params, b.sums)
	if err != nil {
		return err
	}
	dek, err := b.ciphertext.Open(f)
	dek.Wipe()
	return err
}

// symmetric measures what needs no cluster, of a symmetric key.
func (f *Floor) symmetric(t, h int) error {
	b, err := newSymmetricBench(t, h)
	if err != nil {
		return err
	}
	if f.PRF, _, err = repeat(b.atNodes); err != nil {
		return fmt.Errorf("measure the floor: %w", err)
	}
	if f.Opened, _, err = repeat(b.atClient); err != nil {
		return fmt.Errorf("measure the floor: %w", err)
	}
	return nil
}

const (
	symmetricBatch = 100 // items of one request
	// batchShare is the part of N that is asked for in batches: five times as many items.
	batchShare = 20
	// batchesInFlight is the part of those in flight that batches are: eight of them are 800
	// items, and 64 would be more than nodes on a busy machine let wait.
	batchesInFlight = 8
	// batchEnvelopes are how many there are. No node remembers those of a symmetric key.
	batchEnvelopes = 5 * symmetricBatch
)

// echoes measures the echo of one envelope of a symmetric key, and of a batch.
func (f *Floor) echoes(ctx context.Context, e *Echo, s *Subject, n, inFlight int) error {
	some, err := s.wrap(ctx, symmetricBatch)
	if err != nil {
		return err
	}
	envelopes := make([][]byte, len(some))
	for i := range some {
		envelopes[i] = some[i].item.Envelope
	}
	f.SymmetricEcho, _, err = e.measure(ctx, requestFor(s.Key, envelopes[0]), Load{N: n, InFlight: inFlight})
	if err != nil {
		return err
	}
	batch, _, err := e.measure(ctx, requestFor(s.Key, envelopes...), Load{N: max(1, n/batchShare), InFlight: max(1, inFlight/batchesInFlight)})
	f.BatchEcho = batch / symmetricBatch
	return err
}
