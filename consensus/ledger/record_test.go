package ledger_test

import (
	"bytes"
	"slices"
	"testing"

	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
)

// A holder signs the records of many keys with one statement, which is taken whole or not
// at all.
func TestAHolderSignsManyRecordsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.birth(w.rootOrder())
	var keys []*ledger.Key
	for _, name := range []string{"one", "two"} {
		e := w.sign(w.orderChange(w.order(name)), 0, 1)
		w.accept(e)
		keys = append(keys, w.birth(e.ID()))
	}
	slices.SortFunc(keys, func(a, b *ledger.Key) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	first, second := w.recordSignature("n1", keys[0]), w.recordSignature("n1", keys[1])
	refuse := func(want error, list ...authority.RecordSignature) {
		t.Helper()
		w.refuse(w.say("n1", authority.KindRecord, signedBy(list...)).Encode(), want)
	}
	refuse(authority.ErrStatement)
	refuse(authority.ErrStatement, second, first)
	refuse(authority.ErrStatement, first, first)
	many := slices.Repeat([]authority.RecordSignature{second}, authority.MaxRecordSignatures+1)
	for i := range many {
		many[i].Version += uint32(i)
	}
	refuse(authority.ErrStatement, many...)
	refuse(ledger.ErrNoKey, many[:authority.MaxRecordSignatures]...)
	false2 := second
	false2.Signature = first.Signature
	refuse(authority.ErrSignature, first, false2)
	if n := len(w.s.Key(keys[0].ID).Signed); n != 0 {
		t.Fatalf("%d signatures are kept of a statement that was refused", n)
	}
	w.accept(w.say("n1", authority.KindRecord, signedBy(first, second)))
	for _, k := range keys {
		if got := w.s.Key(k.ID).Signed; !slices.Equal(got, []string{"n1"}) {
			t.Errorf("signed by %v", got)
		}
	}
	refuse(ledger.ErrOutOfTurn, first)
}
