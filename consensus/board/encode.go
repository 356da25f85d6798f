package board

import (
	"bytes"
	"errors"
	"fmt"

	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// ErrEncoding means that bytes are not what [Board.Encode] makes.
var ErrEncoding = errors.New("board: not the encoding of a board")

// MaxEncoding bounds the encoding of a board, in bytes: what is kept whole of 16
// deals and of the joins of 32 participants, at most 40 KiB each, and 512 KiB for the
// public points before and after, twice 1,700 of 67 bytes, and all the rest.
const MaxEncoding = sharing.MaxHolders*dkg.MaxBody + dkg.MaxParticipants*(40<<10) + 512<<10

// encoded is all of a board but the session's id and cluster, which stand beside it.
// Old and Outcome are filled for [Board.Encode] only: the digest has the digest of
// the one and the transcript of the other, which cover them.
type encoded struct {
	T         int             `cbor:"1,keyasint"`
	H         int             `cbor:"2,keyasint"`
	F         int             `cbor:"3,keyasint"`
	Phase     dkg.Phase       `cbor:"4,keyasint"`
	Previous  [32]byte        `cbor:"5,keyasint"`
	Posts     []encodedPost   `cbor:"6,keyasint,omitempty"` // by kind, then by author
	Late      []sharing.Index `cbor:"7,keyasint,omitempty"`
	Abandon   []sharing.Index `cbor:"8,keyasint,omitempty"`
	Outcome   *encodedOutcome `cbor:"9,keyasint,omitempty"`
	Abandoned string          `cbor:"10,keyasint,omitempty"`
	Events    [32]byte        `cbor:"11,keyasint"`
	N         int             `cbor:"12,keyasint"`
	Old       *encodedOld     `cbor:"13,keyasint,omitempty"`

	// The key that is born or imported, if it is symmetric.
	Symmetric []byte `cbor:"14,keyasint,omitempty"`
	Version   uint32 `cbor:"15,keyasint,omitempty"`
	Seed      []byte `cbor:"16,keyasint,omitempty"` // of an import
}

type encodedPost struct {
	Kind      dkg.Kind        `cbor:"1,keyasint"`
	Author    sharing.Index   `cbor:"2,keyasint"`
	Hash      [32]byte        `cbor:"3,keyasint"`
	Raw       []byte          `cbor:"4,keyasint,omitempty"` // while it is kept
	Upheld    []sharing.Index `cbor:"5,keyasint,omitempty"` // of a verdict
	Dismissed []sharing.Index `cbor:"6,keyasint,omitempty"` // of a verdict
}

type encodedOutcome struct {
	Qual []sharing.Index `cbor:"1,keyasint"`
	Keys []encodedKey    `cbor:"2,keyasint"`
}

type encodedOld struct {
	T       int             `cbor:"1,keyasint"`
	H       int             `cbor:"2,keyasint"`
	Holders []sharing.Index `cbor:"3,keyasint"`
	Keys    []encodedKey    `cbor:"4,keyasint"`
}

// encodedKey is the public half of one key. What names it stands in an old epoch only.
type encodedKey struct {
	Key     []byte   `cbor:"1,keyasint,omitempty"`
	Version uint32   `cbor:"2,keyasint,omitempty"`
	Epoch   uint64   `cbor:"3,keyasint,omitempty"`
	Y       []byte   `cbor:"4,keyasint"`
	YI      [][]byte `cbor:"5,keyasint"`
}

// Digest covers everything that the board is: all that was taken, in order, and
// what has come of it. It is for the ledger's state root. Of a post that is kept
// whole it takes the hash.
func (b *Board) Digest() [32]byte {
	e := b.encoded()
	for i := range e.Posts {
		e.Posts[i].Raw = nil
	}
	old, transcript := b.session.Old.Digest(), [32]byte{}
	if b.outcome != nil {
		transcript = b.outcome.Transcript
	}
	return tag.Hash(tag.BoardDigest, b.session.ID[:], b.session.Cluster[:], old[:], transcript[:], wire.Encode(e))
}

// Encode returns the canonical encoding of the board, for [Decode].
func (b *Board) Encode() []byte {
	e := b.encoded()
	if o := b.outcome; o != nil {
		e.Outcome = &encodedOutcome{Qual: o.Qual}
		for _, key := range o.Keys {
			e.Outcome.Keys = append(e.Outcome.Keys, encodeKey(key))
		}
	}
	if o := b.session.Old; o != nil {
		e.Old = &encodedOld{T: o.T, H: o.H, Holders: o.Holders}
		for _, key := range o.Keys {
			named := encodeKey(key.Public)
			named.Key, named.Version, named.Epoch = key.Key[:], key.Version, key.Epoch
			e.Old.Keys = append(e.Old.Keys, named)
		}
	}
	return wire.Encode(e)
}

func encodeKey(p dkg.Public) encodedKey {
	e := encodedKey{Y: p.Y.Bytes()}
	for _, y := range p.YI {
		e.YI = append(e.YI, y.Bytes())
	}
	return e
}

func decodeKey(e *encodedKey) (p dkg.Public, err error) {
	if len(e.YI) > sharing.MaxHolders {
		return p, fmt.Errorf("%w: %d verification keys", ErrEncoding, len(e.YI))
	}
	if p.Y, err = group.DecodePoint(e.Y); err != nil {
		return p, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	for _, b := range e.YI {
		y, err := group.DecodePoint(b)
		if err != nil {
			return p, fmt.Errorf("%w: %w", ErrEncoding, err)
		}
		p.YI = append(p.YI, y)
	}
	return p, nil
}

func (b *Board) encoded() *encoded {
	e := &encoded{
		T: b.session.T, H: b.session.H, F: b.session.F, N: b.session.N, Phase: b.phase, Previous: b.previous,
		Late: marked(&b.late), Abandon: marked(&b.abandon), Abandoned: b.abandoned, Events: b.events,
	}
	if k := b.session.Symmetric; k != nil {
		e.Symmetric, e.Version = k.Key[:], k.Version
		if b.session.Imported() {
			e.Seed = k.Seed[:]
		}
	}
	for kind := dkg.KindJoin; kind <= dkg.KindReceipt; kind++ {
		for k, p := range b.posts[kind] {
			if p == nil {
				continue
			}
			post := encodedPost{Kind: kind, Author: sharing.Index(k + 1), Hash: p.hash, Raw: p.raw}
			if j, ok := p.body.(*dkg.Judged); ok {
				post.Upheld, post.Dismissed = j.Upheld, j.Dismissed
			}
			e.Posts = append(e.Posts, post)
		}
	}
	return e
}

// Decode reads the board of a session. Posts that are kept whole are checked
// again as on the day they came. For the rest the caller holds [Board.Digest]
// against one that it believes: what decodes is not therefore a board that ever was.
func Decode(id, cluster [32]byte, body []byte) (*Board, error) {
	if len(body) > MaxEncoding {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrEncoding, len(body), MaxEncoding)
	}
	var e encoded
	if err := wire.Decode(body, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	old, err := restoreOld(e.Old)
	if err != nil {
		return nil, err
	}
	b := &Board{
		session: dkg.Session{ID: id, Cluster: cluster, T: e.T, H: e.H, F: e.F, N: e.N, Old: old},
		phase:   e.Phase, abandoned: e.Abandoned, events: e.Events,
	}
	if len(e.Symmetric) != 0 {
		if len(e.Symmetric) != 32 {
			return nil, fmt.Errorf("%w: a key id of %d bytes", ErrEncoding, len(e.Symmetric))
		}
		b.session.Symmetric = &dkg.SymmetricKey{Key: [32]byte(e.Symmetric), Version: e.Version}
		if copy(b.session.Symmetric.Seed[:], e.Seed) != len(e.Seed) {
			return nil, fmt.Errorf("%w: of a seed %d bytes are said", ErrEncoding, len(e.Seed))
		}
	}
	if err := b.session.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if e.Phase < dkg.PhaseJoin || e.Phase > dkg.PhaseAbandoned {
		return nil, fmt.Errorf("%w: %v", ErrEncoding, e.Phase)
	}
	if err := errors.Join(b.mark(&b.late, e.Late), b.mark(&b.abandon, e.Abandon), b.restoreOutcome(e.Outcome, e.Previous)); err != nil {
		return nil, err
	}
	for i := range e.Posts {
		if err := b.restorePost(&e.Posts[i]); err != nil {
			return nil, err
		}
	}
	b.previous = e.Previous
	if b.phase <= dkg.PhaseConfirm {
		b.known = newKnown()
	}
	if !bytes.Equal(b.Encode(), body) {
		return nil, fmt.Errorf("%w: it is encoded another way", ErrEncoding)
	}
	return b, nil
}

func (b *Board) mark(set *marks, who []sharing.Index) error {
	for _, i := range who {
		if err := b.session.CheckPlace(i); err != nil {
			return fmt.Errorf("%w: %w", ErrEncoding, err)
		}
		set[i-1] = true
	}
	return nil
}

func restoreOld(e *encodedOld) (*dkg.Old, error) {
	if e == nil {
		return nil, nil
	}
	if len(e.Keys) > dkg.MaxBatch {
		return nil, fmt.Errorf("%w: %d old keys", ErrEncoding, len(e.Keys))
	}
	keys := make([]dkg.OldKey, len(e.Keys))
	for k := range e.Keys {
		p, err := decodeKey(&e.Keys[k])
		if err != nil {
			return nil, err
		}
		keys[k] = dkg.OldKey{Version: e.Keys[k].Version, Epoch: e.Keys[k].Epoch, Public: p}
		if copy(keys[k].Key[:], e.Keys[k].Key) != len(e.Keys[k].Key) {
			return nil, fmt.Errorf("%w: a key id of %d bytes", ErrEncoding, len(e.Keys[k].Key))
		}
	}
	var old *dkg.Old
	var err error
	if e.T == 1 && len(keys) == 1 {
		old, err = dkg.NewImport(len(e.Holders)-1, keys[0].Key, keys[0].Y)
	} else {
		old, err = dkg.NewOld(e.T, e.H, e.Holders, keys)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	return old, nil
}

func (b *Board) restoreOutcome(e *encodedOutcome, closed [32]byte) error {
	if ends := b.phase == dkg.PhaseConfirm || b.phase == dkg.PhaseDone; ends != (e != nil) {
		return fmt.Errorf("%w: the outcome does not fit the %v phase", ErrEncoding, b.phase)
	}
	if e == nil {
		return nil
	}
	if len(e.Keys) != b.session.PublicKeys() {
		return fmt.Errorf("%w: %d keys of %d", ErrEncoding, len(e.Keys), b.session.PublicKeys())
	}
	keys := make([]dkg.Public, len(e.Keys))
	for k := range e.Keys {
		var err error
		if keys[k], err = decodeKey(&e.Keys[k]); err != nil {
			return err
		}
	}
	o, err := dkg.OutcomeOf(b.session, e.Qual, keys, closed)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	b.outcome = o
	return nil
}

// restorePost takes the posts in the order of their phases, so that what each
// stands on is there when it is checked.
func (b *Board) restorePost(e *encodedPost) error {
	if e.Kind.Phase() == 0 || b.session.CheckPlace(e.Author) != nil || b.posts[e.Kind][e.Author-1] != nil {
		return fmt.Errorf("%w: a %v of holder %d", ErrEncoding, e.Kind, e.Author)
	}
	p := &posted{hash: e.Hash, raw: e.Raw}
	ended := b.phase > dkg.PhaseConfirm
	switch {
	case e.Kind == dkg.KindReceipt && (ended || b.session.Symmetric == nil):
		if len(e.Raw) != 0 {
			return fmt.Errorf("%w: a receipt is kept whole", ErrEncoding)
		}
	case e.Kind == dkg.KindVerdict && ended && len(e.Raw) == 0:
		p.body = &dkg.Judged{Upheld: e.Upheld, Dismissed: e.Dismissed}
	case ended || e.Kind.Phase() > b.phase:
		return fmt.Errorf("%w: a %v in the %v phase", ErrEncoding, e.Kind, b.phase)
	default:
		if dkg.PostHash(b.session, e.Author, e.Kind, e.Raw) != e.Hash {
			return fmt.Errorf("%w: a %v of holder %d does not fit its hash", ErrEncoding, e.Kind, e.Author)
		}
		b.previous = b.closedBefore(e.Kind.Phase())
		if e.Kind == dkg.KindDeal && b.posts[dkg.KindCommit][e.Author-1] == nil ||
			e.Kind == dkg.KindVerdict && b.posts[dkg.KindJoin][e.Author-1] == nil {
			return fmt.Errorf("%w: %w", ErrEncoding, ErrNotTakingPart)
		}
		body, err := b.check(e.Author, e.Kind, e.Raw)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrEncoding, err)
		}
		p.body = body
	}
	b.posts[e.Kind][e.Author-1] = p
	return nil
}

// closedBefore is the hash of the list that closed the phase before, computed
// from the posts.
func (b *Board) closedBefore(phase dkg.Phase) (previous [32]byte) {
	for closed := dkg.PhaseJoin; closed < phase; closed++ {
		previous = dkg.ClosedHash(b.session, closed, previous, b.hashes(dkg.Kind(closed)))
	}
	return previous
}

// hashes has one entry per participant, nil where there is no post.
func (b *Board) hashes(kind dkg.Kind) []*[32]byte {
	hashes := make([]*[32]byte, b.session.Participants())
	for k := range hashes {
		if p := b.posts[kind][k]; p != nil {
			hashes[k] = &p.hash
		}
	}
	return hashes
}
