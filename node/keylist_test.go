package node

import (
	"fmt"
	"slices"
	"testing"

	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
)

// R24: a list of keys comes in answers that fit into a frame, by name, each key once.
func TestKeysAreListedPageByPage(t *testing.T) {
	c := trial.New(t, 2, 3)
	c.BearRoot()
	c.Grow(2*maxKeysListed+7, c.BearKey("first").Key)
	if r := c.Apply(c.Order("waits")); r.Err != nil {
		t.Fatal(r.Err)
	}
	var names []string
	pages := 0
	for after := ""; ; after = names[len(names)-1] {
		a := keyList(c.State(), after, trial.Created)
		if pages++; len(a.Keys) > maxKeysListed || len(wire.Encode(a)) > 1<<20 {
			t.Fatalf("%d keys in one answer, of %d bytes", len(a.Keys), len(wire.Encode(a)))
		}
		for _, k := range a.Keys {
			names = append(names, k.Name)
		}
		if !a.More {
			break
		}
	}
	want := []string{"first"}
	for i := range 2*maxKeysListed + 7 {
		want = append(want, fmt.Sprintf("key-%06d", i))
	}
	want = append(want, "waits")
	if !slices.Equal(names, want) || pages < 3 {
		t.Errorf("%d names in %d pages, want %d", len(names), pages, len(want))
	}
	if a := keyList(c.State(), "waits", trial.Created); len(a.Keys) != 0 || a.More {
		t.Errorf("after the last one: %+v", a)
	}
}
