package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"filippo.io/age"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/escrow"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
)

// MaxEscrow bounds an escrow file, in bytes: sixteen holders' shares for as many
// custodians, the order, and every change of custodians and roster before it.
const MaxEscrow = 2 << 20

// Reasons why an escrow does not open.
var (
	// ErrNoEscrow means that no order of escrow of the key is known to the nodes.
	ErrNoEscrow = errors.New("the key is not escrowed")
	// ErrEscrow means that bytes are not an escrow file that is believed.
	ErrEscrow = errors.New("not a believable escrow")
	// ErrNotKeeper means that a custodian is none of those whom the shares are sealed to.
	ErrNotKeeper = errors.New("the shares are not sealed to this custodian")
	// ErrHanded means that what a custodian handed over is for another one, or by another
	// order.
	ErrHanded = escrow.ErrHanded
	// ErrEscrowShort means that too few shares, or pieces, are there.
	ErrEscrowShort = errors.New("too little of the escrow is there to open anything")
)

// Escrows lists the orders to seal the shares of a key to custodians, as the nearest node
// that answers says.
func (c *Client) Escrows(ctx context.Context, nameOrID string) (*api.EscrowsAnswer, error) {
	q := api.EscrowsRequest{Name: nameOrID}
	if id, err := api.ParseDigest(nameOrID); err == nil {
		q = api.EscrowsRequest{ID: api.KeyID(id)}
	} else if err := api.CheckName(nameOrID); err != nil {
		return nil, fmt.Errorf("list the orders of escrow: %w", err)
	}
	body := wire.Encode(q)
	return firstOf(ctx, c, "list the orders of escrow", func(ctx context.Context, l *link) (*api.EscrowsAnswer, error) {
		return ask[api.EscrowsAnswer](ctx, l, api.MethodEscrows, body)
	})
}

// escrowFile is what it takes to open an escrow, but for the custodians' keys.
type escrowFile struct {
	Genesis    []byte   `cbor:"1,keyasint"`
	Succession [][]byte `cbor:"2,keyasint,omitempty"` // up to the order
	Order      []byte   `cbor:"3,keyasint"`           // as custodians signed it
	Sealed     [][]byte `cbor:"4,keyasint"`           // by index, as holders signed them; empty: it has sealed nothing
}

// FetchEscrow gathers what the holders have sealed by an order of escrow, into a file that
// needs no node. It is public: it opens nothing without the custodians' keys.
func (c *Client) FetchEscrow(ctx context.Context, key api.KeyID, of api.EscrowSummary) (*Escrow, error) {
	chain, err := c.Custody(ctx)
	if err != nil {
		return nil, err
	}
	get := func(index uint32) (*api.EscrowAnswer, error) {
		body := wire.Encode(api.EscrowRequest{Key: key, Order: of.Order, Index: index})
		return firstOf(ctx, c, "fetch an escrow", func(ctx context.Context, l *link) (*api.EscrowAnswer, error) {
			return ask[api.EscrowAnswer](ctx, l, api.MethodEscrow, body)
		})
	}
	order, err := get(0)
	if err != nil {
		return nil, err
	}
	if order.After > uint64(chain.Len()) || of.Holders > maxEscrowHolders {
		return nil, fmt.Errorf("fetch an escrow: %w: of custodians who are not known, or of %d holders", ErrAnswer, of.Holders)
	}
	f := escrowFile{Genesis: c.conf.Genesis.Signed().Encode(), Succession: chain.Entries()[:order.After], Order: order.Entry}
	for i := range of.Holders {
		part, err := get(i + 1)
		if err != nil {
			return nil, err
		}
		f.Sealed = append(f.Sealed, part.Entry)
	}
	return ParseEscrow(wire.Encode(f), c.conf.Genesis.Hash())
}

const maxEscrowHolders = 16 // of a key

// Escrow is what the holders of one epoch of a key have sealed to custodians, believed
// from the hash of the genesis document on. Only [ParseEscrow] makes one.
type Escrow struct {
	file  []byte
	order *authority.VerifiedEscrow
	key   *Key
	// sealed is by index; what a holder has sealed badly is not in it.
	sealed map[uint32]*escrow.Sealed
	spoilt []string // holders whose statement is none, and why
}

