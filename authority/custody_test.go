package authority_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"warifu.dev/api"
	. "warifu.dev/authority"
	"warifu.dev/internal/wire"
)

// custody names these as custodians, any of whom may sign anything.
func custody(signers ...*Signer) Custody {
	var c Custody
	for i, s := range signers {
		c.Custodians = append(c.Custodians, Custodian{Name: string(rune('a' + i)), Sign: s.PublicKey(), Open: "age1test"})
	}
	for _, kind := range ChangeKinds() {
		c.Required = append(c.Required, RequiredCount{kind, 1})
	}
	return c
}

// chain is two replacements of the custodians, after which one is left.
func (w *world) chain() (entries [][]byte, last *Signer, ids []api.Digest) {
	w.tb.Helper()
	last = newSigner(w.tb)
	c := w.change(KindCustodians)
	c.Base, c.Body = api.Digest{}, wire.Encode(custody(w.custodians[0], last))
	first := w.sign(c, w.custodians...)
	c.Base, c.Body = first.ID(), wire.Encode(custody(last))
	second := w.sign(c, w.custodians[0])
	return [][]byte{first.Encode(), second.Encode()}, last, []api.Digest{first.ID(), second.ID()}
}

func TestASuccessionIsFollowedFromGenesis(t *testing.T) {
	w := newWorld(t)
	g := w.verified()
	entries, last, ids := w.chain()
	for n, holders := range []int{3, 2, 1} {
		s, err := Follow(g, entries[:n])
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Genesis.Custodians) != holders || s.Len() != n || len(s.Entries()) != n || n > 0 && s.Last != ids[n-1] || n == 0 && !s.Last.IsZero() {
			t.Errorf("after %d it is %+v", n, s)
		}
	}
	s, err := Follow(g, entries)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyChange(s.Genesis, w.sign(w.change(KindKey), last)); err != nil {
		t.Error(err)
	}
	if _, err := VerifyChange(s.Genesis, w.sign(w.change(KindKey), w.custodians[0], w.custodians[1])); !errors.Is(err, ErrNotCustodian) {
		t.Errorf("of the old ones: %v", err)
	}
	if len(g.Custodians) != 3 {
		t.Error("genesis has changed")
	}
	few := w.change(KindCustodians)
	few.Base, few.Body = api.Digest{}, wire.Encode(custody(last))
	// Those who were replaced sign another replacement in the place of their own.
	parted, err := Follow(g, [][]byte{w.sign(few, w.custodians...).Encode()})
	if err != nil {
		t.Fatal(err)
	}
	for n := range entries {
		before, err := Follow(g, entries[:n])
		if err != nil || !s.Extends(before) || before.Extends(s) || !before.Extends(before) {
			t.Errorf("%d changes and all of them: %v", n, err)
		}
		if follows := n == 0; parted.Extends(before) != follows || before.Extends(parted) {
			t.Errorf("a chain that parts from the first on, and %d changes", n)
		}
	}
	for sentence, tt := range map[string]struct {
		entries [][]byte
		want    error
	}{
		"out of order":             {[][]byte{entries[1], entries[0]}, ErrTooFewSignatures},
		"one of them missing":      {entries[1:], ErrTooFewSignatures},
		"one of them twice":        {[][]byte{entries[0], entries[0]}, ErrNotCustodian},
		"signed by too few":        {[][]byte{w.sign(few, w.custodians[:2]...).Encode()}, ErrTooFewSignatures},
		"a change of another kind": {[][]byte{w.sign(w.change(KindPolicy), w.custodians...).Encode()}, ErrCustody},
		"garbage":                  {[][]byte{{1}}, ErrEntry},
		"more than there may be":   {make([][]byte, MaxSuccession+1), ErrCustody},
		"longer than they may be":  {[][]byte{make([]byte, MaxSuccessionBytes), {1}}, ErrCustody},
	} {
		if _, err := Follow(g, tt.entries); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
	if _, err := s.With(&few, api.Digest{8}, make([]byte, MaxSuccessionBytes)); !errors.Is(err, ErrCustody) || !strings.Contains(err.Error(), "bytes, at most") {
		t.Errorf("one more than there is room for: %v", err)
	}
	based := w.change(KindCustodians)
	based.Base, based.Body = api.Digest{9}, wire.Encode(custody(last))
	if _, err := Follow(g, [][]byte{w.sign(based, w.custodians...).Encode()}); !errors.Is(err, ErrCustody) {
		t.Errorf("over another base: %v", err)
	}
}

// Replacing custodians takes as many as any other kind, unless the document says more.
func TestWhoMayReplaceCustodians(t *testing.T) {
	w := newWorld(t) // policy 3, and no count for custodians
	if got := w.doc.RequiredFor(KindCustodians); got != 3 {
		t.Errorf("it takes %d", got)
	}
	g := w.copied()
	g.Required = append(g.Required[:1], append([]RequiredCount{{KindCustodians, 2}}, g.Required[1:]...)...)
	if err := g.Check(); !errors.Is(err, ErrGenesis) {
		t.Errorf("two replace them, and three sign a policy: %v", err)
	}
	g.Required[1].Count = 3
	if err := g.Check(); err != nil || g.RequiredFor(KindCustodians) != 3 {
		t.Error(err)
	}
}

// FuzzCustody reaches ParseCustody, Follow and ParseSuccession.
func FuzzCustody(f *testing.F) {
	w := newWorld(f)
	g := w.verified()
	entries, _, _ := w.chain()
	f.Add(wire.Encode(custody(w.custodians...)), entries[0])
	f.Add([]byte{}, entries[1])
	f.Add(EncodeSuccession(entries), []byte{})
	f.Fuzz(func(t *testing.T, body, entry []byte) {
		c := w.change(KindCustodians)
		c.Body = body
		if by, err := ParseCustody(&c); err == nil {
			if next, err := w.doc.Succeeded(by); err == nil && next.RequiredFor(KindCustodians) > len(next.Custodians) {
				t.Fatal("a count above the custodians")
			}
		} else if !errors.Is(err, ErrCustody) {
			t.Fatalf("unnamed error %v", err)
		}
		if list, err := ParseSuccession(body); err == nil && !bytes.Equal(EncodeSuccession(list), body) {
			t.Fatal("a second encoding was read")
		} else if err != nil && !errors.Is(err, ErrCustody) {
			t.Fatalf("unnamed error %v", err)
		}
		s, err := Follow(g, [][]byte{entry})
		if err == nil && s.Last.IsZero() && s.Roll.Change.IsZero() {
			t.Fatal("it leads nowhere")
		}
	})
}
