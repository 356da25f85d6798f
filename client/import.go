package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// Reasons why a key is not imported.
var (
	// ErrNotOrdered: custodians have not ordered the import of a key of this name.
	ErrNotOrdered = errors.New("no import of a key of this name is ordered")
	// ErrAnotherKey: the key that is to be dealt is not the one that was ordered.
	ErrAnotherKey = errors.New("this is not the key whose import was ordered")
	// ErrSeed: it is no seed of 32 random bytes.
	ErrSeed = errors.New("a seed is 32 random bytes")
	// ErrImportAbandoned: the run of the import came to nothing. Dealing again opens
	// another one.
	ErrImportAbandoned = errors.New("the import was abandoned")
)

// importLook is how often a client that deals looks how far the run has come.
const importLook = 250 * time.Millisecond

// importTries bounds how often a post of one run is made anew, after a node showed what
// the ledger does not have.
const importTries = 5

// Owned is a key that is whole, in the hands of its owner: a P-256 key, or the seed that a
// symmetric key follows from. It prints nothing.
type Owned struct {
	key  *group.Scalar // of a P-256 key
	y    *group.Point
	seed secret.Bytes // of a symmetric key
}

// NewOwned takes up a private key, 32 bytes, big endian, which the caller wipes. Zero and
// what is not below the order of the group is refused.
func NewOwned(raw secret.Bytes) (*Owned, error) {
	x, err := group.DecodeNonZeroScalar(raw.Reveal())
	if err != nil {
		return nil, fmt.Errorf("take up a private key: %w", err)
	}
	return &Owned{key: x, y: group.BaseMul(x)}, nil
}

// NewOwnedSeed takes up a seed of 32 random bytes, which the caller wipes. One of 32 equal
// bytes is refused: nobody drew it.
func NewOwnedSeed(raw secret.Bytes) (*Owned, error) {
	b := raw.Reveal()
	if len(b) != dkg.SeedSize {
		return nil, fmt.Errorf("take up a seed of %d bytes: %w", len(b), ErrSeed)
	}
	if bytes.Count(b, b[:1]) == len(b) {
		return nil, fmt.Errorf("take up a seed of 32 equal bytes: %w", ErrSeed)
	}
	return &Owned{seed: secret.Clone(b)}, nil
}

// Symmetric says whether this is a seed.
func (o *Owned) Symmetric() bool { return o.key == nil }

// Wipe overwrites the key; o must not be used afterwards.
func (o *Owned) Wipe() {
	o.seed.Wipe()
	if o.key != nil {
		o.key.Wipe()
	}
}

// PublicKey returns Y, 65 bytes; of a seed nothing.
func (o *Owned) PublicKey() []byte {
	if o.Symmetric() {
		return nil
	}
	return o.y.Bytes()
}

// raw returns a copy of the key or of the seed, which the caller wipes.
func (o *Owned) raw() []byte {
	if o.Symmetric() {
		return bytes.Clone(o.seed.Reveal())
	}
	return o.key.Bytes()
}

// String implements [fmt.Stringer].
func (o Owned) String() string { return secret.Redacted }

// Format implements [fmt.Formatter].
func (o Owned) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(secret.Redacted)) }

// Import is what an order of the import of this key, under its name, says of it. Of a seed
// that holds for its threshold and number of holders alone.
func (o *Owned) Import(order *authority.Order) (*authority.Import, error) {
	s, err := o.dealer(order.Cluster, order.Name)
	if err != nil {
		return nil, err
	}
	i := &authority.Import{Y: o.PublicKey(), Dealer: s.PublicKey()}
	if o.Symmetric() {
		c, err := dkg.SeedCommitment(order.Cluster, order.Name, int(order.T), int(order.H()), o.seed)
		if err != nil {
			return nil, err
		}
		i.Seed = c[:]
	}
	return i, nil
}

