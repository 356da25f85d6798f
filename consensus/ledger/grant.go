package ledger

import (
	"bytes"
	"errors"
	"fmt"

	"warifu.dev/api"
	"warifu.dev/authority"
)

// MaxGrantsOfNode bounds the grants that one node has put and that have not expired:
// at most 5 KiB each. A node that puts grants nobody approved fills its own list.
const MaxGrantsOfNode = 128

// ErrManyGrants means the node has put as many grants as it may at once.
var ErrManyGrants = errors.New("the node has put as many grants as it may at once")

// Granted is a grant that a node has put. That it stands here says nothing about its
// signatures: a holder holds them against the approvers of its own policy.
type Granted struct {
	ID       api.Digest `cbor:"1,keyasint"`
	Entry    []byte     `cbor:"2,keyasint"` // as its approvers signed it
	NotAfter int64      `cbor:"3,keyasint"`
	Index    uint64     `cbor:"4,keyasint"` // Raft index
}

// Grants are those that one node has put, in the order in which they came. Expired
// ones stand in it until the node puts another.
type Grants struct {
	List []Granted `cbor:"1,keyasint,omitempty"`
}

func (v *Grants) digest() api.Digest { return digestOf(v) }

// GrantsNamed lists what stands in the ledger under the id of a grant: one for each
// node that has put it, or none. A node may put it with other signatures than
// another did.
func (s *State) GrantsNamed(id api.Digest) []*Granted {
	var out []*Granted
	for _, of := range list[*Grants](s, pathGrants) {
		for i := range of.List {
			if of.List[i].ID == id {
				out = append(out, &of.List[i])
			}
		}
	}
	return out
}

// GrantsOf lists those that one node has put and that have not expired by ledger time.
func (s *State) GrantsOf(node string) []*Granted {
	var out []*Granted
	if of := get[*Grants](s, pathGrants+node); of != nil {
		for i := range of.List {
			if of.List[i].NotAfter >= s.Time() {
				out = append(out, &of.List[i])
			}
		}
	}
	return out
}

// Grants lists every grant that has not expired by ledger time, by node and by
// index; the same id may be there of several nodes.
func (s *State) Grants() []*Granted {
	var out []*Granted
	for _, of := range list[*Grants](s, pathGrants) {
		for i := range of.List {
			if of.List[i].NotAfter >= s.Time() {
				out = append(out, &of.List[i])
			}
		}
	}
	return out
}

// takeGrant keeps a grant that a node was handed. Nothing here needs the policy: form,
// a key that is there, a time that is not past and not too far, and how many the
// node has put. Its expired ones make room, and the same grant with other signatures
// takes the place of the one before.
func (s *State) takeGrant(d *draft, index uint64, node string, b *authority.GrantPost) error {
	e, err := authority.ParseEntry(b.Entry)
	if err != nil {
		return err
	}
	g, err := authority.ParseGrant(e)
	if err != nil {
		return err
	}
	if err := authority.CheckApprovals(e); err != nil {
		return err
	}
	now := s.Time()
	key := s.Key(g.Key)
	switch {
	case g.Cluster != s.genesis.Cluster:
		return fmt.Errorf("%w: it is for the cluster %s", authority.ErrGrant, g.Cluster)
	case key == nil || key.Purpose == authority.PurposeRoot:
		return ErrNoKey
	case now > g.NotAfter:
		return fmt.Errorf("%w: not after %d, ledger time is %d", ErrExpired, g.NotAfter, now)
	case g.NotAfter-now > authority.MaxGrantWindow:
		return fmt.Errorf("%w: it lasts until %d, more than %d ms after ledger time", authority.ErrGrant, g.NotAfter, int64(authority.MaxGrantWindow))
	}
	id := e.ID()
	next := &Grants{}
	if before := get[*Grants](s, pathGrants+node); before != nil {
		for _, old := range before.List {
			switch {
			case old.ID != id && old.NotAfter >= now:
				next.List = append(next.List, old)
			case old.ID == id && bytes.Equal(old.Entry, b.Entry):
				return &earlier{ErrTaken, old.Index}
			}
		}
	}
	if len(next.List) >= MaxGrantsOfNode {
		return fmt.Errorf("%w: %d", ErrManyGrants, MaxGrantsOfNode)
	}
	next.List = append(next.List, Granted{ID: id, Entry: b.Entry, NotAfter: g.NotAfter, Index: index})
	d.put(pathGrants+node, next)
	return nil
}
