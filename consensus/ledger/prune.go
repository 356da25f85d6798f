package ledger

import (
	"encoding/binary"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"warifu.dev/api"
	"warifu.dev/sharing/dkg"
)

// What a state holds for a time, and what becomes of it:
//
//	the id of a change    until its not-after: from then on a replay is refused as expired
//	a proposal            a day past its not-after: until then votes on it are refused by that name
//	a grant               a day past its window
//	a run of a ceremony   a day after it was opened, if it is over
//	a key in a pool       until the life is over that the pool's order gives it
//
// All of it is by ledger time, so that every node forgets the same at the same
// entry. Whatever asks the state is answered as if what is past were gone already:
// [get] and [list] see to that. To take it out is then the business of nobody's
// answers, and goes on little by little: each entry that is taken takes out some.
//
// For ever stay: denials and lifts (an id that was lifted is never taken again, and
// a node may have kept the deny while it was away), successions, orders, keys, and
// one value for each node and custodian there ever was.

const (
	// shown is how long what is over can still be looked at, in milliseconds.
	shown = 24 * 3600 * 1000
	// maxPruned bounds how much is taken out with one entry: some 20 µs each. At rest
	// 7,200 anchors a day come, which is far more than custodians can sign.
	maxPruned = 32
)

// passing is a value that is there for a time.
type passing interface {
	value
	// passes is the ledger time after which less of it is left; false is never.
	passes() (at int64, does bool)
	// left is what is left of it at a ledger time after that: nil for nothing.
	left(now int64) value
}

func (v *Taken) passes() (int64, bool) { return v.NotAfter, true }
func (v *Taken) left(int64) value      { return nil }

func (v *Proposal) passes() (int64, bool) { return later(v.NotAfter), true }
func (v *Proposal) left(int64) value      { return nil }

func (v *Session) passes() (int64, bool) { return later(v.OpenedTime), v.over() }
func (v *Session) left(int64) value      { return nil }
func (v *Session) over() bool {
	return v.Board.Phase() == dkg.PhaseDone || v.Board.Phase() == dkg.PhaseAbandoned
}

func (v *Grants) passes() (int64, bool) {
	at, does := int64(0), false
	for _, g := range v.List {
		if end := later(g.NotAfter); !does || end < at {
			at, does = end, true
		}
	}
	return at, does
}

func (v *Grants) left(now int64) value {
	next := &Grants{}
	for _, g := range v.List {
		if later(g.NotAfter) >= now {
			next.List = append(next.List, g)
		}
	}
	if len(next.List) == 0 {
		return nil
	}
	return next
}

// later is when what ends at a time is forgotten. A not-after may be any number.
func later(end int64) int64 { return max(end, end+shown) }

// leftOf is what is left of a value at a ledger time.
func leftOf(v value, now int64) value {
	if p, is := v.(passing); is {
		if at, does := p.passes(); does && at < now {
			return p.left(now)
		}
	}
	return v
}

// due is where a value stands in the order in which values pass: times before
// genesis and after it sort as numbers do.
func due(path string, v value) (key []byte, does bool) {
	p, is := v.(passing)
	if !is {
		return nil, false
	}
	at, does := p.passes()
	return append(binary.BigEndian.AppendUint64(nil, uint64(at)^1<<63), path...), does
}

// index notes what follows from a value that takes the place of another one at this
// path: when it passes, and who has to do something about it. Neither is part of the
// content.
func (d *draft) index(path string, before, after value) {
	d.await(path, before, after)
	d.moved = d.moved || counts(path)
	if run, is := after.(*Session); is && run.over() {
		d.ended = true
	}
	if key, does := due(path, before); does {
		d.due.Delete(key)
	}
	if key, does := due(path, after); does {
		d.due.Insert(key, struct{}{})
	}
}

// prune takes out, oldest first, so much of what is past. The time is that of before
// the entry, and so is what the entry was judged by.
func (d *draft) prune(now int64, most int) {
	for range most {
		key, _, any := d.due.Root().Minimum()
		if !any || int64(binary.BigEndian.Uint64(key)^1<<63) >= now {
			return
		}
		path := string(key[8:])
		v, _ := d.txn.Get([]byte(path))
		if rest := leftOf(v, now); rest != nil {
			d.put(path, rest)
		} else {
			d.remove(path)
		}
	}
}

// ended is the last entry with which a run of a ceremony was over. Until then the log
// may hold what was dealt in it, sealed; the board has let go of that.
type ended struct {
	Index uint64 `cbor:"1,keyasint"`
}

func (v *ended) digest() api.Digest { return digestOf(v) }

// LastEnded is the last entry with which a run of a ceremony was over, or 0. Entries up
// to there may hold sealed dealings, and this state does not.
func (s *State) LastEnded() uint64 {
	if e := get[*ended](s, pathEnded); e != nil {
		return e.Index
	}
	return 0
}

// passings is the order in which values pass.
type passings = iradix.Tree[struct{}]