// dealer is the key that signs what the owner posts: HKDF-SHA256 (RFC 5869) of the key
// itself, so that who deals need keep nothing else, and no key has two purposes (R16).
func (o *Owned) dealer(cluster api.ClusterID, name string) (*authority.Signer, error) {
	x := o.raw()
	defer clear(x)
	for n := uint64(0); ; n++ { // one in 2^32 is not below the order
		raw, err := hkdf.Key(sha256.New, x, nil, string(tag.List(tag.ImportDealer, cluster[:], []byte(name), tag.Uint64(n))), group.ScalarSize)
		if err != nil {
			return nil, fmt.Errorf("make the key that signs what is dealt: %w", err)
		}
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
		clear(raw)
		if err == nil {
			return authority.NewSigner(k)
		}
	}
}

// Import deals a key that is whole among the holders that its order names, and returns
// the id of what comes of it. g has the custodians and the roster in force, under which
// order and holders are believed. It opens a run unless one is live, and takes it up
// where it stands. Failures: [ErrNotOrdered], [ErrAnotherKey], [ErrImportAbandoned], what
// [Client.Submit] says, or a *[NodesError]; and ctx's end, after which it can be called
// again.
func (c *Client) Import(ctx context.Context, g *authority.Genesis, name string, key *Owned) (api.KeyID, error) {
	var d *dealing
	defer func() { d.wipe() }()
	for tries := 0; ; {
		a, err := c.importOf(ctx, name, d.run())
		if err != nil {
			return api.KeyID{}, err
		}
		if len(a.Order) == 0 {
			return api.KeyID{}, fmt.Errorf("%w: %s", ErrNotOrdered, printable(name))
		}
		o, err := newImport(g, name, key, a.Order)
		switch {
		case err != nil:
			return api.KeyID{}, err
		case a.Key != api.KeyID{}:
			return a.Key, nil
		case a.Abandoned != "":
			return api.KeyID{}, fmt.Errorf("%w: %s", ErrImportAbandoned, printable(a.Abandoned))
		}
		var e *authority.Entry
		if a.Session.IsZero() {
			e, err = o.sign(authority.KindImportOpen, authority.Open{Order: o.id, Attempt: a.Attempt + 1})
		} else if d == nil {
			d, err = o.begin(a)
		}
		if err == nil && d != nil && a.Session == d.session.ID {
			e, err = d.step(a)
		}
		if err != nil {
			return api.KeyID{}, err
		}
		if e != nil {
			if _, err = c.Submit(ctx, e.Encode()); errors.Is(err, ErrRefusedEntry) && tries < importTries {
				// What one node shows may be old, or made up: nothing of it is kept.
				tries, err = tries+1, nil
				d.wipe()
				d = nil
			}
			if err != nil && !errors.Is(err, ErrUnknownOutcome) {
				return api.KeyID{}, err
			}
		}
		select {
		case <-time.After(importLook):
		case <-ctx.Done():
			return api.KeyID{}, fmt.Errorf("import the key %s: %w", name, ctx.Err())
		}
	}
}

// importOf asks how far the import of this name is, in one run or in the one that is live.
func (c *Client) importOf(ctx context.Context, name string, run api.Digest) (*api.ImportAnswer, error) {
	body := wire.Encode(api.ImportRequest{Name: name, Session: run})
	return firstOf(ctx, c, "ask for the import of "+name, func(ctx context.Context, l *link) (*api.ImportAnswer, error) {
		return ask[api.ImportAnswer](ctx, l, api.MethodImport, body)
	})
}

// ordered is the order of an import, believed, and its owner.
type ordered struct {
	genesis *authority.Genesis
	id      api.Digest
	order   *authority.Order
	key     *Owned
	signer  *authority.Signer
}

