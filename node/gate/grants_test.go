package gate

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/disk"
	"warifu.dev/node/internal/trial"
	"warifu.dev/sharing/tdh2"
	"warifu.dev/sharing/tprf"
)

const (
	byGrant   = `@id("apps") permit (principal == Warifu::Principal::"spiffe://demo/app", action, resource == Warifu::Key::"demo") when { context.grants.contains("two-doctors") };`
	inTheHour = trial.Created + 3_600_000
)

// doctors are three approvers, of whom the policy asks two.
type doctors struct {
	*world
	signers []*authority.Signer
	nonce   byte
}

func newDoctors(t *testing.T) *doctors {
	t.Helper()
	return doctorsOf(t, newWorld(t), byGrant)
}

// doctorsOf are those of a world, where a policy asks for two of them.
func doctorsOf(t *testing.T, w *world, text string) *doctors {
	t.Helper()
	d := &doctors{world: w}
	for range 3 {
		s, err := authority.NewSigner(d.NewKey())
		if err != nil {
			t.Fatal(err)
		}
		d.signers = append(d.signers, s)
	}
	d.committed = d.limited(d.committed, text, d.limits(3, 2))
	d.tail = d.committed
	return d
}

// limits are those of a policy that names the first so many doctors, and asks some.
func (d *doctors) limits(named, asked int) string {
	var b, of strings.Builder
	for i, s := range d.signers[:named] {
		fmt.Fprintf(&b, "[[approver]]\nname = \"d%d\"\nkey = %q\n", i, base64.RawURLEncoding.EncodeToString(s.PublicKey()))
		fmt.Fprintf(&of, "\"d%d\",", i)
	}
	return fmt.Sprintf("%s[[approval]]\nname = \"two-doctors\"\ncount = %d\nof = [%s]\n", &b, asked, &of)
}

func (d *doctors) grant() authority.Grant {
	d.nonce++
	return authority.Grant{
		Cluster: d.Genesis.Cluster, Key: d.born.Key.ID, Principal: app, Action: authority.ActionUnwrap, Reason: "case 4711",
		NotBefore: trial.Created, NotAfter: inTheHour, Uses: 2, Nonce: [16]byte{d.nonce},
	}
}

// put is the state after a node put a grant that some have signed.
func (d *doctors) put(t *testing.T, s *ledger.State, node string, g authority.Grant, signers ...*authority.Signer) (*ledger.State, api.Digest) {
	t.Helper()
	e := authority.NewGrant(g)
	for _, by := range signers {
		if err := authority.SignGrant(rand.Reader, e, by); err != nil {
			t.Fatal(err)
		}
	}
	return d.say(t, s, node, authority.KindGrant, authority.GrantPost{Entry: e.Encode()}), e.ID()
}

func (d *doctors) say(t *testing.T, s *ledger.State, node, kind string, body any) *ledger.State {
	t.Helper()
	e, err := authority.SignStatement(rand.Reader, d.Node(node), d.Genesis.Cluster, node, kind, body)
	if err != nil {
		t.Fatal(err)
	}
	return d.apply(t, s, e.Encode())
}

func (d *doctors) apply(t *testing.T, s *ledger.State, entry []byte) *ledger.State {
	t.Helper()
	next, r := s.Apply(s.Position().Index+1, entry)
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return next
}

// at is the state when ledger time has moved.
func (d *doctors) at(t *testing.T, s *ledger.State, time int64) *ledger.State {
	t.Helper()
	for _, n := range []string{"n1", "n2", "n3"} {
		a := authority.Anchor{Counter: 1, Time: time}
		if before := s.Anchor(n); before != nil {
			a.Counter += before.Anchor.Counter
		}
		s = d.say(t, s, n, authority.KindAnchor, a)
	}
	return s
}

