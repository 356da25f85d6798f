package dkg

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"warifu.dev/internal/secret"
	"warifu.dev/internal/tag"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/group"
)

func testSession(t, h int) Session {
	return Session{ID: [32]byte{2}, Cluster: [32]byte{1}, T: t, H: h, F: min(1, h-t), N: 1}
}

func testRand() *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte{7}) }

// dealt is the middle of a ceremony: everyone has joined, committed and dealt.
type dealt struct {
	s       Session
	parts   []*Participant
	joins   []*Join
	commits []*Commit
	deals   []*Dealing
	bodies  [KindReceipt + 1][][]byte
	view    View
}

func deal(t testing.TB, s Session) *dealt {
	t.Helper()
	return dealWith(t, s, make([][]*group.Scalar, s.H))
}

// dealWith is deal for dealers with old shares, if there are any.
func dealWith(t testing.TB, s Session, old [][]*group.Scalar) *dealt {
	t.Helper()
	rand := testRand()
	d := &dealt{s: s, joins: make([]*Join, s.H), commits: make([]*Commit, s.H), deals: make([]*Dealing, s.H)}
	for i := 1; i <= s.H; i++ {
		p, err := NewParticipant(s, sharing.Index(i), old[i-1], rand)
		if err != nil {
			t.Fatal(err)
		}
		d.parts = append(d.parts, p)
	}
	round := func(v View, take func(i sharing.Index, body []byte) error) {
		t.Helper()
		v.Session = s
		for k, p := range d.parts {
			ready, err := p.Step(v, rand)
			if err != nil {
				t.Fatal(err)
			}
			if err := take(sharing.Index(k+1), ready.Post.Body); err != nil {
				t.Fatal(err)
			}
			d.bodies[ready.Post.Kind] = append(d.bodies[ready.Post.Kind], ready.Post.Body)
		}
		d.view = v
	}
	round(View{Phase: PhaseJoin}, func(i sharing.Index, b []byte) (err error) {
		d.joins[i-1], err = CheckJoin(s, i, b)
		return err
	})
	round(View{Phase: PhaseCommit, Previous: [32]byte{1}, Joins: d.joins}, func(i sharing.Index, b []byte) (err error) {
		d.commits[i-1], err = CheckCommit(s, i, [32]byte{1}, b)
		return err
	})
	round(View{Phase: PhaseDeal, Previous: [32]byte{2}, Joins: d.joins, Commits: d.commits}, func(i sharing.Index, b []byte) (err error) {
		d.deals[i-1], err = CheckDeal(s, i, [32]byte{2}, d.commits[i-1], d.joins, b)
		return err
	})
	round(View{Phase: PhaseVerdict, Previous: [32]byte{3}, Joins: d.joins, Commits: d.commits, Deals: d.deals}, func(i sharing.Index, b []byte) error {
		_, err := CheckVerdict(s, i, [32]byte{3}, d.joins, d.deals, b)
		return err
	})
	return d
}