// newImport believes the order of an import: custodians in force signed it, its
// threshold is not below the cluster's, and it is of this key.
func newImport(g *authority.Genesis, name string, key *Owned, entry []byte) (*ordered, error) {
	e, err := authority.ParseEntry(entry)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	c, err := authority.VerifyChange(g, e)
	if err != nil {
		return nil, fmt.Errorf("the order of the import: %w", err)
	}
	o, err := authority.ParseOrder(c)
	if err != nil {
		return nil, err
	}
	if o.Name != name || o.Import == nil || o.T < g.Root.T {
		return nil, fmt.Errorf("%w: the order is not that of an import of %s", ErrAnswer, printable(name))
	}
	if o.Symmetric() != key.Symmetric() {
		return nil, fmt.Errorf("%w: the order is of %s", ErrAnotherKey, kindOf(o))
	}
	signer, err := key.dealer(g.Cluster, name)
	if err != nil {
		return nil, err
	}
	mine, err := key.Import(o)
	if err != nil {
		return nil, err
	}
	switch {
	case !bytes.Equal(o.Import.Seed, mine.Seed):
		return nil, fmt.Errorf("%w: ordered is the one of the seed with the hash %x", ErrAnotherKey, o.Import.Seed)
	case !bytes.Equal(o.Import.Y, mine.Y), !bytes.Equal(o.Import.Dealer, mine.Dealer):
		return nil, fmt.Errorf("%w: ordered is the one with the public key %x", ErrAnotherKey, o.Import.Y)
	}
	return &ordered{genesis: g, id: e.ID(), order: o, key: key, signer: signer}, nil
}

// kindOf names what an order imports.
func kindOf(o *authority.Order) string {
	if o.Symmetric() {
		return "a symmetric key, of a seed"
	}
	return "a key that unwraps"
}

func (o *ordered) sign(kind string, body any) (*authority.Entry, error) {
	return authority.SignImport(rand.Reader, o.signer, o.genesis.Cluster, o.id, kind, body)
}

// dealing is the owner's part in one run.
type dealing struct {
	*ordered
	session dkg.Session
	me      sharing.Index
	part    *dkg.Participant
	posts   [dkg.KindDeal + 1][]byte // what was prepared, by kind
}

// begin takes part in a run. Its id is computed: what a node says of it leads to another
// one, or is so.
func (o *ordered) begin(a *api.ImportAnswer) (*dealing, error) {
	id := authority.SessionID(o.genesis.Cluster, a.Roster, o.id, a.Run, a.LinkBefore)
	if id != a.Session {
		return nil, fmt.Errorf("%w: a run that is none of this order", ErrAnswer)
	}
	h := int(o.order.H())
	d := &dealing{ordered: o, me: sharing.Index(h + 1), session: dkg.Session{
		ID: id, Cluster: o.genesis.Cluster, T: int(o.order.T), H: h, F: int(o.order.F), N: 1,
	}}
	if err := d.takePart(); err != nil {
		return nil, err
	}
	if _, err := d.prepare(dkg.View{Session: d.session, Phase: dkg.PhaseJoin}); err != nil {
		d.wipe()
		return nil, err
	}
	return d, nil
}

// takePart makes the owner's part, of its key or of its seed.
func (d *dealing) takePart() (err error) {
	id, key := authority.KeyIDOf(d.session.ID), d.ordered.key
	if key.Symmetric() {
		d.session.Symmetric = &dkg.SymmetricKey{Key: id, Version: 1, Seed: [32]byte(d.order.Import.Seed)}
		d.part, err = dkg.NewOwner(d.session, d.order.Name, key.seed)
		return err
	}
	if d.session.Old, err = dkg.NewImport(d.session.H, id, key.y); err != nil {
		return err
	}
	d.part, err = dkg.NewParticipant(d.session, d.me, []*group.Scalar{key.key}, rand.Reader)
	return err
}

func (d *dealing) wipe() {
	if d != nil {
		d.part.Wipe()
	}
}

// run names the run that is taken part in, or none.
func (d *dealing) run() api.Digest {
	if d == nil {
		return api.Digest{}
	}
	return d.session.ID
}

