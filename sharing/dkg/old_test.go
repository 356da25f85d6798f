package dkg

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

// elder is an old epoch of 2-of-3 and its polynomials, one for each key.
type elder struct {
	polys []*sharing.Polynomial
	keys  []OldKey
}

func newElder(t testing.TB, n int) *elder {
	t.Helper()
	rand := testRand()
	e := &elder{}
	for k := range n {
		poly, err := sharing.NewPolynomial(rand, 2)
		if err != nil {
			t.Fatal(err)
		}
		e.polys = append(e.polys, poly)
		e.keys = append(e.keys, OldKey{Key: [32]byte{byte(k + 1)}, Version: 1, Epoch: 4, Public: publicOf(poly.Commit(), 3)})
	}
	return e
}

func (e *elder) shares(i sharing.Index) (x []*group.Scalar) {
	for _, poly := range e.polys {
		x = append(x, poly.Eval(i))
	}
	return x
}

// session is a reshare to 2-of-3: place 1 was index 3, place 2 is new, place 3 was
// index 1, and index 2 leaves.
func (e *elder) session(t testing.TB) Session {
	t.Helper()
	old, err := NewOld(2, 3, []sharing.Index{3, 0, 1, 2}, e.keys)
	if err != nil {
		t.Fatal(err)
	}
	s := testSession(2, 3)
	s.N, s.Old = len(e.keys), old
	return s
}