func (d *dealt) confirm(t testing.TB) *Outcome {
	t.Helper()
	qual := make([]sharing.Index, d.s.H)
	for k := range qual {
		qual[k] = sharing.Index(k + 1)
	}
	o, err := NewOutcome(d.s, qual, d.deals, [32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	d.view.Phase, d.view.Previous, d.view.Outcome = PhaseConfirm, [32]byte{4}, o
	return o
}

func TestSessionShape(t *testing.T) {
	for _, tt := range []struct {
		t, h, f int
		want    error
	}{
		{3, 5, 1, nil},
		{3, 5, 2, nil},
		{2, 2, 0, nil},
		{16, 16, 0, nil},
		{9, 16, 7, nil},
		{2, 16, 1, nil},
		{3, 5, 0, ErrFaulty},
		{3, 5, 3, ErrFaulty},
		{2, 5, 2, ErrFaulty},
		{3, 3, 1, ErrFaulty},
		{3, 5, -1, ErrFaulty},
		{3, 5, math.MaxInt, ErrFaulty},
		{1, 5, 0, sharing.ErrThreshold},
		{6, 5, 1, sharing.ErrThreshold},
		{3, 17, 1, sharing.ErrHolders},
		{0, 0, 0, sharing.ErrHolders},
		{1 << 31, 1 << 31, 0, sharing.ErrHolders},
	} {
		s := Session{T: tt.t, H: tt.h, F: tt.f, N: 1}
		if err := s.Validate(); !errors.Is(err, tt.want) {
			t.Errorf("%d-of-%d, f = %d: got %v, want %v", tt.t, tt.h, tt.f, err, tt.want)
		}
		if _, err := NewParticipant(s, 1, nil, testRand()); !errors.Is(err, tt.want) {
			t.Errorf("a participant in %d-of-%d, f = %d: got %v, want %v", tt.t, tt.h, tt.f, err, tt.want)
		}
	}
	for _, i := range []sharing.Index{0, -1, 6, 16, 1 << 32} { // R1
		if _, err := NewParticipant(testSession(3, 5), i, nil, testRand()); !errors.Is(err, sharing.ErrIndex) {
			t.Errorf("participant %d: got %v, want %v", i, err, sharing.ErrIndex)
		}
	}
}

// variants returns s with one field changed each.
func variants(s Session) map[string]Session {
	id, cluster, threshold, holders, faulty, keys := s, s, s, s, s, s
	id.ID[0] ^= 1
	cluster.Cluster[0] ^= 1
	threshold.T++
	holders.H++
	faulty.F++
	keys.N++
	return map[string]Session{"id": id, "cluster": cluster, "t": threshold, "h": holders, "f": faulty, "n": keys}
}

// R11: change one field of what a hash or a proof is bound to, and it is another.
func TestEveryFieldIsBound(t *testing.T) {
	s := testSession(3, 5)
	d := deal(t, s)
	o := d.confirm(t)
	post, err := DecodeDeal(d.bodies[KindDeal][0])
	if err != nil {
		t.Fatal(err)
	}
	ready, err := d.parts[0].Step(d.view, testRand())
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := DecodeReceipt(ready.Post.Body)
	if err != nil {
		t.Fatal(err)
	}
	constant := d.deals[0].commitments[0].Constant()
	dealProof := func(s Session, dealer sharing.Index, p *Deal) error {
		return sharing.VerifySchnorr(tag.DealProof, constant, post.Proofs[0], proofBinding(s, dealer, p.Previous, CommitmentHash(s, dealer, p.Commitments), 0)...)
	}
	receiptProof := func(s Session, holder sharing.Index, transcript [32]byte) error {
		return sharing.VerifySchnorr(tag.Receipt, o.Keys[0].YI[0], receipt.Proofs[0], receiptBinding(s, holder, transcript, 0)...)
	}
	if dealProof(s, 1, post) != nil || receiptProof(s, 1, o.Transcript) != nil {
		t.Fatal("the proofs do not hold to begin with")
	}
	hash := CommitmentHash(s, 1, post.Commitments)
	for name, v := range variants(s) {
		if dealProof(v, 1, post) == nil {
			t.Errorf("the deal proof does not hold the session's %s", name)
		}
		if receiptProof(v, 1, o.Transcript) == nil {
			t.Errorf("the receipt does not hold the session's %s", name)
		}
		if CommitmentHash(v, 1, post.Commitments) == hash {
			t.Errorf("the commitment hash does not hold the session's %s", name)
		}
		if bytes.Equal(boxAAD(v, 1, 2), boxAAD(s, 1, 2)) { // R8
			t.Errorf("a box does not hold the session's %s", name)
		}
		if ClosedHash(v, PhaseJoin, [32]byte{}, nil) == ClosedHash(s, PhaseJoin, [32]byte{}, nil) {
			t.Errorf("a closed list does not hold the session's %s", name)
		}
	}
	if dealProof(s, 2, post) == nil || receiptProof(s, 2, o.Transcript) == nil || CommitmentHash(s, 2, post.Commitments) == hash {
		t.Error("an index is not bound")
	}
	if bytes.Equal(boxAAD(s, 1, 2), boxAAD(s, 2, 1)) || bytes.Equal(boxAAD(s, 1, 2), boxAAD(s, 1, 3)) {
		t.Error("a box does not hold dealer and recipient")
	}
	if receiptProof(s, 1, [32]byte{}) == nil {
		t.Error("the receipt does not hold the transcript")
	}
	other := *post
	other.Previous[0] ^= 1
	if dealProof(s, 1, &other) == nil {
		t.Error("the deal proof does not hold the list before")
	}
	hash0 := CommitmentHash(s, 1, post.Commitments)
	if sharing.VerifySchnorr(tag.DealProof, constant, post.Proofs[0], proofBinding(s, 1, post.Previous, hash0, 1)...) == nil ||
		sharing.VerifySchnorr(tag.Receipt, o.Keys[0].YI[0], receipt.Proofs[0], receiptBinding(s, 1, o.Transcript, 1)...) == nil {
		t.Error("the place in the batch is not bound")
	}
	for k := range post.Commitments[0] {
		other := *post
		other.Commitments = [][][]byte{slices.Clone(post.Commitments[0])}
		other.Commitments[0][k] = group.Generator().Bytes()
		if dealProof(s, 1, &other) == nil || CommitmentHash(s, 1, other.Commitments) == hash {
			t.Errorf("commitment %d is not bound", k)
		}
	}
	a, b := [32]byte{1}, [32]byte{2}
	lists := map[[32]byte]bool{}
	for _, h := range [][32]byte{
		ClosedHash(s, PhaseJoin, a, []*[32]byte{&a, nil}), ClosedHash(s, PhaseJoin, a, []*[32]byte{nil, &a}),
		ClosedHash(s, PhaseJoin, a, []*[32]byte{&b, nil}), ClosedHash(s, PhaseJoin, a, []*[32]byte{&a, &b}),
		ClosedHash(s, PhaseJoin, a, []*[32]byte{&b, &a}), ClosedHash(s, PhaseJoin, b, []*[32]byte{&a, nil}),
		ClosedHash(s, PhaseDeal, a, []*[32]byte{&a, nil}),
	} {
		if lists[h] {
			t.Error("two closed lists have one hash")
		}
		lists[h] = true
	}
}

// R7: the transcript names who qualified and what closed the verdict.
func TestTheTranscriptHoldsQualAndAllPosts(t *testing.T) {
	d := deal(t, testSession(2, 3))
	first, err := NewOutcome(d.s, []sharing.Index{1, 2, 3}, d.deals, [32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	fewer, err := NewOutcome(d.s, []sharing.Index{1, 3}, d.deals, [32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	posts, err := NewOutcome(d.s, []sharing.Index{1, 2, 3}, d.deals, [32]byte{5})
	if err != nil {
		t.Fatal(err)
	}
	if first.Transcript == fewer.Transcript || first.Transcript == posts.Transcript || first.Keys[0].Y.Equal(fewer.Keys[0].Y) {
		t.Error("two outcomes have one transcript")
	}
	for _, qual := range [][]sharing.Index{nil, {1}, {2, 1}, {1, 1}, {0, 1}, {1, 4}, {-1, 2}} {
		if _, err := NewOutcome(d.s, qual, d.deals, [32]byte{}); !errors.Is(err, ErrOutcome) {
			t.Errorf("QUAL %v: got %v, want %v", qual, err, ErrOutcome)
		}
	}
	if _, err := NewOutcome(d.s, []sharing.Index{1, 2}, []*Dealing{d.deals[0], nil, nil}, [32]byte{}); !errors.Is(err, ErrOutcome) {
		t.Errorf("a missing deal: got %v, want %v", err, ErrOutcome)
	}
	c, g := d.deals[0].commitments[0], group.Generator()
	for name, cancel := range map[string]sharing.Commitments{
		"the key":                {c[0].Neg(), g},
		"the share of holder 1":  {g, c[0].Add(g).Add(c[1]).Neg()},
		"the key and all shares": {c[0].Neg(), c[1].Neg()},
	} {
		if _, err := NewOutcome(d.s, []sharing.Index{1, 2}, []*Dealing{d.deals[0], {commitments: []sharing.Commitments{cancel}}, nil}, [32]byte{}); !errors.Is(err, ErrOutcome) {
			t.Errorf("dealings that cancel out in %s: got %v, want %v", name, err, ErrOutcome)
		}
	}
}

// R43: the largest ceremony's posts fit: 100 keys at 16-of-16, dealt by 16 old holders of
// whom none stays.
func TestTheLargestPostsFit(t *testing.T) {
	holders := make([]sharing.Index, MaxParticipants)
	var shares []*group.Scalar
	var keys []OldKey
	for k := range 16 {
		holders[16+k] = sharing.Index(k + 1)
	}
	for k := range MaxBatch {
		poly, err := sharing.NewPolynomial(testRand(), 2)
		if err != nil {
			t.Fatal(err)
		}
		shares = append(shares, poly.Eval(1))
		keys = append(keys, OldKey{Key: [32]byte{byte(k)}, Version: math.MaxUint32, Epoch: math.MaxUint64, Public: publicOf(poly.Commit(), 16)})
	}
	old, err := NewOld(2, 16, holders, keys)
	if err != nil {
		t.Fatal(err)
	}
	s := testSession(16, 16)
	s.N, s.Old = MaxBatch, old
	v := View{Session: s, Phase: PhaseJoin, Joins: make([]*Join, MaxParticipants)}
	sizes := map[Kind]int{}
	for i := sharing.Index(1); i <= 16; i++ {
		p, err := NewParticipant(s, i, nil, testRand())
		if err != nil {
			t.Fatal(err)
		}
		join, err := p.join()
		if err != nil {
			t.Fatal(err)
		}
		body := wire.Encode(join)
		if v.Joins[i-1], err = CheckJoin(s, i, body); err != nil {
			t.Fatal(err)
		}
		sizes[KindJoin] = len(body)
	}
	p, err := NewParticipant(s, 17, shares, testRand())
	if err != nil {
		t.Fatal(err)
	}
	commit := p.commit(v).(Commit)
	sizes[KindCommit] = len(wire.Encode(commit))
	deal, err := p.deal(v, testRand())
	if err != nil {
		t.Fatal(err)
	}
	sizes[KindDeal] = len(wire.Encode(deal))
	if _, err := CheckDeal(s, 17, v.Previous, &commit, v.Joins, wire.Encode(deal)); err != nil {
		t.Fatal(err)
	}
	verdict, receipt := Verdict{}, Receipt{}
	for i := sharing.Index(17); i <= MaxParticipants; i++ {
		verdict.Complaints = append(verdict.Complaints, Complaint{Dealer: i, ReceiveKey: make([]byte, ReceiveSecretSize)})
	}
	for range MaxBatch {
		receipt.Proofs = append(receipt.Proofs, make([]byte, sharing.ProofSize))
	}
	sizes[KindVerdict], sizes[KindReceipt] = len(wire.Encode(verdict)), len(wire.Encode(receipt))
	t.Log(sizes)
	for k, size := range sizes {
		if size > MaxBody || k != KindDeal && size > 40<<10 {
			t.Errorf("a %v has %d bytes", k, size)
		}
	}
	if sizes[KindDeal] < MaxBody-8<<10 || sizes[KindDeal] > 184_100 {
		t.Errorf("a deal has %d bytes: the arithmetic of MaxBody is not that of the post", sizes[KindDeal])
	}
	if sizes[KindJoin] < 16*ReceiveKeySize {
		t.Errorf("a join has %d bytes: it is not the largest", sizes[KindJoin])
	}
}

func publicOf(c sharing.Commitments, h int) Public {
	p := Public{Y: c.Constant()}
	for i := sharing.Index(1); int(i) <= h; i++ {
		p.YI = append(p.YI, c.Eval(i))
	}
	return p
}

// A share that does not match its verification key is never confirmed.
func TestAShareIsHeldAgainstItsVerificationKey(t *testing.T) {
	d := deal(t, testSession(2, 3))
	o := d.confirm(t)
	o.Keys[0].YI[0] = o.Keys[0].YI[1]
	if ready, err := d.parts[0].Step(d.view, testRand()); !errors.Is(err, ErrNoShare) || ready.Post != nil || ready.Shares != nil {
		t.Errorf("got %v, want %v", err, ErrNoShare)
	}
}

// R12: with a source of randomness that repeats, no two proofs show the secret.
func TestARepeatingSourceShowsNothing(t *testing.T) {
	s := testSession(2, 3)
	d := deal(t, s)
	var proofs [][]byte
	for n := byte(0); n < 2; n++ {
		o := d.confirm(t)
		o.Transcript[0] = n
		p := *d.parts[0]
		p.posts[KindReceipt] = nil
		ready, err := p.Step(d.view, zeros{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := DecodeReceipt(ready.Post.Body)
		if err != nil {
			t.Fatal(err)
		}
		proofs = append(proofs, r.Proofs[0])
		if n == 1 {
			c := sub(t, proofs[0][:32], proofs[1][:32])
			z := sub(t, proofs[0][32:], proofs[1][32:])
			inverse, err := c.Inverse()
			if err != nil {
				t.Fatal(err)
			}
			if z.Mul(inverse).Equal(ready.Shares[0]) {
				t.Error("two receipts show the share")
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func sub(t *testing.T, a, b []byte) *group.Scalar {
	t.Helper()
	x, err := group.DecodeScalar(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := group.DecodeScalar(b)
	if err != nil {
		t.Fatal(err)
	}
	return x.Sub(y)
}

// A restarted participant that finds its state altered, or another's, says so.
func TestRestoreRefuses(t *testing.T) {
	s := testSession(3, 5)
	d := deal(t, s)
	d.confirm(t)
	if _, err := d.parts[0].Step(d.view, testRand()); err != nil {
		t.Fatal(err)
	}
	stored := d.parts[0].State()
	if _, err := Restore(s, 1, secret.Clone(stored.Reveal())); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(s, 2, stored); !errors.Is(err, ErrState) {
		t.Errorf("another's state: %v", err)
	}
	for name, v := range variants(s) {
		if _, err := Restore(v, 1, stored); !errors.Is(err, ErrState) {
			t.Errorf("a state with another %s: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*state){
		"a key too few":               func(st *state) { st.Keys = st.Keys[1:] },
		"a key for itself":            func(st *state) { st.Keys[0] = st.Keys[1] },
		"a short key":                 func(st *state) { st.Keys[1] = st.Keys[1][1:] },
		"a lower threshold":           func(st *state) { st.Polynomials[0] = st.Polynomials[0][32:] },
		"a coefficient above q":       func(st *state) { copy(st.Polynomials[0], bytes.Repeat([]byte{0xff}, 32)) },
		"a post too few":              func(st *state) { st.Posts = st.Posts[1:] },
		"another's index":             func(st *state) { st.Me = 2 },
		"a share of zero":             func(st *state) { st.Shares[0] = make([]byte, 32) },
		"a share that is a byte long": func(st *state) { st.Shares[0] = []byte{1} },
	} {
		var st state
		if err := wire.Decode(stored.Reveal(), &st); err != nil {
			t.Fatal(err)
		}
		spoil(&st)
		if _, err := Restore(s, 1, secret.New(wire.Encode(st))); !errors.Is(err, ErrState) {
			t.Errorf("%s: got %v, want %v", name, err, ErrState)
		}
	}
	for _, b := range [][]byte{nil, {0}, stored.Reveal()[:stored.Len()-1]} {
		if _, err := Restore(s, 1, secret.Clone(b)); !errors.Is(err, ErrState) {
			t.Errorf("%d bytes: got %v, want %v", len(b), err, ErrState)
		}
	}
}

// The first thing that is said asks for the state to be stored, and nothing does
// twice what was stored once.
func TestPersistIsAskedForUntilTheStateIsTaken(t *testing.T) {
	p, err := NewParticipant(testSession(3, 5), 1, nil, testRand())
	if err != nil {
		t.Fatal(err)
	}
	v := View{Session: p.session, Phase: PhaseJoin}
	for range 2 {
		if ready, err := p.Step(v, testRand()); err != nil || !ready.Persist || ready.Post == nil {
			t.Errorf("before the state was taken: %v, %v", ready.Persist, err)
		}
	}
	p.State()
	if ready, err := p.Step(v, testRand()); err != nil || ready.Persist || ready.Post == nil {
		t.Errorf("after the state was taken: %v, %v", ready.Persist, err)
	}
	v.Posted = []bool{true, false, false, false, false}
	if ready, err := p.Step(v, testRand()); err != nil || ready.Post != nil {
		t.Errorf("after the post was taken: %v, %v", ready.Post, err)
	}
	mine, err := DecodeJoin(p.posts[KindJoin])
	if err != nil {
		t.Fatal(err)
	}
	v = View{Session: p.session, Phase: PhaseCommit, Joins: []*Join{mine, nil, nil, nil, nil}}
	if ready, err := p.Step(v, testRand()); err != nil || !ready.Persist || ready.Post == nil {
		t.Errorf("with a new post: %v, %v", ready.Persist, err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("no entropy") }

func TestABrokenSourceIsAnError(t *testing.T) {
	if _, err := NewParticipant(testSession(3, 5), 1, nil, broken{}); err == nil {
		t.Error("a participant without randomness")
	}
	d := deal(t, testSession(2, 3))
	d.confirm(t)
	if ready, err := d.parts[0].Step(d.view, broken{}); err == nil || ready.Post != nil || ready.Shares != nil {
		t.Errorf("a receipt without randomness: %v", err)
	}
	if ready, err := d.parts[0].Step(d.view, testRand()); err != nil || ready.Shares == nil {
		t.Errorf("it does not recover: %v", err)
	}
}

// R42: without the receive keys, what is left of a post in a log opens nothing.
func TestWipeLeavesNothing(t *testing.T) {
	d := deal(t, testSession(2, 3))
	d.confirm(t)
	p := d.parts[0]
	ready, err := p.Step(d.view, testRand())
	if err != nil {
		t.Fatal(err)
	}
	share := ready.Shares[0].Bytes()
	p.Wipe()
	for k, key := range p.keys {
		if !bytes.Equal(key.Reveal(), make([]byte, key.Len())) {
			t.Errorf("receive key %d is still there", k+1)
		}
	}
	if !p.shares[0].IsZero() || !p.polys[0].Constant().IsZero() {
		t.Error("a scalar is still there")
	}
	if !bytes.Equal(ready.Shares[0].Bytes(), share) {
		t.Error("the share that was handed over was wiped too")
	}
}

// R25
func TestAParticipantDoesNotPrint(t *testing.T) {
	d := deal(t, testSession(2, 3))
	p := d.parts[0]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{p, *p, struct{ P *Participant }{p}, []Participant{*p}} {
			out := fmt.Sprintf(verb, v)
			for _, key := range p.keys[1:] {
				for _, form := range []string{fmt.Sprintf("%x", key.Reveal()), string(key.Reveal()), fmt.Sprint(key.Reveal())} {
					if strings.Contains(out, form) {
						t.Errorf("%s of %T shows a secret", verb, v)
					}
				}
			}
		}
	}
	if _, err := p.MarshalCBOR(); !errors.Is(err, secret.ErrNotEncodable) {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	var names []string
	for k := Kind(0); k <= KindReceipt+1; k++ {
		names = append(names, k.String())
		if want := Phase(k); k > KindReceipt && k.Phase() != 0 || k <= KindReceipt && k.Phase() != want {
			t.Errorf("%v belongs to the %v phase", k, k.Phase())
		}
	}
	for p := Phase(0); p <= PhaseAbandoned+1; p++ {
		names = append(names, p.String())
	}
	want := "[kind 0 join commit deal verdict receipt kind 6 phase 0 join commit deal verdict confirm done abandoned phase 8]"
	if fmt.Sprint(names) != want {
		t.Errorf("got %v, want %v", names, want)
	}
}

// fuzz tries a post at a birth of one key and in a refresh of two.
func fuzz[T any](f *testing.F, kind Kind, decode func([]byte) (*T, error), check func(Session, sharing.Index, *dealt, []byte) error) {
	e := newElder(f, 2)
	refresh, err := NewOld(2, 3, []sharing.Index{1, 2, 3}, e.keys)
	if err != nil {
		f.Fatal(err)
	}
	again := testSession(2, 3)
	again.N, again.Old = 2, refresh
	ceremonies := []*dealt{
		deal(f, testSession(2, 3)),
		dealWith(f, again, [][]*group.Scalar{e.shares(1), e.shares(2), e.shares(3)}),
	}
	for _, d := range ceremonies {
		d.confirm(f)
		ready, err := d.parts[0].Step(d.view, testRand())
		if err != nil {
			f.Fatal(err)
		}
		d.bodies[KindReceipt] = [][]byte{ready.Post.Body}
		f.Add(uint8(1), d.bodies[kind][0])
		f.Add(uint8(0), d.bodies[kind][0])
		f.Add(uint8(4), d.bodies[kind][0])
	}
	f.Fuzz(func(t *testing.T, author uint8, body []byte) {
		v, err := decode(body)
		if err == nil && !bytes.Equal(wire.Encode(v), body) {
			t.Errorf("%x decodes and encodes to other bytes", body)
		}
		for _, d := range ceremonies {
			if checked := check(d.s, sharing.Index(author), d, body); checked == nil && (err != nil || author < 1 || author > 3) {
				t.Errorf("holder %d: %x passed the check: %v", author, body, err)
			}
		}
	})
}

func FuzzJoin(f *testing.F) {
	fuzz(f, KindJoin, DecodeJoin, func(s Session, i sharing.Index, _ *dealt, b []byte) error {
		_, err := CheckJoin(s, i, b)
		return err
	})
}

func FuzzCommit(f *testing.F) {
	fuzz(f, KindCommit, DecodeCommit, func(s Session, i sharing.Index, _ *dealt, b []byte) error {
		_, err := CheckCommit(s, i, [32]byte{1}, b)
		return err
	})
}

func FuzzDeal(f *testing.F) {
	fuzz(f, KindDeal, DecodeDeal, func(s Session, i sharing.Index, d *dealt, b []byte) error {
		_, err := CheckDeal(s, i, [32]byte{2}, d.commits[0], d.joins, b)
		return err
	})
}

func FuzzVerdict(f *testing.F) {
	fuzz(f, KindVerdict, DecodeVerdict, func(s Session, i sharing.Index, d *dealt, b []byte) error {
		_, err := CheckVerdict(s, i, [32]byte{3}, d.joins, d.deals, b)
		return err
	})
}

func FuzzReceipt(f *testing.F) {
	fuzz(f, KindReceipt, DecodeReceipt, func(s Session, i sharing.Index, d *dealt, b []byte) error {
		return CheckReceipt(s, i, d.view.Outcome, b)
	})
}

func FuzzRestore(f *testing.F) {
	s := testSession(2, 3)
	d := deal(f, s)
	f.Add(d.parts[0].State().Reveal())
	e := newElder(f, 2)
	again := e.session(f)
	p, err := NewParticipant(again, 1, e.shares(3), testRand())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.State().Reveal())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range []Session{s, again} {
			p, err := Restore(s, 1, secret.Clone(b))
			if err == nil && !reflect.DeepEqual(p.State().Reveal(), b) {
				t.Errorf("%x is restored and stored as other bytes", b)
			}
		}
	})
}