func (d *doctors) file(t *testing.T, name string, grant api.Digest, slot uint32) api.UnwrapItem {
	t.Helper()
	c := api.Context{"file": name}
	return api.UnwrapItem{Envelope: d.wrap(t, c), Context: c, Use: &api.Use{Grant: grant, Slot: slot}}
}

// What grants are held against, in each state alone: the one that says no decides.
func TestAGrantCarriesARequestOnlyIfItFits(t *testing.T) {
	revoke := func(d *doctors, t *testing.T, s *ledger.State, id api.Digest) *ledger.State {
		return d.apply(t, s, d.Revoke(authority.Subject{Kind: authority.SubjectGrant, Name: id.String()}))
	}
	for _, tt := range []struct {
		sentence string
		alter    func(*authority.Grant) // before it is signed
		signers  []int
		state    func(*doctors, *testing.T, *ledger.State, api.Digest) *ledger.State // after it was put
		ask      func(*doctors, *api.UnwrapItem)
		says     string // of the refusal; empty: released
	}{
		{sentence: "two of three", signers: []int{0, 2}},
		{sentence: "three of three", signers: []int{0, 1, 2}},
		{sentence: "one of three", signers: []int{1}, says: "signed by fewer"},
		{
			sentence: "one who is asked and one who no longer is", signers: []int{0, 2}, says: "signed by fewer",
			state: func(d *doctors, _ *testing.T, s *ledger.State, _ api.Digest) *ledger.State {
				return d.limited(s, byGrant, d.limits(2, 2))
			},
		},
		{
			sentence: "more are asked than before", signers: []int{0, 2}, says: "signed by fewer",
			state: func(d *doctors, _ *testing.T, s *ledger.State, _ api.Digest) *ledger.State {
				return d.limited(s, byGrant, d.limits(3, 3))
			},
		},
		{sentence: "revoked", signers: []int{0, 1}, state: revoke, says: "revoked by"},
		{sentence: "another principal's", signers: []int{0, 1}, alter: func(g *authority.Grant) { g.Principal = visitor }, says: "no such grant"},
		{
			sentence: "expired by ledger time", signers: []int{0, 1}, says: "expired, by ledger time",
			state: func(d *doctors, t *testing.T, s *ledger.State, _ api.Digest) *ledger.State {
				return d.at(t, s, inTheHour+1)
			},
		},
		{sentence: "at its last moment, by the node's clock", signers: []int{0, 1}, ask: func(d *doctors, _ *api.UnwrapItem) { d.now = time.UnixMilli(inTheHour) }},
		{
			sentence: "expired by the node's clock", signers: []int{0, 1}, says: "expired, by this node's clock",
			ask: func(d *doctors, _ *api.UnwrapItem) { d.now = time.UnixMilli(inTheHour + 1) },
		},
		{
			sentence: "its time has not come", signers: []int{0, 1}, says: "has not come",
			ask: func(d *doctors, _ *api.UnwrapItem) { d.now = time.UnixMilli(trial.Created - 1) },
		},
		{sentence: "its last use", signers: []int{0, 1}, ask: func(_ *doctors, i *api.UnwrapItem) { i.Use.Slot = 2 }},
		{sentence: "a use that it has not", signers: []int{0, 1}, ask: func(_ *doctors, i *api.UnwrapItem) { i.Use.Slot = 3 }, says: "uses 1 to 2, not 3"},
		{sentence: "no use", signers: []int{0, 1}, ask: func(_ *doctors, i *api.UnwrapItem) { i.Use.Slot = 0 }, says: "uses 1 to 2, not 0"},
		{sentence: "another grant", signers: []int{0, 1}, ask: func(_ *doctors, i *api.UnwrapItem) { i.Use.Grant[0]++ }, says: "no such grant"},
		{sentence: "none", signers: []int{0, 1}, ask: func(_ *doctors, i *api.UnwrapItem) { i.Use = nil }, says: "none was named"},
	} {
		for _, only := range []string{"both", "committed", "tail"} {
			if tt.state == nil && only != "both" {
				continue
			}
			t.Run(tt.sentence+", "+only, func(t *testing.T) {
				d := newDoctors(t)
				g := d.grant()
				if tt.alter != nil {
					tt.alter(&g)
				}
				var signers []*authority.Signer
				for _, i := range tt.signers {
					signers = append(signers, d.signers[i])
				}
				state, id := d.put(t, d.committed, "n2", g, signers...)
				d.committed, d.tail = state, state
				if tt.state != nil {
					altered := tt.state(d, t, state, id)
					if only != "tail" {
						d.committed = altered
					}
					if only != "committed" {
						d.tail = altered
					}
				}
				item := d.file(t, "a", id, 1)
				if tt.ask != nil {
					tt.ask(d, &item)
				}
				a := d.one(t, app, item)
				switch {
				case tt.says == "" && a.Refusal != nil:
					t.Fatal(a.Refusal)
				case tt.says != "" && (a.Refusal == nil || a.Refusal.Code != api.CodeGrant || !strings.Contains(a.Refusal.Sentence, tt.says)):
					t.Fatalf("got %v, want %q", a.Refusal, tt.says)
				}
				r := d.recorder.records[0]
				if u := item.Use; u != nil && (r.Grant != u.Grant || r.Slot != u.Slot) || (r.Kind == audit.Release) != (tt.says == "") {
					t.Fatalf("recorded: %+v", r)
				}
			})
		}
	}
}

