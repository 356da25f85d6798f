package ceremony

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/sharing/group"
)

// What a refresh leaves in the ledger for ever, in bytes, of however many keys with however
// many holders it was: its order. docs/performance.md has it.
const leftOfARefresh = 750

// Nothing else of a refresh stays: not its run, not the signatures of the record before, and
// of the epochs that are over only how many there were. Of each holder the newest receipt
// takes the place of the one before.
func TestWhatAnEpochLeavesInTheLedger(t *testing.T) {
	s := newStageOf(t, 3, 5)
	five := s.Genesis.Root.Holders
	s.until("the root key is born", s.rootBorn, five...)
	if r := s.Apply(s.Order("first")); r.Err != nil {
		t.Fatal(r.Err)
	}
	signed := func() bool {
		return s.State().KeyNamed("first") != nil && !slices.ContainsFunc(s.State().Keys(), func(k *ledger.Key) bool {
			return k.Purpose != authority.PurposeRoot && len(k.Signed) < 5
		})
	}
	s.until("the key is born and signed", signed, five...)
	like := s.State().KeyNamed("first")
	ids := append(s.Grow(ledger.MaxRenewed-1, like), like.ID)
	for _, id := range ids[:len(ids)-1] {
		for _, node := range five {
			s.shares[node][held{like.Session, id}] = s.shares[node][held{like.Session, like.ID}].Add(group.SmallScalar(0))
		}
	}
	refresh := func() {
		t.Helper()
		s.order(authority.KindRefresh, authority.Renewal{})
		s.until("all are refreshed and signed", func() bool { return len(s.State().Renewals()) == 0 && signed() }, five...)
		s.Pass(ledger.Overlap)
		s.until("the old epochs are retired", func() bool { return len(s.State().Overlapping()) == 0 }, five...)
		for _, node := range five {
			erased := authority.ErasureReceipt{
				Through: s.State().Unerased(node, authority.MaxRetired), Generation: 7, Label: "keyring-generation-7", Serial: strings.Repeat("5", 16), Time: s.State().Time(),
			}
			if len(erased.Through) != len(ids) {
				t.Fatalf("%s has %d epochs to erase", node, len(erased.Through))
			}
			if err := s.Say(node, authority.KindErased, erased); err != nil {
				t.Fatal(err)
			}
		}
		s.Pass((26 * time.Hour).Milliseconds())
		for range 100 { // what is over is taken out, some with each entry
			s.Pass(1)
		}
	}
	size := func() int {
		var b bytes.Buffer
		if err := s.State().Encode(&b); err != nil {
			t.Fatal(err)
		}
		return b.Len()
	}
	born := size()
	refresh()
	first := size()
	refresh()
	before := size()
	refresh()
	left := size() - before
	t.Logf("%d bytes; the first epochs of %d keys leave %d, the second ones %d", left, len(ids), first-born, before-first)
	if left > leftOfARefresh || left < leftOfARefresh/2 {
		t.Errorf("a refresh of %d keys leaves %d bytes for ever, at most %d should be", len(ids), left, leftOfARefresh)
	}
}
