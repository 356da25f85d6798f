package ledger

import (
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/unseal"
)

// value is what stands at a path of the state. digest covers all of it.
type value interface{ digest() api.Digest }

func digestOf(v any) api.Digest { return tag.Hash(tag.StateValue, wire.Encode(v)) }

// Taken remembers the id of a change, so that it is never taken again.
type Taken struct {
	Kind     string `cbor:"1,keyasint"`
	Index    uint64 `cbor:"2,keyasint"`
	NotAfter int64  `cbor:"3,keyasint"`
}

// Policy is the signed policy in force.
type Policy struct {
	Change   api.Digest `cbor:"1,keyasint"`
	Document []byte     `cbor:"2,keyasint"`
	Digest   api.Digest `cbor:"3,keyasint"`
}

// CA is a certificate authority for applications that is in force.
type CA struct {
	Change api.Digest   `cbor:"1,keyasint"`
	CA     authority.CA `cbor:"2,keyasint"`
}

// Ordered is an order and what has become of it.
type Ordered struct {
	Hash    api.Digest      `cbor:"1,keyasint"`
	Order   authority.Order `cbor:"2,keyasint"`
	Entry   []byte          `cbor:"3,keyasint,omitempty"` // the custodian-signed entry; empty for the root key, whose order is in genesis
	Attempt uint64          `cbor:"4,keyasint"`           // the last one opened
	Live    api.Digest      `cbor:"5,keyasint"`           // its session, while it runs
	Key     api.KeyID       `cbor:"6,keyasint"`           // once born
	Custody uint64          `cbor:"7,keyasint,omitempty"` // how many successors there were when it was taken
	By      *api.Digest     `cbor:"8,keyasint,omitempty"` // the order whose period it follows; nil: custodians ordered it
}

// Session is one run of a ceremony: of a birth, of an import, or of a [Renewal].
type Session struct {
	ID         api.Digest
	Order      api.Digest
	Attempt    uint64
	LinkBefore api.Digest
	Opened     uint64 // Raft index
	OpenedTime int64  // ledger time, Unix milliseconds
	Roster     uint64 // the roster's version when it was opened

	Participants []string     // by place: the holders that will be, then old ones who leave, or the [Owner]
	PhaseSeconds uint32       // of its order
	Keys         []KeyVersion // of a refresh or a reshare: its batch; none at a birth
	Joins        [][]byte     // of an import that runs, by holder: the join as its node signed it; empty where there is none

	Board *board.Board
}

// PlaceOf returns where a node stands among the participants, from 1, or 0.
func (s *Session) PlaceOf(node string) sharing.Index {
	return sharing.Index(slices.Index(s.Participants, node) + 1)
}

// Anchored is the latest anchor of a node.
type Anchored struct {
	Anchor authority.Anchor `cbor:"1,keyasint"`
	Entry  []byte           `cbor:"2,keyasint"` // as the node signed it: an auditor needs nobody's word for it
}

// Address is the newest address claim of a node.
type Address struct {
	Claim authority.AddressClaim `cbor:"1,keyasint"`
}

// Locks are what opens the seals of one node: of the one that is on its disk, and of
// the next. They are ordered by generation, and are at most two.
type Locks struct {
	Locks []GenerationLock `cbor:"1,keyasint"`
}

// GenerationLock is the lock of one generation of a node's seal.
type GenerationLock struct {
	Generation uint64      `cbor:"1,keyasint"`
	Lock       unseal.Lock `cbor:"2,keyasint"`
	Custody    uint64      `cbor:"3,keyasint,omitempty"` // for which custodians: those after so many successors
}

type ledgerTime struct {
	Milliseconds int64 `cbor:"1,keyasint"`
}

type named struct {
	Order api.Digest `cbor:"1,keyasint"`
}

// trustMoved is the change that moved the CAs in force last.
type trustMoved struct {
	Change api.Digest `cbor:"1,keyasint"`
}

// milestone is the last multiple of [Milestone] below the last command, and the
// link after the last command at or below it.
type milestone struct {
	Index uint64     `cbor:"1,keyasint"`
	Link  api.Digest `cbor:"2,keyasint"`
}

func (v *Taken) digest() api.Digest      { return digestOf(v) }
func (v *Policy) digest() api.Digest     { return digestOf(v) }
func (v *CA) digest() api.Digest         { return digestOf(v) }
func (v *Ordered) digest() api.Digest    { return digestOf(v) }
func (v *Anchored) digest() api.Digest   { return digestOf(v) }
func (v *Address) digest() api.Digest    { return digestOf(v) }
func (v *Locks) digest() api.Digest      { return digestOf(v) }
func (v *ledgerTime) digest() api.Digest { return digestOf(v) }
func (v *named) digest() api.Digest      { return digestOf(v) }
func (v *trustMoved) digest() api.Digest { return digestOf(v) }
func (v *milestone) digest() api.Digest  { return digestOf(v) }

// about is who and what a session is about, as its digest covers it.
type about struct {
	Participants []string     `cbor:"1,keyasint"`
	PhaseSeconds uint32       `cbor:"2,keyasint"`
	Keys         []KeyVersion `cbor:"3,keyasint,omitempty"`
	Joins        [][]byte     `cbor:"4,keyasint,omitempty"`
}

func (v *Session) digest() api.Digest {
	b := api.Digest(v.Board.Digest())
	about := wire.Encode(about{v.Participants, v.PhaseSeconds, v.Keys, v.Joins})
	return tag.Hash(tag.StateValue, v.ID[:], v.Order[:], tag.Uint64(v.Attempt), v.LinkBefore[:], tag.Uint64(v.Opened), tag.Uint64(uint64(v.OpenedTime)), tag.Uint64(v.Roster), about, b[:])
}
