package node

import (
	"fmt"
	"slices"
	"testing"

	"warifu.dev/consensus/ledger"
)

// A node that slept through the rotation of a thousand keys is a line, and not a thousand.
func TestHoldersWithoutAShareAreALineForEachSetOfThem(t *testing.T) {
	struck := func(name string, nodes ...string) *ledger.Key {
		return &ledger.Key{Name: name, Epoch: ledger.Epoch{Struck: nodes}}
	}
	keys := []*ledger.Key{struck("", "n2"), struck("a"), struck("b", "n5"), struck("c", "n5"), struck("d", "n1", "n5")}
	for i := range 1000 {
		keys = append(keys, struck(fmt.Sprint("key-", i), "n3"))
	}
	want := []string{
		"d has no share at: n1, n5", "the root key has no share at: n2",
		"key-0 and 999 other keys have no share at: n3", "b and 1 other key have no share at: n5",
	}
	if got := struckWords(keys); !slices.Equal(got, want) {
		t.Errorf("it says %q", got)
	}
}
