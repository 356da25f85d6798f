package client

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"warifu.dev/api"
	"warifu.dev/authority"
	"warifu.dev/client/internal/dealt"
	"warifu.dev/consensus/board"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/sharing"
	"warifu.dev/sharing/dkg"
	"warifu.dev/sharing/group"
)

// run is an import on a board, with honest holders, as a node shows it.
type run struct {
	*testing.T
	cluster *dealt.Cluster
	key     *Owned
	order   authority.Order
	entry   []byte
	d       *dealing
	b       *board.Board
	parts   []*dkg.Participant
	joins   [][]byte
}

func owned(t testing.TB, seed byte) *Owned {
	t.Helper()
	o, err := NewOwned(secret.New(bytes.Repeat([]byte{seed}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func ownedSeed(t testing.TB, last byte) *Owned {
	t.Helper()
	o, err := NewOwnedSeed(secret.New(append(bytes.Repeat([]byte{5}, 31), last)))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func newRun(t *testing.T) *run {
	t.Helper()
	return newRunOf(t, owned(t, 7))
}

func newRunOf(t *testing.T, key *Owned) *run {
	t.Helper()
	r := &run{T: t, cluster: dealt.New(t, 2, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"), key: key}
	r.order = r.cluster.Order("legacy", 2, "n1", "n2", "n3")
	if key.Symmetric() {
		r.order.Purpose = authority.PurposeEncrypt
	}
	var err error
	if r.order.Import, err = r.key.Import(&r.order); err != nil {
		t.Fatal(err)
	}
	r.entry = r.cluster.SignOrder(r.order, r.cluster.Custodians[:2]...)
	o, err := newImport(&r.cluster.Genesis.Genesis, "legacy", r.key, r.entry)
	if err != nil {
		t.Fatal(err)
	}
	if r.d, err = o.begin(r.shows(o.id)); err != nil {
		t.Fatal(err)
	}
	r.b = board.New(r.d.session)
	for i := range 3 {
		p, err := dkg.NewParticipant(r.d.session, sharing.Index(i+1), nil, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		r.parts, r.joins = append(r.parts, p), append(r.joins, nil)
	}
	return r
}

// shows is what a node shows of the run.
func (r *run) shows(order api.Digest) *api.ImportAnswer {
	a := &api.ImportAnswer{Order: r.entry, Attempt: 1, Run: 1, Roster: 1, LinkBefore: api.Digest{4}, Phase: uint32(dkg.PhaseJoin), Joins: slices.Clone(r.joins)}
	a.Session = authority.SessionID(r.cluster.Genesis.Cluster, 1, order, 1, a.LinkBefore)
	if r.b != nil {
		a.Phase, a.Posted = uint32(r.b.Phase()), r.b.View().HasPosted(4)
	}
	return a
}

// say is a node's entry with a post.
func (r *run) say(node string, session [32]byte, kind dkg.Kind, body []byte) []byte {
	r.Helper()
	e, err := authority.SignStatement(rand.Reader, r.cluster.Node(node), r.cluster.Genesis.Cluster, node, authority.KindPost,
		authority.Post{Session: session, Kind: uint32(kind), Body: body})
	if err != nil {
		r.Fatal(err)
	}
	return e.Encode()
}

// holders lets all holders post.
func (r *run) holders() {
	r.Helper()
	for i, p := range r.parts {
		ready, err := p.Step(r.b.View(), rand.Reader)
		if err != nil {
			r.Fatal(err)
		}
		if ready.Post == nil {
			continue
		}
		if ready.Post.Kind == dkg.KindJoin {
			r.joins[i] = r.say(fmt.Sprintf("n%d", i+1), r.d.session.ID, dkg.KindJoin, ready.Post.Body)
		}
		if r.b, err = r.b.Post(sharing.Index(i+1), ready.Post.Kind, ready.Post.Body); err != nil {
			r.Fatal(err)
		}
	}
}

// owner lets the owner post, by what the node shows.
func (r *run) owner() {
	r.Helper()
	e, err := r.d.step(r.shows(r.d.id))
	if err != nil || e == nil {
		r.Fatalf("the owner has nothing to post in the %v phase: %v", r.b.Phase(), err)
	}
	p, err := authority.ParseImport(e)
	if err != nil {
		r.Fatal(err)
	}
	if err := authority.VerifyImport(r.cluster.Genesis.Cluster, &r.order, e, p); err != nil {
		r.Fatal(err)
	}
	var post authority.Post
	if err := wire.Decode(p.Body, &post); err != nil {
		r.Fatal(err)
	}
	if r.b, err = r.b.Post(4, dkg.Kind(post.Kind), post.Body); err != nil {
		r.Fatal(err)
	}
}

// An owner deals from nothing but what the holders signed: the board takes it, and two of
// three shares are the key.
func TestAnOwnerDealsByWhatHoldersSigned(t *testing.T) {
	r := newRun(t)
	r.holders()
	r.owner()
	r.owner()
	r.owner()
	for _, phase := range []dkg.Phase{dkg.PhaseVerdict, dkg.PhaseConfirm} {
		if r.b.Phase() != phase {
			t.Fatalf("the %v phase is open", r.b.Phase())
		}
		if e, err := r.d.step(r.shows(r.d.id)); e != nil || err != nil {
			t.Errorf("the owner posts in the %v phase: %v", phase, err)
		}
		if phase == dkg.PhaseVerdict {
			r.holders()
		}
	}
	var points []*group.Point
	for _, i := range []int{0, 2} {
		ready, err := r.parts[i].Step(r.b.View(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		points = append(points, group.BaseMul(ready.Shares[0]))
	}
	if y, err := sharing.Interpolate(1, []sharing.Index{1, 3}, points); err != nil || !bytes.Equal(y.Bytes(), r.key.PublicKey()) {
		t.Errorf("two shares do not make the key: %v", err)
	}
}

// To a receive key that its holder has not signed, for this run, nothing is sealed.
func TestNobodyMakesUpAReceiveKey(t *testing.T) {
	r := newRun(t)
	r.holders()
	thief, err := dkg.NewParticipant(r.d.session, 2, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ready, err := thief.Step(dkg.View{Session: r.d.session, Phase: dkg.PhaseJoin}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mine, own, other := ready.Post.Body, r.d.session.ID, [32]byte{9}
	forged := r.say("n1", own, dkg.KindJoin, mine)
	e, err := authority.ParseEntry(forged)
	if err != nil {
		t.Fatal(err)
	}
	e.Author = "n2"
	r.owner()
	for sentence, tt := range map[string]struct {
		joins [][]byte
		want  error
	}{
		"signed by another holder":         {[][]byte{nil, forged}, authority.ErrStatement},
		"signed by another in its name":    {[][]byte{nil, e.Encode()}, authority.ErrStatement},
		"of another holder, as it is":      {[][]byte{nil, r.joins[0]}, authority.ErrStatement},
		"of another run":                   {[][]byte{nil, r.say("n2", other, dkg.KindJoin, mine)}, authority.ErrStatement},
		"in another post":                  {[][]byte{nil, r.say("n2", own, dkg.KindVerdict, mine)}, authority.ErrStatement},
		"altered":                          {[][]byte{nil, append(bytes.Clone(r.joins[1][:len(r.joins[1])-1]), r.joins[1][len(r.joins[1])-1]^1)}, ErrAnswer},
		"no entry":                         {[][]byte{nil, []byte("n2")}, authority.ErrEntry},
		"of more holders than are ordered": {append(slices.Clone(r.joins), r.joins[0]), ErrAnswer},
		"without a receive key":            {[][]byte{nil, r.say("n2", own, dkg.KindJoin, wire.Encode(dkg.Join{Session: own, ReceiveKeys: make([][]byte, 4)}))}, ErrAnswer},
	} {
		a := r.shows(r.d.id)
		a.Joins = tt.joins
		if e, err := r.d.step(a); e != nil || !errors.Is(err, tt.want) || !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: got %v, want %v", sentence, err, tt.want)
		}
	}
	// Where a join is kept back, the board has another list than the owner.
	a := r.shows(r.d.id)
	a.Joins[2] = nil
	entry, err := r.d.step(a)
	if err != nil {
		t.Fatal(err)
	}
	p, err := authority.ParseImport(entry)
	if err != nil {
		t.Fatal(err)
	}
	var post authority.Post
	if err := wire.Decode(p.Body, &post); err != nil {
		t.Fatal(err)
	}
	if _, err := r.b.Post(4, dkg.KindCommit, post.Body); !errors.Is(err, dkg.ErrPrevious) {
		t.Errorf("over another list of joins: %v", err)
	}
}

// Before anything is dealt the order is believed, and is of this key.
func TestAnImportIsDealtByItsOrder(t *testing.T) {
	r := newRun(t)
	g := &r.cluster.Genesis.Genesis
	alter := func(change func(*authority.Order)) []byte {
		o := r.order
		change(&o)
		return r.cluster.SignOrder(o, r.cluster.Custodians[:2]...)
	}
	high := *g
	high.Root.T = 3
	for sentence, tt := range map[string]struct {
		genesis *authority.Genesis
		entry   []byte
		key     *Owned
		want    error
	}{
		"as it is":         {g, r.entry, r.key, nil},
		"of one custodian": {g, r.cluster.SignOrder(r.order, r.cluster.Custodians[0]), r.key, authority.ErrTooFewSignatures},
		"of another key":   {g, r.entry, owned(t, 8), ErrAnotherKey},
		"for another who deals": {g, alter(func(o *authority.Order) {
			o.Import = &authority.Import{Y: o.Import.Y, Dealer: r.cluster.Node("n1").PublicKey()}
		}), r.key, ErrAnotherKey},
		"of a birth":             {g, alter(func(o *authority.Order) { o.Import = nil }), r.key, ErrAnswer},
		"of another name":        {g, alter(func(o *authority.Order) { o.Name = "other" }), r.key, ErrAnswer},
		"for too few":            {&high, r.entry, r.key, ErrAnswer},
		"no entry":               {g, []byte("order"), r.key, ErrAnswer},
		"a change of other kind": {g, r.cluster.Life([32]byte{1}, authority.Suspended, nil), r.key, ErrAnswer},
	} {
		if _, err := newImport(tt.genesis, "legacy", tt.key, tt.entry); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", sentence, err, tt.want)
		}
	}
	for sentence, change := range map[string]func(*api.ImportAnswer){
		"another session": func(a *api.ImportAnswer) { a.Session[0]++ },
		"another attempt": func(a *api.ImportAnswer) { a.Run++ },
		"another link":    func(a *api.ImportAnswer) { a.LinkBefore[0]++ },
		"another roster":  func(a *api.ImportAnswer) { a.Roster++ },
	} {
		a := r.shows(r.d.id)
		change(a)
		if _, err := r.d.ordered.begin(a); !errors.Is(err, ErrAnswer) {
			t.Errorf("%s: %v", sentence, err)
		}
	}
}

// R16, R25: who signs what is dealt is another key than the one that is dealt, another
// one for each cluster and name; and a key prints nothing.
func TestAnOwnedKeyHasOnePurpose(t *testing.T) {
	key := owned(t, 7)
	seen := map[string]string{string(key.PublicKey()): "the key itself"}
	for _, of := range []struct {
		cluster api.ClusterID
		name    string
	}{{api.ClusterID{1}, "a"}, {api.ClusterID{1}, "b"}, {api.ClusterID{2}, "a"}} {
		order := &authority.Order{Cluster: of.cluster, Name: of.name}
		i, err := key.Import(order)
		if err != nil {
			t.Fatal(err)
		}
		again, err := key.Import(order)
		if err != nil || !bytes.Equal(again.Dealer, i.Dealer) || !bytes.Equal(i.Y, key.PublicKey()) {
			t.Errorf("%+v: not the same twice, %v", of, err)
		}
		if was := seen[string(i.Dealer)]; was != "" {
			t.Errorf("%+v has the key of %s", of, was)
		}
		seen[string(i.Dealer)] = fmt.Sprint(of)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if s := fmt.Sprintf(verb, key) + fmt.Sprintf(verb, *key); strings.Contains(s, "707") || strings.Contains(s, "7, 7") || !strings.Contains(s, secret.Redacted) {
			t.Errorf("%s prints %s", verb, s)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 32), make([]byte, 31), bytes.Repeat([]byte{255}, 32)} {
		if _, err := NewOwned(secret.New(bad)); !errors.Is(err, group.ErrScalar) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

// An owner of a seed deals as one of a key does: the board takes it, and the members of
// each set come to have the same.
func TestAnOwnerOfASeedDealsByWhatHoldersSigned(t *testing.T) {
	r := newRunOf(t, ownedSeed(t, 6))
	r.holders()
	r.owner()
	r.owner()
	r.owner()
	r.holders() // verdicts
	r.holders() // receipts
	if !r.b.ReadyToActivate() {
		reason, _ := r.b.Abandoned()
		t.Fatalf("the %v phase is open: %s", r.b.Phase(), reason)
	}
	sets := r.b.SetHashes()
	for i, p := range r.parts {
		ready, err := p.Step(r.b.View(), rand.Reader)
		if err != nil || ready.Sets == nil || !ready.Sets.Fits(r.d.session.ID, sets) {
			t.Errorf("holder %d: %v", i+1, err)
		}
	}
}

// Nothing of a seed is dealt but by the order of its import.
func TestASeedIsDealtByItsOrder(t *testing.T) {
	r := newRunOf(t, ownedSeed(t, 6))
	g := &r.cluster.Genesis.Genesis
	alter := func(change func(*authority.Order)) []byte {
		o := r.order
		i := *o.Import
		o.Import = &i
		change(&o)
		return r.cluster.SignOrder(o, r.cluster.Custodians[:2]...)
	}
	asymmetric := newRun(t)
	for sentence, tt := range map[string]struct {
		entry []byte
		key   *Owned
		want  error
	}{
		"as it is":              {r.entry, r.key, nil},
		"of another seed":       {r.entry, ownedSeed(t, 7), ErrAnotherKey},
		"of a key that unwraps": {r.entry, owned(t, 7), ErrAnotherKey},
		"with another hash":     {alter(func(o *authority.Order) { o.Import.Seed = bytes.Repeat([]byte{1}, 32) }), r.key, ErrAnotherKey},
		"for all of them":       {alter(func(o *authority.Order) { o.T, o.F = 3, 0 }), r.key, ErrAnotherKey},
		"for another who deals": {alter(func(o *authority.Order) { o.Import.Dealer = r.cluster.Node("n1").PublicKey() }), r.key, ErrAnotherKey},
	} {
		if _, err := newImport(g, "legacy", tt.key, tt.entry); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", sentence, err, tt.want)
		}
	}
	if _, err := newImport(&asymmetric.cluster.Genesis.Genesis, "legacy", r.key, asymmetric.entry); !errors.Is(err, ErrAnotherKey) {
		t.Errorf("a seed in the place of a scalar: %v", err)
	}
}

// R16, R25: a seed signs nothing by itself, and prints nothing; what nobody drew is refused.
func TestAnOwnedSeedHasOnePurpose(t *testing.T) {
	r := newRunOf(t, ownedSeed(t, 6))
	if i := r.order.Import; len(i.Y) != 0 || len(i.Seed) != 32 || bytes.Contains(i.Seed, []byte{5, 5, 5}) || !r.key.Symmetric() || r.key.PublicKey() != nil {
		t.Errorf("%+v", i)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if s := fmt.Sprintf(verb, r.key) + fmt.Sprintf(verb, *r.key); strings.Contains(s, "0505") || strings.Contains(s, "5, 5") || !strings.Contains(s, secret.Redacted) {
			t.Errorf("%s prints %s", verb, s)
		}
	}
	for _, bad := range [][]byte{nil, make([]byte, 32), make([]byte, 31), append(make([]byte, 32), 1), bytes.Repeat([]byte{255}, 32)} {
		if _, err := NewOwnedSeed(secret.New(bad)); !errors.Is(err, ErrSeed) {
			t.Errorf("%x: %v", bad, err)
		}
	}
	key := r.key.seed.Reveal()
	if r.key.Wipe(); !bytes.Equal(key, make([]byte, 32)) {
		t.Error("the seed is still there")
	}
}
