// Package wycheproof gives tests the vectors of C2SP's Wycheproof: inputs that
// broke others.
package wycheproof

import (
	"encoding/hex"
	"encoding/json"
	"testing"

	"github.com/c2sp/wycheproof"
)

// The results that a vector can have.
const (
	Valid      = "valid"
	Invalid    = "invalid"
	Acceptable = "acceptable" // legal, and wise to refuse
)

// Hex is bytes that a file writes in hexadecimal.
type Hex []byte

// UnmarshalText reads hexadecimal digits.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.AppendDecode(nil, text)
	return err
}

// Group is what the vectors of a group share, G, and the vectors, V.
type Group[G, V any] struct {
	Of    G
	Tests []V
}

// Load reads all groups of a file. It fails t if not every vector is there.
func Load[G, V any](t testing.TB, name string) (groups []Group[G, V], vectors int) {
	t.Helper()
	f, err := wycheproof.TestVectors.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var file struct {
		NumberOfTests int
		TestGroups    []json.RawMessage
	}
	if err := json.NewDecoder(f).Decode(&file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, raw := range file.TestGroups {
		var g Group[G, V]
		var list struct{ Tests []V }
		if err := json.Unmarshal(raw, &g.Of); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		g.Tests = list.Tests
		vectors += len(g.Tests)
		groups = append(groups, g)
	}
	if vectors == 0 || vectors != file.NumberOfTests {
		t.Fatalf("%s: %d vectors were read, it says it has %d", name, vectors, file.NumberOfTests)
	}
	return groups, vectors
}

// Ran logs how many vectors of a file came to which end, and fails t if none did
// or not all did.
func Ran(t testing.TB, name string, all int, ends map[string]int) {
	t.Helper()
	sum := 0
	for _, n := range ends {
		sum += n
	}
	t.Logf("%s: %d vectors, %v", name, all, ends)
	if sum == 0 || sum != all {
		t.Errorf("%s: %d of %d vectors ran", name, sum, all)
	}
}
