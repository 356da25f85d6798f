package tprf

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/sharing"
)

// seeded is a deterministic source for tests.
func seeded(seed string) io.Reader {
	return mrand.NewChaCha8(tag.Hash(tag.SelfTest, []byte(seed)))
}

// shapes are all shapes with up to 9 holders, the large ones included.
func shapes() (all []sharing.Params) {
	for h := 2; h <= MaxHolders; h++ {
		for t := 2; t <= h; t++ {
			all = append(all, sharing.Params{T: t, H: h})
		}
	}
	return all
}

// deal gives every holder of a new key its share.
func deal(t rapid.TB, p sharing.Params, seed string) map[sharing.Index]*Share {
	rand, keys := seeded(seed), map[Set][]byte{}
	for _, s := range Sets(p) {
		keys[s] = make([]byte, SetKeySize)
		if _, err := io.ReadFull(rand, keys[s]); err != nil {
			t.Fatal(err)
		}
	}
	shares := map[sharing.Index]*Share{}
	for i := sharing.Index(1); int(i) <= p.H; i++ {
		var b []byte
		for _, s := range Held(p, i) {
			b = append(b, keys[s]...)
		}
		share, err := NewShare(p, i, secret.New(b))
		if err != nil {
			t.Fatal(err)
		}
		if !share.Bytes().Equal(secret.New(b)) {
			t.Fatal("a share does not come back as it was")
		}
		shares[i] = share
	}
	return shares
}

func setOf(list []sharing.Index) (s Set) {
	for _, i := range list {
		s |= 1 << (i - 1)
	}
	return s
}

func drawHolders(t *rapid.T, p sharing.Params, n int) []sharing.Index {
	all := make([]sharing.Index, p.H)
	for k := range all {
		all[k] = sharing.Index(k + 1)
	}
	return rapid.Permutation(all).Draw(t, "asked")[:n]
}

