package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/consensus/board"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// Owner stands among the participants of an import, after the holders: it is no node,
// and no node is called so.
const Owner = "(owner)"

// Reasons for which a step of an import is a no-op.
var (
	// ErrOwner means that a node opens the run of an import, which its owner does.
	ErrOwner = errors.New("the owner of a key that is imported opens its runs, and nobody else")
	// ErrImported means that a key with this public key stands in the ledger, or is ordered.
	ErrImported = errors.New("a key with this public key exists or is ordered")
)

// Imported says whether a copy of a key was whole before: that of its first version, at
// least, is with its owner.
func (s *State) Imported(key api.KeyID) bool {
	k := s.KeyVersion(key, 1)
	return k != nil && s.ImportOf(k) != nil
}

// ImportOf is what the order of a key version says of the copy that was whole before, or
// nil if there was none.
func (s *State) ImportOf(k *Key) *authority.Import { return s.OrderByHash(k.Order).Order.Import }

// newKey refuses a public key that is a key's already, also of one that is destroyed:
// what a certificate says of one holds for the other. The order whose place is taken does
// not count. Of one seed there are as many keys as it is imported under names: each is
// bound to its id, and opens nothing of the others.
func (s *State) newKey(y []byte, instead *Ordered) error {
	if len(y) == 0 {
		return nil
	}
	for _, k := range s.Keys() {
		if bytes.Equal(k.Record.Y, y) {
			return fmt.Errorf("%w: %s", ErrImported, s.nameOf(k.ID))
		}
	}
	for _, o := range s.Orders() {
		if i := o.Order.Import; i != nil && bytes.Equal(i.Y, y) && o != instead {
			return fmt.Errorf("%w: %s", ErrImported, o.Order.Name)
		}
	}
	return nil
}

// giveWay takes out the order of an import that nobody has dealt, for another order of
// its name. A key that is to be born has its name for good: its holders see to that.
func (s *State) giveWay(d *draft, before *Ordered) error {
	if before == nil {
		return nil
	}
	if before.Order.Import == nil || before.Key != (api.KeyID{}) {
		return fmt.Errorf("%w: %s", ErrNameTaken, before.Order.Name)
	}
	if err := s.endRun(d, before); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNameTaken, before.Order.Name, err)
	}
	d.remove(pathOrder + before.Hash.String())
	return nil
}

// takeImport takes the owner's part in an import.
func (s *State) takeImport(d *draft, index uint64, e *authority.Entry, raw []byte) error {
	p, err := authority.ParseImport(e)
	if err != nil {
		return err
	}
	o := s.OrderByHash(p.Order)
	if o == nil {
		return ErrNoOrder
	}
	if err := authority.VerifyImport(s.genesis.Cluster, &o.Order, e, p); err != nil {
		return err
	}
	if p.Kind == authority.KindImportOpen {
		var b authority.Open
		if err := wire.Decode(p.Body, &b); err != nil || b.Order != p.Order {
			return fmt.Errorf("%w: it opens a run of another order, or of none", authority.ErrImport)
		}
		return s.openImport(d, index, o, b.Attempt)
	}
	var b authority.Post
	if err := wire.Decode(p.Body, &b); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrImport, err)
	}
	if ses := s.Session(b.Session); ses != nil && ses.Order != p.Order {
		return fmt.Errorf("%w: the session is of another order", authority.ErrImport)
	}
	return s.takePost(d, Owner, &b, raw)
}

// openImport starts a run of an import. Who has left since it was ordered is dealt no
// share.
func (s *State) openImport(d *draft, index uint64, o *Ordered, attempt uint64) error {
	if err := s.mayOpen(o, attempt); err != nil {
		return err
	}
	for _, h := range o.Order.Holders {
		if s.NodeByID(h) == nil || h == s.custody.roll.Leaver {
			return fmt.Errorf("%w: the holder %s: order it again", ErrNoNode, h)
		}
	}
	if err := s.endRun(d, o); err != nil {
		return err
	}
	shape := func(run *dkg.Session) { run.Symmetric.Seed = [32]byte(o.Order.Import.Seed) }
	if !o.Order.Symmetric() {
		y, err := group.DecodePoint(o.Order.Import.Y)
		if err != nil {
			return err
		}
		shape = func(run *dkg.Session) {
			if run.Old, err = dkg.NewImport(run.H, authority.KeyIDOf(run.ID), y); err != nil {
				panic(fmt.Sprintf("ledger: an order was taken that no session fits: %v", err))
			}
		}
	}
	s.begin(d, index, o, attempt, append(slices.Clone(o.Order.Holders), Owner), shape)
	return nil
}

// keepJoin keeps a join of an import as its node signed it, while the run lasts: the
// owner seals to the receive keys in it, and believes the node alone that they are its.
func (v *Session) keepJoin(author string, kind dkg.Kind, raw []byte) {
	if kind != dkg.KindJoin || !v.Board.Session().Imported() || author == Owner {
		return
	}
	v.Joins = slices.Clone(v.Joins)
	if v.Joins == nil {
		v.Joins = make([][]byte, len(v.Participants)-1)
	}
	v.Joins[v.PlaceOf(author)-1] = bytes.Clone(raw)
}

// on is the session with another board.
func (v *Session) on(b *board.Board) *Session {
	next := *v
	if next.Board = b; next.over() {
		next.Joins = nil
	}
	return &next
}
