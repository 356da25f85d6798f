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
	var all []map[string]any
	if err := json.Unmarshal(frozen, &all); err != nil {
		t.Fatal(err)
	}
	fails := func(what string) {
		t.Helper()
		planted, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := selfTest(planted); !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, field := range []string{"Cluster", "KeyID", "Session", "Context", "Principal", "Secret", "Value", "Item", "ItemHash"} {
		was := all[0][field].(string)
		last := byte('0')
		if was[len(was)-1] == last {
			last = '1'
		}
		all[0][field] = was[:len(was)-1] + string(last)
		fails(field + " altered")
		all[0][field] = was
	}
	for _, field := range []string{"SetKeys", "SetKeyHashes", "Values"} {
		list := all[0][field].([]any)
		list[0], list[1] = list[1], list[0]
		fails(field + " swapped")
		list[0], list[1] = list[1], list[0]
		all[0][field] = list[:2]
		fails(field + " cut")
		all[0][field] = list
	}
	for _, none := range []string{"[]", "", "[{}]"} {
		if err := selfTest([]byte(none)); !errors.Is(err, ErrSelfTest) {
			t.Errorf("of %q the self-test makes %v", none, err)
		}
	}
}
