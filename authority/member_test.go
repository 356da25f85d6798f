package authority_test

import (
	"errors"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// line is a node that is not on the roster, and its signer.
func (w *world) line(id string) (Node, *Signer) {
	s := newSigner(w.tb)
	return Node{ID: id, Region: "jp-west", Key: s.PublicKey(), Claim: w.claim(s, id, 1)}, s
}

func (w *world) membership(kind string, base api.Digest, m Membership) Change {
	c := w.change(kind)
	c.Base, c.Body = base, wire.Encode(m)
	return c
}

// Changes of the roster and of the custodians are one chain: each is signed under the
// custodians before it, and the leaver of a change has left with the next one.
func TestARosterIsFollowedFromGenesis(t *testing.T) {
	w := newWorld(t)
	g := w.verified()
	n6, _ := w.line("n6")
	n7, _ := w.line("n7")
	last := newSigner(t)
	replace := w.sign(w.membership(KindNodeReplace, api.Digest{}, Membership{Newcomer: &n6, Leaver: "n5"}), w.custodians...)
	heirs := w.change(KindCustodians)
	heirs.Base, heirs.Body = api.Digest{}, wire.Encode(custody(last))
	custodians := w.sign(heirs, w.custodians...)
	add := w.membership(KindNodeAdd, replace.ID(), Membership{Newcomer: &n7})
	entries := [][]byte{replace.Encode(), custodians.Encode(), w.sign(add, last).Encode()}
	for n, want := range []struct {
		nodes   int
		version uint64
		leaver  string
	}{{5, 1, ""}, {6, 2, "n5"}, {6, 2, "n5"}, {6, 3, ""}} {
		s, err := Follow(g, entries[:n])
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Genesis.Roster) != want.nodes || s.Roll.Version != want.version || s.Roll.Leaver != want.leaver || s.VersionAt(n) != want.version {
			t.Errorf("after %d it is %+v of %d nodes", n, s.Roll, len(s.Genesis.Roster))
		}
	}
	s, err := Follow(g, entries)
	if err != nil || s.Genesis.NodeByID("n5") != nil || s.Genesis.NodeByID("n7") == nil || len(s.Roll.Former) != 1 {
		t.Fatalf("it is %+v, %v", s, err)
	}
	for sentence, tt := range map[string]struct {
		entries [][]byte
		want    error
	}{
		"signed by those who were replaced": {[][]byte{entries[0], entries[1], w.sign(add, w.custodians...).Encode()}, ErrNotCustodian},
		"one is left out":                   {[][]byte{custodians.Encode(), w.sign(add, last).Encode()}, ErrMembership},
		"signed by too few":                 {[][]byte{w.sign(w.membership(KindNodeAdd, api.Digest{}, Membership{Newcomer: &n6}), w.custodians[0]).Encode()}, ErrTooFewSignatures},
		"somebody comes back":               {append(entries[:3:3], w.sign(w.membership(KindNodeAdd, s.Roll.Change, Membership{Newcomer: &g.Roster[4]}), last).Encode()), ErrMembership},
	} {
		if _, err := Follow(g, tt.entries); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

func FuzzMembership(f *testing.F) {
	w := newWorld(f)
	n6, _ := w.line("n6")
	f.Add(wire.Encode(Membership{Newcomer: &n6}))
	f.Add(wire.Encode(Membership{Newcomer: &n6, Leaver: "n5"}))
	f.Add(wire.Encode(Membership{Leaver: "n5", Undo: true}))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []string{KindNodeAdd, KindNodeRemove, KindNodeReplace, KindKey} {
			c := w.change(kind)
			c.Body = body
			m, err := ParseMembership(&c)
			if err != nil {
				if !errors.Is(err, ErrMembership) {
					t.Fatalf("unnamed error %v", err)
				}
				continue
			}
			next, _, err := w.doc.Enrolled(Roll{Version: 1}, m, api.Digest{1})
			if err == nil && (len(next.Roster) > MaxNodes || len(next.Roster) < int(w.doc.Root.T)) {
				t.Fatalf("%d nodes", len(next.Roster))
			}
		}
	})
}
