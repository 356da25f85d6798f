package auditor

import (
	"fmt"

	"warifu.dev/authority"
)

// maxPossible bounds the successions that may have happened: each is a change that
// custodians have signed.
const maxPossible = 64

// authorities are who may have signed what, at one place in the ledger: those who surely
// held authority there, and those who may have.
//
// A change of the custodians, or of the roster, is sure when enough logs have it. One
// that fewer have, since liars leave it out and honest logs are missing, may have
// happened all the same: what those whom it names have signed is no lie of the logs that
// hold it. It has happened for sure when enough logs hold something that only they could
// have signed. It may have happened only after the last that is sure: of two that
// replace the same, the ledger takes one.
type authorities struct {
	sure     *authority.Succession
	possible []*authority.Succession
	rosters  []*authority.Genesis // before sure: a member says what it says while it is one

	// What surely happened in all, where that is known: nothing is possible beside it. nil
	// where it is not.
	end *authority.Succession
}

// verify says whether an entry is signed by those who held authority, or may have. From
// something that is sure it learns which of them did.
func (a *authorities) verify(e *authority.Entry, sure bool) error {
	err := signedUnder(a.sure.Genesis, e)
	if err == nil {
		return nil
	}
	for _, may := range a.possible {
		if signedUnder(may.Genesis, e) == nil {
			if sure {
				a.holds(may)
			}
			return nil
		}
	}
	if e.Author != "" {
		for _, before := range a.rosters {
			if signedUnder(before, e) == nil {
				return nil
			}
		}
	}
	return err
}

func signedUnder(g *authority.Genesis, e *authority.Entry) error {
	if e.Author != "" {
		_, err := authority.VerifyStatement(g, e)
		return err
	}
	_, err := authority.VerifyChange(g, e)
	return err
}

// holds makes a succession the one that surely happened; what else may have, goes on
// from there.
func (a *authorities) holds(s *authority.Succession) {
	a.rosters = append(a.rosters, a.sure.Genesis)
	a.sure = s
	var left []*authority.Succession
	for _, may := range a.possible {
		if may != s && may.Extends(s) {
			left = append(left, may)
		}
	}
	a.possible = left
}

// follow takes a change of the custodians or of the roster, along those who have signed
// it.
func (a *authorities) follow(e *Entry, raw []byte) error {
	next, err := a.sure.Next(raw)
	for _, may := range a.possible {
		if err == nil {
			break
		}
		if n, e := may.Next(raw); e == nil {
			next, err = n, nil
		}
	}
	switch {
	case err != nil:
		return err
	case e.sure, a.end != nil && a.end.Extends(next):
		a.holds(next)
	case a.end == nil || a.end.Len() == a.sure.Len(): // nothing comes that is sure
		if len(a.possible) >= maxPossible {
			return fmt.Errorf("more than %d changes that too few logs have", maxPossible)
		}
		a.possible = append(a.possible, next)
	}
	return nil
}
