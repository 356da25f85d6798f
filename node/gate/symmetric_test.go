package gate

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"warifu.dev/api"
	"warifu.dev/audit"
	"warifu.dev/authority"
	"warifu.dev/consensus/ledger"
	"warifu.dev/internal/secret"
	"warifu.dev/internal/wire"
	"warifu.dev/node/internal/trial"
	"warifu.dev/node/keyring"
	"warifu.dev/policy"
	"warifu.dev/sharing"
	"warifu.dev/sharing/tprf"
)

const (
	writer       = app
	reader       = "spiffe://demo/reader"
	tallyPermit  = `@id("apps") permit (principal in Warifu::Group::"apps", action, resource == Warifu::Key::"tally");`
	tallyMembers = `[{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/app"},"parents":[{"type":"Warifu::Group","id":"apps"}],"attrs":{}},
		{"uid":{"type":"Warifu::Principal","id":"spiffe://demo/reader"},"parents":[{"type":"Warifu::Group","id":"apps"}],"attrs":{}},
		{"uid":{"type":"Warifu::Group","id":"apps"},"parents":[],"attrs":{}}]`
)

// tallied is a world whose key is symmetric, 2 of 3, and the shares of all its holders.
type tallied struct {
	*world
	params sharing.Params
	key    tprf.Key
	all    map[sharing.Index]*tprf.Share
}

var tallyBase = sync.OnceValue(func() *tallied {
	c := trial.New(theTest{}, 2, 3)
	c.BearRoot()
	w := &world{Cluster: c, born: c.BearSymmetric("tally")}
	y := &tallied{
		world: w, params: sharing.Params{T: 2, H: 3}, all: map[sharing.Index]*tprf.Share{},
		key: tprf.Key{Cluster: c.Genesis.Cluster, ID: w.born.Key.ID, Version: 1},
	}
	for i, share := range w.born.Sets {
		y.all[sharing.Index(i+1)] = share
	}
	return y
})

func newTally(t *testing.T) *tallied {
	t.Helper()
	y := *tallyBase()
	w := *y.world
	y.world = &w
	w.committed = y.rules(w.State(), tallyPermit)
	w.tail = w.committed
	w.recorder = &recorder{}
	w.now = time.UnixMilli(trial.Created)
	w.standing = func(*ledger.State, time.Time) error { return nil }
	w.dir = t.TempDir()
	w.share = &keyring.Share{Key: y.key.ID, Version: 1, Epoch: 1, Index: 1, Sets: y.all[1]}
	w.open(t, true)
	return &y
}

// rules is the state after a policy took effect.
func (y *tallied) rules(s *ledger.State, text string) *ledger.State {
	var before api.Digest
	if p := s.Policy(); p != nil {
		before = p.Change
	}
	next, r := s.Apply(s.Position().Index+1, y.Change(authority.KindPolicy, policy.Document{Text: text, Entities: tallyMembers}.Encode(), before))
	if r.Err != nil {
		panic(r.Err)
	}
	return next
}

func wired(sets []tprf.Set) (out []uint16) {
	for _, s := range sets {
		out = append(out, uint16(s))
	}
	return out
}

func (y *tallied) caller(principal string) *Caller {
	return &Caller{
		Principal: principal, Source: netip.MustParseAddr("10.1.2.3"),
		Standing: func(s *ledger.State, now time.Time) error { return y.standing(s, now) },
	}
}

// encrypt asks n1 for the values of all its sets.
func (y *tallied) encrypt(principal string, c api.Context, alpha [32]byte) (*api.UnwrapAnswer, error) {
	return y.gate.Encrypt(context.Background(), y.caller(principal), &api.EncryptRequest{
		RequestID: api.RequestID{9}, Reason: "a test", Sets: wired(tprf.Held(y.params, 1)),
		Items: []api.EncryptItem{{Key: y.key.ID, Version: 1, Context: c, Commitment: alpha}},
	})
}

// decrypt asks n1 for its part of the sets that it and the holder 3 share out.
func (y *tallied) decrypt(principal string, c api.Context, ciphertext []byte, each bool) (*api.UnwrapAnswer, error) {
	return y.gate.Unwrap(context.Background(), y.caller(principal), &api.UnwrapRequest{
		RequestID: api.RequestID{9}, Reason: "a test", Sets: wired(y.part(1)),
		Items: []api.UnwrapItem{{Envelope: ciphertext, Context: c, Prove: each}},
	})
}

// part is what falls to a holder when 1 and 3 are asked.
func (y *tallied) part(i sharing.Index) []tprf.Set {
	work, err := tprf.Assign(y.params, 1<<0|1<<2, 1)
	if err != nil {
		panic(err)
	}
	return work[i]
}

