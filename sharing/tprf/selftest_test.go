package tprf

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestSelfTest(t *testing.T) {
	if err := SelfTest(); err != nil {
		t.Fatal(err)
	}
	spoiled(t, frozen, func(planted []byte) error { return selfTest(planted, frozenBranches) },
		[]string{"Cluster", "KeyID", "Session", "Context", "Principal", "Secret", "Value", "Item", "ItemHash"},
		[]string{"SetKeys", "SetKeyHashes", "Values"})
	spoiled(t, frozenBranches, func(planted []byte) error { return selfTest(frozen, planted) },
		[]string{"Cluster", "KeyID", "Principal", "Secret", "BranchKey", "BranchHash", "Item", "NamedCanonical", "ContextCanonical"}, []string{"SetKeys"})
	for _, none := range []string{"[]", "", "[{}]"} {
		for _, err := range []error{selfTest([]byte(none), frozenBranches), selfTest(frozen, []byte(none))} {
			if !errors.Is(err, ErrSelfTest) {
				t.Errorf("of %q the self-test makes %v", none, err)
			}
		}
	}
}

// spoiled holds a self-test against vectors in whose first one a field is altered.
func spoiled(t *testing.T, vectors []byte, test func([]byte) error, fields, lists []string) {
	t.Helper()
	var all []map[string]any
	if err := json.Unmarshal(vectors, &all); err != nil {
		t.Fatal(err)
	}
	fails := func(what string) {
		t.Helper()
		planted, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := test(planted); !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, field := range fields {
		was := all[0][field].(string)
		last := byte('0')
		if was[len(was)-1] == last {
			last = '1'
		}
		all[0][field] = was[:len(was)-1] + string(last)
		fails(field + " altered")
		all[0][field] = was
	}
	for _, field := range lists {
		list := all[0][field].([]any)
		was := list[0]
		list[0] = list[1]
		fails(field + " with one twice")
		list[0] = was
		all[0][field] = list[:2]
		fails(field + " cut")
		all[0][field] = list
	}
}
