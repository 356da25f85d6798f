package gate

import (
	"encoding/binary"
	"testing"

	"warifu.dev/sharing/tdh2"
)

func numbered(i int) (e [tdh2.EndorsementSize]byte) {
	binary.BigEndian.PutUint64(e[:], uint64(i))
	return e
}

// What was remembered last is found, what was found is kept, and no more is kept than
// twice the bound.
func TestTheMemoryOfCheckedEnvelopesIsBounded(t *testing.T) {
	var c checked
	if c.has(numbered(0)) {
		t.Fatal("an empty memory has something")
	}
	for i := range 5 * maxChecked {
		c.remember(numbered(i))
		c.remember(numbered(0)) // used all the time
		if !c.has(numbered(i)) || !c.has(numbered(0)) || !c.has(numbered(max(0, i-maxChecked+2))) {
			t.Fatalf("forgotten too early, at %d", i)
		}
		if n := len(c.newer) + len(c.older); n > 2*maxChecked {
			t.Fatalf("%d are remembered", n)
		}
	}
	if c.has(numbered(1)) {
		t.Error("the first is never forgotten")
	}
}

// remembered is how many envelopes the gate remembers.
func (w *world) remembered() int { return len(w.gate.checked.newer) + len(w.gate.checked.older) }
