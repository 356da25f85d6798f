package auditor

import (
	"warifu.dev/api"
	"warifu.dev/authority"
)

// applyPool is what the ledger does with the order of a pool. It opens nothing to
// anybody: a key from it is one by its own order.
func (s *InForce) applyPool(e *Entry, follows func(*Entry) error) error {
	p, err := authority.ParsePool(e.Change)
	if err != nil {
		return err
	}
	before := s.Pools[p.Name]
	s.Pools[p.Name] = e
	if e.Change.Base.IsZero() {
		return nil // the one before may have ended with a holder that left the roster
	}
	return follows(before)
}

// born says whether a ceremony was over in which this key was born: its own, or, once
// there was a pool, one that bore many.
func (s *InForce) born(key api.KeyID) bool {
	if s.Born[key] != nil {
		return true
	}
	if len(s.Pools) == 0 {
		return false
	}
	for _, e := range s.Born {
		for place := uint32(1); place <= authority.MaxPoolSize; place++ {
			if authority.PooledKeyID(e.Session, place) == key {
				return true
			}
		}
	}
	return false
}
