package gate

import (
	"encoding/binary"
	"testing"
)

// numbered are endorsements that are spread as those are that nobody chooses.
func numbered(i int) (e endorsement) {
	binary.BigEndian.PutUint64(e[:], uint64(i)*0x9e3779b97f4a7c15)
	return e
}

// What was remembered last is found, and no more is kept than the bound.
func TestTheMemoryOfCheckedEnvelopesIsBounded(t *testing.T) {
	c := newChecked()
	if c.has(numbered(0)) {
		t.Fatal("an empty memory has something")
	}
	const all = 2 * maxChecked
	for i := range all {
		c.remember(numbered(i))
		c.remember(numbered(i)) // takes no place of another
	}
	lost := 0
	for i := range maxChecked / 4 {
		if !c.has(numbered(all - 1 - i)) {
			lost++
		}
	}
	if lost > maxChecked/400 {
		t.Errorf("of the last %d %d are forgotten", maxChecked/4, lost)
	}
	if n := c.places.Len(); n != maxChecked {
		t.Errorf("%d are remembered", n)
	}
	if c.has(numbered(0)) {
		t.Error("the first is never forgotten")
	}
}

// remembered is how many envelopes the gate remembers.
func (w *world) remembered() int { return w.gate.checked.places.Len() }
