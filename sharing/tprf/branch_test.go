package tprf

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/sharing"
)

var testBranch = Branch{Key: testKey, Context: []byte("tenant=a"), Interval: Interval{From: 7200, Seconds: 3600}, Principal: testPrincipal}

// released is the branch key that some holders come to.
func released(t testing.TB, p sharing.Params, shares map[sharing.Index]*Share, b Branch, who ...sharing.Index) *BranchKey {
	t.Helper()
	f, err := Combine(p, sums(t, p, shares, who, b.Input()))
	if err != nil {
		t.Fatal(err)
	}
	return NewBranchKey(b, f)
}

func branched(t testing.TB, k *BranchKey, context, dek []byte) *Branched {
	t.Helper()
	raw, err := k.Seal(seeded("item"), []string{"tenant"}, context, secret.New(bytes.Clone(dek)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseBranched(raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// One branch key, which any quorum gives, makes and opens many items, each under a context
// of its own; and it opens nothing that is not of exactly its branch.
func TestABranchKeyOpensItsItems(t *testing.T) {
	p := sharing.Params{T: 3, H: 5}
	shares := deal(t, p, "branch")
	k := released(t, p, shares, testBranch, 1, 2, 3)
	again := released(t, p, shares, testBranch, 2, 4, 5)
	if !k.Same(again) || k.Branch().Principal != testPrincipal {
		t.Fatal("two quorums give two keys")
	}
	others := map[string]Branch{}
	for name, change := range map[string]func(*Branch){
		"the next interval":       func(b *Branch) { b.Interval.From += 3600 },
		"a longer interval":       func(b *Branch) { b.Interval = Interval{From: 0, Seconds: 3 * 3600} },
		"another principal":       func(b *Branch) { b.Principal += "x" },
		"another pair":            func(b *Branch) { b.Context = []byte("tenant=b") },
		"another version":         func(b *Branch) { b.Key.Version++ },
		"another key":             func(b *Branch) { b.Key.ID[0] ^= 1 },
		"another cluster":         func(b *Branch) { b.Key.Cluster[0] ^= 1 },
		"a border that was moved": func(b *Branch) { b.Principal = b.Principal[:3]; b.Context = append([]byte(nil), "tenant="...) },
	} {
		b := testBranch
		change(&b)
		others[name] = b
	}
	for row := range 20 {
		context := fmt.Appendf(nil, "tenant=a row=%d", row)
		dek := fmt.Appendf(nil, "dek %d", row)
		c := branched(t, k, context, dek)
		if c.Branch(testBranch.Context).Input().Hash() != testBranch.Input().Hash() || !slices.Equal(c.Names(), []string{"tenant"}) {
			t.Fatalf("it is of the branch %+v", c.Branch(testBranch.Context))
		}
		if got, err := again.Open(c, context); err != nil || !bytes.Equal(got.Reveal(), dek) {
			t.Fatalf("row %d: %v", row, err)
		}
		if _, err := again.Open(c, []byte("tenant=a row=x")); !errors.Is(err, ErrNotOpened) {
			t.Fatalf("under another row: %v", err)
		}
		for name, b := range others {
			if b.Input().Hash() == testBranch.Input().Hash() {
				t.Errorf("%s is the same branch", name)
			}
			other := released(t, p, shares, b, 1, 2, 3)
			if _, err := other.Open(c, context); !errors.Is(err, ErrNotOpened) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := NewBranchKey(testBranch, Value(other.key.Reveal())).Open(c, context); !errors.Is(err, ErrNotOpened) {
				t.Errorf("%s, under this one's name: %v", name, err)
			}
		}
	}
	// Who has the key makes items that say they are of another branch.
	for name, b := range others {
		c := branched(t, NewBranchKey(b, Value(k.key.Reveal())), testContext, []byte("dek"))
		if _, err := k.Open(c, testContext); !errors.Is(err, ErrNotOpened) && name != "another pair" { // an item does not say its pairs
			t.Errorf("an item that says it is of %s: %v", name, err)
		}
	}
}

// What is released for single items opens no item of a branch, nor the other way round.
func TestBranchesAndItemsAreApart(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "apart")
	k := released(t, p, shares, testBranch, 1, 2)
	c := branched(t, k, testContext, []byte("dek"))
	f, err := Combine(p, sums(t, p, shares, []sharing.Index{1, 2}, ItemInput(testKey, testContext, testPrincipal, c.Commitment())))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBranchKey(testBranch, f).Open(c, testContext); !errors.Is(err, ErrNotOpened) {
		t.Errorf("an item's value opens an item of a branch: %v", err)
	}
	single := encrypt(t, p, shares, []byte("dek"))
	if _, err := single.Open(Value(k.key.Reveal())); !errors.Is(err, ErrNotOpened) {
		t.Errorf("a branch key opens a single item: %v", err)
	}
	if _, err := Parse(c.Bytes()); !errors.Is(err, ErrCiphertext) {
		t.Errorf("an item of a branch is read as a single one: %v", err)
	}
	if _, err := ParseBranched(single.Bytes()); !errors.Is(err, ErrCiphertext) {
		t.Errorf("a single item is read as one of a branch: %v", err)
	}
}

// Every byte of an item of a branch counts, for its form, for the branch, or for the item.
func TestAnItemOfABranchIsBound(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "bound")
	k := released(t, p, shares, testBranch, 1, 2)
	c := branched(t, k, testContext, []byte("sixteen bytes ok"))
	for i := range c.raw {
		altered := c.Bytes()
		altered[i] ^= 1
		a, err := ParseBranched(altered)
		if err != nil {
			continue
		}
		if _, err := k.Open(a, testContext); err == nil {
			t.Errorf("byte %d does not count", i)
		}
	}
}

func TestWhatIsNoItemOfABranch(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "refused")
	good := func() Branch { return testBranch }
	many := make([]string, MaxNames+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%02d", i)
	}
	for name, tt := range map[string]struct {
		change func(*Branch)
		names  []string
		dek    int
		want   error
	}{
		"the longest": {func(b *Branch) { b.Principal = strings.Repeat("x", MaxPrincipal) }, func() []string {
			list := slices.Clone(many[:MaxNames])
			for i := range list {
				list[i] += strings.Repeat("x", MaxName-len(list[i]))
			}
			return list
		}(), MaxDEK, nil},
		"the shortest":             {func(b *Branch) { b.Principal = "x" }, nil, 1, nil},
		"a whole day":              {func(b *Branch) { b.Interval = Interval{From: 0, Seconds: MaxInterval} }, nil, 1, nil},
		"more than a day":          {func(b *Branch) { b.Interval = Interval{From: 0, Seconds: MaxInterval + 1} }, nil, 1, ErrInterval},
		"no time at all":           {func(b *Branch) { b.Interval = Interval{} }, nil, 1, ErrInterval},
		"between two intervals":    {func(b *Branch) { b.Interval.From++ }, nil, 1, ErrInterval},
		"before time began":        {func(b *Branch) { b.Interval.From = -3600 }, nil, 1, ErrInterval},
		"after it has ended":       {func(b *Branch) { b.Interval = Interval{From: maxFrom, Seconds: 1} }, nil, 1, ErrInterval},
		"names out of order":       {nil, []string{"b", "a"}, 1, ErrCiphertext},
		"a name twice":             {nil, []string{"a", "a"}, 1, ErrCiphertext},
		"an empty name":            {nil, []string{""}, 1, ErrCiphertext},
		"a long name":              {nil, []string{strings.Repeat("x", MaxName+1)}, 1, ErrCiphertext},
		"too many names":           {nil, many, 1, ErrCiphertext},
		"nothing to encrypt":       {nil, nil, 0, ErrDEK},
		"nobody":                   {func(b *Branch) { b.Principal = "" }, nil, 1, ErrPrincipal},
		"more than is a data key":  {nil, nil, MaxDEK + 1, ErrDEK},
		"a principal with no ends": {func(b *Branch) { b.Principal = strings.Repeat("x", MaxPrincipal+1) }, nil, 1, ErrPrincipal},
	} {
		b := good()
		if tt.change != nil {
			tt.change(&b)
		}
		k := released(t, p, shares, b, 1, 2)
		raw, err := k.Seal(seeded("x"), tt.names, testContext, secret.New(make([]byte, tt.dek)))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		c, err := ParseBranched(raw)
		if err != nil || len(raw) < MinBranched || len(raw) > MaxBranched {
			t.Errorf("%s: %d bytes, %v", name, len(raw), err)
			continue
		}
		if _, err := k.Open(c, testContext); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABranchKeyDoesNotPrint(t *testing.T) {
	var f Value
	for i := range f {
		f[i] = 0xa5
	}
	k := NewBranchKey(testBranch, f)
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{k, *k} {
			if out := fmt.Sprintf(format, v); strings.Contains(out, "a5a5") || strings.Contains(out, "165 165") {
				t.Errorf("%s prints %s", format, out)
			}
		}
	}
	if k.Wipe(); !bytes.Equal(k.key.Reveal(), make([]byte, ValueSize)) {
		t.Error("something is left")
	}
}

func FuzzParseBranched(f *testing.F) {
	p := sharing.Params{T: 2, H: 3}
	f.Add(branched(f, released(f, p, deal(f, p, "fuzz"), testBranch, 1, 2), testContext, []byte("seed")).Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseBranched(b)
		if err != nil {
			if !errors.Is(err, ErrCiphertext) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(c.Bytes(), b) || len(c.Principal()) == 0 || c.Interval().Check() != nil {
			t.Fatal("what is parsed is not what was given")
		}
		if _, err := NewBranchKey(c.Branch(nil), Value{}).Open(c, nil); err != nil && !errors.Is(err, ErrNotOpened) && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}
