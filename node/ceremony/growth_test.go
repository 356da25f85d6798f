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

// What an epoch of a key with five holders leaves in the ledger for ever, in bytes, where
// the shares of 25 keys turn over together: who held it, and the receipts of those who
// erased. docs/performance.md has it.
const leftOfAnEpoch = 700

// Nothing else of a refresh stays: not its run, not the signatures of the record before.
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
				Epochs: s.State().Unerased(node, authority.MaxRetired), Generation: 7, Label: "keyring-generation-7", Serial: strings.Repeat("5", 16), Time: s.State().Time(),
			}
			if len(erased.Epochs) != len(ids) {
				t.Fatalf("%s has %d epochs to erase", node, len(erased.Epochs))
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
	refresh()
	before := size()
	refresh()
	each := (size() - before) / len(ids)
	t.Logf("%d bytes for each epoch", each)
	if each > leftOfAnEpoch || each < leftOfAnEpoch/2 {
		t.Errorf("an epoch leaves %d bytes for ever, at most %d should be", each, leftOfAnEpoch)
	}
}
