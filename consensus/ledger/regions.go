package ledger

import (
	"fmt"
	"slices"
	"strings"

	"warifu.dev/authority"
)

// orderOf is the order of a key version's birth, which says what regions it is pinned to.
func (s *State) orderOf(k *Key) *authority.Order { return &s.OrderByHash(k.Order).Order }

// Regions lists the regions that a key version is pinned to; none: its holders may be
// anywhere.
func (s *State) Regions(k *Key) []string { return s.orderOf(k).Regions }

// placed refuses to give a key, in any of its versions, holders outside of the regions
// that it is pinned to.
func (s *State) placed(k *Key, holders []string) error {
	for _, v := range list[*Key](s, pathKey+k.ID.String()+"/") {
		if err := s.orderOf(v).CheckPlaces(s.custody.genesis, holders); err != nil {
			return err
		}
	}
	return nil
}

// leavesRoom refuses that another node takes the place of a holder while a key that is
// pinned to regions would have fewer nodes there than its threshold: nobody could deal its
// shares anew.
func (s *State) leavesRoom(leaver string, newcomer *authority.Node) error {
	roster := append(slices.Clone(s.Roster()), *newcomer)
	roster = slices.DeleteFunc(roster, func(n authority.Node) bool { return n.ID == leaver })
	for _, k := range s.Keys() {
		o := s.orderOf(k)
		if len(o.Regions) == 0 || k.IndexOf(leaver) == 0 || s.Destroyed(k.ID) {
			continue
		}
		if room := len(o.Admitted(roster)); room < int(k.T) {
			return fmt.Errorf("%w: without %s, %d nodes are left in %s, to which %s is pinned, and it takes %d",
				ErrShares, leaver, room, strings.Join(o.Regions, ", "), k.Name, k.T)
		}
	}
	return nil
}
