package client

import (
	"testing"
	"testing/synctest"
	"time"

	"warifu.dev/sharing/tprf"
)

// A branch key that is kept is wiped when its time is over, when the client is closed, and
// when another takes its place; one that comes after the end is not kept.
func TestABranchKeyIsWiped(t *testing.T) {
	empty := tprf.NewBranchKey(tprf.Branch{}, tprf.Value{})
	fresh := func() *tprf.BranchKey { return tprf.NewBranchKey(tprf.Branch{}, tprf.Value{1, 2, 3}) }
	synctest.Test(t, func(t *testing.T) {
		var b branches
		id := [32]byte{1}
		over, next := fresh(), fresh()
		b.keep(toOpen, id, over, time.Now().Unix()+60)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if over.Same(empty) || !b.use(toOpen, id, func(*tprf.BranchKey) {}) || b.use(toMake, id, func(*tprf.BranchKey) {}) {
			t.Error("it is gone before its time, or used for another thing")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !over.Same(empty) || b.use(toOpen, id, func(*tprf.BranchKey) {}) || len(b.kept) != 0 {
			t.Error("it is there when its time is over")
		}
		b.keep(toOpen, id, next, time.Now().Unix()+60)
		last := fresh()
		b.keep(toOpen, id, last, time.Now().Unix()+60)
		if !next.Same(empty) || last.Same(empty) {
			t.Error("what another took the place of is there")
		}
		b.close()
		late := fresh()
		b.keep(toOpen, id, late, time.Now().Unix()+60)
		if !last.Same(empty) || !late.Same(empty) || len(b.kept) != 0 {
			t.Error("a client that is closed has branch keys")
		}
	})
}

// What is kept is bounded, and what goes is wiped.
func TestBranchKeysAreBounded(t *testing.T) {
	empty := tprf.NewBranchKey(tprf.Branch{}, tprf.Value{})
	var b branches
	defer b.close()
	var all []*tprf.BranchKey
	for i := range maxBranches + 10 {
		k := tprf.NewBranchKey(tprf.Branch{}, tprf.Value{1})
		all = append(all, k)
		b.keep(toOpen, [32]byte{byte(i), byte(i >> 8)}, k, time.Now().Unix()+3600)
	}
	wiped := 0
	for _, k := range all {
		if k.Same(empty) {
			wiped++
		}
	}
	if len(b.kept) != maxBranches || wiped != 10 {
		t.Errorf("%d are kept, %d wiped", len(b.kept), wiped)
	}
}
