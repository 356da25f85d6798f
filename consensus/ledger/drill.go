package ledger

import (
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// Drilled is the last drill of a custodian.
type Drilled struct {
	Custodian authority.Fingerprint `cbor:"1,keyasint"`
	Node      string                `cbor:"2,keyasint"` // that made the challenge, and says that it was opened
	Challenge uint64                `cbor:"3,keyasint"` // the position that the challenge was made at
	Index     uint64                `cbor:"4,keyasint"` // where it was taken
	Time      int64                 `cbor:"5,keyasint"` // ledger time then, Unix milliseconds
}

func (v *Drilled) digest() api.Digest { return digestOf(v) }

// Drills lists the last drill of each custodian there ever was.
func (s *State) Drills() []*Drilled { return list[*Drilled](s, pathDrill) }

// takeDrill keeps that a custodian could still sign and open. A challenge is of a
// position that was; each is answered once, and none is older than the last one. The
// link of a position that is past is the node's word: states keep only the newest.
func (s *State) takeDrill(d *draft, index uint64, node string, b *authority.Drill) error {
	if err := b.Verify(s.Custody(), node); err != nil {
		return err
	}
	at := s.Position()
	if b.Index > at.Index || b.Index == at.Index && b.Link != at.Link {
		return fmt.Errorf("%w: a drill at the position %d, which is not of this chain", ErrOutOfTurn, b.Index)
	}
	path := pathDrill + b.Custodian.String()
	if last := get[*Drilled](s, path); last != nil && b.Index <= last.Challenge {
		return fmt.Errorf("%w: a drill at the position %d, the last one was at %d", ErrOutOfTurn, b.Index, last.Challenge)
	}
	d.put(path, &Drilled{Custodian: b.Custodian, Node: node, Challenge: b.Index, Index: index, Time: s.Time()})
	return nil
}
