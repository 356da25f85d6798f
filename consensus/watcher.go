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

// roster is the only membership that Raft may work with: every member votes, and
// its address is its id. Entries of Raft's own never pass the state machine
// (R32), so they are held against the roster before they are stored, when they
// are found in the log at start, and when they are applied.
type roster []raft.Server

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

// check says whether an entry leaves the membership as it is. The two deprecated
// kinds change it without saying to what.
func (r roster) check(l *raft.Log) error {
	switch l.Type {
	case raft.LogCommand, raft.LogNoop:
		return nil
	case raft.LogConfiguration:
		return r.accepts(l.Index, l.Data)
	case raft.LogAddPeerDeprecated, raft.LogRemovePeerDeprecated:
		return fmt.Errorf("%w: entry %d adds or removes a member", ErrMembership, l.Index)
	default:
		return fmt.Errorf("%w: %d, at %d", errLogType, l.Type, l.Index)
	}
}

// accepts decodes a configuration and compares it.
func (r roster) accepts(index uint64, data []byte) error {
	c, err := decodeConfiguration(data)
	if err != nil {
		return fmt.Errorf("%w: entry %d does not decode", ErrMembership, index)
	}
	return r.is(index, c)
}

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
