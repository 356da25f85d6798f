package node

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"warifu.dev/consensus/ledger"
)

// struckWords warns of holders without a share, in a line for each set of them: after a
// rotation that a node slept through those are holders of all keys.
func struckWords(keys []*ledger.Key) []string {
	first, more := map[string]string{}, map[string]int{}
	var sets []string
	for _, k := range keys {
		set := strings.Join(k.Struck, ", ")
		if set == "" {
			continue
		}
		if _, has := first[set]; has {
			more[set]++
			continue
		}
		first[set] = cmp.Or(k.Name, "the root key")
		sets = append(sets, set)
	}
	slices.Sort(sets)
	var out []string
	for _, set := range sets {
		switch n := more[set]; n {
		case 0:
			out = append(out, fmt.Sprintf("%s has no share at: %s", first[set], set))
		case 1:
			out = append(out, fmt.Sprintf("%s and 1 other key have no share at: %s", first[set], set))
		default:
			out = append(out, fmt.Sprintf("%s and %d other keys have no share at: %s", first[set], n, set))
		}
	}
	return out
}
