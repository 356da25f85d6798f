package gate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/policy"
	"warifu.dev/sharing/tprf"
)

// both are the releases of a symmetric key: of items both ways, and of a branch key.
var both = []string{policy.Encrypt, policy.Unwrap, policy.UnwrapBranch}

// asking is one of the releases.
func (y *tallied) asking(ctx context.Context, action, principal string, ciphertext []byte) (*api.UnwrapAnswer, error) {
	if action == policy.Encrypt {
		return y.gate.Encrypt(ctx, y.caller(principal), &api.EncryptRequest{
			Reason: "a test", Sets: wired(tprf.Held(y.params, 1)),
			Items: []api.EncryptItem{{Key: y.key.ID, Version: 1, Context: fileA, Commitment: [32]byte{1}}},
		})
	}
	if action == policy.UnwrapBranch {
		return y.branch(ctx, principal, y.branchOf(writer), false)
	}
	return y.gate.Unwrap(ctx, y.caller(principal), &api.UnwrapRequest{
		Reason: "a test", Sets: wired(y.part(1)), Items: []api.UnwrapItem{{Envelope: ciphertext, Context: fileA}},
	})
}

// refused asks for one release, which must not be given.
func (y *tallied) refused(t *testing.T, sentence, action string, ciphertext []byte, want api.Code) {
	t.Helper()
	a, err := y.asking(t.Context(), action, writer, ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	got := a.Items[0]
	if got.Refusal == nil || got.Refusal.Code != want || got.Partial != nil || got.Values != nil {
		t.Errorf("%s, %s: %+v, want %s", sentence, action, got.Refusal, want)
	}
	if r := y.recorder.records[len(y.recorder.records)-1]; r.Kind != audit.Refusal || r.Code != string(want) || r.Action != action {
		t.Errorf("%s, %s: recorded %+v", sentence, action, r)
	}
}

// under is the state after a policy with limits took effect.
func (y *tallied) under(s *ledger.State, text, limits string) *ledger.State {
	d := policy.Document{Text: text, Entities: tallyMembers, Limits: limits}
	next, r := s.Apply(s.Position().Index+1, y.Change(authority.KindPolicy, d.Encode(), s.Policy().Change))
	if r.Err != nil {
		panic(r.Err)
	}
	return next
}

// R20, R30: policy, identity and key are asked of both states and of what is kept beside
// them, whichever of both releases is asked for. A node needs no other to refuse.
func TestADenyInEitherStateStopsBothReleases(t *testing.T) {
	for sentence, tt := range map[string]struct {
		deny func(*tallied, *ledger.State) *ledger.State
		code api.Code
	}{
		"the policy forbids": {func(y *tallied, s *ledger.State) *ledger.State {
			return y.rules(s, `forbid (principal, action, resource);`)
		}, api.CodeDenied},
		"the key is revoked":   {func(y *tallied, s *ledger.State) *ledger.State { return y.revoked(s) }, api.CodeDenied},
		"the key is suspended": {func(y *tallied, s *ledger.State) *ledger.State { return y.moved(s, authority.Suspended) }, api.CodeKeyState},
		"the key is revoked beside the log": {func(y *tallied, s *ledger.State) *ledger.State {
			return s.Denying(map[api.Digest]authority.Subject{{1}: {Kind: authority.SubjectKey, Name: y.born.Key.ID.String()}})
		}, api.CodeDenied},
		"the principal is not admitted": {func(y *tallied, s *ledger.State) *ledger.State {
			without := y.rules(s, tallyPermit+"\n")
			y.standing = func(of *ledger.State, _ time.Time) error {
				if of == without {
					return errors.New("its CA is gone")
				}
				return nil
			}
			return without
		}, api.CodeDenied},
	} {
		for _, in := range []string{"committed", "the tail", "both"} {
			y := newTally(t)
			ciphertext := y.made(t, writer, fileA)
			for _, action := range both {
				a, err := y.asking(t.Context(), action, writer, ciphertext)
				value(t, a, err)
			}
			no := tt.deny(y, y.committed)
			if in != "committed" {
				y.tail = no
			}
			if in != "the tail" {
				y.committed = no
			}
			for _, action := range both {
				y.refused(t, sentence+" in "+in, action, ciphertext, tt.code)
			}
		}
	}
}

// What is encrypted and what is opened counts by one rate, and a branch key as one item
// does, by the policies of both states.
func TestARateCountsBothReleases(t *testing.T) {
	limit := strings.Replace(twoAMinute, `"demo"`, `"tally"`, 1)
	for _, first := range [][]string{both[:2], both[1:]} {
		for _, third := range both {
			y := newTally(t)
			ciphertext := y.made(t, writer, fileA)
			free := y.committed
			y.committed = y.under(free, tallyPermit, limit)
			y.tail = y.committed
			for _, action := range first {
				a, err := y.asking(t.Context(), action, writer, ciphertext)
				value(t, a, err)
			}
			y.refused(t, "a third in a minute", third, ciphertext, api.CodeRate)
			y.committed = free
			y.refused(t, "by the tail's rate", third, ciphertext, api.CodeRate)
			y.tail = free
			a, err := y.asking(t.Context(), third, writer, ciphertext)
			value(t, a, err)
		}
	}
}

// Where the policy demands a grant, neither release is given without one, and approvers
// open as many items as the grant has uses.
func TestAGrantOpensItemsOfASymmetricKey(t *testing.T) {
	y := newTally(t)
	d := &doctors{world: y.world}
	for range 3 {
		s, err := authority.NewSigner(d.NewKey())
		if err != nil {
			t.Fatal(err)
		}
		d.signers = append(d.signers, s)
	}
	first, second, third := y.made(t, writer, fileA), y.made(t, writer, fileA), y.made(t, writer, fileA)
	demanding := y.under(y.committed, strings.TrimSuffix(tallyPermit, ";")+` when { context.grants.contains("two-doctors") };`, d.limits(3, 2))
	y.committed, y.tail = demanding, demanding
	for _, action := range both {
		y.refused(t, "no grant", action, first, api.CodeGrant)
	}
	half, one := d.put(t, demanding, "n2", d.grant(), d.signers[0])
	whole, two := d.put(t, half, "n2", d.grant(), d.signers[0], d.signers[2])
	y.committed, y.tail = whole, whole
	open := func(principal string, ciphertext []byte, grant api.Digest, slot uint32) api.ItemAnswer {
		t.Helper()
		a, err := y.gate.Unwrap(t.Context(), y.caller(principal), &api.UnwrapRequest{
			Reason: "a test", Sets: wired(y.part(1)),
			Items: []api.UnwrapItem{{Envelope: ciphertext, Context: fileA, Use: &api.Use{Grant: grant, Slot: slot}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return a.Items[0]
	}
	refused := func(sentence string, a api.ItemAnswer, want api.Code) {
		t.Helper()
		if a.Refusal == nil || a.Refusal.Code != want || a.Partial != nil {
			t.Errorf("%s: %+v", sentence, a.Refusal)
		}
	}
	refused("one approver", open(writer, first, one, 1), api.CodeGrant)
	refused("another's grant", open(reader, first, two, 1), api.CodeGrant)
	for range 2 { // asked again, it is given again
		a := open(writer, first, two, 1)
		if a.Refusal != nil {
			t.Fatal(a.Refusal)
		}
		if plain, err := y.opened(t, first, fileA, a.Partial); err != nil || !plain.Equal(dek) {
			t.Fatal(err)
		}
	}
	refused("another item in the same use", open(writer, second, two, 1), api.CodeSlot)
	if a := open(writer, second, two, 2); a.Refusal != nil {
		t.Errorf("the second use: %v", a.Refusal)
	}
	refused("an item too many", open(writer, third, two, 2), api.CodeGrant)
	revoke := d.Revoke(authority.Subject{Kind: authority.SubjectGrant, Name: two.String()})
	y.tail = d.apply(t, whole, revoke)
	refused("the tail revokes it", open(writer, first, two, 1), api.CodeGrant)
}

// R26: no value leaves while its record is being written, when the disk hangs, or when
// what withholds it cannot be written.
func TestNoValueLeavesBeforeItsRecord(t *testing.T) {
	for _, action := range both {
		y := newTally(t)
		ciphertext := y.made(t, writer, fileA)
		writing, write, answered := make(chan struct{}), make(chan struct{}), make(chan struct{})
		y.recorder.during = func() { close(writing); <-write }
		go func() {
			defer close(answered)
			_, _ = y.asking(context.Background(), action, writer, ciphertext)
		}()
		<-writing
		select {
		case <-answered:
			t.Errorf("%s: answered while the record was being written", action)
		case <-time.After(50 * time.Millisecond):
		}
		close(write)
		<-answered

		ctx, cancel := context.WithCancel(t.Context())
		y.recorder.during = cancel
		var e *api.Error
		if a, err := y.asking(ctx, action, writer, ciphertext); a != nil || !errors.As(err, &e) || e.Code != api.CodeOverloaded {
			t.Errorf("%s, the disk hangs: %+v, %v", action, a, err)
		}

		appends := y.recorder.appends
		y.recorder.during = func() {
			if y.recorder.appends == appends {
				y.unsealed = api.Retry(api.CodeSealed, "sealed")
			} else {
				y.recorder.fail = audit.ErrFull
			}
		}
		if a, err := y.asking(t.Context(), action, writer, ciphertext); a != nil || err == nil {
			t.Errorf("%s, withheld and not recorded: %+v, %v", action, a, err)
		}
	}
}