// sums asks these holders, each once, as an opening does.
func sums(t rapid.TB, p sharing.Params, shares map[sharing.Index]*Share, asked []sharing.Index, x Input) map[sharing.Index]Value {
	work, err := Assign(p, setOf(asked), 1)
	if err != nil {
		t.Fatal(err)
	}
	out := map[sharing.Index]Value{}
	for _, i := range asked {
		if out[i], err = shares[i].Sum(work[i], x); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// answers asks these holders for single values, as an encryption does.
func answers(t rapid.TB, p sharing.Params, shares map[sharing.Index]*Share, asked []sharing.Index, copies int, x Input) Answers {
	work, err := Assign(p, setOf(asked), copies)
	if err != nil {
		t.Fatal(err)
	}
	out := Answers{}
	for _, i := range asked {
		values, err := shares[i].Values(work[i], x)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = map[Set]Value{}
		for k, s := range work[i] {
			out[i][s] = values[k]
		}
	}
	return out
}

var (
	testKey     = Key{Cluster: [32]byte{1}, ID: [32]byte{2}, Version: 3}
	testContext = []byte("context")
)

const testPrincipal = "spiffe://example/app"

func TestSets(t *testing.T) {
	for _, p := range shapes() {
		sets := Sets(p)
		if !slices.IsSorted(sets) || len(slices.Compact(slices.Clone(sets))) != len(sets) {
			t.Errorf("%v: not ascending", p)
		}
		for _, s := range sets {
			if s.Size() != p.H-p.T+1 || s>>p.H != 0 {
				t.Errorf("%v: set %b", p, s)
			}
		}
		// Any t holders meet every set; the holders outside a set are t-1 and miss it.
		for asked := Set(0); asked < 1<<p.H; asked++ {
			misses := 0
			for _, s := range sets {
				if s&asked == 0 {
					misses++
				}
			}
			if (misses > 0) != (asked.Size() < p.T) {
				t.Errorf("%v: %d holders miss %d sets", p, asked.Size(), misses)
			}
		}
	}
	if n := len(Sets(sharing.Params{T: 5, H: 9})); n != 126 {
		t.Errorf("5-of-9 has %d sets", n)
	}
	for _, p := range []sharing.Params{{T: 1, H: 3}, {T: 3, H: 2}, {T: 2, H: 10}, {T: 0, H: 0}} {
		if err := CheckShape(p); !errors.Is(err, ErrShape) {
			t.Errorf("%v: %v", p, err)
		}
	}
}

// The work is shared out evenly, each set as often as is asked for, to its members only;
// and t+f responders are enough for f+1 copies of each.
func TestAssign(t *testing.T) {
	for _, p := range shapes() {
		for f := 0; f <= min(p.H-p.T, p.T-1); f++ {
			for asked := Set(0); asked < 1<<p.H; asked++ {
				work, err := Assign(p, asked, f+1)
				if asked.Size() < p.T+f {
					if !errors.Is(err, ErrAsked) {
						t.Fatalf("%v: %b for %d copies: %v", p, asked, f+1, err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				count, least, most := map[Set]int{}, 1<<10, 0
				for i, sets := range work {
					for _, s := range sets {
						if !s.Has(i) || !asked.Has(i) {
							t.Fatalf("%v: set %b goes to holder %d of %b", p, s, i, asked)
						}
						count[s]++
					}
					least, most = min(least, len(sets)), max(most, len(sets))
				}
				for _, s := range Sets(p) {
					if count[s] != f+1 {
						t.Fatalf("%v: set %b is evaluated %d times of %d", p, s, count[s], f+1)
					}
				}
				if f == 0 && asked.Size() == p.T && most > 2*len(Sets(p))/p.T+2 {
					t.Errorf("%v: of %b one does %d, another %d", p, asked, most, least)
				}
			}
		}
	}
	if _, err := Assign(sharing.Params{T: 2, H: 3}, 0b1011, 1); !errors.Is(err, ErrAsked) {
		t.Errorf("somebody beyond h is asked: %v", err)
	}
	if _, err := Assign(sharing.Params{T: 2, H: 3}, 0b11, 0); !errors.Is(err, ErrAsked) {
		t.Errorf("no copies: %v", err)
	}
}

// Every quorum comes to the same value, which is the XOR over all sets.
func TestEveryQuorumGivesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(shapes()).Draw(t, "shape")
		shares := deal(t, p, "quorums")
		x := ItemInput(testKey, rapid.SliceOf(rapid.Byte()).Draw(t, "context"), testPrincipal, [32]byte{9})
		var want Value
		for _, s := range Sets(p) { // the definition, spelled out
			for i := sharing.Index(1); ; i++ {
				if !s.Has(i) {
					continue
				}
				key, err := shares[i].key(s)
				if err != nil {
					t.Fatal(err)
				}
				mac := hmac.New(sha256.New, key.Reveal())
				mac.Write(x.bytes)
				want = want.XOR(Value(mac.Sum(nil)))
				break
			}
		}
		got, err := Combine(p, sums(t, p, shares, drawHolders(t, p, p.T), x))
		if err != nil || got != want {
			t.Fatalf("a quorum's sums: %v", err)
		}
		f := rapid.IntRange(0, min(p.H-p.T, p.T-1)).Draw(t, "f")
		n := rapid.IntRange(p.T+f, p.H).Draw(t, "n")
		agreed, missing := Agree(p, f+1, answers(t, p, shares, drawHolders(t, p, n), f+1, x))
		if missing != nil || agreed != want {
			t.Fatalf("values of %d holders: %d sets missing", n, len(missing))
		}
	})
}

// R1, R3: sums that are not of t holders, and shares of the wrong size.
func TestWhatCannotBeCombined(t *testing.T) {
	p := sharing.Params{T: 3, H: 5}
	for name, list := range map[string]map[sharing.Index]Value{
		"nothing": {}, "too few": {1: {}, 2: {}}, "too many": {1: {}, 2: {}, 3: {}, 4: {}},
		"index 0": {0: {}, 1: {}, 2: {}}, "index h+1": {6: {}, 1: {}, 2: {}},
	} {
		if _, err := Combine(p, list); !errors.Is(err, ErrAsked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Combine(sharing.Params{T: 2, H: 10}, map[sharing.Index]Value{1: {}, 2: {}}); !errors.Is(err, ErrShape) {
		t.Errorf("ten holders: %v", err)
	}
	for _, n := range []int{0, 31, 5 * 32, 6*32 - 1, 6*32 + 1, 7 * 32} {
		if _, err := NewShare(p, 1, secret.New(make([]byte, n))); !errors.Is(err, ErrShare) {
			t.Errorf("a share of %d bytes: %v", n, err)
		}
	}
	if _, err := NewShare(p, 6, secret.New(make([]byte, 6*32))); !errors.Is(err, sharing.ErrIndex) {
		t.Errorf("index h+1: %v", err)
	}
	share := deal(t, p, "combine")[1]
	for _, s := range []Set{0, 0b11110, 0b11, 0b111000111} {
		if _, err := share.Values([]Set{s}, ItemInput(testKey, nil, "x", [32]byte{})); !errors.Is(err, ErrNotHeld) {
			t.Errorf("set %b: %v", s, err)
		}
	}
}

// encrypt is the whole walk of an encryption with these holders.
func encrypt(t rapid.TB, p sharing.Params, shares map[sharing.Index]*Share, dek []byte) *Ciphertext {
	f := min(1, p.H-p.T, p.T-1)
	s, err := Begin(seeded("encrypt"), testKey, testPrincipal, testContext, secret.New(dek))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Wipe()
	var asked []sharing.Index
	for i := range p.T + f {
		asked = append(asked, sharing.Index(i+1))
	}
	x := ItemInput(testKey, testContext, testPrincipal, s.Commitment()) // as a holder makes it
	v, missing := Agree(p, f+1, answers(t, p, shares, asked, f+1, x))
	if missing != nil {
		t.Fatalf("%d sets are missing", len(missing))
	}
	c, err := Parse(s.Finish(v))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAnyQuorumOpensWhatWasEncrypted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom(shapes()).Draw(t, "shape")
		shares := deal(t, p, "walk")
		dek := rapid.SliceOfN(rapid.Byte(), 1, MaxDEK).Draw(t, "dek")
		c := encrypt(t, p, shares, dek)
		if c.Key() != testKey || c.Principal() != testPrincipal {
			t.Fatalf("%+v, %s", c.Key(), c.Principal())
		}
		v, err := Combine(p, sums(t, p, shares, drawHolders(t, p, p.T), c.Input(testContext)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Open(v); err != nil || !bytes.Equal(got.Reveal(), dek) {
			t.Fatalf("a quorum: %v", err)
		}
		// One holder fewer leaves a set out: whatever is guessed for it, nothing opens.
		short := drawHolders(t, p, p.T-1)
		var guess Value
		for _, s := range Sets(p) {
			for _, i := range short {
				if s.Has(i) {
					values, err := shares[i].Values([]Set{s}, c.Input(testContext))
					if err != nil {
						t.Fatal(err)
					}
					guess = guess.XOR(values[0])
					break
				}
			}
		}
		if _, err := c.Open(guess); !errors.Is(err, ErrNotOpened) {
			t.Fatalf("t-1 holders: %v", err)
		}
	})
}

// Every byte of a ciphertext counts, and so do the context, the principal and the key
// that the holders believe in.
func TestACiphertextIsBound(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "bound")
	c := encrypt(t, p, shares, []byte("sixteen bytes ok"))
	open := func(c *Ciphertext, x Input) error {
		v, err := Combine(p, sums(t, p, shares, []sharing.Index{1, 3}, x))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Open(v)
		return err
	}
	if err := open(c, c.Input(testContext)); err != nil {
		t.Fatal(err)
	}
	for i := range c.raw {
		altered := c.Bytes()
		altered[i] ^= 1
		a, err := Parse(altered)
		if err == nil {
			err = open(a, a.Input(testContext))
		}
		if err == nil {
			t.Errorf("byte %d does not count", i)
		}
		// Nor when the holders evaluate what they would for the unaltered one.
		if a != nil && open(a, c.Input(testContext)) == nil {
			t.Errorf("byte %d does not count for who opens", i)
		}
	}
	other := testKey
	other.Version++
	alpha := c.Commitment()
	for name, x := range map[string]Input{
		"another context":   c.Input([]byte("Context")),
		"no context":        c.Input(nil),
		"another principal": ItemInput(testKey, testContext, testPrincipal+"x", alpha),
		"another version":   ItemInput(other, testContext, testPrincipal, alpha),
		"another α":         ItemInput(testKey, testContext, testPrincipal, [32]byte{}),
		// R11: what moves over a border is another input.
		"a border moved": ItemInput(testKey, append(testContext, testPrincipal[0]), testPrincipal[1:], alpha),
	} {
		if err := open(c, x); !errors.Is(err, ErrNotOpened) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One liar makes no ciphertext that nobody can open, and is found once something has
// opened; before that nobody is blamed.
func TestALiarIsOutvotedAndFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]sharing.Params{{T: 2, H: 4}, {T: 3, H: 5}, {T: 4, H: 7}, {T: 5, H: 9}}).Draw(t, "shape")
		shares := deal(t, p, "liars")
		c := encrypt(t, p, shares, []byte("dek"))
		x := c.Input(testContext)
		all := drawHolders(t, p, p.H)
		liar := all[rapid.IntRange(0, p.T).Draw(t, "liar")]
		lies := func(a Answers) Answers {
			sets := slices.Sorted(maps.Keys(a[liar]))
			s := rapid.SampledFrom(sets).Draw(t, "set")
			v := a[liar][s]
			v[0] ^= 1
			a[liar][s] = v
			return a
		}
		// With t+1 asked for two copies, the set that the liar spoils has no two that agree.
		a := lies(answers(t, p, shares, all[:p.T+1], 2, x))
		if v, missing := Agree(p, 2, a); len(missing) != 1 || v != (Value{}) {
			t.Fatalf("%d sets are missing", len(missing))
		}
		// Another member of it settles that.
		more := answers(t, p, shares, all, p.H-p.T+1, x)
		truth := map[Set]Value{}
		for i, values := range more {
			for s, v := range values {
				truth[s] = v
				if i != liar && a[i] != nil {
					a[i][s] = v
				}
			}
		}
		for _, i := range all {
			if a[i] == nil && i != liar {
				a[i] = more[i]
			}
		}
		v, missing := Agree(p, 2, a)
		if missing != nil {
			t.Fatalf("%d sets are missing with everybody asked", len(missing))
		}
		if got, err := c.Open(v); err != nil || got.Len() != 3 {
			t.Fatal(err)
		}
		if got := Blame(truth, a); !slices.Equal(got, []sharing.Index{liar}) {
			t.Fatalf("blamed are %v, the liar is %d", got, liar)
		}
		if got := Blame(truth, more); got != nil {
			t.Fatalf("blamed are %v, and nobody lies", got)
		}
	})
}

