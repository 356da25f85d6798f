package consensus

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"warifu.dev/api"
)

// states holds committed and tail. Writers are Raft's main goroutine (StoreLogs,
// DeleteRange) and its FSM goroutine (Apply); readers are everybody, without a lock.
type states[S any, R any] struct {
	machine Machine[S, R]
	halt    halt

	mu    sync.Mutex
	ahead []step[S, R] // commands above committed, by index; guarded by mu
	end   uint64       // last index stored, commands or not; guarded by mu
	trail trail        // committed positions; guarded by mu

	committed atomic.Pointer[S]
	tail      atomic.Pointer[Tail[S]]
	members   atomic.Pointer[raft.Configuration] // Raft's, committed; nil until one is known
}

// Tail is what the stored log leads to.
type Tail[S any] struct {
	State S
	End   uint64 // last index in the log store
}

func newStates[S any, R any](m Machine[S, R]) *states[S, R] {
	s := &states[S, R]{machine: m, trail: trail{{Link: m.Link(m.Genesis)}}}
	s.committed.Store(&m.Genesis)
	s.tail.Store(&Tail[S]{State: m.Genesis})
	return s
}

// store extends the tail by what is about to be stored. An entry at or below
// the tail's end is an implicit truncation. It returns before anything is
// written; if the write fails the tail stays ahead, which can only refuse.
func (s *states[S, R]) store(first, last uint64, commands []step[S, R]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first <= s.end {
		s.cut(first - 1)
	}
	state := s.last()
	for _, c := range commands {
		state, c.result = s.machine.Apply(state, c.index, c.entry)
		c.state = state
		s.ahead = append(s.ahead, c)
	}
	s.end = last
	s.publish()
}

// truncate takes back everything above last.
func (s *states[S, R]) truncate(last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut(last)
	s.publish()
}

func (s *states[S, R]) cut(last uint64) {
	for len(s.ahead) > 0 && s.ahead[len(s.ahead)-1].index > last {
		s.ahead[len(s.ahead)-1] = step[S, R]{}
		s.ahead = s.ahead[:len(s.ahead)-1]
	}
	s.end = min(s.end, last)
}

// install takes a state for committed that stands for every entry up to index.
// What the log holds above it is computed again from there (R38).
func (s *states[S, R]) install(index uint64, state S) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed.Store(&state)
	s.trail = trail{{Index: s.machine.Last(state), Link: s.machine.Link(state)}}
	rest := s.ahead
	s.ahead = nil
	for _, c := range rest {
		if c.index > index {
			state, c.result = s.machine.Apply(state, c.index, c.entry)
			c.state = state
			s.ahead = append(s.ahead, c)
		}
	}
	s.end = max(s.end, index)
	s.publish()
}

// after is the state that the next commands to be applied lead to. It moves
// nothing.
func (s *states[S, R]) after(commands []step[S, R]) S {
	s.mu.Lock()
	defer s.mu.Unlock()
	state, same := *s.committed.Load(), true
	for i, c := range commands {
		same = same && i < len(s.ahead) && s.ahead[i].index == c.index && bytes.Equal(s.ahead[i].entry, c.entry)
		if same {
			state = s.ahead[i].state
		} else {
			state, _ = s.machine.Apply(state, c.index, c.entry)
		}
	}
	return state
}

// apply moves committed by one command. The work was usually done by store: the
// first step ahead is this very command, computed from this very state.
func (s *states[S, R]) apply(index uint64, entry []byte) R {
	s.mu.Lock()
	defer s.mu.Unlock()
	var next S
	var result R
	if len(s.ahead) > 0 && s.ahead[0].index == index && bytes.Equal(s.ahead[0].entry, entry) {
		next, result = s.ahead[0].state, s.ahead[0].result
		s.ahead[0] = step[S, R]{} // the array would keep the old state alive
		s.ahead = s.ahead[1:]
	} else {
		// The tail disagrees with what was committed: compute from committed and
		// let the tail begin again from there. An honest majority never truncates
		// what it has committed.
		s.halt.stop(fmt.Errorf("%w: entry %d was applied and is not in the log", ErrFork, index))
		next, result = s.machine.Apply(*s.committed.Load(), index, entry)
		rest := s.ahead
		s.ahead = nil
		state := next
		for _, c := range rest {
			if c.index > index {
				state, c.result = s.machine.Apply(state, c.index, c.entry)
				c.state = state
				s.ahead = append(s.ahead, c)
			}
		}
		s.end = max(s.end, index)
	}
	s.committed.Store(&next)
	s.trail = s.trail.add(Position{Index: index, Link: s.machine.Link(next)})
	s.publish()
	return result
}

// applied is how far committed has come, when Raft has queued everything up to
// queued for it: up to there, or to just before the first command that still waits.
func (s *states[S, R]) applied(queued uint64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ahead) > 0 {
		return min(queued, s.ahead[0].index-1)
	}
	return queued
}

// leading is the state that the log leads to before an entry, and then these commands.
func (s *states[S, R]) leading(first uint64, commands []step[S, R]) S {
	s.mu.Lock()
	state := *s.committed.Load()
	for _, c := range s.ahead {
		if c.index >= first {
			break
		}
		state = c.state
	}
	s.mu.Unlock()
	for _, c := range commands {
		state, _ = s.machine.Apply(state, c.index, c.entry)
	}
	return state
}

// allowed is the memberships that committed allows.
func (s *states[S, R]) allowed(always roster) paths {
	return s.machine.paths(*s.committed.Load(), always)
}

func (s *states[S, R]) last() S {
	if n := len(s.ahead); n > 0 {
		return s.ahead[n-1].state
	}
	return *s.committed.Load()
}

// denies says whether an entry is one to be kept, by committed.
func (s *states[S, R]) denies(entry []byte) (id api.Digest, is bool) {
	if s.machine.Denies == nil || len(entry) > maxDeny {
		return api.Digest{}, false
	}
	return s.machine.Denies(*s.committed.Load(), entry)
}

// standing is what committed says of the id of a deny.
func (s *states[S, R]) standing(id api.Digest) Standing {
	return s.machine.Standing(*s.committed.Load(), id)
}

func (s *states[S, R]) publish() { s.tail.Store(&Tail[S]{State: s.last(), End: s.end}) }