// A grant that the tail alone has is none: it counts when it is committed.
func TestAGrantCountsWhenItIsCommitted(t *testing.T) {
	d := newDoctors(t)
	stored, id := d.put(t, d.committed, "n2", d.grant(), d.signers[0], d.signers[1])
	d.tail = stored
	item := d.file(t, "a", id, 1)
	if a := d.one(t, app, item); a.Refusal == nil || a.Refusal.Code != api.CodeGrant || !a.Refusal.Retryable {
		t.Fatalf("stored: %+v", a)
	}
	d.committed = stored
	if a := d.one(t, app, item); a.Refusal != nil {
		t.Fatalf("committed: %v", a.Refusal)
	}
}

// A grant for one key does not open another's envelopes, whatever the policy says.
func TestAGrantIsForItsOwnKey(t *testing.T) {
	d := newDoctors(t)
	d.committed = d.limited(d.committed, strings.ReplaceAll(byGrant, ` == Warifu::Key::"demo"`, ""), d.limits(3, 2))
	g := d.grant()
	g.Key = d.other.Key.ID
	state, id := d.put(t, d.committed, "n2", g, d.signers[0], d.signers[1])
	d.committed, d.tail = state, state
	if a := d.one(t, app, d.file(t, "a", id, 1)); a.Refusal == nil || !strings.Contains(a.Refusal.Sentence, "another key") {
		t.Fatalf("got %+v", a)
	}
}