// ParseEscrow reads an escrow file, and believes it or says why not, with [ErrEscrow]. It
// asks nobody.
func ParseEscrow(b []byte, genesis api.Digest) (*Escrow, error) {
	bad := func(err error) (*Escrow, error) { return nil, fmt.Errorf("%w: %w", ErrEscrow, err) }
	if len(b) > MaxEscrow {
		return bad(fmt.Errorf("%d bytes, at most %d", len(b), MaxEscrow))
	}
	var f escrowFile
	if err := wire.Decode(b, &f); err != nil {
		return bad(err)
	}
	signed, _, err := authority.ParseSignedGenesis(f.Genesis)
	if err != nil {
		return bad(err)
	}
	g, err := signed.Verify()
	if err != nil {
		return bad(err)
	}
	if g.Hash() != genesis {
		return bad(fmt.Errorf("it is of another cluster: its genesis document has the hash %s", g.Hash()))
	}
	e := &Escrow{file: slices.Clone(b), sealed: map[uint32]*escrow.Sealed{}}
	if e.order, err = authority.VerifyEscrow(g, f.Succession, f.Order); err != nil {
		return bad(err)
	}
	if e.key, err = ParseKey(g, e.order.Signed); err != nil {
		return bad(err)
	}
	if len(f.Sealed) != len(e.key.Holders()) {
		return bad(fmt.Errorf("the shares of %d holders, the key has %d", len(f.Sealed), len(e.key.Holders())))
	}
	chain, err := authority.Follow(g, f.Succession)
	if err != nil {
		return bad(err)
	}
	for i, entry := range f.Sealed {
		if len(entry) == 0 {
			continue
		}
		s, err := e.sealedBy(chain.Genesis, uint32(i+1), entry)
		if err != nil {
			e.spoilt = append(e.spoilt, fmt.Sprintf("%s: %v", e.key.Holders()[i], err))
			continue
		}
		e.sealed[uint32(i+1)] = s
	}
	return e, nil
}

// sealedBy verifies what the holder of an index has signed.
func (e *Escrow) sealedBy(g *authority.Genesis, index uint32, entry []byte) (*escrow.Sealed, error) {
	in, err := authority.ParseEntry(entry)
	if err != nil {
		return nil, err
	}
	st, err := authority.VerifyStatement(g, in)
	if err != nil {
		return nil, err
	}
	var b authority.Escrowed
	var s escrow.Sealed
	if err := errors.Join(wire.Decode(st.Body, &b), wire.Decode(b.Sealed, &s)); err != nil {
		return nil, err
	}
	if st.Kind != authority.KindEscrowed || st.Node != e.key.Holders()[index-1] || b.Key != e.key.ID() || b.Order != e.order.ID || b.Index != index {
		return nil, errors.New("it is another statement")
	}
	return &s, s.Check(len(e.order.Custodians), int(e.order.Open))
}

// Encode returns the file, for [ParseEscrow].
func (e *Escrow) Encode() []byte { return slices.Clone(e.file) }

// Key is the key, as its record says in the epoch of the escrow.
func (e *Escrow) Key() *Key { return e.key }

// Order is the custodians' order.
func (e *Escrow) Order() *authority.VerifiedEscrow { return e.order }

// Sealed names the holders whose shares are sealed, by index, and those whose statement is
// none, with the reason.
func (e *Escrow) Sealed() (by, spoilt []string) {
	for _, i := range slices.Sorted(maps.Keys(e.sealed)) {
		by = append(by, e.key.Holders()[i-1])
	}
	return by, e.spoilt
}

func (e *Escrow) of(index uint32) escrow.Share {
	r := e.key.Record()
	return escrow.Share{Cluster: r.Cluster, Order: e.order.ID, Key: r.Key, Version: r.Version, Epoch: r.Epoch, Index: index}
}

// PlaceOf is a custodian's place among those whom the shares are sealed to, from 0, by its
// signing key or its name. It fails with [ErrNotKeeper].
func (e *Escrow) PlaceOf(is func(authority.Custodian) bool) (int, error) {
	if i := slices.IndexFunc(e.order.Custodians, is); i >= 0 {
		return i, nil
	}
	var all []string
	for _, c := range e.order.Custodians {
		all = append(all, c.Name)
	}
	return 0, fmt.Errorf("%w, but to %v", ErrNotKeeper, all)
}

// pieces are a custodian's pieces of all that is sealed, by the holder's index. What does
// not open is left out.
func (e *Escrow) pieces(place int, by age.Identity) (map[uint32]secret.Bytes, error) {
	out := map[uint32]secret.Bytes{}
	var failures error
	for i, s := range e.sealed {
		p, err := s.OpenPiece(e.of(i), place, by)
		if err != nil {
			failures = errors.Join(failures, fmt.Errorf("the share of %s: %w", e.key.Holders()[i-1], err))
			continue
		}
		out[i] = p
	}
	if len(out) < e.key.Threshold() {
		return nil, fmt.Errorf("%w: %d pieces open, %d shares are needed: %w", ErrEscrowShort, len(out), e.key.Threshold(), failures)
	}
	return out, nil
}

