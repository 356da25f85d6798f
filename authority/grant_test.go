package authority_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
)

func (w *world) grant() Grant {
	return Grant{
		Cluster: w.doc.Cluster, Key: api.KeyID{1}, Principal: "spiffe://x/app", Action: ActionUnwrap, Reason: "case 4711",
		NotBefore: w.doc.Created, NotAfter: w.doc.Created + 3_600_000, Uses: 2, Nonce: [16]byte{1},
	}
}

func TestGrantsOfBadForm(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		sentence string
		spoil    func(*Grant)
		good     bool
	}{
		{"as it should be", func(*Grant) {}, true},
		{"the most uses", func(g *Grant) { g.Uses = MaxUses }, true},
		{"the longest window", func(g *Grant) { g.NotAfter = g.NotBefore + MaxGrantWindow }, true},
		{"no key", func(g *Grant) { g.Key = api.KeyID{} }, false},
		{"no principal", func(g *Grant) { g.Principal = "app" }, false},
		{"the other action", func(g *Grant) { g.Action = ActionEncrypt }, true},
		{"an action that is none", func(g *Grant) { g.Action = "decrypt" }, false},
		{"no action", func(g *Grant) { g.Action = "" }, false},
		{"no reason", func(g *Grant) { g.Reason = "" }, false},
		{"a reason too long", func(g *Grant) { g.Reason = strings.Repeat("x", api.MaxReason+1) }, false},
		{"a reason that is no text", func(g *Grant) { g.Reason = "\xff" }, false},
		{"a window that is none", func(g *Grant) { g.NotAfter = g.NotBefore }, false},
		{"a window too long", func(g *Grant) { g.NotAfter = g.NotBefore + MaxGrantWindow + 1 }, false},
		{"a window over the end of time", func(g *Grant) { g.NotBefore, g.NotAfter = -1<<63, 1<<62 }, false},
		{"no use", func(g *Grant) { g.Uses = 0 }, false},
		{"uses without end", func(g *Grant) { g.Uses = MaxUses + 1 }, false},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			g := w.grant()
			tt.spoil(&g)
			_, err := ParseGrant(NewGrant(g))
			if tt.good != (err == nil) || err != nil && !errors.Is(err, ErrGrant) {
				t.Fatalf("got %v", err)
			}
		})
	}
	for what, e := range map[string]*Entry{
		"a node's":        {Author: "n1", Kind: KindGrant, Body: NewGrant(w.grant()).Body},
		"of another kind": {Kind: KindPolicy, Body: NewGrant(w.grant()).Body},
		"of noise":        {Kind: KindGrant, Body: []byte("noise")},
	} {
		if _, err := ParseGrant(e); !errors.Is(err, ErrGrant) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whoever signs twice, in whatever way, has one vote, and whoever is not asked none.
func TestApproversCountOnce(t *testing.T) {
	w := newWorld(t)
	sato, mori, stranger := newSigner(t), newSigner(t), newSigner(t)
	asked := [][]byte{sato.PublicKey(), mori.PublicKey()}
	signed := func(by ...*Signer) *Entry {
		e := NewGrant(w.grant())
		for _, s := range by {
			if err := SignGrant(rand.Reader, e, s); err != nil {
				t.Fatal(err)
			}
		}
		return e
	}
	twice := signed(sato)
	again := signed(sato)
	twice.Signatures = append(twice.Signatures, again.Signatures...)
	posing := signed(sato)
	posing.Signatures = append(posing.Signatures, Signature{Signer: FingerprintOf(mori.PublicKey()), ASN1: posing.Signatures[0].ASN1})
	other := w.grant()
	other.Uses++
	moved := signed(sato, mori)
	moved.Body = NewGrant(other).Body
	for _, tt := range []struct {
		sentence string
		e        *Entry
		keys     [][]byte
		want     int
	}{
		{"two of two", signed(sato, mori), asked, 2},
		{"one", signed(mori), asked, 1},
		{"one, who signs again", signed(sato, sato), asked, 1},
		{"one, whose signature stands twice", twice, asked, 1},
		{"one, who stands twice in the list", signed(sato), [][]byte{sato.PublicKey(), sato.PublicKey()}, 1},
		{"one and a stranger", signed(sato, stranger), asked, 1},
		{"one who signs as another", posing, asked, 1},
		{"two, of another grant", moved, asked, 0},
		{"nobody", NewGrant(w.grant()), asked, 0},
		{"nobody is asked", signed(sato, mori), nil, 0},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			if got := Approvers(tt.e, tt.keys); len(got) != tt.want {
				t.Fatalf("%d, want %d", len(got), tt.want)
			}
		})
	}
	for what, e := range map[string]*Entry{"unsigned": NewGrant(w.grant()), "signed twice by one": twice} {
		if err := CheckApprovals(e); !errors.Is(err, ErrGrant) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := CheckApprovals(signed(sato, mori, stranger)); err != nil {
		t.Error(err)
	}
	change := NewChange(Change{Cluster: w.doc.Cluster, Kind: KindPolicy})
	if err := SignGrant(rand.Reader, change, sato); !errors.Is(err, ErrGrant) {
		t.Errorf("a change is signed as a grant: %v", err)
	}
	if err := SignChange(rand.Reader, signed(sato), sato); !errors.Is(err, ErrChange) {
		t.Errorf("a grant is signed as a change: %v", err)
	}
}

// floor(u(h-f)/(t-f)): with three of five and one liar twice the uses, with all of
// them needed no more than the uses.
func TestUsesBound(t *testing.T) {
	for _, tt := range []struct{ u, h, t, f, want int }{
		{1, 5, 3, 0, 1}, {2, 5, 3, 0, 3}, {1, 5, 3, 1, 2}, {10, 5, 3, 1, 20}, {1, 5, 4, 1, 1}, {3, 5, 4, 1, 4}, {7, 5, 5, 0, 7}, {7, 5, 5, 2, 7}, {1, 9, 5, 2, 2},
	} {
		if got := UsesBound(tt.u, tt.h, tt.t, tt.f); got != tt.want {
			t.Errorf("u=%d h=%d t=%d f=%d: %d, want %d", tt.u, tt.h, tt.t, tt.f, got, tt.want)
		}
	}
}

func FuzzParseGrant(f *testing.F) {
	w := newWorld(f)
	e := NewGrant(w.grant())
	f.Add(e.Encode())
	if err := SignGrant(rand.Reader, e, w.nodes[0]); err != nil {
		f.Fatal(err)
	}
	f.Add(e.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		g, err := ParseGrant(e)
		if err != nil {
			if !errors.Is(err, ErrGrant) {
				t.Fatalf("unnamed error %v", err)
			}
			return
		}
		if !bytes.Equal(NewGrant(*g).Body, e.Body) {
			t.Fatal("a second encoding was read")
		}
		if CheckApprovals(e) == nil && !slices.IsSortedFunc(e.Signatures, func(a, b Signature) int { return bytes.Compare(a.Signer[:], b.Signer[:]) }) {
			t.Fatal("signatures out of order")
		}
	})
}
