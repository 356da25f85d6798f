package tdh2

import (
	"bytes"
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
	for _, field := range []string{"Y", "W", "Cluster", "KeyID", "Context", "DEK", "Envelope", "EndorsementKey", "Endorsement"} {
		was := all[0][field].(string)
		last := byte('0')
		if was[len(was)-1] == last {
			last = '1'
		}
		all[0][field] = was[:len(was)-1] + string(last)
		planted, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := selfTest(planted); !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s altered: %v", field, err)
		}
		all[0][field] = was
	}
	for _, field := range []string{"Shares", "Partials", "ShareProofs"} {
		list := all[0][field].([]any)
		list[0], list[1] = list[1], list[0]
		planted, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := selfTest(planted); !errors.Is(err, ErrSelfTest) {
			t.Errorf("%s swapped: %v", field, err)
		}
		list[0], list[1] = list[1], list[0]
	}
	if err := selfTest(bytes.TrimSpace([]byte("[]"))); !errors.Is(err, ErrSelfTest) {
		t.Error("no vectors, and the self-test passes")
	}
}