// What a lying node puts under a grant's id, with signatures of its own, takes
// nothing from what another node put.
// A grant is for one action: one for encrypting carries that and opens nothing, and the
// other way round. A use of it is bound to one commitment and context.
func TestAGrantIsForItsOwnAction(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, app, fileA)
	d := doctorsOf(t, y.world, strings.Replace(byGrant, `"demo"`, `"tally"`, 1))
	write := func(alpha byte, c api.Context, use *api.Use) api.ItemAnswer {
		t.Helper()
		a, err := y.gate.Encrypt(t.Context(), y.caller(app), &api.EncryptRequest{
			Sets: wired(tprf.Held(y.params, 1)), Items: []api.EncryptItem{{Key: y.key.ID, Version: 1, Context: c, Commitment: api.Digest{alpha}, Use: use}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return a.Items[0]
	}
	read := func(use *api.Use) api.ItemAnswer {
		t.Helper()
		a, err := y.gate.Unwrap(t.Context(), y.caller(app), &api.UnwrapRequest{
			Sets: wired(y.part(1)), Items: []api.UnwrapItem{{Envelope: ciphertext, Context: fileA, Use: use}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return a.Items[0]
	}
	if r := write(1, fileA, nil).Refusal; r == nil || r.Code != api.CodeGrant || !strings.Contains(r.Sentence, "the policy demands a grant (two-doctors)") {
		t.Fatalf("without a grant: %v", r)
	}
	ids := map[string]api.Digest{}
	for _, action := range []string{authority.ActionUnwrap, authority.ActionEncrypt} {
		g := d.grant()
		g.Action = action
		d.committed, ids[action] = d.put(t, d.committed, "n1", g, d.signers[0], d.signers[2])
	}
	d.tail = d.committed
	writing := func(slot uint32) *api.Use { return &api.Use{Grant: ids[authority.ActionEncrypt], Slot: slot} }
	reading := &api.Use{Grant: ids[authority.ActionUnwrap], Slot: 1}
	for _, tt := range []struct {
		sentence string
		ask      func() api.ItemAnswer
		code     api.Code
		next     uint32
	}{
		{"to encrypt, by one for opening", func() api.ItemAnswer { return write(1, fileA, reading) }, api.CodeGrant, 0},
		{"to open, by one for encrypting", func() api.ItemAnswer { return read(writing(1)) }, api.CodeGrant, 0},
		{"to encrypt", func() api.ItemAnswer { return write(1, fileA, writing(1)) }, "", 0},
		{"to encrypt the same again", func() api.ItemAnswer { return write(1, fileA, writing(1)) }, "", 0},
		{"another commitment in its use", func() api.ItemAnswer { return write(2, fileA, writing(1)) }, api.CodeSlot, 2},
		{"another context in its use", func() api.ItemAnswer { return write(1, nil, writing(1)) }, api.CodeSlot, 2},
		{"in the next use", func() api.ItemAnswer { return write(2, fileA, writing(2)) }, "", 0},
		{"when all are bound", func() api.ItemAnswer { return write(3, fileA, writing(2)) }, api.CodeGrant, 0},
		{"to open", func() api.ItemAnswer { return read(reading) }, "", 0},
	} {
		y.recorder.records = nil
		a := tt.ask()
		if a.Refusal == nil && tt.code != "" || a.Refusal != nil && a.Refusal.Code != tt.code || a.NextSlot != tt.next {
			t.Fatalf("%s: %v, next %d", tt.sentence, a.Refusal, a.NextSlot)
		}
		if r := y.recorder.records; len(r) != 1 || r[0].Grant == [32]byte{} || r[0].Slot == 0 || (r[0].Kind == audit.Release) != (tt.code == "") {
			t.Errorf("%s: recorded %+v", tt.sentence, r)
		}
	}
}

func TestALiarCannotSpoilAGrant(t *testing.T) {
	d := newDoctors(t)
	g := d.grant()
	state, id := d.put(t, d.committed, "n1", g, d.Custodians[0], d.Custodians[1])
	d.committed, d.tail = state, state
	if a := d.one(t, app, d.file(t, "a", id, 1)); a.Refusal == nil || !strings.Contains(a.Refusal.Sentence, "signed by fewer") {
		t.Fatalf("signed by those nobody asked: %+v", a)
	}
	state, _ = d.put(t, state, "n2", g, d.signers[0], d.signers[1])
	d.committed, d.tail = state, state
	if a := d.one(t, app, d.file(t, "a", id, 1)); a.Refusal != nil {
		t.Fatalf("signed: %v", a.Refusal)
	}
}

// Who may not use the key at all is not told that a grant would help, and a grant is
// no permission by itself.
func TestAGrantIsNoPermission(t *testing.T) {
	d := newDoctors(t)
	g := d.grant()
	g.Principal = visitor
	state, id := d.put(t, d.committed, "n2", g, d.signers[0], d.signers[1])
	d.committed, d.tail = state, state
	item := d.file(t, "a", id, 1)
	if a := d.one(t, visitor, item); a.Refusal == nil || *a.Refusal != *denied() { // R28
		t.Fatalf("got %+v", a)
	}
	item.Use = nil
	if a := d.one(t, visitor, item); a.Refusal == nil || *a.Refusal != *denied() {
		t.Fatalf("got %+v", a)
	}
}

// withGrant is a world with a grant of two uses that fits.
func withGrant(t *testing.T) (*doctors, api.Digest) {
	t.Helper()
	d := newDoctors(t)
	state, id := d.put(t, d.committed, "n2", d.grant(), d.signers[0], d.signers[1])
	d.committed, d.tail = state, state
	return d, id
}

// Each use is one envelope: asked again it is given again, another takes another use,
// and use u+1 is refused.
func TestAUseIsBoundToOneRequest(t *testing.T) {
	d, id := withGrant(t)
	a, b, c := d.file(t, "a", id, 1), d.file(t, "b", id, 1), d.file(t, "c", id, 1)
	for range 2 {
		if got := d.one(t, app, a); got.Refusal != nil {
			t.Fatal(got.Refusal)
		}
	}
	got := d.one(t, app, b)
	if got.Refusal == nil || got.Refusal.Code != api.CodeSlot || !got.Refusal.Retryable || got.NextSlot != 2 {
		t.Fatalf("another envelope: %+v", got)
	}
	b.Use.Slot = got.NextSlot
	if got := d.one(t, app, b); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
	for slot := uint32(1); slot <= 2; slot++ {
		c.Use.Slot = slot
		if got := d.one(t, app, c); got.Refusal == nil || got.Refusal.Code != api.CodeGrant || got.Refusal.Retryable || !strings.Contains(got.Refusal.Sentence, "all 2 uses") {
			t.Fatalf("use 3: %+v", got)
		}
	}
	b.Use.Slot = 1 // asked for again, it is told which use it has
	if got := d.one(t, app, b); got.Refusal == nil || got.Refusal.Code != api.CodeSlot || got.NextSlot != 2 {
		t.Fatalf("the second one again: %+v", got)
	}
	b.Use.Slot = 2
	if used := d.gate.cfg.Slots.Used(id); used != 2 {
		t.Errorf("%d are bound", used)
	}
	d.open(t, false) // a restart
	if got := d.one(t, app, b); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
	if got := d.one(t, app, c); got.Refusal == nil || got.Refusal.Code != api.CodeGrant {
		t.Fatalf("use 3, after a restart: %+v", got)
	}
}

// A holder that lies says that use after use is taken. Whoever follows it with one
// envelope takes one use at the others, and the record says which.
func TestOneEnvelopeTakesOneUse(t *testing.T) {
	d, id := withGrant(t)
	a, b := d.file(t, "a", id, 1), d.file(t, "b", id, 2)
	for _, slot := range []uint32{1, 2} {
		a.Use.Slot = slot
		if got := d.one(t, app, a); got.Refusal != nil {
			t.Fatalf("as use %d: %v", slot, got.Refusal)
		}
		if last := d.recorder.records[len(d.recorder.records)-1]; last.Kind != audit.Release || last.Slot != 1 {
			t.Errorf("as use %d it is recorded as %s of use %d", slot, last.Kind, last.Slot)
		}
		if a.Use.Slot != slot {
			t.Errorf("the caller's request now names use %d", a.Use.Slot)
		}
	}
	if used := d.gate.cfg.Slots.Used(id); used != 1 {
		t.Errorf("%d are bound", used)
	}
	if got := d.one(t, app, b); got.Refusal != nil {
		t.Errorf("another envelope, in the other use: %v", got.Refusal)
	}
}

// The same envelope in two items of one request takes one use; two envelopes in one
// use are one too many.
func TestUsesOfOneRequest(t *testing.T) {
	d, id := withGrant(t)
	a, b := d.file(t, "a", id, 1), d.file(t, "b", id, 1)
	answer, err := d.ask(app, a, a, b)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Items[0].Refusal != nil || answer.Items[1].Refusal != nil {
		t.Fatalf("got %v, %v", answer.Items[0].Refusal, answer.Items[1].Refusal)
	}
	if r := answer.Items[2].Refusal; r == nil || r.Code != api.CodeSlot || answer.Items[2].NextSlot != 2 {
		t.Fatalf("got %+v", answer.Items[2])
	}
}

// What fails for another reason takes no use.
func TestARefusedRequestTakesNoUse(t *testing.T) {
	d, id := withGrant(t)
	bad := d.file(t, "a", id, 1)
	bad.Context = api.Context{"file": "z"}
	if got := d.one(t, app, bad); got.Refusal == nil || got.Refusal.Code != api.CodeEnvelope {
		t.Fatalf("got %+v", got)
	}
	if got := d.one(t, app, d.file(t, "b", id, 1)); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
}

// A use is durable before it is recorded and before the partial leaves: a node that
// dies at that moment refuses another request in its place.
func TestAUseIsDurableBeforeAnythingLeaves(t *testing.T) {
	d, id := withGrant(t)
	item := d.file(t, "a", id, 1)
	e, err := tdh2.Parse(item.Envelope)
	if err != nil {
		t.Fatal(err)
	}
	want := digestOf(item, e)
	d.recorder.during = func() {
		slots, err := OpenSlots(nil, d.dir, false)
		if err != nil {
			t.Fatal(err)
		}
		if ok, next := slots.free(use{grant: id, slot: 1, uses: 2, request: api.Digest{1}}); ok || next != 2 {
			t.Error("when it is recorded, the use is not durable")
		}
		if ok, _ := slots.free(use{grant: id, slot: 1, uses: 2, request: want}); !ok {
			t.Error("it is bound to something else")
		}
	}
	if got := d.one(t, app, item); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
}

// On a full disk nothing is given by grants, by name, and the use is not taken: with
// room again another request may have it.
func TestAFullDiskGivesNoUse(t *testing.T) {
	for _, op := range []disk.Op{disk.Create, disk.Write, disk.Sync, disk.Rename} {
		t.Run(string(op), func(t *testing.T) {
			d, id := withGrant(t)
			d.disk = func(o disk.Op, _ string) error {
				if o == op {
					return syscall.ENOSPC
				}
				return nil
			}
			got := d.one(t, app, d.file(t, "a", id, 1))
			if got.Refusal == nil || got.Refusal.Code != api.CodeGrant || !got.Refusal.Retryable || !strings.Contains(got.Refusal.Sentence, "durable") {
				t.Fatalf("got %+v", got)
			}
			if r := d.recorder.records[0]; r.Kind != audit.Refusal || !strings.Contains(r.Why, "no space") {
				t.Fatalf("recorded: %+v", r)
			}
			d.disk = nil
			if got := d.one(t, app, d.file(t, "b", id, 1)); got.Refusal != nil {
				t.Fatal(got.Refusal)
			}
			d.open(t, false)
			if got := d.one(t, app, d.file(t, "c", id, 1)); got.Refusal == nil || got.Refusal.Code != api.CodeSlot {
				t.Fatalf("after a restart: %+v", got)
			}
		})
	}
}

// A disk that hangs holds up those alone that ask by grants, and no longer than they
// wait; when it goes on, what was written counts. R26
func TestAHangingDiskGivesNoUse(t *testing.T) {
	d, id := withGrant(t)
	hangs := make(chan struct{})
	d.disk = func(op disk.Op, _ string) error {
		if op == disk.Sync {
			<-hangs
		}
		return nil
	}
	a, b := d.file(t, "a", id, 1), d.file(t, "b", id, 1)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		answer, err := d.askWith(ctx, app, a)
		cancel()
		if err == nil {
			t.Fatalf("got %+v", answer.Items[0].Refusal)
		}
		var refused *api.Error
		if !errors.As(err, &refused) || refused.Code != api.CodeOverloaded { // nor can the refusal be recorded in time
			t.Fatalf("got %v", err)
		}
	}
	if len(d.recorder.kinds()) != 0 {
		t.Fatalf("recorded: %v", d.recorder.kinds())
	}
	if got := d.one(t, app, b); got.Refusal == nil || got.Refusal.Code != api.CodeSlot {
		t.Fatalf("another, meanwhile: %+v", got)
	}
	close(hangs)
	d.gate.cfg.Slots.Close()
	d.open(t, false)
	if got := d.one(t, app, b); got.Refusal == nil || got.Refusal.Code != api.CodeSlot {
		t.Fatalf("another: %+v", got)
	}
	if got := d.one(t, app, a); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
}

// A revoke of the grant, or of an approver, that comes in while the record is written
// leaves a withheld record.
func TestADenyOfAGrantBetweenRecordAndRelease(t *testing.T) {
	for what, deny := range map[string]func(*doctors, api.Digest) *ledger.State{
		"revoke": func(d *doctors, id api.Digest) *ledger.State {
			return d.apply(t, d.tail, d.Revoke(authority.Subject{Kind: authority.SubjectGrant, Name: id.String()}))
		},
		"an approver fewer": func(d *doctors, _ api.Digest) *ledger.State { return d.limited(d.tail, byGrant, d.limits(2, 2)) },
	} {
		t.Run(what, func(t *testing.T) {
			d := newDoctors(t)
			state, id := d.put(t, d.committed, "n2", d.grant(), d.signers[0], d.signers[2])
			d.committed, d.tail = state, state
			item := d.file(t, "a", id, 1)
			d.recorder.during = func() { d.tail = deny(d, id); d.recorder.during = nil }
			if got := d.one(t, app, item); got.Refusal == nil || got.Refusal.Code != api.CodeGrant {
				t.Fatalf("released: %+v", got)
			}
			if kinds := d.recorder.kinds(); len(kinds) != 2 || kinds[1] != audit.Withheld {
				t.Fatalf("recorded: %v", kinds)
			}
		})
	}
}

func digestOf(request api.UnwrapItem, envelope *tdh2.Envelope) api.Digest {
	return (&item{request: request, envelope: envelope}).requestDigest()
}

// What a node has bound it forgets when the ledger says that it is past, not when its
// own clock does: that may go back.
func TestAUseIsForgottenByLedgerTime(t *testing.T) {
	d := newDoctors(t)
	short, long := d.grant(), d.grant()
	long.NotAfter = inTheHour + 3_600_000
	state, first := d.put(t, d.committed, "n2", short, d.signers[0], d.signers[1])
	state, second := d.put(t, state, "n2", long, d.signers[0], d.signers[1])
	d.committed, d.tail = state, state
	if got := d.one(t, app, d.file(t, "a", first, 1)); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
	d.now = time.UnixMilli(inTheHour + 1)
	if got := d.one(t, app, d.file(t, "b", second, 1)); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
	d.now = time.UnixMilli(trial.Created)
	if got := d.one(t, app, d.file(t, "c", first, 1)); got.Refusal == nil || got.Refusal.Code != api.CodeSlot {
		t.Fatalf("when the clock has gone back: %+v", got)
	}
	d.now = time.UnixMilli(inTheHour + 1)
	d.committed = d.at(t, d.committed, inTheHour+1)
	d.tail = d.committed
	if got := d.one(t, app, d.file(t, "d", second, 2)); got.Refusal != nil {
		t.Fatal(got.Refusal)
	}
	if n := d.gate.cfg.Slots.Used(first); n != 0 {
		t.Errorf("%d uses of what is past by every clock are kept", n)
	}
}