// R1, R3: what is said of an old epoch.
func TestAnOldEpochThatCannotBe(t *testing.T) {
	e := newElder(t, 2)
	holders := []sharing.Index{3, 0, 1, 2}
	alter := func(change func(k *OldKey)) []OldKey {
		keys := slices.Clone(e.keys)
		change(&keys[1])
		return keys
	}
	for name, tt := range map[string]struct {
		t, h    int
		holders []sharing.Index
		keys    []OldKey
		want    error
	}{
		"as it is":                      {2, 3, holders, e.keys, nil},
		"one is struck":                 {2, 3, []sharing.Index{3, 0, 1}, e.keys, nil},
		"a threshold of one":            {1, 3, holders, e.keys, sharing.ErrThreshold},
		"a threshold above the holders": {4, 3, holders, e.keys, sharing.ErrThreshold},
		"too many holders":              {2, 17, holders, e.keys, sharing.ErrHolders},
		"fewer than t are left":         {2, 3, []sharing.Index{3, 0, 0}, e.keys, ErrOld},
		"nobody":                        {2, 3, nil, e.keys, ErrOld},
		"one index at two places":       {2, 3, []sharing.Index{3, 1, 3}, e.keys, ErrOld},
		"an index above h":              {2, 3, []sharing.Index{3, 1, 4}, e.keys, ErrOld},
		"an index below 0":              {2, 3, []sharing.Index{3, 1, -1}, e.keys, ErrOld},
		"a participant too many":        {2, 3, make([]sharing.Index, MaxParticipants+1), e.keys, ErrOld},
		"no key":                        {2, 3, holders, nil, ErrBatch},
		"a key too many":                {2, 3, holders, make([]OldKey, MaxBatch+1), ErrBatch},
		"one key twice":                 {2, 3, holders, alter(func(k *OldKey) { k.Key = e.keys[0].Key }), ErrBatch},
		"a verification key too few":    {2, 3, holders, alter(func(k *OldKey) { k.YI = k.YI[1:] }), ErrOld},
		"a verification key too many":   {2, 3, holders, alter(func(k *OldKey) { k.YI = append(slices.Clone(k.YI), k.Y) }), ErrOld},
		"no verification key":           {2, 3, holders, alter(func(k *OldKey) { k.YI = []*group.Point{nil, k.Y, k.Y} }), ErrOld},
		"no public key":                 {2, 3, holders, alter(func(k *OldKey) { k.Y = nil }), ErrOld},
	} {
		if _, err := NewOld(tt.t, tt.h, tt.holders, tt.keys); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}

// R11: every field of an old epoch makes another, and so another session.
func TestEveryFieldOfAnOldEpochIsBound(t *testing.T) {
	e := newElder(t, 2)
	s := e.session(t)
	alter := func(change func(k *OldKey)) []OldKey {
		keys := slices.Clone(e.keys)
		change(&keys[1])
		return keys
	}
	g := group.Generator()
	seen := map[[32]byte]string{s.Old.Digest(): "as it is", {}: "a birth"}
	for name, o := range map[string]struct {
		t, h    int
		holders []sharing.Index
		keys    []OldKey
	}{
		"another t":                 {3, 3, s.Old.Holders, e.keys},
		"another index":             {2, 3, []sharing.Index{3, 0, 2, 1}, e.keys},
		"one who was struck":        {2, 3, []sharing.Index{3, 0, 1}, e.keys},
		"another order of the keys": {2, 3, s.Old.Holders, []OldKey{e.keys[1], e.keys[0]}},
		"a key fewer":               {2, 3, s.Old.Holders, e.keys[:1]},
		"another key":               {2, 3, s.Old.Holders, alter(func(k *OldKey) { k.Key[31] ^= 1 })},
		"another version":           {2, 3, s.Old.Holders, alter(func(k *OldKey) { k.Version++ })},
		"another epoch":             {2, 3, s.Old.Holders, alter(func(k *OldKey) { k.Epoch++ })},
		"another Y":                 {2, 3, s.Old.Holders, alter(func(k *OldKey) { k.Y = g })},
		"another Y_1":               {2, 3, s.Old.Holders, alter(func(k *OldKey) { k.YI = []*group.Point{g, k.YI[1], k.YI[2]} })},
		"another Y_3":               {2, 3, s.Old.Holders, alter(func(k *OldKey) { k.YI = []*group.Point{k.YI[0], k.YI[1], g} })},
	} {
		old, err := NewOld(o.t, o.h, o.holders, o.keys)
		if err != nil {
			t.Fatal(err)
		}
		if as, ok := seen[old.Digest()]; ok {
			t.Errorf("%s is the same as %s", name, as)
		}
		seen[old.Digest()] = name
		other := s
		if other.Old = old; other.Equal(s) {
			t.Errorf("with %s it is the same session", name)
		}
		if CommitmentHash(s, 1, nil) == CommitmentHash(other, 1, nil) {
			t.Errorf("with %s a commit is the same", name)
		}
	}
	birth := s
	if birth.Old = nil; birth.Equal(s) || s.Equal(birth) {
		t.Error("a birth is a reshare")
	}
	again := e.session(t)
	if !again.Equal(s) {
		t.Error("two of one are two")
	}
	defer func() {
		if recover() == nil {
			t.Error("an old epoch that nobody checked has a digest")
		}
	}()
	(&Old{T: 2, H: 3}).Digest()
}

func TestAReshareSessionThatCannotBe(t *testing.T) {
	e := newElder(t, 2)
	for name, tt := range map[string]struct {
		change func(*Session)
		want   error
	}{
		"as it is":                              {func(*Session) {}, nil},
		"keys that the old epoch has not":       {func(s *Session) { s.N = 3 }, ErrBatch},
		"fewer keys":                            {func(s *Session) { s.N = 1 }, ErrBatch},
		"more holders than take part":           {func(s *Session) { s.H = 5 }, ErrOld},
		"a place above h that deals nothing":    {func(s *Session) { s.Old, _ = NewOld(2, 3, []sharing.Index{3, 2, 1, 0}, e.keys) }, ErrOld},
		"a t that the new holders do not reach": {func(s *Session) { s.T = 4 }, sharing.ErrThreshold},
	} {
		s := e.session(t)
		tt.change(&s)
		if err := s.Validate(); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	for _, n := range []int{0, -1, MaxBatch + 1} {
		s := testSession(2, 3)
		if s.N = n; !errors.Is(s.Validate(), ErrBatch) {
			t.Errorf("a birth of %d keys: %v", n, s.Validate())
		}
	}
}

// A participant deals the shares that it holds by the ledger, or nothing.
func TestOldSharesAreHeldAgainstTheOldEpoch(t *testing.T) {
	e := newElder(t, 2)
	s := e.session(t)
	for name, tt := range map[string]struct {
		me   sharing.Index
		old  []*group.Scalar
		want error
	}{
		"index 3 at place 1":               {1, e.shares(3), nil},
		"a newcomer":                       {2, nil, nil},
		"index 2, who leaves":              {4, e.shares(2), nil},
		"another's shares":                 {1, e.shares(1), ErrOldShares},
		"two shares in each other's place": {1, []*group.Scalar{e.shares(3)[1], e.shares(3)[0]}, ErrOldShares},
		"a share too few":                  {1, e.shares(3)[:1], ErrOldShares},
		"a share too many":                 {1, append(e.shares(3), e.shares(3)[0]), ErrOldShares},
		"a dealer without shares":          {1, nil, ErrOldShares},
		"no share where one is":            {1, []*group.Scalar{e.shares(3)[0], nil}, ErrOldShares},
		"a newcomer with shares":           {2, e.shares(3), ErrOldShares},
		"a place that nobody has":          {5, nil, sharing.ErrIndex},
		"a share that is zero":             {1, []*group.Scalar{e.shares(3)[0], group.SmallScalar(0)}, ErrOldShares},
	} {
		if _, err := NewParticipant(s, tt.me, tt.old, testRand()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	if _, err := NewParticipant(testSession(2, 3), 1, e.shares(1)[:1], testRand()); !errors.Is(err, ErrOldShares) {
		t.Errorf("a birth with old shares: %v", err)
	}
	old := e.shares(3)
	p, err := NewParticipant(s, 1, old, testRand())
	if err != nil {
		t.Fatal(err)
	}
	wipe(old) // it has its own copies
	if !group.BaseMul(p.polys[1].Constant()).Equal(e.keys[1].YI[2]) {
		t.Error("what it deals went with the caller's")
	}
	p.Wipe()
	for k, poly := range p.polys {
		if !poly.Constant().IsZero() {
			t.Errorf("old share %d is still there", k+1)
		}
	}
}

// A stored state is of one old epoch and of one part in the ceremony.
func TestRestoreRefusesAnotherPart(t *testing.T) {
	e := newElder(t, 2)
	s := e.session(t)
	stored := map[sharing.Index]secret.Bytes{}
	for i, old := range map[sharing.Index][]*group.Scalar{1: e.shares(3), 2: nil, 4: e.shares(2)} {
		p, err := NewParticipant(s, i, old, testRand())
		if err != nil {
			t.Fatal(err)
		}
		stored[i] = p.State()
		if _, err := Restore(s, i, stored[i]); err != nil {
			t.Errorf("place %d: %v", i, err)
		}
	}
	other := newElder(t, 2)
	other.keys[0].Epoch++
	birth := s
	birth.Old = nil
	for name, v := range map[string]Session{"another epoch": other.session(t), "a birth": birth} {
		if _, err := Restore(v, 1, stored[1]); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, tt := range map[string]struct {
		me    sharing.Index
		spoil func(*state)
	}{
		"a polynomial too few":         {1, func(st *state) { st.Polynomials = st.Polynomials[1:] }},
		"a polynomial too many":        {1, func(st *state) { st.Polynomials = append(st.Polynomials, st.Polynomials[0]) }},
		"a newcomer with polynomials":  {2, func(st *state) { st.Polynomials = [][]byte{make([]byte, 64), make([]byte, 64)} }},
		"a leaver with a receive key":  {4, func(st *state) { st.Keys[0] = make([]byte, 32) }},
		"a leaver with shares":         {4, func(st *state) { st.Shares = [][]byte{{31: 1}, {31: 1}} }},
		"a share of two keys":          {1, func(st *state) { st.Shares = [][]byte{{31: 1}} }},
		"a receive key for a newcomer": {1, func(st *state) { st.Keys[1] = make([]byte, 32) }},
		"a key more":                   {1, func(st *state) { st.N = 3 }},
	} {
		var st state
		if err := wire.Decode(stored[tt.me].Reveal(), &st); err != nil {
			t.Fatal(err)
		}
		tt.spoil(&st)
		if _, err := Restore(s, tt.me, secret.New(wire.Encode(st))); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Were dealings of another key to get this far, there would be no outcome. The first
// check refuses them one by one, when they come.
func TestAnOutcomeOfAnotherKeyIsRefused(t *testing.T) {
	e := newElder(t, 2)
	s := e.session(t)
	dealing := func(index sharing.Index, off uint64) *Dealing {
		d := &Dealing{}
		for _, x := range e.shares(index) {
			poly, err := sharing.NewPolynomialFor(testRand(), 2, x.Add(group.SmallScalar(off)))
			if err != nil {
				t.Fatal(err)
			}
			d.commitments = append(d.commitments, poly.Commit())
		}
		return d
	}
	good := []*Dealing{dealing(3, 0), nil, dealing(1, 0), dealing(2, 0)}
	for _, qual := range [][]sharing.Index{{1, 3}, {1, 4}, {3, 4}, {1, 3, 4}} {
		o, err := NewOutcome(s, qual, good, [32]byte{})
		if err != nil {
			t.Fatalf("%v: %v", qual, err)
		}
		for k, key := range o.Keys {
			if !key.Y.Equal(e.keys[k].Y) {
				t.Errorf("%v: key %d has changed", qual, k+1)
			}
		}
	}
	bad := slices.Clone(good)
	bad[2] = dealing(1, 1)
	if _, err := NewOutcome(s, []sharing.Index{1, 3, 4}, bad, [32]byte{}); !errors.Is(err, ErrKeyChanged) {
		t.Errorf("a dealing off by one: got %v, want %v", err, ErrKeyChanged)
	}
	for _, qual := range [][]sharing.Index{{1}, {1, 2}, {2, 3, 4}, {3, 1}, {1, 5}} { // R1, R7
		if _, err := NewOutcome(s, qual, good, [32]byte{}); !errors.Is(err, ErrOutcome) {
			t.Errorf("QUAL %v: got %v, want %v", qual, err, ErrOutcome)
		}
	}
	o, err := NewOutcome(s, []sharing.Index{1, 3}, good, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	p := o.Keys[0]
	p.YI = slices.Clone(p.YI)
	p.YI[1], p.YI[2] = p.YI[2], p.YI[1]
	if err := p.checkSame(s, e.keys[0].Y); !errors.Is(err, ErrKeyChanged) {
		t.Errorf("verification keys of another key: got %v, want %v", err, ErrKeyChanged)
	}
}

// BenchmarkBatch measures what a refresh of 100 keys takes, phase by phase: one
// participant's own work, and what every node does to take one post of each kind.
func BenchmarkBatch(b *testing.B) {
	for _, shape := range []sharing.Params{{T: 3, H: 5}, {T: 9, H: 16}} {
		b.Run(fmt.Sprintf("%d-of-%d", shape.T, shape.H), func(b *testing.B) { benchmarkBatch(b, shape.T, shape.H, MaxBatch) })
	}
}

func benchmarkBatch(b *testing.B, t, h, n int) {
	rand := testRand()
	var keys []OldKey
	shares := make([][]*group.Scalar, h)
	for k := range n {
		poly, err := sharing.NewPolynomial(rand, t)
		if err != nil {
			b.Fatal(err)
		}
		keys = append(keys, OldKey{Key: [32]byte{byte(k)}, Version: 1, Epoch: 1, Public: publicOf(poly.Commit(), h)})
		for i := range shares {
			shares[i] = append(shares[i], poly.Eval(sharing.Index(i+1)))
		}
	}
	holders := make([]sharing.Index, h)
	for k := range holders {
		holders[k] = sharing.Index(k + 1)
	}
	old, err := NewOld(t, h, holders, keys)
	if err != nil {
		b.Fatal(err)
	}
	s := testSession(t, h)
	s.N, s.Old = n, old
	d := dealWith(b, s, shares)
	o := d.confirm(b)
	receipts := make([][]byte, h)
	for k, p := range d.parts {
		ready, err := p.Step(d.view, rand)
		if err != nil {
			b.Fatal(err)
		}
		receipts[k] = ready.Post.Body
	}
	check := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	own := func(name string, f func(p *Participant) (any, error)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f(d.parts[0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Logf("the posts have %d, %d, %d, %d and %d bytes; the state at the end %d",
		len(d.bodies[KindJoin][0]), len(d.bodies[KindCommit][0]), len(d.bodies[KindDeal][0]), len(d.bodies[KindVerdict][0]), len(receipts[0]), d.parts[0].State().Len())
	own("participant/begin", func(*Participant) (any, error) { return NewParticipant(s, 1, shares[0], rand) })
	own("participant/commit", func(p *Participant) (any, error) { return p.commit(d.view), nil })
	own("participant/deal", func(p *Participant) (any, error) { return p.deal(d.view, rand) })
	own("participant/verdict", func(p *Participant) (any, error) { return p.verdict(d.view) })
	own("participant/receipt", func(p *Participant) (any, error) { return p.receipt(d.view, rand) })
	check("apply/join", func() error {
		_, err := CheckJoin(s, 1, d.bodies[KindJoin][0])
		return err
	})
	check("apply/deal", func() error {
		_, err := CheckDeal(s, 1, [32]byte{2}, d.commits[0], d.joins, d.bodies[KindDeal][0])
		return err
	})
	check("apply/complaint", func() error {
		_, err := SettleComplaint(s, 2, 1, d.joins[0], d.deals[1], d.parts[0].keys[1].Reveal())
		return err
	})
	check("apply/outcome", func() error {
		_, err := NewOutcome(s, o.Qual, d.deals, [32]byte{4})
		return err
	})
	check("apply/outcome without one dealer", func() error {
		_, err := NewOutcome(s, o.Qual[1:], d.deals, [32]byte{4})
		return err
	})
	check("apply/receipt", func() error { return CheckReceipt(s, 1, o, receipts[0]) })
}
