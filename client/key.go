package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

// ErrKeyPoints: the points of a key record do not belong together. More than the
// cluster's threshold of nodes would have had to sign such a record.
var ErrKeyPoints = errors.New("the points of the key record do not belong together")

// Key is the public half of a key, believed as the package comment says. It
// never changes, and needs no connection.
type Key struct {
	record *authority.VerifiedRecord
	signed []byte
	public *tdh2.PublicKey // nil: it is symmetric
	yi     []*group.Point  // by index - 1

	genesis *authority.VerifiedGenesis
	life    life
}

// ParseKey reads a signed key record, as [Key.Encode] gives it and as nodes
// serve it, and believes it or says why not: an [authority.ErrRecord] or an
// [ErrKeyPoints].
func ParseKey(g *authority.VerifiedGenesis, b []byte) (*Key, error) {
	signed, err := authority.ParseSignedRecord(b)
	if err != nil {
		return nil, err
	}
	r, err := signed.Verify(g)
	if err != nil {
		return nil, err
	}
	k := &Key{record: r, signed: slices.Clone(b), genesis: g}
	if k.Symmetric() {
		return k, nil
	}
	y, err := group.DecodePoint(r.Y)
	if err != nil {
		return nil, fmt.Errorf("%w: Y: %w", ErrKeyPoints, err)
	}
	w, err := group.DecodePoint(r.W)
	if err != nil {
		return nil, fmt.Errorf("%w: W: %w", ErrKeyPoints, err)
	}
	o, born := r.Order(), r.Birth()
	k.public, err = tdh2.NewPublicKey(r.Origin(), r.Key, r.Version, int(born.T), int(born.H()), y)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyPoints, err)
	}
	if k.public, err = k.public.Reshared(sharing.Params{T: int(o.T), H: int(o.H())}); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyPoints, err)
	}
	if !w.Equal(k.public.W) {
		return nil, fmt.Errorf("%w: W is not Δ·Y", ErrKeyPoints)
	}
	for i, b := range r.YI {
		p, err := group.DecodePoint(b)
		if err != nil {
			return nil, fmt.Errorf("%w: verification key %d: %w", ErrKeyPoints, i+1, err)
		}
		k.yi = append(k.yi, p)
	}
	if err := onOnePolynomial(int(o.T), y, k.yi); err != nil {
		return nil, err
	}
	return k, nil
}

// after says whether the record is a later one of the same version of a key, and of no
// earlier roster: those who have left it could go on signing records among themselves.
func (k *Key) after(o *Key) bool {
	return k.Version() == o.Version() && k.record.RecordVersion > o.record.RecordVersion && !k.before(o)
}

// before says whether the record, or its roster, is of a lower version than the other's.
func (k *Key) before(o *Key) bool {
	return k.record.RecordVersion < o.record.RecordVersion || k.record.RosterVersion < o.record.RosterVersion
}

// sameKey holds a later record against this one: shares change, the key does not.
func (k *Key) sameKey(later *Key) error {
	if !bytes.Equal(k.record.Y, later.record.Y) || !bytes.Equal(k.record.W, later.record.W) ||
		!slices.EqualFunc(k.record.Sets, later.record.Sets, bytes.Equal) {
		return fmt.Errorf("%w: epoch %d of the key %s has another public key", ErrKeyPoints, later.Epoch(), k.ID())
	}
	return nil
}

// onOnePolynomial checks that Y and all Y_i lie on one polynomial of degree t-1
// in the exponent: Y and the first t-1 fix it, each other must give the same Y.
func onOnePolynomial(t int, y *group.Point, yi []*group.Point) error {
	quorum := make([]sharing.Index, t)
	for i := range t - 1 {
		quorum[i] = sharing.Index(i + 1)
	}
	points := slices.Clone(yi[:t])
	for last := t; last <= len(yi); last++ {
		quorum[t-1], points[t-1] = sharing.Index(last), yi[last-1]
		got, err := sharing.Interpolate(1, quorum, points)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrKeyPoints, err)
		}
		if !got.Equal(y) {
			return fmt.Errorf("%w: verification key %d is not of this key", ErrKeyPoints, last)
		}
	}
	return nil
}

// Encode returns the signed record, for [ParseKey].
func (k *Key) Encode() []byte { return slices.Clone(k.signed) }

// Record returns the verified record, with its order.
func (k *Key) Record() *authority.VerifiedRecord { return k.record }

// ID returns the key's id.
func (k *Key) ID() api.KeyID { return k.record.Key }

