package authority

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/api"
)

// MaxRegions bounds the regions that a key is pinned to: more than holders are of no use.
const MaxRegions = MaxHolders

// ErrRegion is returned, wrapped, for a holder of a key outside of the regions that the
// key is pinned to.
var ErrRegion = errors.New("the key is pinned to regions, and a holder is in none of them")

// checkRegions holds the regions of an order against the rules of their own.
func (o *Order) checkRegions() error {
	if len(o.Regions) > MaxRegions || len(o.Regions) > 0 && o.Purpose == PurposeRoot {
		return fmt.Errorf("%w: a named key is pinned to at most %d regions, the root key to none", ErrOrder, MaxRegions)
	}
	for i, r := range o.Regions {
		if err := api.CheckName(r); err != nil {
			return fmt.Errorf("%w: region %w", ErrOrder, err)
		}
		if i > 0 && o.Regions[i-1] >= r {
			return fmt.Errorf("%w: its regions do not ascend", ErrOrder)
		}
	}
	return nil
}

// Admits says whether a node may hold the key, as far as its region goes.
func (o *Order) Admits(n *Node) bool {
	return len(o.Regions) == 0 || slices.Contains(o.Regions, n.Region)
}

// Admitted lists the nodes of a roster that may hold the key, in its order.
func (o *Order) Admitted(roster []Node) []string {
	var out []string
	for i := range roster {
		if o.Admits(&roster[i]) {
			out = append(out, roster[i].ID)
		}
	}
	return out
}

// CheckPlaces refuses holders outside of the regions that the key is pinned to, with the
// arithmetic. A node keeps its region for as long as it is on a roster; of one that is not
// on this one, its order has said what there is to say. Failures wrap [ErrRegion].
func (o *Order) CheckPlaces(g *Genesis, holders []string) error {
	for _, h := range holders {
		if n := g.NodeByID(h); n != nil && !o.Admits(n) {
			in := o.Admitted(g.Roster)
			return fmt.Errorf("%w: %s is in %s, and %s is pinned to %s, where the roster has %d that may hold it: %s",
				ErrRegion, h, n.Region, o.Name, strings.Join(o.Regions, ", "), len(in), strings.Join(in, ", "))
		}
	}
	return nil
}
