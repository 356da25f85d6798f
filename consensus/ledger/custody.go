package ledger

import (
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// ErrTooOften means that the custodians were replaced as often as they may be.
var ErrTooOften = errors.New("the custodians were replaced as often as they may be")

// Successor is one replacement of the custodians, by its number from 1. All of them are
// kept for ever: what later custodians signed is verified along them.
type Successor struct {
	Change  api.Digest        `cbor:"1,keyasint"`
	Custody authority.Custody `cbor:"2,keyasint"`
	Entry   []byte            `cbor:"3,keyasint"` // as the custodians before signed it
	Index   uint64            `cbor:"4,keyasint"`
}

func (v *Successor) digest() api.Digest { return digestOf(v) }

// custody is who holds authority, worked out of the successors.
type custody struct {
	genesis *authority.Genesis // with the custodians and counts in force
	change  api.Digest         // that put them, or zero
}

// Custody is the genesis document as it reads now: with the custodians who hold
// authority, and the counts that are required of them.
func (s *State) Custody() *authority.Genesis { return s.custody.genesis }

// CustodyChange is the change that put the custodians in force, or zero.
func (s *State) CustodyChange() api.Digest { return s.custody.change }

// Successors lists every replacement of the custodians, oldest first.
func (s *State) Successors() []*Successor { return list[*Successor](s, pathCustody) }

// Succession is the entries of the first n replacements of the custodians.
func (s *State) Succession(n int) [][]byte {
	var out [][]byte
	for _, v := range s.Successors()[:n] {
		out = append(out, v.Entry)
	}
	return out
}

func custodyPath(number int) string { return fmt.Sprintf("%s%08d", pathCustody, number) }

// recallCustody works the custody out of a state that was decoded.
func (s *State) recallCustody() error {
	for i, v := range s.Successors() {
		if get[*Successor](s, custodyPath(i+1)) != v {
			return fmt.Errorf("%w: replacements of the custodians that do not follow each other", ErrEncoding)
		}
		next, err := s.custody.genesis.Succeeded(&v.Custody)
		if err != nil {
			return fmt.Errorf("%w: replacement %d of the custodians: %w", ErrEncoding, i+1, err)
		}
		s.custody = custody{genesis: next, change: v.Change}
	}
	return nil
}

// takeCustody replaces the custodians, and forgets what those who are none any more
// had proposed.
func (s *State) takeCustody(d *draft, index uint64, c *authority.Change, id api.Digest, raw []byte) error {
	by, err := authority.ParseCustody(c)
	if err != nil {
		return err
	}
	if err := checkBase(c, s.custody.change); err != nil {
		return err
	}
	number := len(s.Successors()) + 1
	if number > authority.MaxSuccession {
		return fmt.Errorf("%w: %d times", ErrTooOften, number-1)
	}
	next, err := s.custody.genesis.Succeeded(by)
	if err != nil {
		return err
	}
	d.put(custodyPath(number), &Successor{Change: id, Custody: *by, Entry: raw, Index: index})
	d.s.custody = custody{genesis: next, change: id}
	for _, p := range s.Proposals() {
		if p.State == ProposalOpen && next.CustodianByKey(p.By) == nil {
			d.remove(pathProposal + p.Change.String())
		}
	}
	return nil
}