// Name returns the name that the order gave.
func (k *Key) Name() string { return k.record.Order().Name }

// Version returns the key version.
func (k *Key) Version() uint32 { return k.record.Version }

// Epoch returns the epoch of the record.
func (k *Key) Epoch() uint64 { return k.record.Epoch }

// Origin returns the cluster that envelopes under this key name: another one than the
// client's, if it was adopted from a cluster that was lost.
func (k *Key) Origin() api.ClusterID { return k.record.Origin() }

// Imported says whether a copy of this version was whole before: it is outside, with its
// owner.
func (k *Key) Imported() bool { return k.record.Birth().Import != nil }

// Threshold returns t, from the order.
func (k *Key) Threshold() int { return int(k.record.Order().T) }

// Holders returns the node ids of the holders in index order, from the order.
func (k *Key) Holders() []string { return slices.Clone(k.record.Order().Holders) }

// Wrap makes an envelope around a secret of 1 to 64 bytes, offline. Only the same
// context opens it. A key that is known not to be active is an [ErrKeyState], and one that
// is symmetric an [ErrSymmetric].
func (k *Key) Wrap(rand io.Reader, context api.Context, dek secret.Bytes) ([]byte, error) {
	if err := context.Check(); err != nil {
		return nil, fmt.Errorf("wrap under the key %s: %w", k.Name(), err)
	}
	if k.Symmetric() {
		return nil, fmt.Errorf("wrap under the key %s: %w", k.Name(), ErrSymmetric)
	}
	if err := k.mayWrap(); err != nil {
		return nil, err
	}
	return tdh2.Wrap(rand, k.public, context.Canonical(), dek)
}

// KeyIDOf reads which key an envelope says that it is of. Nothing is checked but
// its form; failures are [ErrEnvelope].
func KeyIDOf(envelope []byte) (api.KeyID, error) {
	id, _, err := NamedIn(envelope)
	return id, err
}

// NamedIn is [KeyIDOf] with the key's version.
func NamedIn(envelope []byte) (api.KeyID, uint32, error) {
	if k, is := symmetricIn(envelope); is {
		return k.ID, k.Version, nil
	}
	e, err := tdh2.Parse(envelope)
	if err != nil {
		return api.KeyID{}, 0, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return e.KeyID(), e.Version(), nil
}

// symmetricIn is the key that an envelope names, if it is of the form that symmetric keys
// make.
func symmetricIn(envelope []byte) (tprf.Key, bool) {
	if c, err := tprf.Parse(envelope); err == nil {
		return c.Key(), true
	}
	if c, err := tprf.ParseBranched(envelope); err == nil {
		return c.Key(), true
	}
	return tprf.Key{}, false
}

// address takes a parsed envelope as one of this key and context. Its proof is not
// checked: see [Key.verify].
func (k *Key) address(e *tdh2.Envelope, context api.Context) (*tdh2.AddressedEnvelope, error) {
	if err := context.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if k.Symmetric() {
		return nil, fmt.Errorf("%w: it is of another type than the key %s", ErrEnvelope, k.Name())
	}
	a, err := k.public.Address(e, context.Canonical())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return a, nil
}

// verify checks that an envelope was made for this key and context, unaltered.
func (k *Key) verify(e *tdh2.Envelope, context api.Context) error {
	if _, err := k.public.Verify(e, context.Canonical()); err != nil {
		return fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return nil
}

// Check says whether the envelope was made for this key and context, unaltered,
// offline. Failures are [ErrEnvelope]. Of a symmetric key nobody can say so much before it
// opens: there it is [Key.CheckForm].
func (k *Key) Check(envelope []byte, context api.Context) error {
	if err := context.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if k.Symmetric() {
		return k.CheckForm(envelope, context)
	}
	e, err := tdh2.Parse(envelope)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	return k.verify(e, context)
}

// CheckForm says whether bytes have the form of an envelope of this key, and the context
// that of a context. Failures are [ErrEnvelope].
func (k *Key) CheckForm(envelope []byte, context api.Context) error {
	if err := context.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if id, version, err := NamedIn(envelope); err != nil || id != k.ID() || version != k.Version() {
		return fmt.Errorf("%w: it is none of version %d of the key %s", ErrEnvelope, k.Version(), k.Name())
	}
	if _, is := symmetricIn(envelope); is != k.Symmetric() {
		return fmt.Errorf("%w: it is of another type than the key %s", ErrEnvelope, k.Name())
	}
	return nil
}