// HandOver encrypts the pieces of the custodian at one place to the one at another, who
// opens.
func (e *Escrow) HandOver(from int, by age.Identity, to int) ([]byte, error) {
	pieces, err := e.pieces(from, by)
	if err != nil {
		return nil, err
	}
	defer wipeAll(pieces)
	return escrow.HandOver(escrow.Opening{Cluster: e.of(0).Cluster, Order: e.order.ID, From: uint32(from), To: uint32(to)}, pieces, e.order.Custodians[to].Open)
}

func wipeAll[K comparable](list map[K]secret.Bytes) {
	for _, p := range list {
		p.Wipe()
	}
}

// Open opens t of the shares for the custodian at a place, with the pieces that others have
// handed over. Each share is held against the key's record: x·G = Y_i. Who has sealed
// another is named, and others are taken. From then on, whoever runs this has what the key
// is, in memory: nothing proves that it is forgotten.
func (e *Escrow) Open(place int, by age.Identity, handed ...[]byte) (*Opened, error) {
	mine, err := e.pieces(place, by)
	if err != nil {
		return nil, err
	}
	all := map[int]map[uint32]secret.Bytes{place: mine}
	defer func() {
		for _, pieces := range all {
			wipeAll(pieces)
		}
	}()
	for _, box := range handed {
		from, pieces, err := escrow.Receive(e.of(0).Cluster, e.order.ID, uint32(place), box, by)
		if err != nil {
			return nil, err
		}
		if int64(from) >= int64(len(e.order.Custodians)) {
			return nil, fmt.Errorf("%w: from no custodian", escrow.ErrHanded)
		}
		all[int(from)] = pieces
	}
	if len(all) < int(e.order.Open) {
		return nil, fmt.Errorf("%w: pieces of %d custodians, %d are needed", ErrEscrowShort, len(all), e.order.Open)
	}
	o := &Opened{key: e.key, shares: map[sharing.Index]*group.Scalar{}}
	var failures error
	for _, i := range slices.Sorted(maps.Keys(e.sealed)) {
		if len(o.shares) == e.key.Threshold() {
			break
		}
		x, err := e.share(i, all)
		if err != nil {
			who := e.key.Holders()[i-1]
			failures = errors.Join(failures, fmt.Errorf("the share of %s: %w", who, err))
			o.Liars = append(o.Liars, fmt.Sprintf("%s: %v", who, err))
			continue
		}
		o.shares[sharing.Index(i)] = x
	}
	if len(o.shares) < e.key.Threshold() {
		o.Wipe()
		return nil, fmt.Errorf("%w: %d shares open, %d are needed: %w", ErrEscrowShort, len(o.shares), e.key.Threshold(), failures)
	}
	return o, nil
}

// share opens the share of one holder, and holds it against the record.
func (e *Escrow) share(index uint32, all map[int]map[uint32]secret.Bytes) (*group.Scalar, error) {
	s, of, pieces := e.sealed[index], e.of(index), map[int]secret.Bytes{}
	for place, held := range all {
		if p, ok := held[index]; ok && s.CheckPiece(of, place, p) == nil {
			pieces[place] = p
		}
	}
	raw, err := s.Open(of, pieces)
	if err != nil {
		return nil, err
	}
	defer raw.Wipe()
	x, err := group.DecodeNonZeroScalar(raw.Reveal())
	if err != nil {
		return nil, err
	}
	if !group.BaseMul(x).Equal(e.key.yi[index-1]) {
		x.Wipe()
		return nil, errors.New("what it sealed is not its share")
	}
	return x, nil
}

// Opened is t shares of a key, in one place. It opens envelopes as a quorum does, asks
// nobody and is written down by nobody.
type Opened struct {
	Liars  []string // holders whose share did not open, or was another, and why
	key    *Key
	shares map[sharing.Index]*group.Scalar
}

// Unwrap opens one envelope that is under this version of the key. ctx and reason are not
// looked at. Errors are [ErrEnvelope].
func (o *Opened) Unwrap(_ context.Context, envelope []byte, context api.Context, _ string) (secret.Bytes, error) {
	if err := context.Check(); err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	e, err := tdh2.Parse(envelope)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	v, err := o.key.public.Verify(e, context.Canonical())
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	partials := map[sharing.Index]*group.Point{}
	for i, x := range o.shares {
		partials[i] = v.Partial(x)
	}
	dek, err := o.key.public.Open(v, partials)
	if err != nil {
		return secret.Bytes{}, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return dek, nil
}

// Wipe overwrites the shares; o opens nothing afterwards.
func (o *Opened) Wipe() {
	for _, x := range o.shares {
		x.Wipe()
	}
	clear(o.shares)
}