// In 2-of-3 a set has two members: where one lies there is no majority, and nothing is
// encrypted.
func TestTooFewToOutvote(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	x := ItemInput(testKey, nil, "x", [32]byte{})
	a := answers(t, p, deal(t, p, "few"), []sharing.Index{1, 2, 3}, 2, x)
	a[2][0b11] = Value{1}
	if v, missing := Agree(p, 2, a); !slices.Equal(missing, []Set{0b11}) || v != (Value{}) {
		t.Fatalf("missing are %b", missing)
	}
}

// A holder's word about a set that it is no member of counts for nothing.
func TestNonMembersDoNotVote(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "votes")
	x := ItemInput(testKey, nil, "x", [32]byte{})
	a := answers(t, p, shares, []sharing.Index{1, 2, 3}, 2, x)
	delete(a[1], 0b11)
	delete(a[2], 0b11)
	lie := Value{1}
	a[2][0b11], a[3][0b11] = lie, lie
	if _, missing := Agree(p, 2, a); !slices.Equal(missing, []Set{0b11}) {
		t.Fatalf("missing are %b", missing)
	}
}

// Who encrypts something other than what it committed to is found out.
func TestAFalseCommitmentIsFound(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "commitment")
	s, err := Begin(seeded("a"), testKey, testPrincipal, testContext, secret.New([]byte("dek")))
	if err != nil {
		t.Fatal(err)
	}
	s.plain.Reveal()[rhoSize] ^= 1 // after α was made
	v, err := Combine(p, sums(t, p, shares, []sharing.Index{1, 2}, s.input))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(s.Finish(v))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(v); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got %v", err)
	}
}