// value is what one answer has, of one item that was released.
func value(t *testing.T, a *api.UnwrapAnswer, err error) api.ItemAnswer {
	t.Helper()
	if err != nil || len(a.Items) != 1 || a.Items[0].Refusal != nil {
		t.Fatalf("not released: %+v, %v", a, err)
	}
	return a.Items[0]
}

func split(t *testing.T, sets []tprf.Set, b []byte) map[tprf.Set]tprf.Value {
	t.Helper()
	if len(b) != len(sets)*tprf.ValueSize {
		t.Fatalf("%d bytes for %d sets", len(b), len(sets))
	}
	out := map[tprf.Set]tprf.Value{}
	for i, s := range sets {
		out[s] = tprf.Value(b[i*tprf.ValueSize:])
	}
	return out
}

// made is a ciphertext that n1 and two more holders have helped to make.
func (y *tallied) made(t *testing.T, principal string, c api.Context) []byte {
	t.Helper()
	s, err := tprf.Begin(rand.Reader, y.key, principal, c.Canonical(), dek)
	if err != nil {
		t.Fatal(err)
	}
	a, err := y.encrypt(principal, c, s.Commitment())
	answers := tprf.Answers{1: split(t, tprf.Held(y.params, 1), value(t, a, err).Values)}
	for i := sharing.Index(2); i <= 3; i++ {
		held := tprf.Held(y.params, i)
		values, err := y.all[i].Values(held, tprf.ItemInput(y.key, c.Canonical(), principal, s.Commitment()))
		if err != nil {
			t.Fatal(err)
		}
		answers[i] = map[tprf.Set]tprf.Value{}
		for k, set := range held {
			answers[i][set] = values[k]
		}
	}
	f, missing := tprf.Agree(y.params, 2, answers)
	if missing != nil {
		t.Fatalf("this node's values are not those of the others: %b", missing)
	}
	return s.Finish(f)
}

