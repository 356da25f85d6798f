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

// MaxEncoding bounds the encoding of a board, in bytes: four posts of each holder
// that are kept whole, and the rest.
const MaxEncoding = 4*sharing.MaxHolders*dkg.MaxBody + 64<<10

// encoded is all of a board but the session's id and cluster, which stand beside it.
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
	Qual       []sharing.Index `cbor:"1,keyasint"`
	Transcript [32]byte        `cbor:"2,keyasint"`
	Y          []byte          `cbor:"3,keyasint"`
	YI         [][]byte        `cbor:"4,keyasint"`
}

// Digest covers everything that the board is: all that was taken, in order, and
// what has come of it. It is for the ledger's state root. Of a post that is kept
// whole it takes the hash.
func (b *Board) Digest() [32]byte {
	e := b.encoded()
	for i := range e.Posts {
		e.Posts[i].Raw = nil
	}
	return tag.Hash(tag.BoardDigest, b.session.ID[:], b.session.Cluster[:], wire.Encode(e))
}

// Encode returns the canonical encoding of the board, for [Decode].
func (b *Board) Encode() []byte { return wire.Encode(b.encoded()) }

func (b *Board) encoded() *encoded {
	e := &encoded{
		T: b.session.T, H: b.session.H, F: b.session.F, Phase: b.phase, Previous: b.previous,
		Late: marked(&b.late), Abandon: marked(&b.abandon), Abandoned: b.abandoned, Events: b.events,
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
	if o := b.outcome; o != nil {
		e.Outcome = &encodedOutcome{Qual: o.Qual, Transcript: o.Transcript, Y: o.Y.Bytes()}
		for _, y := range o.YI {
			e.Outcome.YI = append(e.Outcome.YI, y.Bytes())
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
	b := &Board{
		session: dkg.Session{ID: id, Cluster: cluster, T: e.T, H: e.H, F: e.F},
		phase:   e.Phase, abandoned: e.Abandoned, events: e.Events,
	}
	if err := b.session.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	if e.Phase < dkg.PhaseJoin || e.Phase > dkg.PhaseAbandoned {
		return nil, fmt.Errorf("%w: %v", ErrEncoding, e.Phase)
	}
	if err := errors.Join(b.mark(&b.late, e.Late), b.mark(&b.abandon, e.Abandon), b.restoreOutcome(e.Outcome)); err != nil {
		return nil, err
	}
	for i := range e.Posts {
		if err := b.restorePost(&e.Posts[i]); err != nil {
			return nil, err
		}
	}
	b.previous = e.Previous
	if !bytes.Equal(b.Encode(), body) {
		return nil, fmt.Errorf("%w: it is encoded another way", ErrEncoding)
	}
	return b, nil
}

func (b *Board) mark(set *[sharing.MaxHolders]bool, who []sharing.Index) error {
	for _, i := range who {
		if err := b.checkAuthor(i); err != nil {
			return fmt.Errorf("%w: %w", ErrEncoding, err)
		}
		set[i-1] = true
	}
	return nil
}

func (b *Board) restoreOutcome(e *encodedOutcome) error {
	if ends := b.phase == dkg.PhaseConfirm || b.phase == dkg.PhaseDone; ends != (e != nil) {
		return fmt.Errorf("%w: the outcome does not fit the %v phase", ErrEncoding, b.phase)
	}
	if e == nil {
		return nil
	}
	if len(e.YI) != b.session.H {
		return fmt.Errorf("%w: %d verification keys of %d holders", ErrEncoding, len(e.YI), b.session.H)
	}
	o := &dkg.Outcome{Qual: e.Qual, Transcript: e.Transcript, T: b.session.T, H: b.session.H}
	for _, i := range e.Qual {
		if err := b.checkAuthor(i); err != nil {
			return fmt.Errorf("%w: %w", ErrEncoding, err)
		}
	}
	var err error
	if o.Y, err = group.DecodePoint(e.Y); err != nil {
		return fmt.Errorf("%w: %w", ErrEncoding, err)
	}
	for _, y := range e.YI {
		p, err := group.DecodePoint(y)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrEncoding, err)
		}
		o.YI = append(o.YI, p)
	}
	b.outcome = o
	return nil
}

// restorePost takes the posts in the order of their phases, so that what each
// stands on is there when it is checked.
func (b *Board) restorePost(e *encodedPost) error {
	if e.Kind.Phase() == 0 || b.checkAuthor(e.Author) != nil || b.posts[e.Kind][e.Author-1] != nil {
		return fmt.Errorf("%w: a %v of holder %d", ErrEncoding, e.Kind, e.Author)
	}
	p := &posted{hash: e.Hash, raw: e.Raw}
	ended := b.phase > dkg.PhaseConfirm
	switch {
	case e.Kind == dkg.KindReceipt:
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

// hashes has h entries, nil where there is no post.
func (b *Board) hashes(kind dkg.Kind) []*[32]byte {
	hashes := make([]*[32]byte, b.session.H)
	for k := range hashes {
		if p := b.posts[kind][k]; p != nil {
			hashes[k] = &p.hash
		}
	}
	return hashes
}