// prepare is what is to be posted now.
func (d *dealing) prepare(v dkg.View) ([]byte, error) {
	ready, err := d.part.Step(v, rand.Reader)
	if err != nil || ready.Post == nil {
		return nil, err
	}
	d.posts[ready.Post.Kind] = ready.Post.Body
	return ready.Post.Body, nil
}

// step is the entry that the run waits for, or nil. The view of the board is made of what
// the holders have signed and of what was posted from here: a node that shows anything
// else is told what the ledger refuses.
func (d *dealing) step(a *api.ImportAnswer) (*authority.Entry, error) {
	phase := dkg.Phase(a.Phase)
	if a.Posted || phase > dkg.PhaseDeal {
		return nil, nil
	}
	v := dkg.View{Session: d.session, Phase: phase}
	if phase > dkg.PhaseJoin {
		joins, hashes, err := d.joins(a.Joins)
		if err != nil {
			return nil, err
		}
		v.Joins = joins
		v.Previous = dkg.ClosedHash(d.session, dkg.PhaseJoin, [32]byte{}, hashes)
	}
	if phase > dkg.PhaseCommit {
		commit := d.posts[dkg.KindCommit]
		if commit == nil {
			return nil, nil // of an earlier dealing, which nobody can go on with: it will be late
		}
		own := dkg.PostHash(d.session, d.me, dkg.KindCommit, commit)
		v.Commits = make([]*dkg.Commit, d.session.Participants())
		var err error
		if v.Commits[d.me-1], err = dkg.DecodeCommit(commit); err != nil {
			return nil, err
		}
		v.Previous = dkg.ClosedHash(d.session, dkg.PhaseCommit, v.Previous, append(make([]*[32]byte, d.session.H), &own))
	}
	body, err := d.prepare(v)
	if err != nil || body == nil {
		return nil, err
	}
	return d.sign(authority.KindImportPost, authority.Post{Session: d.session.ID, Kind: uint32(phase), Body: body})
}

// joins reads what the holders have joined with. A receive key is believed of the node
// that it belongs to, and of nobody else: to whoever has made it up, the key would go.
func (d *dealing) joins(entries [][]byte) ([]*dkg.Join, []*[32]byte, error) {
	if len(entries) > d.session.H {
		return nil, nil, fmt.Errorf("%w: %d joins of %d holders", ErrAnswer, len(entries), d.session.H)
	}
	joins, hashes := make([]*dkg.Join, d.session.Participants()), make([]*[32]byte, d.session.Participants())
	keep := func(i sharing.Index, body []byte) (err error) {
		hash := dkg.PostHash(d.session, i, dkg.KindJoin, body)
		hashes[i-1] = &hash
		joins[i-1], err = dkg.CheckJoin(d.session, i, body)
		return err
	}
	if err := keep(d.me, d.posts[dkg.KindJoin]); err != nil {
		return nil, nil, err
	}
	for k, raw := range entries {
		if len(raw) == 0 {
			continue
		}
		body, err := d.joinOf(d.order.Holders[k], raw)
		if err == nil {
			err = keep(sharing.Index(k+1), body)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: the join of %s: %w", ErrAnswer, d.order.Holders[k], err)
		}
	}
	return joins, hashes, nil
}

// joinOf is the body of a holder's join in this run, as it has signed it.
func (d *dealing) joinOf(holder string, raw []byte) ([]byte, error) {
	e, err := authority.ParseEntry(raw)
	if err != nil {
		return nil, err
	}
	st, err := authority.VerifyStatement(d.genesis, e)
	if err != nil {
		return nil, err
	}
	var p authority.Post
	if err := wire.Decode(st.Body, &p); err != nil {
		return nil, err
	}
	if st.Node != holder || st.Kind != authority.KindPost || p.Session != d.session.ID || p.Kind != uint32(dkg.KindJoin) {
		return nil, fmt.Errorf("%w: it is a %s of %s", authority.ErrStatement, st.Kind, st.Node)
	}
	return p.Body, nil
}