func TestWhatIsNotEncrypted(t *testing.T) {
	for name, tt := range map[string]struct {
		dek       int
		principal string
		rand      io.Reader
		want      error
	}{
		"nothing":        {0, "p", seeded(""), ErrDEK},
		"too much":       {MaxDEK + 1, "p", seeded(""), ErrDEK},
		"nobody":         {1, "", seeded(""), ErrPrincipal},
		"a long name":    {1, strings.Repeat("x", MaxPrincipal+1), seeded(""), ErrPrincipal},
		"no randomness":  {1, "p", bytes.NewReader(nil), io.EOF},
		"the longest":    {MaxDEK, strings.Repeat("x", MaxPrincipal), seeded(""), nil},
		"the shortest":   {1, "x", seeded(""), nil},
		"a broken spout": {1, "p", io.LimitReader(seeded(""), 31), io.ErrUnexpectedEOF},
	} {
		s, err := Begin(tt.rand, testKey, tt.principal, testContext, secret.New(make([]byte, tt.dek)))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		b := s.Finish(Value{})
		if _, err := Parse(b); err != nil || len(b) < MinCiphertext || len(b) > MaxCiphertext {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
		if s.Wipe(); !bytes.Equal(s.plain.Reveal(), make([]byte, s.plain.Len())) {
			t.Errorf("%s: something is left", name)
		}
	}
}

func TestNothingPrints(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	share, err := NewShare(p, 1, secret.New(bytes.Repeat([]byte{0xa5}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	e, err := share.Evaluator(Held(p, 1))
	if err != nil {
		t.Fatal(err)
	}
	e.macs = append(e.macs, &printed{secret: bytes.Repeat([]byte{0xa5}, 64)})
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{share, *share, e, *e} {
			if out := fmt.Sprintf(f, v); strings.Contains(out, "a5a5") || strings.Contains(out, "165 165") {
				t.Errorf("%s prints %s", f, out)
			}
		}
	}
	if share.Wipe(); !bytes.Equal(share.Bytes().Reveal(), make([]byte, 64)) {
		t.Error("something is left")
	}
}

// printed is a hash that would show what it was keyed with.
type printed struct {
	hash.Hash
	secret []byte
}

// One evaluator gives for each of many inputs what the function is by its definition, of
// each set, whichever way it was asked before.
func TestAnEvaluatorIsTheFunction(t *testing.T) {
	p := sharing.Params{T: 3, H: 5}
	share := deal(t, p, "evaluator")[2]
	sets := Held(p, 2)[1:4]
	e, err := share.Evaluator(sets)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		x := ItemInput(testKey, testContext, testPrincipal, [32]byte{byte(n)})
		var want []Value
		var sum Value
		for k := range sets {
			mac := hmac.New(sha256.New, share.keys[k+1].Reveal())
			mac.Write(x.bytes)
			want = append(want, Value(mac.Sum(nil)))
			sum = sum.XOR(want[k])
		}
		if n%3 != 1 && !slices.Equal(e.Values(x), want) {
			t.Errorf("input %d: other values", n)
		}
		if n%3 != 0 && e.Sum(x) != sum {
			t.Errorf("input %d: another sum", n)
		}
		if once, err := share.Values(sets, x); err != nil || !slices.Equal(once, want) {
			t.Errorf("input %d: the share gives other values, %v", n, err)
		}
	}
	if _, err := share.Evaluator([]Set{sets[0], Sets(p)[len(Sets(p))-1] &^ 2}); !errors.Is(err, ErrNotHeld) {
		t.Errorf("a set of others: %v", err)
	}
}

// Known answers: whoever changes one of these breaks every ciphertext there is.
func TestFormatIsFixed(t *testing.T) {
	p := sharing.Params{T: 2, H: 3}
	shares := deal(t, p, "fixed")
	x := ItemInput(testKey, testContext, testPrincipal, [32]byte{7})
	v, err := Combine(p, sums(t, p, shares, []sharing.Index{1, 2}, x))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(v[:]); got != knownValue {
		t.Errorf("the function gives %s", got)
	}
	old, err := hex.DecodeString(knownCiphertext)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(old)
	if err != nil {
		t.Fatalf("%v; a new one is %x", err, encrypt(t, p, shares, []byte("known")).raw)
	}
	if v, err = Combine(p, sums(t, p, shares, []sharing.Index{2, 3}, c.Input(testContext))); err != nil {
		t.Fatal(err)
	}
	if dek, err := c.Open(v); err != nil || string(dek.Reveal()) != "known" {
		t.Errorf("the known ciphertext: %v", err)
	}
	hash := SetKeyHash([32]byte{1}, 3, secret.New(make([]byte, SetKeySize)))
	if got := hex.EncodeToString(hash[:]); got != knownHash {
		t.Errorf("the hash of a set's key is %s", got)
	}
}

const (
	knownValue      = "d9aee4fba2dc22182fb66bbf07ec77c40b594789deae6961a57e494edf1ae220"
	knownCiphertext = "010201000000000000000000000000000000000000000000000000000000000000000200000000000000000000000000000000000000000000000000000000000000000000034b2dd744d547356723b1a050783ac7877cfd427b0f5a4fd3813c24f78517676600147370696666653a2f2f6578616d706c652f617070d54a0bf4ec525bd290f030407c132e2ecc3bc957ef86fd170e3d06b7ae32e3dbdc2b850238169b1f288593a6e000704c777584aa8e1651e8927a4c1444190e9aa6"
	knownHash       = "b7b07b5a242e043cd38a98146e5b8551eef4d292e6925fadb743f81c2b721f40"
)

func FuzzParse(f *testing.F) {
	p := sharing.Params{T: 2, H: 3}
	f.Add(encrypt(f, p, deal(f, p, "fuzz"), []byte("seed")).Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrCiphertext) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(c.Bytes(), b) || len(c.Principal()) == 0 || len(c.header())+len(c.sealed()) != len(b) {
			t.Fatal("what is parsed is not what was given")
		}
		if _, err := c.Open(Value{}); err != nil && !errors.Is(err, ErrNotOpened) && !errors.Is(err, ErrCorrupt) {
			t.Fatal(err)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	for _, p := range []sharing.Params{{T: 3, H: 5}, {T: 5, H: 9}} {
		b.Run(fmt.Sprintf("%d-of-%d", p.T, p.H), func(b *testing.B) {
			share := deal(b, p, "bench")[1]
			work, err := Assign(p, 1<<p.T-1, 1)
			if err != nil {
				b.Fatal(err)
			}
			x := ItemInput(testKey, testContext, testPrincipal, [32]byte{})
			for b.Loop() {
				if _, err := share.Sum(work[1], x); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The same for each of 100 items of one request.
func BenchmarkEvaluator(b *testing.B) {
	p := sharing.Params{T: 3, H: 5}
	share := deal(b, p, "bench")[1]
	work, err := Assign(p, 1<<p.T-1, 1)
	if err != nil {
		b.Fatal(err)
	}
	x := ItemInput(testKey, testContext, testPrincipal, [32]byte{})
	e, err := share.Evaluator(work[1])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e.Sum(x)
	}
}
