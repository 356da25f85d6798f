package auditor

import (
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/policy"
)

// applyLife is what the ledger does with a change of a key's state, or of what is said
// of a key.
func (s *InForce) applyLife(e *Entry, byID map[api.Digest]*Entry, follows func(*Entry) error) error {
	if e.Kind == authority.KindKeyLabels {
		said, err := authority.ParseKeyLabels(e.Change)
		if err != nil {
			return err
		}
		if !e.sure {
			return errFewLogs
		}
		err = follows(s.saidBefore(said.Key, e, byID))
		s.Said[said.Key] = e
		return err
	}
	to, err := authority.ParseKeyState(e.Change)
	if err != nil {
		return err
	}
	if !e.sure {
		return errFewLogs
	}
	before := s.States[to.Key]
	s.States[to.Key] = e
	if !e.Change.Base.IsZero() {
		return follows(before)
	}
	return nil
}

// saidBefore is what was said of a key before an entry that replaces it. At its birth its
// order says it, which does not know its id.
func (s *InForce) saidBefore(key api.KeyID, e *Entry, byID map[api.Digest]*Entry) *Entry {
	if before := s.Said[key]; before != nil {
		return before
	}
	if o := byID[e.Change.Base]; o != nil && o.Kind == authority.KindKey {
		return o
	}
	return nil
}

// applyEnd is what the ledger does with an order to destroy a key, or to keep it.
func (s *InForce) applyEnd(e *Entry, follows func(*Entry) error) error {
	if e.Kind == authority.KindKeyDestroy {
		b, err := authority.ParseKeyDestroy(e.Change)
		if err == nil && !e.sure {
			err = errFewLogs
		}
		if err == nil {
			s.Ends[b.Key] = e
		}
		return err
	}
	b, err := authority.ParseKeyKeep(e.Change)
	if err != nil {
		return err
	}
	if err := follows(s.Ends[b.Key]); err != nil {
		return err
	}
	delete(s.Ends, b.Key)
	return nil
}

// lifeOf is where a key stood, and what was said of it, from signed entries alone. o is
// its order.
func (s *InForce) lifeOf(key api.KeyID, o *authority.Order) (authority.Life, *authority.KeyLabels) {
	life, said := authority.BornAs(o), o.Says(key)
	if said == nil {
		said = &authority.KeyLabels{Key: key}
	}
	if e := s.States[key]; e != nil {
		if to, err := authority.ParseKeyState(e.Change); err == nil {
			life.Put = to.To
		}
	}
	if e := s.Said[key]; e != nil {
		if k, err := authority.ParseKeyLabels(e.Change); err == nil {
			said, life.NotAfter = k, k.NotAfter
		}
	}
	return life, said
}

// judgeState asks whether anything could be opened where the key stood in its life.
func (w *WhoCould) judgeState(s *InForce) {
	if w.Order == nil || w.KeyID == nil {
		return
	}
	if e := s.Ends[*w.KeyID]; e != nil {
		w.nobody("the key was to be destroyed, or was, by %s, at %s", e.ID, instant(e.Time))
		return
	}
	life, _ := s.lifeOf(*w.KeyID, w.Order)
	state := life.At(w.At, w.At)
	if w.Action == policy.Encrypt && state.Wraps() || w.Action != policy.Encrypt && state.Unwraps() {
		return
	}
	by := "by its order"
	if e := s.States[*w.KeyID]; e != nil {
		by = fmt.Sprintf("by %s, at %s", e.ID, instant(e.Time))
	}
	w.nobody("the key was %s, %s", state, by)
}
