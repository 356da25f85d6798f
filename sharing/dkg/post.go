package dkg

import (
	"errors"
	"fmt"

	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
)

// MaxBody bounds the body of a post, in bytes. The largest is the deal of 100 keys
// at 16-of-16. Per key it has 16 points of 65+2 bytes, a proof of 64+2, and 32 bytes
// in each of 16 boxes: 1,651 with the head of its list, so 165,100 for 100. A box
// adds 1153+16+3 bytes, 18,752 for 16, and the frame less than 200: 184,052 in all.
// A join has at most 31 receive keys of 1249+3 bytes, 39 KiB; a receipt 100 proofs,
// 7 KiB. A ledger entry, which is a body with its author and signature, may have
// 256 KiB.
const MaxBody = 184 << 10

// ErrTooLarge means that a body is longer than [MaxBody].
var ErrTooLarge = errors.New("dkg: the post is too large")

// Post is what a participant wants on the board.
type Post struct {
	Kind Kind
	Body []byte // the canonical encoding of a [Join], [Commit], [Deal], [Verdict] or [Receipt]
}

// Join says "I take part" and hands out one one-time receive key per dealer, so
// that a later complaint about one dealer shows nothing that another one sent. It
// serves all keys of the batch. Who only deals hands out none.
type Join struct {
	Session     [32]byte `cbor:"1,keyasint"`
	ReceiveKeys [][]byte `cbor:"2,keyasint"` // one for each participant, by place; empty at the author's own, and at those who deal nothing
}

// Commit binds a dealer to its polynomials before it has seen another's.
type Commit struct {
	Session  [32]byte `cbor:"1,keyasint"`
	Previous [32]byte `cbor:"2,keyasint"` // the closed join list
	Hash     [32]byte `cbor:"3,keyasint"` // [CommitmentHash]
}

// Deal reveals the commitments and carries the sealed sub-shares.
type Deal struct {
	Session  [32]byte `cbor:"1,keyasint"`
	Previous [32]byte `cbor:"2,keyasint"` // the closed commit list
	// For each key exactly t points of 65 bytes, the constant term first. Of a symmetric
	// key one list: for each of the dealer's sets, or of an import for all, the hash of
	// its contribution.
	Commitments [][][]byte `cbor:"3,keyasint"`
	Proofs      [][]byte   `cbor:"4,keyasint"` // for each key a Schnorr proof of knowledge of the constant term; none of a symmetric key
	Boxes       [][]byte   `cbor:"5,keyasint"` // h of them, by recipient; empty at the author's own and where nobody joined
}

// Verdict accepts all dealings it does not complain about.
type Verdict struct {
	Session    [32]byte    `cbor:"1,keyasint"`
	Previous   [32]byte    `cbor:"2,keyasint"` // the closed deal list
	Complaints []Complaint `cbor:"3,keyasint"` // by ascending dealer
}

// Complaint says that a dealer's box did not hold the promised sub-shares. It
// publishes the private receive key made for that dealer, so everyone can look.
type Complaint struct {
	Dealer     sharing.Index `cbor:"1,keyasint"`
	ReceiveKey []byte        `cbor:"2,keyasint"` // 32 bytes
}

// Receipt proves, under each new share, that its author has it and saw this transcript.
type Receipt struct {
	Session    [32]byte `cbor:"1,keyasint"`
	Transcript [32]byte `cbor:"2,keyasint"`
	Proofs     [][]byte `cbor:"3,keyasint"` // one for each key; none of a symmetric key

	// Sets are, of a symmetric key, the hashes of the author's set keys, 32 bytes each,
	// in the order of [tprf.Held]. The members of a set must say the same.
	Sets [][]byte `cbor:"4,keyasint,omitempty"`
}

// DecodeJoin, and each of its sisters, reads the canonical encoding of a post and
// nothing else. What it returns has a form, but was not checked: see [CheckJoin].
func DecodeJoin(body []byte) (*Join, error) { return decode[Join](KindJoin, body) }

// DecodeCommit reads a [Commit].
func DecodeCommit(body []byte) (*Commit, error) { return decode[Commit](KindCommit, body) }

// DecodeDeal reads a [Deal].
func DecodeDeal(body []byte) (*Deal, error) { return decode[Deal](KindDeal, body) }

// DecodeVerdict reads a [Verdict].
func DecodeVerdict(body []byte) (*Verdict, error) { return decode[Verdict](KindVerdict, body) }

// DecodeReceipt reads a [Receipt].
func DecodeReceipt(body []byte) (*Receipt, error) { return decode[Receipt](KindReceipt, body) }

func decode[T any](k Kind, body []byte) (*T, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("decode a %v of %d bytes, at most %d are read: %w", k, len(body), MaxBody, ErrTooLarge)
	}
	v := new(T)
	if err := wire.Decode(body, v); err != nil {
		return nil, fmt.Errorf("decode a %v: %w", k, err)
	}
	return v, nil
}
