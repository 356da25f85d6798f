package warifutest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func revoke(id string, call, ret int64) Op   { return Op{"s", OpRevoke, id, call, ret} }
func lift(id string, call, ret int64) Op     { return Op{"s", OpLift, id, call, ret} }
func released(id string, call, ret int64) Op { return Op{"s", OpRelease, id, call, ret} }

// The model says no to what P4 forbids, and to nothing else.
func TestWhatARevokePromises(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		history  []Op
		broken   bool
	}{
		{"nothing is revoked", []Op{released("a", 1, 2)}, false},
		{"released before", []Op{released("a", 1, 2), revoke("x", 3, 4)}, false},
		{"it began before the revoke was done", []Op{revoke("x", 1, 4), released("a", 3, 6)}, false},
		{"it began when the revoke was done", []Op{revoke("x", 1, 2), released("a", 3, 4)}, true},
		{"it began when the revoke was done, and never ended", []Op{revoke("x", 1, 2), released("a", 3, Never)}, true},
		{"nobody knows of the revoke", []Op{revoke("x", 1, Never), released("a", 3, 4), released("b", 5, 6)}, false},
		{"lifted before", []Op{revoke("x", 1, 2), lift("x", 3, 4), released("a", 5, 6)}, false},
		{"it ended when the lift had begun", []Op{revoke("x", 1, 2), released("a", 3, 6), lift("x", 5, 8)}, false},
		{"it ended before the lift began", []Op{revoke("x", 1, 2), released("a", 3, 4), lift("x", 5, 8)}, true},
		{"nobody knows of the lift", []Op{revoke("x", 1, 2), lift("x", 3, Never), released("a", 5, 6)}, false},
		{"the lift is of another revoke", []Op{revoke("x", 1, 2), lift("y", 3, 4), released("a", 5, 6)}, true},
		{"revoked, lifted, and revoked again by another", []Op{revoke("x", 1, 2), lift("x", 3, 4), revoke("y", 5, 6), released("a", 7, 8)}, true},
		{"an id that was lifted is not taken again", []Op{revoke("x", 1, 2), lift("x", 3, 4), revoke("x", 5, 6), released("a", 7, 8)}, false},
		{"it spans two revokes, and the time between", []Op{revoke("x", 1, 2), released("a", 3, 12), lift("x", 4, 5), revoke("y", 8, 9)}, false},
		{"a refusal of what nobody revoked says nothing", nil, false},
		{
			"another subject's revoke",
			[]Op{{"other", OpRevoke, "x", 1, 2}, released("a", 3, 4)},
			false,
		},
	} {
		found := CheckRevokes(tt.history)
		if broken := len(found) > 0; broken != tt.broken {
			t.Errorf("%s: %v", tt.sentence, found)
		}
		for _, v := range found {
			if v.Promise != Revoked || !strings.Contains(v.What, "was released from") {
				t.Errorf("%s: it is not named: %v", tt.sentence, v)
			}
		}
	}
}

// Of random histories, with one revoke at a time, the search objects to those in
// which the comparison of all with all finds something.
func TestTheSearchFindsWhatTheComparisonFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	counts := map[bool]int{}
	for n := range 500 {
		var history []Op
		at := int64(0)
		next := func() int64 { at += 1 + random.Int64N(10); return at }
		for i := range 1 + random.IntN(6) {
			id := fmt.Sprint("r", i)
			r := revoke(id, next(), next())
			if random.IntN(5) == 0 {
				r.Return = Never
			}
			history = append(history, r, lift(id, next(), next()))
		}
		for i := range random.IntN(12) {
			call := random.Int64N(at)
			history = append(history, released(fmt.Sprint("u", i), 2*call+1, 2*(call+random.Int64N(20))+3))
		}
		for i := range history {
			if op := &history[i]; op.Kind != OpRelease { // no two readings of the clock are the same
				op.Call *= 2
				if op.Return != Never {
					op.Return *= 2
				}
			}
		}
		found, slow := CheckRevokes(history), inexcusable(history)
		if len(found) != len(slow) {
			t.Fatalf("history %d: %v\nfound %v\nby comparison %v", n, history, found, slow)
		}
		counts[len(found) > 0]++
	}
	if counts[true] < 50 || counts[false] < 50 {
		t.Errorf("%v histories break the promise", counts)
	}
}