// opened opens a ciphertext with a partial of n1 and the part of the holder 3.
func (y *tallied) opened(t *testing.T, ciphertext []byte, c api.Context, partial []byte) (secret.Bytes, error) {
	t.Helper()
	parsed, err := tprf.Parse(ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	other, err := y.all[3].Sum(y.part(3), parsed.Input(c.Canonical()))
	if err != nil {
		t.Fatal(err)
	}
	f, err := tprf.Combine(y.params, map[sharing.Index]tprf.Value{1: tprf.Value(partial), 3: other})
	if err != nil {
		t.Fatal(err)
	}
	return parsed.Open(f)
}

func TestAnItemIsEncryptedAndOpened(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	a, err := y.decrypt(reader, fileA, ciphertext, false)
	got := value(t, a, err)
	if plain, err := y.opened(t, ciphertext, fileA, got.Partial); err != nil || !plain.Equal(dek) {
		t.Fatal(err)
	}
	if got.Values != nil || got.Index != 1 || got.Epoch != 1 || got.Endorsement != nil {
		t.Errorf("%+v", got)
	}
	// The parts of the sum, when they are asked for.
	a, err = y.decrypt(reader, fileA, ciphertext, true)
	each := value(t, a, err)
	var sum tprf.Value
	for _, v := range split(t, y.part(1), each.Values) {
		sum = sum.XOR(v)
	}
	if !bytes.Equal(sum[:], got.Partial) || each.Partial != nil {
		t.Errorf("%+v", each)
	}
	// One item, one name in the audit, when it is made and when it is opened.
	parsed, err := tprf.Parse(ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	records := y.recorder.records
	if len(records) != 3 || records[0].Action != policy.Encrypt || records[1].Action != policy.Unwrap ||
		records[0].Principal != writer || records[1].Principal != reader {
		t.Fatalf("recorded: %+v", records)
	}
	for _, r := range records {
		if r.Kind != audit.Release || r.Envelope != parsed.Input(fileA.Canonical()).Hash() || r.KeyName != "tally" || r.Version != 1 {
			t.Errorf("recorded: %+v", r)
		}
	}
	if n, _ := y.gate.Uses(y.key.ID); n != 3 {
		t.Errorf("%d uses", n)
	}
}

// Who may encrypt can open what it encrypted, and nothing of anybody else's: the principal
// is the connection's.
func TestThePrincipalOfAnItemIsTheConnections(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	parsed, err := tprf.Parse(ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	for principal, opens := range map[string]bool{writer: true, reader: false} {
		a, err := y.encrypt(principal, fileA, parsed.Commitment())
		values := split(t, tprf.Held(y.params, 1), value(t, a, err).Values)
		var sum tprf.Value
		for _, s := range y.part(1) {
			sum = sum.XOR(values[s])
		}
		if _, err := y.opened(t, ciphertext, fileA, sum[:]); (err == nil) != opens {
			t.Errorf("what %s is told as an encrypter opens the item of %s: %v", principal, writer, err == nil)
		}
	}
}

// R13: the context that is decided on is the one that is bound.
func TestTheContextOfAnItemIsBound(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	fileB := api.Context{"file": "b"}
	a, err := y.decrypt(reader, fileB, ciphertext, false)
	if _, err := y.opened(t, ciphertext, fileA, value(t, a, err).Partial); !errors.Is(err, tprf.ErrNotOpened) {
		t.Errorf("what was released for one context opens another: %v", err)
	}
	a, err = y.encrypt(writer, fileB, [32]byte{1})
	other, err2 := y.encrypt(writer, fileA, [32]byte{1})
	if bytes.Equal(value(t, a, err).Values, value(t, other, err2).Values) {
		t.Error("two contexts have the same values")
	}
	y.committed = y.rules(y.committed, strings.TrimSuffix(tallyPermit, ";")+` when { context.envelope.file == "a" };`)
	y.tail = y.committed
	for c, allowed := range map[string]bool{"a": true, "b": false} {
		pairs := api.Context{"file": c}
		if a, err := y.encrypt(writer, pairs, [32]byte{1}); err != nil || (a.Items[0].Refusal == nil) != allowed {
			t.Errorf("encrypt for %s: %+v, %v", c, a, err)
		}
		if a, err := y.decrypt(writer, pairs, ciphertext, false); err != nil || (a.Items[0].Refusal == nil) != allowed {
			t.Errorf("open for %s: %+v, %v", c, a, err)
		}
	}
}

// ways are the releases of a symmetric key.
func (y *tallied) ways(ciphertext []byte) map[string]func(principal string) (*api.UnwrapAnswer, error) {
	return map[string]func(string) (*api.UnwrapAnswer, error){
		policy.Encrypt: func(principal string) (*api.UnwrapAnswer, error) { return y.encrypt(principal, fileA, [32]byte{1}) },
		policy.Unwrap: func(principal string) (*api.UnwrapAnswer, error) {
			return y.decrypt(principal, fileA, ciphertext, false)
		},
		policy.UnwrapBranch: func(principal string) (*api.UnwrapAnswer, error) {
			return y.branch(context.Background(), principal, y.branchOf(writer), false)
		},
	}
}

func TestEachStepRefusesASymmetricItem(t *testing.T) {
	for _, tt := range []struct {
		sentence string
		spoil    func(*tallied)
		code     map[string]api.Code // by action; none: it is released
	}{
		{"sealed", func(y *tallied) { y.unsealed = api.Retry(api.CodeSealed, "sealed") }, map[string]api.Code{policy.Encrypt: api.CodeSealed, policy.Unwrap: api.CodeSealed, policy.UnwrapBranch: api.CodeSealed}},
		{"stale", func(y *tallied) { y.fresh = api.Retry(api.CodeStale, "stale") }, map[string]api.Code{policy.Encrypt: api.CodeStale, policy.Unwrap: api.CodeStale, policy.UnwrapBranch: api.CodeStale}},
		{"no share", func(y *tallied) { y.share = nil }, map[string]api.Code{policy.Encrypt: api.CodeNoShare, policy.Unwrap: api.CodeNoShare, policy.UnwrapBranch: api.CodeNoShare}},
		{"a share of another type", func(y *tallied) { y.share.Sets = nil }, map[string]api.Code{policy.Encrypt: api.CodeNoShare, policy.Unwrap: api.CodeNoShare, policy.UnwrapBranch: api.CodeNoShare}},
		{"not admitted", func(y *tallied) {
			y.standing = func(*ledger.State, time.Time) error { return errors.New("expired") }
		}, map[string]api.Code{policy.Encrypt: api.CodeDenied, policy.Unwrap: api.CodeDenied, policy.UnwrapBranch: api.CodeDenied}},
		{"may only encrypt", func(y *tallied) {
			y.tail = y.rules(y.committed, strings.Replace(tallyPermit, "action,", `action == Warifu::Action::"encrypt",`, 1))
		}, map[string]api.Code{policy.Unwrap: api.CodeDenied, policy.UnwrapBranch: api.CodeDenied}},
		{"may only open", func(y *tallied) {
			y.tail = y.rules(y.committed, strings.Replace(tallyPermit, "action,", `action == Warifu::Action::"unwrap",`, 1))
		}, map[string]api.Code{policy.Encrypt: api.CodeDenied, policy.UnwrapBranch: api.CodeDenied}},
		{"may only hold branch keys", func(y *tallied) {
			y.tail = y.rules(y.committed, strings.Replace(tallyPermit, "action,", `action == Warifu::Action::"unwrapBranch",`, 1))
		}, map[string]api.Code{policy.Encrypt: api.CodeDenied, policy.Unwrap: api.CodeDenied}},
		{"suspended", func(y *tallied) { y.tail = y.moved(y.committed, authority.Suspended) }, map[string]api.Code{policy.Encrypt: api.CodeKeyState, policy.Unwrap: api.CodeKeyState, policy.UnwrapBranch: api.CodeKeyState}},
		{"deactivated", func(y *tallied) { y.tail = y.moved(y.committed, authority.Deactivated) }, map[string]api.Code{policy.Encrypt: api.CodeKeyState}},
		{"revoked", func(y *tallied) { y.tail = y.revoked(y.committed) }, map[string]api.Code{policy.Encrypt: api.CodeDenied, policy.Unwrap: api.CodeDenied, policy.UnwrapBranch: api.CodeDenied}},
	} {
		for _, during := range []bool{false, true} {
			for _, action := range both {
				y := newTally(t)
				ciphertext := y.made(t, writer, fileA)
				y.recorder.records = nil
				if during { // R20: between the record and the answer
					y.recorder.during = func() { y.recorder.during = nil; tt.spoil(y) }
				} else {
					tt.spoil(y)
				}
				if during && tt.code[action] == api.CodeNoShare {
					continue // the share is borrowed until the answer
				}
				a, err := y.ways(ciphertext)[action](writer)
				if err != nil {
					t.Fatal(err)
				}
				got, want := a.Items[0], tt.code[action]
				kinds := []audit.Kind{audit.Release}
				switch {
				case want != "" && during:
					kinds = append(kinds, audit.Withheld)
				case want != "":
					kinds[0] = audit.Refusal
				}
				if (got.Refusal == nil) != (want == "") || got.Refusal != nil && got.Refusal.Code != want {
					t.Errorf("%s, %s, meanwhile %v: %+v", tt.sentence, action, during, got.Refusal)
				}
				if got.Refusal != nil && (got.Partial != nil || got.Values != nil) {
					t.Errorf("%s, %s: refused, and a value goes out", tt.sentence, action)
				}
				if !slices.Equal(y.recorder.kinds(), kinds) || y.recorder.records[0].Action != action {
					t.Errorf("%s, %s, meanwhile %v: recorded %+v", tt.sentence, action, during, y.recorder.records)
				}
			}
		}
	}
}

// When the ledger moves while the record is written, what is released is what was asked for.
func TestWhatIsReleasedWhenTheLedgerMovesMeanwhile(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	for action, ask := range y.ways(ciphertext) {
		a, err := ask(writer)
		want := value(t, a, err)
		y.recorder.during = func() { y.recorder.during = nil; y.tail = y.rules(y.committed, tallyPermit+"\n") }
		a, err = ask(writer)
		got := value(t, a, err)
		if !bytes.Equal(got.Partial, want.Partial) || !bytes.Equal(got.Values, want.Values) || len(got.Partial)+len(got.Values) == 0 {
			t.Errorf("%s: something else was released: %+v, not %+v", action, got, want)
		}
		y.tail = y.committed
	}
}

// R26
func TestNoValueLeavesWithoutItsRecord(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	y.recorder.fail = audit.ErrFull
	for action, ask := range y.ways(ciphertext) {
		a, err := ask(writer)
		var e *api.Error
		if a != nil || !errors.As(err, &e) || e.Code != api.CodeAudit {
			t.Errorf("%s: a value left without its record: %+v, %v", action, a, err)
		}
	}
}

func TestSetsThatAreRefused(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	held := wired(tprf.Held(y.params, 1)) // of 1 and 2, and of 1 and 3
	for sentence, tt := range map[string]struct {
		sets  []uint16
		whole bool // the whole request is refused
	}{
		"none":                 {nil, false},
		"one of others":        {[]uint16{0b110}, false},
		"one of others, too":   {append(slices.Clone(held), 0b110), false},
		"too large":            {[]uint16{0b111}, false},
		"too small":            {[]uint16{0b001}, false},
		"of a holder too many": {[]uint16{0b1001}, false},
		"the empty one":        {[]uint16{0}, true},
		"one twice":            {[]uint16{held[0], held[0]}, true},
		"not in their order":   {[]uint16{held[1], held[0]}, true},
		"too many":             {make([]uint16, api.MaxSets+1), true},
	} {
		for _, each := range []bool{false, true} {
			a, err := y.gate.Unwrap(t.Context(), y.caller(writer), &api.UnwrapRequest{Sets: tt.sets, Items: []api.UnwrapItem{{Envelope: ciphertext, Context: fileA, Prove: each}}})
			b, errB := y.gate.Encrypt(t.Context(), y.caller(writer), &api.EncryptRequest{Sets: tt.sets, Items: []api.EncryptItem{{Key: y.key.ID, Version: 1, Context: fileA}}})
			for _, got := range []struct {
				answer *api.UnwrapAnswer
				err    error
			}{{a, err}, {b, errB}} {
				var e *api.Error
				switch {
				case tt.whole && (!errors.As(got.err, &e) || e.Code != api.CodeMalformed):
					t.Errorf("%s: %+v, %v", sentence, got.answer, got.err)
				case !tt.whole && (got.err != nil || got.answer.Items[0].Refusal == nil || got.answer.Items[0].Refusal.Code != api.CodeMalformed):
					t.Errorf("%s: %+v, %v", sentence, got.answer, got.err)
				}
			}
		}
	}
	foreign := bytes.Clone(ciphertext)
	foreign[2] ^= 1
	if a, err := y.decrypt(writer, fileA, foreign, false); err != nil || a.Items[0].Refusal == nil || a.Items[0].Refusal.Code != api.CodeEnvelope {
		t.Errorf("another cluster's: %+v, %v", a, err)
	}
}

// R16, R28: a key of the other type is one that nobody has heard of.
func TestAKeyHasOneTypeAlone(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	answers := map[string][]byte{}
	see := func(sentence string, a *api.UnwrapAnswer, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		answers[sentence] = wire.Encode(a.Items)
	}
	a, err := y.decrypt(visitor, fileA, ciphertext, false)
	see("denied", a, err)
	unknown := bytes.Clone(ciphertext)
	unknown[34] ^= 1
	a, err = y.decrypt(writer, fileA, unknown, false)
	see("an unknown key", a, err)
	a, err = y.encrypt(visitor, fileA, [32]byte{})
	see("denied to encrypt", a, err)
	root := y.committed.RootKey()
	a, err = y.gate.Encrypt(t.Context(), y.caller(writer), &api.EncryptRequest{Sets: []uint16{3}, Items: []api.EncryptItem{{Key: root.ID, Version: 1}}})
	see("the root key", a, err)
	w := newWorld(t)
	a, err = w.gate.Encrypt(t.Context(), y.caller(writer), &api.EncryptRequest{Sets: []uint16{3}, Items: []api.EncryptItem{{Key: w.born.Key.ID, Version: 1}}})
	see("a key that is asymmetric", a, err)
	for sentence, got := range answers {
		if !bytes.Equal(got, answers["denied"]) {
			t.Errorf("%s: %x, not %x", sentence, got, answers["denied"])
		}
	}
}

// R25: nothing that is recorded holds the share, a value or the DEK.
func TestNoSecretOfASymmetricKeyIsRecorded(t *testing.T) {
	y := newTally(t)
	ciphertext := y.made(t, writer, fileA)
	a, err := y.decrypt(writer, fileA, ciphertext, false)
	sum := value(t, a, err).Partial
	a, err = y.encrypt(writer, fileA, [32]byte{1})
	canaries := map[string][]byte{"sum": sum, "values": value(t, a, err).Values[:tprf.ValueSize], "dek": dek.Reveal(), "share": y.all[1].Bytes().Reveal()[:tprf.SetKeySize]}
	for _, r := range y.recorder.records {
		b, err := audit.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(canaries)) {
			if bytes.Contains(b, canaries[name]) {
				t.Errorf("the record holds the %s", name)
			}
		}
	}
}

// Whoever may not ask at all is refused in the audit's words.
func TestARefusedEncrypterIsRecorded(t *testing.T) {
	y := newTally(t)
	refusal := api.Refuse(api.CodeDenied, "the class operator may not ask for this")
	err := y.gate.RefuseEncrypt(t.Context(), y.caller(visitor), &api.EncryptRequest{Items: []api.EncryptItem{{Key: y.key.ID, Version: 1}}}, refusal, "the class operator")
	if !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	if r := y.recorder.records; len(r) != 1 || r[0].Kind != audit.Refusal || r[0].Action != policy.Encrypt || r[0].KeyName != "tally" || r[0].Why != "the class operator" {
		t.Errorf("recorded: %+v", r)
	}
}
