package ledger

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// ErrTooOften means that the custodians were replaced, and the roster changed, as often
// as they may be.
var ErrTooOften = errors.New("the custodians were replaced and the roster changed as often as they may be")

// Successor is one replacement of the custodians or one change of the roster, by its
// number from 1. All of them are kept for ever: what later custodians and nodes signed
// is verified along them.
type Successor struct {
	Change api.Digest `cbor:"1,keyasint"`
	Entry  []byte     `cbor:"2,keyasint"` // as the custodians before signed it
	Index  uint64     `cbor:"3,keyasint"`
	// Left is the index at which the node had left that this change of the roster takes
	// off it, or 0.
	Left uint64 `cbor:"4,keyasint,omitempty"`
}

func (v *Successor) digest() api.Digest { return digestOf(v) }

// custody is who holds authority and who is on the roster, worked out of the successors.
type custody struct {
	chain   *authority.Succession // as whoever follows the entries has it
	genesis *authority.Genesis    // with the custodians, counts and roster in force
	roll    authority.Roll
	roster  int    // number of the successor that changed the roster last, or 0
	step    uint64 // how often the members have changed: by a change, and by a node that has left
	gone    string // who has left by the last step, or empty
	undone  bool   // it had come by the change before
}

func begin(g *authority.VerifiedGenesis) custody {
	chain := authority.Begin(g)
	return custody{chain: chain, genesis: chain.Genesis, roll: chain.Roll}
}

// next is the custody after one more change, to which the chain leads.
func (c custody) next(chain *authority.Succession) custody {
	changed := chain.Roll.Version != c.roll.Version
	next := custody{chain: chain, genesis: chain.Genesis, roll: chain.Roll, roster: c.roster, step: c.step, gone: c.gone, undone: c.undone}
	if changed {
		next.roster, next.step, next.gone, next.undone = chain.Len(), c.step+1, "", false
		if former := chain.Roll.Former; chain.Roll.Newcomer == "" && chain.Roll.Leaver == "" && len(former) > len(c.roll.Former) {
			next.gone, next.undone = former[len(former)-1].ID, true
		}
	} else if c.roll.Leaver == "" && chain.Roll.Leaver != "" { // the custodians were replaced after it had left
		next.genesis, next.roll = chain.Genesis.Left(chain.Roll)
	}
	return next
}

// left is the custody when the leaver has left.
func (c custody) left() custody {
	c.gone, c.undone, c.step = c.roll.Leaver, false, c.step+1
	c.genesis, c.roll = c.genesis.Left(c.roll)
	return c
}

// Custody is the genesis document as it reads now: with the custodians who hold
// authority, the counts that are required of them, and the roster.
func (s *State) Custody() *authority.Genesis { return s.custody.genesis }

// CustodyAt is who the custodians were after so many successors; nil if there were
// fewer.
func (s *State) CustodyAt(successors uint64) *authority.Genesis {
	return s.custody.chain.At(successors)
}

// CustodyChange is the change that put the custodians in force, or zero.
func (s *State) CustodyChange() api.Digest { return s.custody.chain.Last }

// Successors lists every replacement of the custodians and every change of the roster,
// oldest first.
func (s *State) Successors() []*Successor { return list[*Successor](s, pathCustody) }

// Succession is the entries of the first n successors.
func (s *State) Succession(n int) [][]byte { return s.custody.chain.Entries()[:n] }

func custodyPath(number int) string { return fmt.Sprintf("%s%08d", pathCustody, number) }

// recallCustody works the custody out of a state that was decoded. Every signature is
// verified again.
func (s *State) recallCustody() error {
	for i, v := range s.Successors() {
		if get[*Successor](s, custodyPath(i+1)) != v {
			return fmt.Errorf("%w: replacements of the custodians that do not follow each other", ErrEncoding)
		}
		chain, err := s.custody.chain.Next(v.Entry)
		if err != nil {
			return fmt.Errorf("%w: replacement %d of the custodians: %w", ErrEncoding, i+1, err)
		}
		s.custody = s.custody.next(chain)
		if v.Left != 0 {
			if s.custody.roster != i+1 || s.custody.roll.Leaver == "" {
				return fmt.Errorf("%w: nobody leaves by the change %d", ErrEncoding, i+1)
			}
			s.custody = s.custody.left()
		}
	}
	return nil
}

// succeeded adds a change to the chain of them.
func (s *State) succeeded(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	number := s.custody.chain.Len() + 1
	if number > authority.MaxSuccession {
		return fmt.Errorf("%w: %d times", ErrTooOften, number-1)
	}
	chain, err := s.custody.chain.With(c, id, raw)
	if err != nil {
		return err
	}
	d.put(custodyPath(number), &Successor{Change: id, Entry: raw, Index: index})
	d.s.custody = s.custody.next(chain)
	return nil
}

// takeCustody replaces the custodians, and forgets what those who are none any more
// had proposed.
func (s *State) takeCustody(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	if _, err := authority.ParseCustody(c); err != nil {
		return err
	}
	if err := checkBase(c, s.CustodyChange()); err != nil {
		return err
	}
	if err := s.succeeded(d, index, c, id, raw); err != nil {
		return err
	}
	for _, p := range s.Proposals() {
		if p.State == ProposalOpen && d.s.custody.genesis.CustodianByKey(p.By) == nil {
			d.remove(pathProposal + p.Change.String())
		}
	}
	return nil
}
