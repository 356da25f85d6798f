package consensus

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// errLogType means that no honest member writes such an entry, and that Raft
// panics when it is committed.
var errLogType = errors.New("consensus: an entry of a type that is not used")

// Member is a node in a membership of Raft's.
type Member struct {
	ID    string
	Votes bool
}

// roster is a membership that Raft may work with; a member's address is its id.
// Entries of Raft's own never pass the state machine (R32), so they are held against
// what the state before them allows: before they are stored, when they are found in
// the log at start, and when they are applied.
type roster []raft.Server

// paths are the memberships that a state allows: one, unless the members are changing.
type paths []roster

// paths is what a state allows: what the machine says, or the roster that never changes.
func (m *Machine[S, R]) paths(of S, always roster) paths {
	if m.Memberships == nil {
		return paths{always}
	}
	var out paths
	for _, list := range m.Memberships(of) {
		var r roster
		for _, v := range list {
			s := raft.Server{Suffrage: raft.Nonvoter, ID: raft.ServerID(v.ID), Address: raft.ServerAddress(v.ID)}
			if v.Votes {
				s.Suffrage = raft.Voter
			}
			r = append(r, s)
		}
		out = append(out, r)
	}
	return out
}

// is says whether one of them is this membership.
func (p paths) is(index uint64, c raft.Configuration) error {
	var why error
	for _, r := range p {
		err := r.is(index, c)
		if err == nil {
			return nil
		}
		why = err // against the last: where the path leads to
	}
	return why
}

func (p paths) has(id string) bool {
	return slices.ContainsFunc(p, func(r roster) bool { return r.has(id) })
}

// check says whether an entry leaves the membership as it may be. The two deprecated
// kinds change it without saying to what.
func (p paths) check(l *raft.Log) error {
	switch l.Type {
	case raft.LogCommand, raft.LogNoop:
		return nil
	case raft.LogConfiguration:
		c, err := decodeConfiguration(l.Data)
		if err != nil {
			return fmt.Errorf("%w: entry %d does not decode", ErrMembership, l.Index)
		}
		return p.is(l.Index, c)
	case raft.LogAddPeerDeprecated, raft.LogRemovePeerDeprecated:
		return fmt.Errorf("%w: entry %d adds or removes a member", ErrMembership, l.Index)
	default:
		return fmt.Errorf("%w: %d, at %d", errLogType, l.Type, l.Index)
	}
}

func rosterOf(voters []string) roster {
	var r roster
	for _, v := range voters {
		r = append(r, raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(v), Address: raft.ServerAddress(v)})
	}
	return r
}

func (r roster) has(id string) bool {
	return slices.ContainsFunc(r, func(s raft.Server) bool { return string(s.ID) == id })
}

// check is [paths.check] for the one roster.
func (r roster) check(l *raft.Log) error { return paths{r}.check(l) }

// decodeConfiguration is Raft's own decoder, which panics at what is none.
func decodeConfiguration(data []byte) (c raft.Configuration, err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%w: %v", ErrMembership, what)
		}
	}()
	return raft.DecodeConfiguration(data), nil
}

// is compares ids, suffrage and addresses, in any order.
func (r roster) is(index uint64, c raft.Configuration) error {
	want := map[raft.Server]bool{}
	for _, s := range r {
		want[s] = true
	}
	for _, s := range c.Servers {
		if !want[s] {
			return fmt.Errorf("%w: entry %d has %s %q at %q", ErrMembership, index, s.Suffrage, s.ID, s.Address)
		}
		delete(want, s) // a second time is once too often
	}
	if len(want) > 0 {
		return fmt.Errorf("%w: entry %d lacks %d of %d members", ErrMembership, index, len(want), len(r))
	}
	return nil
}
